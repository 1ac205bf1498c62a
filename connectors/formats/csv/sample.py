"""The first cells of a stream of text files, as they are written; types are inferred from them.

The sample is the first MiB of records of the whole stream, so it does not depend on how rows are cut into files or
blocks. A column that is empty there is searched further on, up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from connectors.formats.csv import arrow_csv
from connectors.formats.csv.cells import values_of
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.parser import RecordParser

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

    @property
    def left(self) -> int | None:
        """Bytes of records that are wanted of all columns; None once only empty columns are searched on."""
        return self._left if self._left > 0 else None

    def add(self, text: bytes, names: list[str], dialect: Dialect, place: str, n_bytes: int) -> None:
        """Add whole records of a file, of which at most the last one reaches over what is `left`.

        Parameters
        ----------
        text
            The records; unreadable ones are ignored.
        names
            The columns of the file.
        dialect
            Its dialect.
        place
            Its name.
        n_bytes
            Bytes of the file that the records took.
        """
        wanted = self.wanted(names)
        if self._left > 0:
            self._left -= n_bytes
        else:
            self._left_to_search -= n_bytes
        if wanted:
            self._take(text, names, wanted, dialect, place)

    def _take(self, text: bytes, names: list[str], wanted: list[str], dialect: Dialect, place: str) -> None:
        """Take the cells of some columns."""
        as_bytes = pa.schema([(name, pa.binary()) for name in wanted])
        rows = RecordParser(names, as_bytes, place, dialect).parse(text, keeps_bad_rows=True).records
        if not len(rows):
            return
        for name, column in zip(wanted, rows.columns, strict=True):
            cells = arrow_csv.text_to_null(_as_text(column), dialect)
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
    column = pa.chunked_array([cells])
    return any(len(values_of(part, dialect)) for part in (column[:_FIRST_CELLS], column))


def _as_text(cells: pa.Array) -> pa.Array:
    """Return cells as strings. Bytes that are not UTF-8 count as no cell: their records are unreadable."""
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if cell is None else cell.decode(errors="replace") for cell in cells.to_pylist()]
        return pa.array(texts, pa.string())
