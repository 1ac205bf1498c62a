"""Exact-size blocks out of any-size ones: rows n·k … n·k+k-1 of the stream, across the borders of blocks and files."""

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

_Piece = tuple[RecordBatchSlice, int, int]  # a block, and which of its rows: from, to


def rebatch(blocks: Iterable[RecordBatchSlice], n_rows: int, *, unit: int | None = None) -> Iterator[RecordBatchSlice]:
    """Cut a stream of blocks anew.

    Parameters
    ----------
    blocks
        Blocks of any size.
    n_rows
        Rows in each block that is yielded, but for the last; at least 1.
    unit
        Where reading fails, rows that wait for their block are yielded before that is told, as a multiple of so many;
        not at all, if it is not given.

    Yields
    ------
    Block
        One contiguous batch of ``n_rows`` rows. Rows are copied only where they come from several blocks.
    """
    if n_rows < 1:
        raise ValueError(f"a block has at least 1 row, found {n_rows}")
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
    """Cut a stream without end anew, without waiting for what may never come.

    Parameters
    ----------
    blocks
        Blocks of any size; an empty one says that there is nothing for now.
    n_rows
        Rows in a block that is yielded, at most; a multiple of ``unit``.
    unit
        Rows that belong together: others are held back, until there are enough of them.
    row
        The first one's index in the stream.
    patience_s
        For how long they are held back; ``None`` for ever.
    decisions
        Where it is kept that they were not: from such a border on units are counted anew.

    Yields
    ------
    Block
        A multiple of ``unit`` rows, or as many as end at a border; or an empty one, where there is nothing for now.
    """
    borders = deque(sorted(int(name.split()[1]) for name in decisions.names() if name.startswith("border ")))
    pieces: list[_Piece] = []
    waiting, since = 0, time.monotonic()
    try:
        for block in blocks:
            if len(block):
                pieces.append((block, 0, len(block)))
                waiting += len(block)
            _pass_by(borders, row)
            while size := _next_size(row, waiting, n_rows, unit, borders, is_all=not len(block)):
                yield _join(_first(pieces, size))
                pieces, row, waiting, since = _behind(pieces, size), row + size, waiting - size, time.monotonic()
                _pass_by(borders, row)
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


def _pass_by(borders: deque[int], row: int) -> None:
    """Drop the borders up to a row: a run that is replayed may have as many as it had blocks."""
    while borders and borders[0] <= row:
        borders.popleft()


def _next_size(row: int, waiting: int, n_rows: int, unit: int, borders: deque[int], *, is_all: bool) -> int:
    """Return how many of the rows that wait are cut off next; 0 where they wait on."""
    if borders and borders[0] - row <= min(waiting, n_rows):
        return borders[0] - row
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
    """Return pieces that make the first n rows."""
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
    """Return what is to be said of the rows start … stop - 1 of a block."""
    if not block.notes:
        return []
    first = block.cursor(0).row
    return [note for note in block.notes if first + start <= note.row < first + stop]


def _locate(pieces: list[tuple[Callable[[int], Cursor], int, int]], n: int) -> Cursor:
    """Ask the block that holds row n - 1: at a border, the end of one file is known before the start of the next."""
    for locator, start, stop in pieces[:-1]:
        if n <= stop - start:
            return locator(start + n)
        n -= stop - start
    locator, start, _ = pieces[-1]
    return locator(start + n)
