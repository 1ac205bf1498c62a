"""A source as the job reads it: from a position, in chunks of whole minibatches, shuffled if asked, read ahead.

A chunk is a convenience of the machine: how rows are cut into chunks shows nowhere in what is learned. With a shuffle
a chunk is one window, and its order is drawn from the seed, the epoch and the window's first row: a position inside a
window is the cursor of its start, the number of its rows that were applied, and the cursor of its end: another
window there, changed or grown, would be drawn in another order, or hold other rows.

Where a stream has grown since a job came to its end, the job goes on with the first new row. The last minibatch and the
last window that were learned remain as they were, so only at a border of theirs is this what a job does that finds the
longer stream at once.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from connectors import (
    Cursor,
    CursorError,
    Decisions,
    RecordBatchSlice,
    Source,
    SourceEvent,
    prefetch,
    rebatch,
    rebatch_as_it_comes,
)
from stream_bp.config.job import JobConfig
from stream_bp.errors import MissingValueError
from stream_bp.job.stats import RuntimeStats
from stream_bp.preprocessing.rows import Rows

__all__ = ["Chunk", "MinibatchReader", "Position"]

# Of one chunk, at most: the threads that prepare and learn get into each other's way once for each chunk.
_VALUES = 1 << 19
_ROWS = 1 << 15
_MINIBATCHES = 1 << 13
_AHEAD = 2  # chunks read before they are asked for


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next row that is not yet learned is.

    Attributes
    ----------
    epoch
        Passes finished before it.
    cursor
        Position in the source; with a shuffle, of the first row of the window.
    skip
        Rows of the window that were learned.
    end
        Position in the source of the end of the window; ``None`` where no window was begun.
    """

    epoch: int
    cursor: Cursor
    skip: int = 0
    end: Cursor | None = None

    @property
    def row(self) -> int:
        """How many rows of the epoch were learned."""
        return self.cursor.row + self.skip

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        end = self.end and self.end.to_json()
        return {"epoch": self.epoch, "cursor": self.cursor.to_json(), "skip": self.skip, "end": end}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Position":
        """Rebuild a position from :meth:`to_json`."""
        end = None if data["end"] is None else Cursor.from_json(data["end"])
        return cls(int(data["epoch"]), Cursor.from_json(data["cursor"]), int(data["skip"]), end)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some minibatches of rows, ready to be learned, and the position after each row.

    Attributes
    ----------
    rows
        What became of a ``pyarrow.RecordBatch``.
    position
        n → position after its first n rows. It may cost a little: for checkpoints.
    notes
        What the source says of its rows, and was not said before.
    kept
        The ``pyarrow.RecordBatch`` of the columns that are copied beside predictions; ``None`` if there are none.
    """

    rows: Rows
    position: Callable[[int], Position]
    notes: Sequence[SourceEvent] = ()
    kept: Any = None


_Located = tuple[Any, Callable[[int], Position], Sequence[SourceEvent], Callable[[int], int]]


class MinibatchReader:
    """Chunks of a source.

    Parameters
    ----------
    source
        Where rows come from.
    schema
        Columns and types to read.
    config
        Says how large a minibatch is, whether to shuffle, and the seed.
    decisions
        Where it is kept what is decided about a source without end.
    kept
        Which of the columns are handed on as they were read.
    known
        Names of all columns that are known, where others are to be told of.
    work
        Is told how long chunks took, and how many are ready.

    Attributes
    ----------
    notes
        Once an epoch was read to its end, what was said of what lies behind its last row, and was not said before.
    """

    def __init__(
        self,
        source: Source,
        schema: Any,
        config: JobConfig,
        *,
        decisions: Decisions | None = None,
        kept: Sequence[str] = (),
        known: Collection[str] | None = None,
        work: RuntimeStats | None = None,
    ) -> None:
        self._source = source
        self._work = work or RuntimeStats()
        self._decisions = decisions or Decisions()
        self._patience_s = config.linger_s
        self._schema = schema
        self._kept, self._known = list(kept), known
        self._seed = config.seed
        self._batch_size = config.batch_size
        self._is_shuffled = config.shuffle_window is not None
        # A chunk of many columns has fewer rows: the arrays of a chunk stay of one size.
        bounds = _ROWS, _VALUES // max(len(schema), 1), _MINIBATCHES * config.batch_size
        rows = config.shuffle_window or min(bounds)
        self.notes: Sequence[SourceEvent] = []
        self._chunk_rows = max(1, -(-rows // config.batch_size)) * config.batch_size

    @contextlib.contextmanager
    def open(self, position: Position, prepare: Callable[[Any], Rows]) -> Iterator[Iterator[Chunk | None]]:
        """Read one epoch from a position to its end; each record batch is prepared in the thread that reads it.

        None among the chunks says that a source without end has nothing for now.
        """
        with self._source.open(self._schema, position.cursor, self._decisions, self._known) as reader:
            blocks = self._rebatched(reader, position)
            records = self._records(blocks, position)
            with prefetch(self._work.reading(self._chunks(records, prepare)), _AHEAD) as ahead:
                self._work.n_ready = lambda: ahead.n_ready
                yield ahead
            # Asked at the end of the pass alone: only then every file is known.
            self._again = reader.next_pass
            self.notes = self._new(reader.notes, position)

    def _rebatched(self, blocks: Iterable[RecordBatchSlice], position: Position) -> Iterator[RecordBatchSlice]:
        if not self._source.is_unbounded:
            # Part of a window would be drawn in another order than the whole.
            return rebatch(blocks, self._chunk_rows, unit=None if self._is_shuffled else self._batch_size)
        return rebatch_as_it_comes(
            blocks,
            self._chunk_rows,
            unit=self._batch_size,
            row=position.row,
            patience_s=self._patience_s,
            decisions=self._decisions,
        )

    def _chunks(self, records: Iterator[_Located], prepare: Callable[[Any], Rows]) -> Iterator[Chunk | None]:
        """Yield what becomes of record batches; of one with a row that may not be, the minibatches before."""
        for batch, locate, notes, row_of in records:
            if not batch.num_rows:
                yield None
                continue
            try:
                chunk = Chunk(prepare(batch), locate, notes, self._columns_of(batch))
            except MissingValueError as error:
                # The minibatches before it are whole, and are learned before the error is raised.
                good = error.row - error.row % self._batch_size
                if good:
                    before = batch.slice(0, good)
                    yield Chunk(prepare(before), locate, notes, self._columns_of(before))
                place = "" if self._is_shuffled else f"{self._source.label(locate(error.row + 1).cursor)}, "
                raise MissingValueError(row_of(error.row), error.column, place) from error
            yield chunk

    def _columns_of(self, batch: Any) -> Any:
        return batch.select(self._kept) if self._kept else None

    def next_epoch(self, position: Position) -> Position:
        """Return the start of the epoch after the one that was read to its end, from a position in it.

        It remembers what every file was, for each epoch reads the same rows.
        """
        return Position(position.epoch + 1, self._again())

    def _records(self, blocks: Iterator[RecordBatchSlice], start: Position) -> Iterator[_Located]:
        """Yield record batches in the order in which they are learned, each with its positions."""
        skip = start.skip
        if start.end is not None:
            blocks = chain([_same_window(self._source, start.end, next(blocks, None))], blocks)
        for block in blocks:
            notes = self._new(block.notes, start)
            if self._is_shuffled:
                yield self._shuffled(block, start.epoch, skip, notes)
            else:
                yield block.records, _in_order(block, start.epoch), notes, partial(_row_of, block.locator)
            skip = 0

    @staticmethod
    def _new(notes: Sequence[SourceEvent], start: Position) -> Sequence[SourceEvent]:
        """Return what was not said before: of each pass the same is, and a window that was begun is read again."""
        return [] if start.epoch else [note for note in notes if note.row >= start.row]

    def _shuffled(self, window: RecordBatchSlice, epoch: int, skip: int, notes: Sequence[SourceEvent]) -> _Located:
        """Return a window in its drawn order, without the rows that were applied."""
        first, locate, n_rows = window.cursor(0), window.locator, len(window)
        # The seed is where the window begins, so its order is the same wherever a run resumed.
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, epoch, first.row])))
        order = random.permutation(n_rows)
        records = window.records.take(order).slice(skip)

        def position(n: int) -> Position:
            if skip + n < n_rows:
                return Position(epoch, first, skip + n, locate(n_rows))
            return Position(epoch, locate(n_rows))

        return records, position, notes, lambda i: first.row + int(order[skip + i])


def _row_of(locate: Callable[[int], Cursor], i: int) -> int:
    return locate(i).row


def _same_window(source: Source, end: Cursor, window: RecordBatchSlice | None) -> RecordBatchSlice:
    """Return the window that was begun, if it ends where, and as, it did; else refuse it."""
    found = window.cursor(len(window)) if window is not None else Cursor.start()
    if window is None or not source.same_rows_before(found, end):
        other = "other rows before it" if found.row == end.row else f"its end before row {found.row}"
        raise CursorError(
            f"{source.label(end)}: rows of the shuffle window that is being learned were edited, added or lost "
            f"(expected the window to end before row {end.row}, found {other}) since it was read; restore the file, or "
            "start over with --restart"
        )
    return window


def _in_order(block: RecordBatchSlice, epoch: int) -> Callable[[int], Position]:
    locate = block.locator
    return lambda n: Position(epoch, locate(n))
