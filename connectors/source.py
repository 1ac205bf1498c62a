"""The contract between a place where rows live and a job that learns from them.

A `Source` is a recipe: what the rows look like and where they are. `Source.open` makes a `Reader`, an open handle that
yields rows in one fixed order, as blocks (`RecordBatchSlice`). A `Cursor` is the position of the **next unapplied
row**: whoever applied the first n rows of a block keeps ``block.cursor(n)``, and a reader opened there yields exactly
the rest.

What every connector promises, and the suite in `testing` checks for each of them, here and in other packages:

- every row is read once, in the same order each time; an empty block is never yielded, but by a source without end;
- how rows are cut into blocks means nothing: neither rows, nor values, nor cursors depend on it;
- a cursor survives JSON. Its `state` belongs to the source and identifies the rows before it, so that a replaced,
  truncated or edited place is refused with a `CursorError` instead of being read as if nothing had happened, while it
  is read, between two runs, or between two passes: whoever gets to the end without an error has read what the place
  holds;
- memory does not grow with the length of the stream;
- what cannot be read is an error that names it; or, of a source that was told so, it is handed over as a `BadRow` with
  the row behind it, or with the end: a resumed reader hands over again what lies behind its cursor;
- whatever goes wrong is a `ConnectorError` that names the place; nobody turns other errors into one.
"""

from __future__ import annotations

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

__all__ = ["Reader", "RecordBatchSlice", "Source"]


class RecordBatchSlice:
    """Some rows in a row, and the position after each of them.

    Parameters
    ----------
    records
        The rows; at least one.
    locate
        Position after the first n rows. It is called only when somebody asks, so it may cost a little.
    notes
        What is to be said of these rows, in order: what could not be read just before one of them, where the source
        hands it over, and which begins a file.
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
        """What could not be read."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def cursor(self, n: int) -> Cursor:
        """Return the position after the first `n` rows, 0 ≤ n ≤ number of rows."""
        return self.locator(n)

    @property
    def locator(self) -> Callable[[int], Cursor]:
        """What `cursor` does, as a function that keeps no row alive."""
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
        Where the blocks come from; its ``close`` releases whatever it holds.
    place
        What is being read, for messages.
    next_pass
        See the method; asked only after the last block.
    notes
        See the property; asked only after the last block.
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
            # Whoever goes on after an error must not be handed what lies behind it.
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def next_pass(self) -> Cursor:
        """Return, once the last block was read, the start of another pass, which must read the same rows."""
        return self._next_pass()

    @property
    def notes(self) -> Sequence[SourceEvent]:
        """What is to be said of what lies behind the last row, once the last block was read."""
        return self._notes()

    @property
    def bad(self) -> list[BadRow]:
        """What could not be read behind the last row."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def close(self) -> None:
        """Release files; a second call does nothing."""
        blocks, self._blocks = self._blocks, None
        close = getattr(blocks, "close", None)
        if close is not None:
            close()


class Source(ABC):
    """Where rows come from: a recipe that can be opened any number of times."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns and their natural types, in the order of the place."""

    @property
    @abstractmethod
    def n_rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A short line for people: how many places of which format."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files; empty where there are none."""
        return ()

    @property
    def type_warnings(self) -> dict[str, str]:
        """By name, a line for people on each column that may not be what it is taken for; empty where none is."""
        return {}

    is_unbounded = False
    """Whether the source may wait for rows for ever: an empty block then says that there is none for now."""

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
            The columns wanted, in any order, each with the type it is read as. It does not change between the runs
            of a job, whatever the natural types have become.
        cursor
            Where to go on; the start where none is given.
        decisions
            Where an endless source keeps what it decides, and finds what it decided before.
        known
            Names of all columns that are known, wanted or not: a file that has others is refused before its first row,
            by a `NewColumnsError`. Where they are not given, others are no matter; nor is one that a file lacks.

        Raises
        ------
        SchemaError
            A column is missing, or cannot be read as its type.
        CursorError
            The place is not what the cursor points into.
        SourceError
            The place cannot be read.
        """

    def label(self, cursor: Cursor) -> str:
        """Return what to call the place of the last row before a cursor, in messages; unless overridden, all of it."""
        return self.description

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Tell whether the same rows lie before two cursors of this source.

        Unless overridden, they do where the cursors are equal. A state that also holds what may change while the rows
        stay, such as the time of a file, has to be compared without it.
        """
        return one == other

    def compact(self, cursor: Cursor) -> Cursor:
        """Return a cursor with as much of its state as `commit` needs: a job keeps many of them."""
        return cursor

    def commit(self, cursor: Cursor) -> None:  # noqa: B027 - most sources keep nothing of their own
        """Hear that no reader will be opened before a position any more."""

    @abstractmethod
    def fraction(self, cursor: Cursor) -> float | None:
        """Return how much of the source lies before `cursor`, 0 to 1; None where it cannot be known."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return how many bytes lie there behind `cursor`; None where it cannot be known. Any thread may ask."""
        return None
