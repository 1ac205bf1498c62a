"""Row groups of Parquet files: their columns by number, checked against what the footer says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import SourceError
from connectors.leaves import FIRST_ROWS, Leaf, leaves, n_stored

__all__ = ["DamageError", "RowGroups", "few_words", "first_rows", "refuse_wrong_counts"]

_FEW = 1 << 15  # bytes of a dictionary, compressed


class RowGroups:
    """Some columns of a file, read row group by row group.

    Parameters
    ----------
    file
        The file.
    stored
        Its schema, with unique names.
    wanted
        The columns to read.
    """

    def __init__(self, file: pq.ParquetFile, stored: pa.Schema, wanted: Sequence[Leaf]) -> None:
        # By number: several columns may have one name.
        self._file, self._numbers = file, sorted({number for leaf in wanted for number in leaf.stored})
        self._names = list(dict.fromkeys(_owner(stored, self._numbers)))
        # In a column without lists each row has one value, null or not.
        column = file.schema.column
        self._flat = [n for n in self._numbers if not column(n).max_repetition_level]

    def read(self, group: int, n_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a row group, in batches of a number of rows.

        Raises
        ------
        DamageError
            The row group does not have as many rows as the footer says.
        """
        facts = self._file.metadata.row_group(group)
        expected = left = facts.num_rows
        column = facts.column
        if wrong := [number for number in self._flat if column(number).num_values != expected]:
            found = column(wrong[0])
            what = f"column {found.path_in_schema!r} has {found.num_values} values"
            raise DamageError(f"row group {group}: expected {expected} rows, but {what}")
        for batch in self._file.reader.iter_batches(
            n_rows, row_groups=[group], column_indices=self._numbers, use_threads=False
        ):
            left -= batch.num_rows
            if left < 0:
                break
            yield batch if batch.schema.names == self._names else batch.rename_columns(self._names)
        if left:
            raise DamageError(f"row group {group}: expected {expected} rows, found {expected - left}")


class DamageError(OSError):
    """A row group does not hold what its footer says."""


def _owner(schema: pa.Schema, numbers: Sequence[int]) -> Iterator[str]:
    """Yield for each stored column the name of the column that it is a part of."""
    names = [name for name, type_ in zip(schema.names, schema.types, strict=True) for _ in range(n_stored(type_))]
    return (names[number] for number in numbers)


def first_rows(file: pq.ParquetFile, stored: pa.Schema, lists: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the first rows of some lists."""
    found = leaves(stored, {})
    columns = RowGroups(file, stored, [found[name] for name in lists if name in found])
    n_left = FIRST_ROWS
    for group in range(file.num_row_groups):
        for batch in columns.read(group, FIRST_ROWS):
            yield batch
            n_left -= batch.num_rows
            if n_left <= 0:
                return


def few_words(file: pq.ParquetFile, wanted: Sequence[Leaf]) -> list[str]:
    """Return the columns of text to read as dictionaries: that is faster if there are few words.

    Then each word is checked once, not once for each row. The first row group decides; the values are the same anyway.
    """
    if not file.num_row_groups:
        return []
    group, found = file.metadata.row_group(0), []
    for number in (leaf.stored[0] for leaf in wanted if leaf.type == pa.string() and len(leaf.stored) == 1):
        chunk = group.column(number)
        if "." in chunk.path_in_schema or chunk.dictionary_page_offset is None:
            continue
        # If there are too many words, writers go on without the dictionary; the chunk is then far larger.
        n_bytes = chunk.data_page_offset - chunk.dictionary_page_offset
        if n_bytes <= _FEW and chunk.total_uncompressed_size <= (1 << 20) + 3 * chunk.num_values:
            found.append(chunk.path_in_schema)
    return found


def refuse_wrong_counts(facts: pq.FileMetaData, name: str) -> None:
    """Refuse a file whose footer contradicts itself."""
    counts = [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
    if any(count < 0 for count in counts) or sum(counts) != facts.num_rows:
        found = f"{facts.num_rows} rows in all, and {sum(counts)} in its {len(counts)} row groups"
        raise SourceError(f"{name}: the footer is damaged: it says {found}; write the file again")
