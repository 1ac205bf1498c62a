"""Reads the CSV files of a run directory, also while a job writes them."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stream_bp._arrays import Floats
from stream_bp.errors import DiskError

__all__ = ["MOST", "Table", "read_table"]

MOST = 2000
"""Rows of a table to keep: more than a screen has columns of pixels."""

_LONGEST = 1 << 27  # characters of a cell; quarantine.csv holds whole records


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or evenly spaced rows of a long one.

    Attributes
    ----------
    columns
        Names, in the order of the file; empty if there is no file.
    rows
        The cells, as text.
    n_rows
        Number of rows in the file.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_rows: int
    _numbers: dict[str, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def words(self, column: str) -> list[str]:
        """Return the cells of a column; empty cells if there is no such column."""
        if column not in self.columns:
            return [""] * len(self.rows)
        place = self.columns.index(column)
        return [row[place] for row in self.rows]

    def numbers(self, column: str) -> Floats:
        """Return the numbers of a column, shape (n,), float64, read-only; NaN for cells that are not numbers."""
        if column not in self._numbers:
            self._numbers[column] = np.array([_number(cell) for cell in self.words(column)], np.float64)
        return self._numbers[column]


def read_table(path: Path, *, most: int = MOST) -> Table:
    """Read a table. Incomplete rows are skipped.

    Parameters
    ----------
    path
        The file. It need not exist.
    most
        Maximum number of rows to keep. The last row is always kept.

    Returns
    -------
    Table
        Of a longer file, every second, fourth, eighth… row.

    Raises
    ------
    DiskError
        If the file cannot be read.

    Notes
    -----
    An incomplete last line is not an error, since a job may be writing it. Zeros after a power cut are not an error
    either. Memory does not grow with the file.
    """
    csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            records = csv.reader(_whole(file))
            columns = tuple(next(records, ()))
            return _thinned(columns, _rows(records, len(columns)), most)
    except FileNotFoundError:
        return Table((), (), 0)
    except OSError as error:
        raise DiskError(f"cannot read {path}: {error.strerror}") from error


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Yield the complete lines."""
    return (line for line in lines if line.endswith("\n"))


def _rows(records: Iterator[list[str]], n_columns: int) -> Iterator[list[str]]:
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error:  # zeros, or an unclosed quote
            continue
        if len(record) == n_columns:
            yield record


def _thinned(columns: Sequence[str], rows: Iterator[list[str]], most: int) -> Table:
    kept: list[tuple[str, ...]] = []
    stride, n_rows, last = 1, 0, None
    for row in rows:
        last = row
        if n_rows % stride == 0:
            kept.append(tuple(row))
            if len(kept) == most:
                kept, stride = kept[::2], stride * 2
        n_rows += 1
    if last is not None and (n_rows - 1) % stride:
        kept.append(tuple(last))
    return Table(tuple(columns), tuple(kept), n_rows)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
