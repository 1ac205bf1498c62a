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
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import FileIdentity
from connectors.files import FileFacts, Locate, Part, identify, refusal, refuse_other_content
from connectors.schemas import cast, check_names, plain, require, stems, wider_type

__all__ = ["ParquetFormat"]

_CELLS = 1 << 19  # of a block, over all columns
_MAX_ROWS = 1 << 15
_BUFFER = 1 << 18  # bytes that each column reads at a time


class ParquetFormat:
    """Look at Parquet files and open them at a row."""

    name = "Parquet"

    def peek(self, name: str) -> FileFacts:
        """Read the footer."""
        with _open(name) as file:
            schema = plain(file.schema_arrow)
            check_names(schema.names, name)
            return FileFacts(name, schema, n_rows=file.metadata.num_rows)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Types are declared in the file, so two files must agree on what kind of values they have."""
        return wider_type(first, second)

    def open(self, name: str, schema: pa.Schema, row: int, seen: FileIdentity | None) -> Part:
        """Open a file at a row of it."""
        identity = _identity(name)
        if seen is not None:
            _compare(name, seen, identity)
        return _ParquetPart(name, identity, schema, row, seen.offset if seen is not None else 0)

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Compare what is known without reading the pages."""
        _compare(name, seen, _identity(name))


class _ParquetPart(Iterator[tuple[pa.RecordBatch, Locate]]):
    """One open Parquet file from a row on."""

    def __init__(self, name: str, identity: FileIdentity, schema: pa.Schema, row: int, offset: int) -> None:
        self._name, self.whole, self._schema = name, identity, schema
        self._row, self._offset = row, offset
        self._file = _open(name)
        self._batches = self._read(offset)
        require(schema, plain(self._file.schema_arrow).names, name)

    def _read(self, skip: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows after the first `skip`; whole row groups among these are not even read."""
        n_rows = max(1, min(_MAX_ROWS, _CELLS // len(self._schema)))
        columns = stems(self._file.schema_arrow, self._schema.names)
        for group in range(self._file.num_row_groups):
            in_group = self._file.metadata.row_group(group).num_rows
            if skip >= in_group:
                skip -= in_group
                continue
            for batch in self._file.iter_batches(n_rows, [group], columns=columns, use_threads=False):
                kept = batch.slice(min(skip, batch.num_rows))
                skip -= batch.num_rows - kept.num_rows
                if kept.num_rows:
                    yield kept

    def __next__(self) -> tuple[pa.RecordBatch, Locate]:
        records = cast(next(self._batches), self._schema, self._name, self._row)
        locate = partial(_locate, self.whole, self._offset)
        self._row += records.num_rows
        self._offset += records.num_rows
        return records, locate

    def identity(self) -> FileIdentity:
        """Return what the file was when it was opened: whoever reads looks around each block whether it still is."""
        return replace(self.whole, offset=self._offset)

    def close(self) -> None:
        self._file.close()


def _locate(whole: FileIdentity, offset: int, n: int) -> FileIdentity:
    return replace(whole, offset=offset + n)


def _open(name: str) -> pq.ParquetFile:
    """Open a file so that memory does not grow with it: without pre-buffering, and by path.

    Page checksums, where the writer left some, are verified: a flipped bit is then an error, not a number.
    """
    return pq.ParquetFile(name, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True)


def _identity(name: str) -> FileIdentity:
    """Return the identity of a file from its status and its footer: metadata, 4 bytes of length, 4 of magic."""
    with Path(name).open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - 8))
        length = int.from_bytes(file.read(8)[:4], "little")
        file.seek(max(0, status.st_size - 8 - length))
        return identify(name, status, 0, hashlib.sha256(file.read()).hexdigest())


def _compare(name: str, seen: FileIdentity, found: FileIdentity) -> None:
    """Refuse a file that differs; inode and time of metadata may, for a copy that kept its time is the same file."""
    if seen.size != found.size:
        raise refusal(name, seen, f"the file was replaced or edited (expected {seen.size} bytes, found {found.size})")
    refuse_other_content(name, seen, replace(found, offset=seen.offset))
    if seen.mtime_ns != found.mtime_ns:
        raise refusal(
            name,
            seen,
            f"the file was written again (expected time {seen.mtime_ns} ns, found {found.mtime_ns} ns; cp -p keeps it)",
        )
