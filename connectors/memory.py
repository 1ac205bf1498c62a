"""Rows in memory, for tests and examples; and places among them where something happens.

A `MemorySource` reads like a file: blocks, cursors, an identity. Its rows may be interrupted by sentinels:

- `Crash` raises, once: whoever opens the source again passes it, like a process started anew;
- `Stall` waits, every time;
- `End` ends the reader that reaches it; one that is opened there goes on, like a file that has grown.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import pyarrow as pa

from connectors.cursor import Cursor, FileIdentity
from connectors.decisions import Decisions
from connectors.errors import CursorError, SchemaError
from connectors.schemas import cast, check_names, plain, require
from connectors.source import Block, Reader, Source

__all__ = ["Crash", "End", "MemorySource", "Stall"]

_NAME = "memory"
_HASHED_ROWS = 1 << 16


@dataclass
class Crash:
    """Raise `error` where it stands, the first time only."""

    error: BaseException
    has_fired: bool = field(default=False, init=False)


@dataclass(frozen=True)
class Stall:
    """Wait for so many seconds where it stands."""

    seconds: float


@dataclass(frozen=True)
class End:
    """End every reader that was opened before it."""


Sentinel = Crash | Stall | End


class MemorySource(Source):
    """Rows of a table, or of record batches with sentinels between them.

    Parameters
    ----------
    rows
        A table; or record batches of one schema, and sentinels, in the order of the stream.
    block_rows
        Rows of a block at most.

    Examples
    --------
    >>> source = MemorySource(pa.table({"x": [1, 2, 3]}), block_rows=2)
    >>> with source.open(source.schema) as reader:
    ...     [block.records["x"].to_pylist() for block in reader]
    [[1, 2], [3]]
    """

    def __init__(self, rows: pa.Table | Sequence[pa.RecordBatch | Sentinel], block_rows: int = 1 << 16) -> None:
        if block_rows < 1:
            raise ValueError(f"block_rows should be at least 1, found {block_rows}")
        self._block_rows = block_rows
        items = rows.to_batches() if isinstance(rows, pa.Table) else rows
        batches = [item for item in items if isinstance(item, pa.RecordBatch)]
        if not batches and not isinstance(rows, pa.Table):
            raise SchemaError(f"{_NAME}: there is no record batch, hence no schema")
        schema = rows.schema if isinstance(rows, pa.Table) else batches[0].schema
        check_names(plain(schema).names, _NAME)
        self._table = pa.Table.from_batches(batches, schema)
        self._sentinels = _positions(items)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table; dictionaries as their values, structs as their fields."""
        return plain(self._table.schema)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return int(self._table.num_rows)

    @property
    def description(self) -> str:
        """How many rows."""
        return f"{self.n_rows} rows in memory"

    def fraction(self, cursor: Cursor) -> float:
        """Return the share of rows before `cursor`."""
        return cursor.row / self.n_rows if self.n_rows else 1.0

    @cached_property
    def identity(self) -> FileIdentity:
        """What these rows are: SHA-256 of their schema and values."""
        digest = hashlib.sha256(self._table.schema.serialize())
        for start in range(0, self.n_rows, _HASHED_ROWS):
            for records in self._table.slice(start, _HASHED_ROWS).combine_chunks().to_batches():
                digest.update(records.serialize())
        return FileIdentity(_NAME, self.n_rows, 0, 0, inode=0, offset=0, digest=digest.hexdigest())

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Read from a row on; see `Source.open`."""
        require(schema, self.schema.names, _NAME)
        start = cursor or Cursor.start()
        if any(file.digest != self.identity.digest for file in start.seen + start.before):
            raise CursorError(f"{_NAME}: these are not the rows of the checkpoint; give the same, or start over")
        return Reader(self._read(schema, start), _NAME, lambda: Cursor.start((self.identity,)))

    def _read(self, schema: pa.Schema, cursor: Cursor) -> Iterator[Block]:
        start = row = cursor.row
        for stop, sentinel in [*self._sentinels, (self.n_rows, End())]:
            if stop < start:
                continue
            for records in self._table.slice(row, stop - row).to_batches(max_chunksize=self._block_rows):
                if records.num_rows:
                    yield Block(cast(records, schema, _NAME, row), partial(self._locate, row, cursor.before))
                    row += records.num_rows
            if isinstance(sentinel, End) and stop > start:
                return
            _act(sentinel)

    def _locate(self, row: int, before: tuple[FileIdentity, ...], n: int) -> Cursor:
        return Cursor(row + n, file=0, seen=(replace(self.identity, offset=row + n),), before=before)


def _positions(items: Sequence[pa.RecordBatch | Sentinel]) -> list[tuple[int, Sentinel]]:
    """Return each sentinel with the number of rows before it."""
    row, positions = 0, []
    for item in items:
        if isinstance(item, Crash | Stall | End):
            positions.append((row, item))
        else:
            row += item.num_rows
    return positions


def _act(sentinel: Sentinel) -> None:
    if isinstance(sentinel, Stall):
        time.sleep(sentinel.seconds)
    elif isinstance(sentinel, Crash) and not sentinel.has_fired:
        sentinel.has_fired = True
        raise sentinel.error
