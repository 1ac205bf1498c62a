"""Exact-size blocks out of any-size ones: rows n·k … n·k+k-1 of the stream, across the borders of blocks and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pyarrow as pa

from connectors.base import BadRow, Block, Cursor
from connectors.errors import ConnectorError

__all__ = ["rebatch"]

_Piece = tuple[Block, int, int]  # a block, and which of its rows: from, to


def rebatch(blocks: Iterable[Block], n_rows: int, *, unit: int | None = None) -> Iterator[Block]:
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


def _first(pieces: list[_Piece], n: int) -> list[_Piece]:
    """Return pieces that make the first n rows."""
    kept = []
    for block, start, stop in pieces:
        if n:
            kept.append((block, start, min(stop, start + n)))
        n -= min(n, stop - start)
    return kept


def _join(pieces: list[_Piece]) -> Block:
    slices = [block.records.slice(start, stop - start) for block, start, stop in pieces]
    records = slices[0] if len(slices) == 1 else pa.concat_batches(slices)
    bad = [row for piece in pieces for row in _bad(*piece)]
    return Block(records, partial(_locate, [(block.locator, start, stop) for block, start, stop in pieces]), bad)


def _bad(block: Block, start: int, stop: int) -> list[BadRow]:
    """Return what lies just before one of the rows start … stop - 1 of a block."""
    if not block.bad:
        return []
    first = block.cursor(0).row
    return [bad for bad in block.bad if first + start <= bad.row < first + stop]


def _locate(pieces: list[tuple[Callable[[int], Cursor], int, int]], n: int) -> Cursor:
    """Ask the block that holds row n - 1: at a border, the end of one file is known before the start of the next."""
    for locator, start, stop in pieces[:-1]:
        if n <= stop - start:
            return locator(start + n)
        n -= stop - start
    locator, start, _ = pieces[-1]
    return locator(start + n)
