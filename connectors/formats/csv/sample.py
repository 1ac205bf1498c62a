"""The first cells of a stream of text files, as they are written; types are inferred from them.

The sample is the first MiB of records of the whole stream, so it does not depend on how rows are cut into files or
blocks. A column that is empty there is searched further on, up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.formats.csv import arrow_csv
from connectors.formats.csv.cells import have_value
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.parser import RecordParser
from connectors.formats.csv.records import record_ends

__all__ = ["Column", "Sample"]

_BYTES = 1 << 20
_SEARCHED = 32 << 20
_FIRST_CELLS = 1_000


@dataclass(frozen=True, slots=True)
class Column:
    """The sampled cells of one column.

    Parameters
    ----------
    cells
        As they are written, shape (n,); null where a cell is empty.
    places
        For each chunk of the cells, the file that it comes from.
    """

    cells: pa.ChunkedArray
    places: list[str]

    def place_of(self, index: int) -> str:
        """Return the file of a cell."""
        for chunk, place in zip(self.cells.chunks, self.places, strict=True):
            if index < len(chunk):
                return place
            index -= len(chunk)
        raise IndexError(index)


class Sample:
    """Collects cells, file by file in the order of the stream.

    Attributes
    ----------
    delimiter
        The delimiter of the first file; None before it.
    """

    def __init__(self) -> None:
        self._left, self._left_to_search = _BYTES, _SEARCHED
        self._cells: dict[str, list[tuple[str, pa.Array]]] = {}
        self._valued: set[str] = set()
        self.delimiter: str | None = None

    def begin(self, names: list[str], dialect: Dialect) -> None:
        """Note the columns of the next file, in their order."""
        self.delimiter = self.delimiter or dialect.delimiter
        for name in names:
            self._cells.setdefault(name, [])

    def wanted(self, names: list[str]) -> list[str]:
        """Return the columns among those of a file whose next cells are wanted."""
        if self._left > 0:
            return names
        if self._left_to_search <= 0:
            return []
        return [name for name in names if name not in self._valued]

    def add(self, text: bytes, names: list[str], dialect: Dialect, place: str) -> None:
        """Add whole records of a file; unreadable ones are ignored.

        Parameters
        ----------
        text
            The records.
        names
            The columns of the file.
        dialect
            Its dialect.
        place
            Its name.
        """
        wanted, rest = self.wanted(names), b""
        if self._left > 0:
            text, rest = _cut(text, self._left, dialect)
            self._left -= len(text)
        else:
            self._left_to_search -= len(text)
        if wanted:
            self._take(text, names, wanted, dialect, place)
        if rest and self.wanted(names):
            self.add(rest, names, dialect, place)

    def _take(self, text: bytes, names: list[str], wanted: list[str], dialect: Dialect, place: str) -> None:
        """Take the cells of some columns."""
        as_bytes = pa.schema([(name, pa.binary()) for name in wanted])
        good = RecordParser(names, as_bytes, place, dialect).good(text)
        if not good:
            return
        table = arrow_csv.read_records(good, names, arrow_csv.convert_options(as_bytes, dialect, ("",)), dialect)
        for name, column in zip(wanted, table.columns, strict=True):
            cells = arrow_csv.text_to_null(_as_text(column.combine_chunks()), dialect)
            self._cells[name].append((place, cells))
            if name not in self._valued and _has_value(cells, dialect):
                self._valued.add(name)

    def first_cells(self, names: list[str], place: str) -> dict[str, list[str]]:
        """Return some distinct cells of each column, of the first records of a file."""
        found = {}
        for name in names:
            cells = next((cells for owner, cells in self._cells[name] if owner == place), None)
            found[name] = [] if cells is None else pc.unique(cells.slice(0, _FIRST_CELLS)).to_pylist()
        return found

    @property
    def names(self) -> list[str]:
        """All columns that were met."""
        return list(self._cells)

    def column(self, name: str) -> Column:
        """Return the cells of a column; of a long search, only the chunk that has some."""
        found = self._cells[name]
        if self._left <= 0 and len(found) > 1 and not any(len(cells) - cells.null_count for _, cells in found[:-1]):
            found = found[-1:]
        return Column(pa.chunked_array([cells for _, cells in found], pa.string()), [place for place, _ in found])


def _has_value(cells: pa.Array, dialect: Dialect) -> bool:
    """Return whether a cell is neither empty nor a word for a missing value."""
    return bool(pc.any(have_value(cells, dialect)).as_py())


def _cut(text: bytes, n_bytes: int, dialect: Dialect) -> tuple[bytes, bytes]:
    """Return the records that end within some bytes, but at least one, and the others."""
    if len(text) <= n_bytes:
        return text, b""
    ends = record_ends(text, is_last=True, dialect=dialect)
    n_records = max(1, int(np.searchsorted(ends, n_bytes, side="right")))
    end = int(ends[n_records - 1])
    return text[:end], text[end:]


def _as_text(cells: pa.Array) -> pa.Array:
    """Return cells as strings. Bytes that are not UTF-8 count as no cell: their records are unreadable."""
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if cell is None else cell.decode(errors="replace") for cell in cells.to_pylist()]
        return pa.array(texts, pa.string())
