"""Reads a source for the job: from a position, in chunks of whole minibatches, shuffled on request, and ahead.

The size of a chunk does not affect what is learned. With a shuffle a chunk is one window. Its order is drawn from the
seed, the epoch and the first row of the window. A position inside a window has three parts: the cursor of its start,
the number of its rows that were learned, and the cursor of its end. The end detects a window that has changed or
grown, which would have another order or other rows.

If a stream has grown since a job reached its end, the job resumes with the first new row. The last minibatch and the
last window stay as they were learned. So the result equals that of a job that reads the longer stream at once only if
the first job ended at a boundary of both.
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
from stream_bp.preprocessing.copied_columns import copied_from
from stream_bp.preprocessing.rows import Rows

__all__ = ["Chunk", "MinibatchReader", "Position"]

# Limits of one chunk. A chunk costs one handover between the reading and the learning thread, so it is not small.
_VALUES = 1 << 19
_ROWS = 1 << 15
_MINIBATCHES = 1 << 13
_AHEAD = 2  # chunks read before they are needed


@dataclass(frozen=True, slots=True)
class Position:
    """The place of the next row to learn.

    Attributes
    ----------
    epoch
        Passes finished before it.
    cursor
        Position in the source. With a shuffle, that of the first row of the window.
    skip
        Rows of the window that were learned.
    end
        Position in the source of the end of the window; ``None`` outside of a window.
    """

    epoch: int
    cursor: Cursor
    skip: int = 0
    end: Cursor | None = None

    @property
    def row(self) -> int:
        """Rows of the epoch that were learned."""
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
        The encoded rows of a ``pyarrow.RecordBatch``.
    position
        n → position after its first n rows. It costs time: call it for checkpoints only.
    notes
        New events of the source about these rows.
    kept
        The ``pyarrow.RecordBatch`` of the passthrough columns; ``None`` if there are none.
    """

    rows: Rows
    position: Callable[[int], Position]
    notes: Sequence[SourceEvent] = ()
    kept: Any = None


_Located = tuple[Any, Callable[[int], Position], Sequence[SourceEvent], Callable[[int], int]]


class MinibatchReader:
    """Reads a source in chunks.

    Parameters
    ----------
    source
        The source of the rows.
    schema
        Columns and types to read.
    config
        The settings: minibatch size, shuffle, seed.
    decisions
        The log of the decisions about an unbounded source.
    copied
        The fields of the passthrough columns.
    known
        Names of all known columns, if new ones are to be reported; else ``None``.
    work
        Records how long chunks took, and how many are ready.

    Attributes
    ----------
    notes
        After the end of an epoch: new events of the source after its last row.
    """

    def __init__(
        self,
        source: Source,
        schema: Any,
        config: JobConfig,
        *,
        decisions: Decisions | None = None,
        copied: Sequence[Any] = (),
        known: Collection[str] | None = None,
        work: RuntimeStats | None = None,
    ) -> None:
        self._source = source
        self._work = work or RuntimeStats()
        self._decisions = decisions or Decisions()
        self._patience_s = config.linger_s
        self._schema = schema
        self._copied, self._known = copied, known
        self._seed = config.seed
        self._batch_size = config.batch_size
        self._is_shuffled = config.shuffle_window is not None
        # A chunk of many columns has fewer rows, so the memory of a chunk is bounded.
        bounds = _ROWS, _VALUES // max(len(schema), 1), _MINIBATCHES * config.batch_size
        rows = config.shuffle_window or min(bounds)
        self.notes: Sequence[SourceEvent] = []
        self._chunk_rows = max(1, -(-rows // config.batch_size)) * config.batch_size

    @contextlib.contextmanager
    def open(self, position: Position, prepare: Callable[[Any], Rows]) -> Iterator[Iterator[Chunk | None]]:
        """Read one epoch from a position to its end. The reading thread also prepares the record batches.

        A chunk that is ``None`` means that an unbounded source has no rows for now.
        """
        with self._source.open(self._schema, position.cursor, self._decisions, self._known) as reader:
            blocks = self._rebatched(reader, position)
            records = self._records(blocks, position)
            with prefetch(self._work.reading(self._chunks(records, prepare)), _AHEAD) as ahead:
                self._work.n_ready = lambda: ahead.n_ready
                yield ahead
            # Used after the end of the pass only, since every file is known then.
            self._again = reader.next_pass
            self.notes = self._new(reader.notes, position)

    def _rebatched(self, blocks: Iterable[RecordBatchSlice], position: Position) -> Iterator[RecordBatchSlice]:
        if not self._source.is_unbounded:
            # A window must be complete: a part of it would be drawn in another order.
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
        """Yield a chunk for each record batch. If a row is invalid, yield the minibatches before it, then raise."""
        for batch, locate, notes, row_of in records:
            if not batch.num_rows:
                yield None
                continue
            try:
                chunk = Chunk(prepare(batch), locate, notes, self._columns_of(batch))
            except MissingValueError as error:
                # The minibatches before it are complete, and are learned before the error is raised.
                good = error.row - error.row % self._batch_size
                if good:
                    before = batch.slice(0, good)
                    yield Chunk(prepare(before), locate, notes, self._columns_of(before))
                place = "" if self._is_shuffled else f"{self._source.label(locate(error.row + 1).cursor)}, "
                raise MissingValueError(row_of(error.row), error.column, place) from error
            yield chunk

    def _columns_of(self, batch: Any) -> Any:
        return copied_from(batch, self._copied) if self._copied else None

    def next_epoch(self, position: Position) -> Position:
        """Return the start of the next epoch, from a position in the epoch that has just ended.

        It holds the state of every file, so that each epoch reads the same rows.
        """
        return Position(position.epoch + 1, self._again())

    def _records(self, blocks: Iterator[RecordBatchSlice], start: Position) -> Iterator[_Located]:
        """Yield record batches in the order of learning, each with its positions."""
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
        """Return the new events: each pass repeats them, and an unfinished window is read again."""
        return [] if start.epoch else [note for note in notes if note.row >= start.row]

    def _shuffled(self, window: RecordBatchSlice, epoch: int, skip: int, notes: Sequence[SourceEvent]) -> _Located:
        """Return a window in its drawn order, without the rows that were learned."""
        first, locate, n_rows = window.cursor(0), window.locator, len(window)
        # The start of the window is part of the seed, so a resumed job draws the same order.
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
    """Return the unfinished window if its end has not changed; else refuse it."""
    found = window.cursor(len(window)) if window is not None else Cursor.start()
    if window is None or not source.same_rows_before(found, end):
        other = "other rows before it" if found.row == end.row else f"its end before row {found.row}"
        raise CursorError(
            f"{source.label(end)}: rows of the unfinished shuffle window have changed since they were read "
            f"(expected the window to end before row {end.row}, found {other}); restore the file, or start over with "
            "--restart"
        )
    return window


def _in_order(block: RecordBatchSlice, epoch: int) -> Callable[[int], Position]:
    locate = block.locator
    return lambda n: Position(epoch, locate(n))
