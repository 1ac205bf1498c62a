"""Cut blocks of any size into blocks of an exact size: rows n·k … n·k+k-1 of the stream, across blocks and files."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import ConnectorError
from connectors.events import SourceEvent
from connectors.source import RecordBatchSlice

__all__ = ["rebatch", "rebatch_as_it_comes"]

_Piece = tuple[RecordBatchSlice, int, int]  # a block, and the range of its rows: from, to


def rebatch(blocks: Iterable[RecordBatchSlice], n_rows: int, *, unit: int | None = None) -> Iterator[RecordBatchSlice]:
    """Cut a stream of blocks into blocks of an exact size.

    Parameters
    ----------
    blocks
        Blocks of any size.
    n_rows
        Rows in each block that is yielded, except the last; at least 1.
    unit
        If reading fails, rows that are still waiting are yielded before the error, in a multiple of this number. By
        default they are dropped.

    Yields
    ------
    RecordBatchSlice
        One contiguous batch of ``n_rows`` rows. Rows are copied only if they come from several blocks.
    """
    if n_rows < 1:
        raise ValueError(f"n_rows must be at least 1, found {n_rows}")
    pieces: list[_Piece] = []
    waiting = 0
    try:
        for block in blocks:
            start = 0
            while len(block) - start >= n_rows - waiting:
                stop = start + n_rows - waiting
                yield _join([*pieces, (block, start, stop)])
                pieces, waiting, start = [], 0, stop
            if start < len(block):
                pieces.append((block, start, len(block)))
                waiting += len(block) - start
    except ConnectorError:
        if unit is not None and waiting >= unit:
            yield _join(_first(pieces, waiting - waiting % unit))
        raise
    if pieces:
        yield _join(pieces)


def rebatch_as_it_comes(
    blocks: Iterable[RecordBatchSlice],
    n_rows: int,
    *,
    unit: int,
    row: int,
    patience_s: float | None,
    decisions: Decisions,
) -> Iterator[RecordBatchSlice]:
    """Cut an unbounded stream into new blocks, without waiting for rows that may never come.

    Parameters
    ----------
    blocks
        Blocks of any size; an empty one means that no row is available yet.
    n_rows
        Maximum number of rows in a block that is yielded; a multiple of ``unit``.
    unit
        Number of rows in a minibatch; fewer rows are held back until there are enough.
    row
        Index of the first row in the stream.
    patience_s
        How long rows are held back, in seconds; ``None`` for ever.
    decisions
        Stores where rows were not held back any longer. From such a boundary on, minibatches are counted anew.

    Yields
    ------
    RecordBatchSlice
        A multiple of ``unit`` rows, or the rows up to a boundary; or an empty block if no row is available yet.
    """
    # A decision log on disk calls a boundary "border": the word is part of a file format.
    boundaries = deque(sorted(int(name.split()[1]) for name in decisions.names() if name.startswith("border ")))
    pieces: list[_Piece] = []
    waiting, since = 0, time.monotonic()
    try:
        for block in blocks:
            if len(block):
                pieces.append((block, 0, len(block)))
                waiting += len(block)
            _pass_by(boundaries, row)
            while size := _next_size(row, waiting, n_rows, unit, boundaries, is_all=not len(block)):
                yield _join(_first(pieces, size))
                pieces, row, waiting, since = _behind(pieces, size), row + size, waiting - size, time.monotonic()
                _pass_by(boundaries, row)
            if len(block):
                continue
            if waiting and patience_s is not None and time.monotonic() - since >= patience_s:
                decisions.note(row, f"border {row + waiting}", "")
                yield _join(pieces)
                pieces, row, waiting = [], row + waiting, 0
            if not waiting:
                since = time.monotonic()
            yield block
    except ConnectorError:
        if waiting >= unit:
            yield _join(_first(pieces, waiting - waiting % unit))
        raise
    if waiting:
        decisions.note(row, f"border {row + waiting}", "")
        yield _join(pieces)


def _pass_by(boundaries: deque[int], row: int) -> None:
    """Drop the boundaries up to a row."""
    # A replayed run may have one boundary for each block, so a scan of the whole list each time would be slow.
    while boundaries and boundaries[0] <= row:
        boundaries.popleft()


def _next_size(row: int, waiting: int, n_rows: int, unit: int, boundaries: deque[int], *, is_all: bool) -> int:
    """Return how many of the waiting rows are cut off next; 0 if they keep waiting."""
    if boundaries and boundaries[0] - row <= min(waiting, n_rows):
        return boundaries[0] - row
    if waiting >= n_rows:
        return n_rows
    return waiting - waiting % unit if is_all else 0


def _behind(pieces: list[_Piece], n: int) -> list[_Piece]:
    """Return pieces without the first n rows."""
    kept = []
    for block, start, stop in pieces:
        if n < stop - start:
            kept.append((block, start + n, stop))
        n -= min(n, stop - start)
    return kept


def _first(pieces: list[_Piece], n: int) -> list[_Piece]:
    """Return the pieces that hold the first n rows."""
    kept = []
    for block, start, stop in pieces:
        if n:
            kept.append((block, start, min(stop, start + n)))
        n -= min(n, stop - start)
    return kept


def _join(pieces: list[_Piece]) -> RecordBatchSlice:
    slices = [block.records.slice(start, stop - start) for block, start, stop in pieces]
    records = slices[0] if len(slices) == 1 else pa.concat_batches(slices)
    notes = [note for piece in pieces for note in _notes(*piece)]
    return RecordBatchSlice(
        records, partial(_locate, [(block.locator, start, stop) for block, start, stop in pieces]), notes
    )


def _notes(block: RecordBatchSlice, start: int, stop: int) -> list[SourceEvent]:
    """Return the events of the rows start … stop - 1 of a block."""
    if not block.notes:
        return []
    first = block.cursor(0).row
    return [note for note in block.notes if first + start <= note.row < first + stop]


def _locate(pieces: list[tuple[Callable[[int], Cursor], int, int]], n: int) -> Cursor:
    """Ask the block that holds row n - 1: at a boundary, the end of one file is known before the start of the next."""
    for locator, start, stop in pieces[:-1]:
        if n <= stop - start:
            return locator(start + n)
        n -= stop - start
    locator, start, _ = pieces[-1]
    return locator(start + n)
