"""Rows in memory, for tests and examples, with optional failures and pauses between them.

A `MemorySource` reads like a file: it has blocks and cursors, and recognises its rows by their digest. Sentinels may
be placed between its rows:

- `Crash` raises an error, once: the next reader continues past it, like a restarted process.
- `Stall` waits, every time.
- `End` ends the reader that reaches it. A reader opened there reads on, like a file that has grown.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import CursorError, SchemaError
from connectors.events import NullWord
from connectors.formats.file_cursor import FileCursor
from connectors.schemas import bounded, cast, like, plain_columns, require, tell_apart
from connectors.source import Reader, RecordBatchSlice, Source

__all__ = ["Crash", "End", "MemorySource", "Stall"]

_NAME = "memory"
_STATE = "sha256"
_HASHED_ROWS = 1 << 16


@dataclass
class Crash:
    """Raise `error` at this point, the first time only."""

    error: BaseException
    has_fired: bool = field(default=False, init=False)


@dataclass(frozen=True)
class Stall:
    """Wait at this point, for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class End:
    """End every reader that was opened before this point."""


Sentinel = Crash | Stall | End


class MemorySource(Source):
    """Rows of a table, or of record batches with sentinels between them.

    Parameters
    ----------
    rows
        A table; or record batches of one schema, and sentinels, in the order of the stream.
    block_rows
        Maximum number of rows in a block.
    null_values
        Words for a missing value; see `schemas.cast`.

    Examples
    --------
    >>> source = MemorySource(pa.table({"x": [1, 2, 3]}), block_rows=2)
    >>> with source.open(source.schema) as reader:
    ...     [block.records["x"].to_pylist() for block in reader]
    [[1, 2], [3]]
    """

    def __init__(
        self,
        rows: pa.Table | Sequence[pa.RecordBatch | Sentinel],
        block_rows: int = 1 << 16,
        null_values: Sequence[str] = (),
    ) -> None:
        if block_rows < 1:
            raise ValueError(f"block_rows must be at least 1, found {block_rows}")
        self._block_rows = block_rows
        items = rows.to_batches() if isinstance(rows, pa.Table) else rows
        batches = [item for item in items if isinstance(item, pa.RecordBatch)]
        if not batches and not isinstance(rows, pa.Table):
            raise SchemaError(f"{_NAME}: no record batch was given, so the schema is unknown")
        schema = rows.schema if isinstance(rows, pa.Table) else batches[0].schema
        self._table, self._null_values = pa.Table.from_batches(batches, schema), tuple(null_values)
        named, _ = tell_apart(schema)
        # Only the names that are read change: the digest of the rows depends on the names in the table.
        self._named = self._table if named is schema else self._table.rename_columns(named.names)
        self._schema, remarks = plain_columns(schema, lambda _: self._named.to_batches())
        self._remarks = tuple(f"{_NAME}: {line}" for line in remarks)
        self._sentinels = _positions(items)

    has_copies = has_null_words = True

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table; dictionaries become their values, structs their fields."""
        return self._schema

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks about columns of the table."""
        return self._remarks

    @property
    def n_rows(self) -> int:
        """Number of rows of the table."""
        return int(self._table.num_rows)

    @property
    def description(self) -> str:
        """The number of rows, in words."""
        return f"{self.n_rows} rows in memory"

    def fraction(self, cursor: Cursor) -> float:
        """Return the share of rows before `cursor`."""
        return cursor.row / self.n_rows if self.n_rows else 1.0

    def label(self, cursor: Cursor) -> str:
        """Return a name for rows that have no file."""
        return _NAME

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Return whether two cursors are at the same row of the same rows."""
        return one.row == other.row and _digests(one) == _digests(other)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the schema and the values."""
        digest = hashlib.sha256(self._table.schema.serialize())
        for start in range(0, self.n_rows, _HASHED_ROWS):
            # Combined: the digest must not depend on the chunks of the table.
            for records in self._table.slice(start, _HASHED_ROWS).combine_chunks().to_batches():
                digest.update(records.serialize())
        return digest.hexdigest()

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Read from a row onwards; see `Source.open`."""
        require(schema, self.schema.names, _NAME)
        start = cursor or Cursor.start()
        digests = _digests(start)
        if digests and digests != {self.digest}:
            raise CursorError(f"{_NAME}: these are not the rows of the checkpoint; give the same rows, or start over")
        return Reader(self._read(like(schema, self._schema), start.row), _NAME, partial(self._cursor, 0, 0))

    def _read(self, schema: pa.Schema, start: int) -> Iterator[RecordBatchSlice]:
        row = start
        for stop, sentinel in [*self._sentinels, (self.n_rows, End())]:
            if stop < start:
                continue
            for block in self._named.slice(row, stop - row).to_batches(max_chunksize=self._block_rows):
                for records in bounded(block) if block.num_rows else ():
                    words: dict[str, int] = {}
                    found = cast(records, schema, _NAME, row, self._null_values, words=words)
                    notes = [NullWord(row + first, word) for word, first in words.items()]
                    yield RecordBatchSlice(found, partial(self._cursor, row), notes)
                    row += records.num_rows
            if isinstance(sentinel, End) and stop > start:
                return
            _act(sentinel)

    def _cursor(self, row: int, n: int) -> Cursor:
        return Cursor(row + n, {_STATE: self.digest})


def _digests(cursor: Cursor) -> set[str]:
    """Return the digest of the rows that a cursor points into; empty for the start."""
    # Early builds stored the digest as a file's, once or for two passes; their checkpoints must still load.
    match cursor.state:
        case None if not cursor.row:
            return set()
        case {"sha256": str() as digest, **rest} if not rest:
            return {digest}
        case {"seen": _}:
            files = FileCursor.from_cursor(cursor)
            return {one.digest for one in files.seen + files.before}
    raise CursorError(
        f"cursor: its state does not describe rows in memory: expected an object with the key {_STATE!r}, found "
        f"{cursor.state!r}; give the source of the checkpoint, or start over with --restart"
    )


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
