"""The contract between a place that holds rows and a job that learns from them.

A `Source` is a recipe: which rows there are, and where. `Source.open` returns a `Reader`, an open handle. It yields
rows in one fixed order, as blocks (`RecordBatchSlice`). A `Cursor` is the position of the **next unapplied row**. A
caller that applied the first n rows of a block keeps ``block.cursor(n)``. A reader opened there yields exactly the
rest.

Every connector promises the following. The suite in `testing` checks it for each of them, here and in other packages:

- Every row is read once, in the same order each time. Only an unbounded source yields empty blocks.
- Rows, values and cursors do not depend on how the rows are cut into blocks.
- A cursor survives JSON. Its `state` belongs to the source and identifies the rows before it. So a place that was
  replaced, truncated or edited is refused with a `CursorError`. This holds during a read, between two runs, and between
  two passes: a reader that reaches the end without an error has read what the place holds.
- Memory does not grow with the length of the stream.
- Unreadable data is an error that names it. A source opened with ``keeps_bad_rows`` yields a `BadRow` instead, together
  with the next row, or at the end. A resumed reader yields again the bad rows after its cursor.
- Every failure is a `ConnectorError` that names the place. The caller does not convert other errors.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import SourceError
from connectors.events import BadRow, SourceEvent

__all__ = ["Reader", "RecordBatchSlice", "Source", "read_first"]

_PATIENCE_S = 1.0  # how long the first rows of an unbounded source may pause


class RecordBatchSlice:
    """Consecutive rows, and the position after each of them.

    Parameters
    ----------
    records
        The rows; at least one.
    locate
        Returns the position after the first n rows. It is called only on demand, so it may take a little time.
    notes
        Events before or at these rows, in order: bad rows, if the source yields them, and starts of files.
    """

    __slots__ = ("_locate", "notes", "records")

    def __init__(
        self, records: pa.RecordBatch, locate: Callable[[int], Cursor], notes: Sequence[SourceEvent] = ()
    ) -> None:
        self.records = records
        self.notes = notes
        self._locate = locate

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def bad(self) -> list[BadRow]:
        """The bad rows among the notes."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def cursor(self, n: int) -> Cursor:
        """Return the position after the first `n` rows, 0 ≤ n ≤ number of rows."""
        return self.locator(n)

    @property
    def locator(self) -> Callable[[int], Cursor]:
        """`cursor` as a function that keeps no row in memory."""
        return partial(_located, len(self), self._locate)


def _located(n_rows: int, locate: Callable[[int], Cursor], n: int) -> Cursor:
    if not 0 <= n <= n_rows:
        raise ValueError(f"a block of {n_rows} rows has no position after {n} rows")
    return locate(n)


