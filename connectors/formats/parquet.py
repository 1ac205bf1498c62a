"""Parquet files: read row group by row group, resumed at any row.

The offset in a cursor is a row of the file. A file is recognised by its size, the time of its last change and the
SHA-256 of its footer: the footer holds the position and statistics of every page, and reading all the pages to be even
surer would cost as much as reading the file. So a file whose time was put back after it was written again is found by
its footer; one whose pages were overwritten so that size and footer stay the same, and its time put back, is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import ConnectorError, RowError, SchemaError, is_of_system
from connectors.events import BadRow
from connectors.formats.base import (
    FileChunk,
    FileFacts,
    FileReader,
    identify,
    refusal,
    refuse_other_content,
    refuse_other_version,
)
from connectors.formats.file_cursor import FileIdentity
from connectors.schemas import cast, cast_what_can_be, check_names, plain, stems, wider_type
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["ParquetFormat"]

_CELLS = 1 << 19  # of a block, over all columns
_MAX_ROWS = 1 << 15
_MAGIC = (b"PAR1", b"PARE")
_BUFFER = 1 << 18  # bytes that each column reads at a time


class ParquetFormat:
    """Look at Parquet files and open them at a row.

    Parameters
    ----------
    keeps_bad_rows
        Whether rows that cannot be read are handed over, instead of raised: single ones with a value that is not of its
        type, and the rest of a row group that is damaged.
    storage
        Where the files are.
    """

    name = "Parquet"
    guesses_types = False

    def __init__(self, storage: Storage = DISK, *, keeps_bad_rows: bool = False) -> None:
        self._storage, self._keeps_bad_rows = storage, keeps_bad_rows

    def peek(self, name: str) -> FileFacts:
        """Read the footer."""
        with closing(_Opened(name, self._storage)) as opened:
            file = opened.parquet()
            schema = plain(file.schema_arrow)
            check_names(schema.names, name)
            return FileFacts(name, schema, n_rows=file.metadata.num_rows)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Types are declared in the file, so two files must agree on what kind of values they have."""
        return wider_type(first, second)

    def open(
        self,
        name: str,
        schema: pa.Schema,
        row: int,
        seen: FileIdentity | None,
        *,
        is_growing: bool = False,
        until: int | None = None,
    ) -> FileReader | None:
        """Open a file at a row of it; return None for one that is being written, and has no footer yet."""
        with ExitStack() as stack:
            opened = stack.enter_context(closing(_Opened(name, self._storage)))
            if is_growing and not opened.has_footer:
                return None
            if seen is not None:
                _compare(name, seen, opened.identity)
            offset = seen.offset if seen is not None else 0
            reader = _ParquetReader(opened, schema, row, offset, keeps_bad_rows=self._keeps_bad_rows)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity:
        """Return what the footer tells."""
        with closing(_Opened(name, self._storage)) as opened:
            return opened.identity

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Compare what is known without reading the pages."""
        _compare(name, seen, self.head(name))


class _Opened:
    """One file, open: what is known of it and what is read are of the same one, whatever its name stands for by now.

    Attributes
    ----------
    name
        What it was called when it was opened.
    identity : FileIdentity
        What it was then: its status, and the SHA-256 of its footer: metadata, 4 bytes of length, 4 of magic.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        self.name, self._storage = name, storage
        self._is_remote = storage.is_remote(name)
        # Arrow reads a file of its own without asking Python for each page.
        self._file = storage.open(name, is_sequential=False) if self._is_remote else pa.OSFile(name)
        status = self._file.opened if self._is_remote else self.status_now()
        self._file.seek(max(0, status.st_size - 8))
        end = self._file.read(8)
        # What is being written ends in anything: no length, and not to be taken for one.
        length = int.from_bytes(end[:4], "little") if end[4:] in _MAGIC else 0
        self._file.seek(max(0, status.st_size - 8 - length))
        self.identity = identify(name, status, 0, hashlib.sha256(self._file.read()).hexdigest())

    def status_now(self) -> Status:
        """Return what is known of it now; of an object, of what has its name."""
        return self._storage.status(self.name) if self._is_remote else os.fstat(self._file.fileno())

    @property
    def has_footer(self) -> bool:
        """Whether its metadata can be read."""
        try:
            pq.read_metadata(self._file)
        except (OSError, pa.ArrowException):
            return False
        return True

    def parquet(self) -> pq.ParquetFile:
        """Return what reads it so that memory does not grow with it: without pre-buffering.

        Of an object, whose every read is a request, the wanted columns of one row group are read at once, and kept
        until the next one.

        Page checksums, where the writer left some, are verified: a flipped bit is then an error, not a number.
        """
        return pq.ParquetFile(
            self._file, pre_buffer=self._is_remote, buffer_size=_BUFFER, page_checksum_verification=True
        )

    def close(self) -> None:
        """Release it; a second call does nothing."""
        self._file.close()


class _ParquetReader(Iterator[FileChunk]):
    """One open Parquet file from a row on."""

    def __init__(self, opened: _Opened, schema: pa.Schema, row: int, offset: int, *, keeps_bad_rows: bool) -> None:
        self._name, self._opened, self.whole, self._schema = opened.name, opened, opened.identity, schema
        self._row, self._offset, self._end = row, offset, offset
        self._keeps_bad_rows = keeps_bad_rows
        self._file = opened.parquet()
        self._chunks = self._read(offset)
        found = plain(self._file.schema_arrow)
        self.columns = tuple(found.names)
        _refuse_retyped(schema, found, opened.name)

    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip`; whole row groups among these are not even read."""
        n_rows = max(1, min(_MAX_ROWS, _CELLS // len(self._schema)))
        columns = stems(self._file.schema_arrow, self._schema.names)
        for group in range(self._file.num_row_groups):
            left = self._file.metadata.row_group(group).num_rows
            if skip >= left:
                skip -= left
                continue
            try:
                for batch in self._file.iter_batches(n_rows, [group], columns=columns, use_threads=False):
                    left -= batch.num_rows
                    kept = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - kept.num_rows
                    if kept.num_rows:
                        yield self._chunk(kept)
            except (OSError, pa.ArrowException) as error:
                if not self._keeps_bad_rows or isinstance(error, ConnectorError) or is_of_system(error):
                    raise
                yield self._damaged(left - skip, " ".join(str(error).split()))
                skip = 0

    def _chunk(self, batch: pa.RecordBatch) -> FileChunk:
        try:
            records = cast(batch, self._schema, self._name, self._row)
            bad: list[tuple[int, str, bytes]] = []
        except RowError:
            if not self._keeps_bad_rows:
                raise
            records, bad = cast_what_can_be(batch, self._schema, self._name)
        rows = np.setdiff1d(np.arange(batch.num_rows), [at for at, _, _ in bad]) if bad else None
        found = [
            BadRow(int(np.searchsorted(rows, at)), self._name, self._offset + at, "type", reason, content)
            for at, reason, content in bad
            if rows is not None
        ]
        # Before its first row a piece ends where the row before it did: what is bad in between lies behind that.
        locate = partial(_locate, self.whole, self._end, self._offset, rows)
        self._offset += batch.num_rows
        self._row += records.num_rows
        self._end = locate(records.num_rows).offset
        return FileChunk(records, locate, found)

    def _damaged(self, n_rows: int, error: str) -> FileChunk:
        """Return what stands for the rest of a row group."""
        records = pa.RecordBatch.from_pylist([], schema=self._schema)
        reason = f"{n_rows} rows are damaged, up to the end of their row group: {error}"
        bad = BadRow(0, self._name, self._offset, "damage", reason, b"", n_rows=n_rows)
        self._offset += n_rows
        return FileChunk(records, partial(_locate, self.whole, self._end, self._offset, None), [bad])

    def __next__(self) -> FileChunk:
        return next(self._chunks)

    def identity(self) -> FileIdentity:
        """Return what the file was when it was opened: whoever reads looks around each block whether it still is."""
        return replace(self.whole, offset=self._offset)

    def status_now(self) -> Status:
        """Return what the system knows of the file now."""
        return self._opened.status_now()

    is_growing = has_rest = is_rewritten = False
    read_to = 0

    def settle(self, until: int | None) -> None:
        """Do nothing: a file with a footer is whole."""

    def close(self) -> None:
        self._file.close()
        self._opened.close()


def _locate(whole: FileIdentity, end: int, offset: int, rows: Any, n: int) -> FileIdentity:
    """Return the identity up to row n - 1 of a piece.

    Its rows begin at `offset`; where some are bad, `rows` tells which are good. The row before them ends at `end`.
    """
    if not n:
        return replace(whole, offset=end)
    return replace(whole, offset=offset + (n if rows is None else int(rows[n - 1]) + 1))


def _refuse_retyped(wanted: pa.Schema, found: pa.Schema, name: str) -> None:
    """Refuse a file in which a column is of another kind of values than it is read as."""
    types = dict(zip(found.names, found.types, strict=True))
    for field in wanted:
        type_ = types.get(field.name, field.type)
        is_read_as_said = pa.types.is_string(field.type) or pa.types.is_string(type_)
        if wider_type(type_, field.type) is None and not is_read_as_said and not _is_castable(type_, field.type):
            raise SchemaError(
                f"{name}: column {field.name!r} is {type_} here, and was {field.type} so far; a column must stay what "
                "it is"
            )


def _is_castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    try:
        pa.array([], found).cast(wanted)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def _compare(name: str, seen: FileIdentity, found: FileIdentity) -> None:
    """Refuse a file that differs; inode and time of metadata may, for a copy that kept its time is the same file."""
    if refuse_other_version(name, seen, found):
        return
    if seen.size != found.size:
        raise refusal(name, seen, f"the file was replaced or edited (expected {seen.size} bytes, found {found.size})")
    refuse_other_content(name, seen, replace(found, offset=seen.offset))
    if seen.mtime_ns != found.mtime_ns:
        raise refusal(
            name,
            seen,
            f"the file was written again (expected time {seen.mtime_ns} ns, found {found.mtime_ns} ns; cp -p keeps it)",
        )