class Reader:
    """An open handle on a source: an iterator of blocks, and a context manager.

    Parameters
    ----------
    blocks
        The blocks; its ``close`` method releases what it holds open.
    place
        Name of the place, for messages.
    next_pass
        See the method; called only after the last block.
    notes
        See the property; called only after the last block.
    """

    def __init__(
        self,
        blocks: Iterator[RecordBatchSlice],
        place: str,
        next_pass: Callable[[], Cursor],
        notes: Callable[[], Sequence[SourceEvent]] = tuple,
    ) -> None:
        self._blocks: Iterator[RecordBatchSlice] | None = blocks
        self._place = place
        self._next_pass = next_pass
        self._notes = notes

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> RecordBatchSlice:
        if self._blocks is None:
            raise SourceError(f"{self._place}: this reader is closed; open the source again")
        try:
            return next(self._blocks)
        except StopIteration:
            raise
        except BaseException:
            # Otherwise a caller that ignores the error would silently miss the rows that failed.
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def next_pass(self) -> Cursor:
        """Return the start of another pass, which must read the same rows; call it after the last block."""
        return self._next_pass()

    @property
    def notes(self) -> Sequence[SourceEvent]:
        """Events after the last row, once the last block was read."""
        return self._notes()

    @property
    def bad(self) -> list[BadRow]:
        """Bad rows after the last row."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def close(self) -> None:
        """Release files; a second call does nothing."""
        blocks, self._blocks = self._blocks, None
        close = getattr(blocks, "close", None)
        if close is not None:
            close()


class Source(ABC):
    """A recipe for reading rows; it can be opened any number of times."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns and their natural types, in the order of the place."""

    @property
    @abstractmethod
    def n_rows(self) -> int | None:
        """Number of rows; None where it is unknown before reading."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A short line for messages: how many places, of which format."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files; empty where there are none."""
        return ()

    @property
    def type_warnings(self) -> dict[str, str]:
        """By column name, a warning for each column whose inferred type is doubtful."""
        return {}

    @property
    def remarks(self) -> tuple[str, ...]:
        """One line for each surprise about the source, such as a column that is left out."""
        return ()

    has_copies = False
    """Whether `open` takes fields that copy a column (`fields.copy_of`), beside the column in another type."""

    has_null_words = False
    """Whether each word for a missing value that occurs is a `NullWord` among the notes."""

    def written_type(self, name: str) -> pa.DataType:
        """Return the type in which a column is copied without a change; for text, a string."""
        return self.schema.field(name).type

    is_unbounded = False
    """Whether the source may wait for rows without end; an empty block then means that no row is available yet."""

    @abstractmethod
    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Open the source at a position.

        Parameters
        ----------
        schema
            The columns wanted, in any order, each with the type to read it as. It is the same in all runs of a job,
            even if the natural types change.
        cursor
            Where to resume; by default, the start.
        decisions
            Where an unbounded source writes its decisions, and reads those of earlier runs.
        known
            Names of all known columns, wanted or not. A file with other columns is refused before its first row, with a
            `NewColumnsError`. By default new columns are ignored. A column that a file lacks is always accepted.

        Raises
        ------
        SchemaError
            A column is missing, or cannot be read as its type.
        CursorError
            The place does not hold the rows that the cursor identifies.
        SourceError
            The place cannot be read.
        """

    def first_rows(self, schema: pa.Schema, n_rows: int) -> pa.Table:
        """Return the first rows: exactly this many, if there are so many. The next reader yields them again.

        An unbounded source gives the rows that come without a pause of a second.
        """
        return read_first(self.open(schema), schema, n_rows)

    def label(self, cursor: Cursor) -> str:
        """Return the name, for messages, of the place that holds the last row before a cursor.

        By default it is the description of the whole source.
        """
        return self.description

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Return whether the rows before two cursors of this source are the same.

        By default they are if the cursors are equal. Override this if a state holds values that may change while the
        rows stay, such as the time of a file.
        """
        return one == other

    def compact(self, cursor: Cursor) -> Cursor:
        """Return a cursor with only the state that `commit` needs; a job keeps many of them."""
        return cursor

    def commit(self, cursor: Cursor) -> None:  # noqa: B027 - most sources keep nothing of their own
        """Release what is needed only before a position; no reader will be opened before it again."""

    @abstractmethod
    def fraction(self, cursor: Cursor) -> float | None:
        """Return the share of the source before `cursor`, 0 to 1; None where it is unknown."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return the number of bytes after `cursor`; None where it is unknown. Any thread may call it."""
        return None


def read_first(reader: Reader, schema: pa.Schema, n_rows: int) -> pa.Table:
    """Return the first rows of a reader, and close it; see `Source.first_rows`."""
    batches, left, came = [], n_rows, None
    with reader:
        for block in reader:
            if len(block):
                batches.append(block.records.slice(0, left))
                left, came = left - len(batches[-1]), time.monotonic()
            if left <= 0 or (came is not None and time.monotonic() - came > _PATIENCE_S):
                break
    return pa.Table.from_batches(batches, schema)
