"""Parquet files: read row group by row group, resumed at any row.

The offset in a cursor is a row of the file. A file is recognised by its size, the time of its last change and the
SHA-256 of its footer. The footer holds the position and statistics of every page. To hash the pages too would cost as
much as reading the file. So if a file is rewritten and its old time restored, the footer reveals the change. The change
is missed only if size, footer and time all stay the same and just the pages differ.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.casting import BadValue
from connectors.errors import ConnectorError, RowError, SchemaError, SourceError, is_of_system
from connectors.events import BadRow
from connectors.fields import columns_of, source_column
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
from connectors.formats.looks import HEAD, refuse_look
from connectors.formats.row_groups import DamageError, RowGroups, few_words, first_rows, refuse_wrong_counts
from connectors.leaves import leaves, lists_wanted, plain
from connectors.schemas import bounded, cast, cast_what_can_be, plain_columns, tell_apart, wider_type
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["ParquetFormat", "ParquetReader", "compare_whole", "refuse_retyped"]

_CELLS = 1 << 19  # in a block, over all columns
_MAX_ROWS = 1 << 15
_MAGIC = (b"PAR1", b"PARE")
_FEW_GROUPS = 64
_BUFFER = 1 << 18  # bytes that each column reads at a time


class ParquetFormat:
    """Inspect Parquet files and open them at a row.

    Parameters
    ----------
    storage
        Where the files are.
    keeps_bad_rows
        Whether bad rows are yielded as events, instead of raised as errors. A bad row is a row with a value of the
        wrong type, with text that is not UTF-8, or the rest of a damaged row group.
    null_values
        Words for a missing value; see `schemas.cast`.
    """

    name = "Parquet"
    guesses_types = is_text = False

    def __init__(
        self, storage: Storage = DISK, *, keeps_bad_rows: bool = False, null_values: Sequence[str] = ()
    ) -> None:
        self._storage, self._keeps_bad_rows, self._null_values = storage, keeps_bad_rows, tuple(null_values)
        self._lengths: dict[str, int | None] = {}

    def peek(self, name: str, sample: object = None) -> FileFacts:
        """Read the footer, and the first rows of lists without a fixed size that no earlier file had."""
        with closing(_Opened(name, self._storage)) as opened:
            file = opened.parquet(is_read=False)
            stored = file.schema_arrow
            if not stored.names:
                raise SourceError(f"{name}: the file has {file.metadata.num_rows} rows and no columns")
            # The first file with rows decides: to read the lists of each file may take long, above all from a store.
            known = self._lengths if file.metadata.num_rows else dict(self._lengths)
            schema, remarks = plain_columns(stored, lambda lists: first_rows(file, tell_apart(stored)[0], lists), known)
            lines = tuple(f"{name}: {line}" for line in remarks)
            return FileFacts(name, schema, n_rows=file.metadata.num_rows, remarks=lines)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the wider of two types; files declare their types, so different kinds of values exclude each other."""
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
        """Open a file at one of its rows; return None for a file that is being written and has no footer yet."""
        with ExitStack() as stack:
            opened = stack.enter_context(closing(_Opened(name, self._storage)))
            if is_growing and not opened.has_footer:
                return None
            if seen is not None:
                compare_whole(name, seen, opened.identity)
            offset = seen.offset if seen is not None else 0
            keeps, words = self._keeps_bad_rows, self._null_values
            reader = ParquetReader(opened, schema, row, offset, keeps_bad_rows=keeps, null_values=words)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity:
        """Return the identity of the file, which the footer decides."""
        with closing(_Opened(name, self._storage)) as opened:
            return opened.identity

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Compare status and footer, without reading the pages."""
        compare_whole(name, seen, self.head(name))


class _Opened:
    """One open file; status and content are of this file, even if its name now refers to another one.

    Attributes
    ----------
    name
        Its name when it was opened.
    identity : FileIdentity
        Its identity then: its status, and the SHA-256 of its footer (metadata, 4 bytes of length, 4 bytes of magic).
    """

    def __init__(self, name: str, storage: Storage) -> None:
        self.name, self._storage = name, storage
        self._is_remote = storage.is_remote(name)
        # A file of Arrow's own avoids a call into Python for each page.
        self._file = storage.open(name, is_sequential=False) if self._is_remote else pa.OSFile(name)
        status = self._file.opened if self._is_remote else self.status_now()
        self._file.seek(max(0, status.st_size - 8))
        end = self._file.read(8)
        # Without the magic the file is still being written: these 4 bytes are data, and as a length they could be huge.
        length = int.from_bytes(end[:4], "little") if end[4:] in _MAGIC else 0
        self._file.seek(max(0, status.st_size - 8 - length))
        self.identity = identify(name, status, 0, hashlib.sha256(self._file.read()).hexdigest())

    def status_now(self) -> Status:
        """Return the present status: of the open file, or of the object that now has its name."""
        return self._storage.status(self.name) if self._is_remote else os.fstat(self._file.fileno())

    @property
    def has_footer(self) -> bool:
        """Whether its metadata can be read."""
        try:
            pq.read_metadata(self._file)
        except (OSError, pa.ArrowException):
            return False
        return True

    def parquet(
        self, words: Sequence[str] = (), facts: pq.FileMetaData | None = None, *, is_read: bool = True
    ) -> pq.ParquetFile:
        """Return a reader whose memory does not grow with the file.

        A local file is read without pre-buffering. For an object each read is a request. So the wanted columns of a row
        group are read at once, and kept until the next row group. Page checksums are verified, if the file has any. So
        a flipped bit is an error, not a wrong number. The old timestamps of 96 bits are read in microseconds: in
        nanoseconds, years after 2262 would become others.

        Parameters
        ----------
        words
            Columns of text to read as dictionaries.
        facts
            The content of the footer, if it is known and was checked.
        is_read
            Whether rows are read next: then the footer is checked, even if it has many row groups.

        Raises
        ------
        SourceError
            The footer contradicts itself.
        """
        try:
            file = pq.ParquetFile(
                self._file,
                metadata=facts,
                read_dictionary=list(words) or None,
                pre_buffer=self._is_remote,
                buffer_size=_BUFFER,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",
            )
        except (OSError, pa.ArrowException) as error:
            if not (isinstance(error, ConnectorError) or is_of_system(error)):
                self._refuse_other_kind(error)
            raise
        if facts is None and (is_read or file.metadata.num_row_groups <= _FEW_GROUPS):
            refuse_wrong_counts(file.metadata, self.name)
        return file

    def _refuse_other_kind(self, error: Exception) -> None:
        """Say what the file is, if it is not a whole Parquet file."""
        if not self.identity.size:
            raise SourceError(f"{self.name}: the file is empty; expected Parquet") from error
        self._file.seek(max(0, self.identity.size - 4))
        end = self._file.read(4)
        self._file.seek(0)
        head = self._file.read(HEAD)
        refuse_look(self.name, head, "parquet")
        if end == b"PARE" or "encrypt" in str(error).lower() or "decrypt" in str(error).lower():
            raise SourceError(f"{self.name}: the Parquet file is encrypted; write it without encryption") from error
        if head.startswith(b"PAR1") and end not in _MAGIC:
            raise SourceError(
                f"{self.name}: the Parquet file has no footer; it was cut off, or is still being written"
            ) from error

    def close(self) -> None:
        """Release it; a second call does nothing."""
        self._file.close()


class ParquetReader(Iterator[FileChunk]):
    """One open Parquet file, from a row onwards; the base of readers of other files with typed columns."""

    def __init__(
        self,
        opened: _Opened,
        schema: pa.Schema,
        row: int,
        offset: int,
        *,
        keeps_bad_rows: bool,
        null_values: tuple[str, ...],
    ) -> None:
        self._name, self._opened, self.whole, self._schema = opened.name, opened, opened.identity, schema
        self._row, self._offset, self._end = row, offset, offset
        self._keeps_bad_rows, self._null_values = keeps_bad_rows, null_values
        self._file = opened.parquet()
        self._chunks = self._read(offset)
        self._stored, _ = tell_apart(self._file.schema_arrow)
        lengths = lists_wanted(schema)
        self._leaves = leaves(self._stored, lengths)
        found = plain(self._stored, lengths)
        self.columns = tuple(found.names)
        refuse_retyped(schema, found, opened.name)
        if words := few_words(self._file, [self._leaves[name] for name in columns_of(schema) if name in self._leaves]):
            self._file = opened.parquet(words, self._file.metadata)

    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip` rows; a row group that is skipped entirely is not read."""
        n_rows = max(1, min(_MAX_ROWS, _CELLS // len(self._schema)))
        wanted = [self._leaves[name] for name in columns_of(self._schema) if name in self._leaves]
        columns = RowGroups(self._file, self._stored, wanted)
        for group in range(self._file.num_row_groups):
            left = self._file.metadata.row_group(group).num_rows
            if skip >= left:
                skip -= left
                continue
            batches = columns.read(group, n_rows)
            while (batch := self._next(batches, left - skip)) is not None:
                if isinstance(batch, FileChunk):
                    yield batch
                    skip = 0
                    break
                left -= batch.num_rows
                kept = batch.slice(min(skip, batch.num_rows))
                skip -= batch.num_rows - kept.num_rows
                for part in bounded(kept) if kept.num_rows else ():
                    yield self._chunk(part)

    def _next(self, batches: Iterator[pa.RecordBatch], n_left: int) -> pa.RecordBatch | FileChunk | None:
        """Return the next rows of a row group; or, if they are damaged, the bad row for all that are left."""
        try:
            return next(batches, None)
        except (OSError, pa.ArrowException) as error:
            is_damage = not isinstance(error, ConnectorError) and not is_of_system(error)
            if self._keeps_bad_rows and is_damage:
                return self._damaged(n_left, " ".join(str(error).split()))
            if isinstance(error, DamageError):
                hint = "the file is damaged: write it again, or leave out such rows with --on-bad-row skip"
                raise SourceError(f"{self._name}: {error}; {hint}") from error
            raise

    def _chunk(self, batch: pa.RecordBatch) -> FileChunk:
        try:
            records = cast(batch, self._schema, self._name, self._row, self._null_values)
            bad: list[BadValue] = []
        except RowError:
            if not self._keeps_bad_rows:
                raise
            records, bad = cast_what_can_be(batch, self._schema, self._name, self._null_values)
        rows = np.setdiff1d(np.arange(batch.num_rows), [value.row for value in bad]) if bad else None
        found = [
            BadRow(
                int(np.searchsorted(rows, value.row)),
                self._name,
                self._offset + value.row,
                value.kind,
                value.reason,
                value.content,
            )
            for value in bad
            if rows is not None
        ]
        # A cursor before the first row of a chunk points to the end of the previous good row. So a reader resumed
        # there yields the bad rows in between again.
        locate = partial(_locate, self.whole, self._end, self._offset, rows)
        self._offset += batch.num_rows
        self._row += records.num_rows
        self._end = locate(records.num_rows).offset
        return FileChunk(records, locate, found)

    def _damaged(self, n_rows: int, error: str) -> FileChunk:
        """Return one bad row that represents the rest of a row group."""
        records = pa.RecordBatch.from_pylist([], schema=self._schema)
        reason = f"{n_rows} rows up to the end of the row group are damaged: {error}"
        bad = BadRow(0, self._name, self._offset, "damage", reason, b"", n_rows=n_rows)
        self._offset += n_rows
        return FileChunk(records, partial(_locate, self.whole, self._end, self._offset, None), [bad])

    def __next__(self) -> FileChunk:
        return next(self._chunks)

    def identity(self) -> FileIdentity:
        """Return the identity of the file when it was opened; the caller checks it around each block."""
        return replace(self.whole, offset=self._offset)

    def status_now(self) -> Status:
        """Return the present status of the file."""
        return self._opened.status_now()

    is_growing = has_rest = is_rewritten = False
    read_to = 0

    def settle(self, until: int | None) -> None:
        """Do nothing: a file with a footer is complete."""

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._file.close()
        self._opened.close()


def _locate(whole: FileIdentity, end: int, offset: int, rows: Any, n: int) -> FileIdentity:
    """Return the identity up to row n - 1 of a chunk.

    The chunk begins at `offset`. If some of its rows are bad, `rows` holds the indices of the good ones. The previous
    good row ends at `end`.
    """
    if not n:
        return replace(whole, offset=end)
    return replace(whole, offset=offset + (n if rows is None else int(rows[n - 1]) + 1))


def refuse_retyped(wanted: pa.Schema, found: pa.Schema, name: str) -> None:
    """Refuse a file in which a column has another kind of values than the type that it is read as."""
    types = dict(zip(found.names, found.types, strict=True))
    for field in wanted:
        name_in_file = source_column(field)
        type_ = types.get(name_in_file, field.type)
        is_read_as_said = pa.types.is_string(field.type) or pa.types.is_string(type_)
        if wider_type(type_, field.type) is None and not is_read_as_said and not _is_castable(type_, field.type):
            raise SchemaError(
                f"{name}: column {name_in_file!r} is {type_} here, expected {field.type} as before; "
                "a column must keep its type"
            )


def _is_castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    try:
        pa.array([], found).cast(wanted)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def compare_whole(name: str, seen: FileIdentity, found: FileIdentity) -> None:
    """Refuse a file that differs; inode and metadata time may differ, since an exact copy counts as the same file."""
    if refuse_other_version(name, seen, found):
        return
    if seen.size != found.size:
        raise refusal(name, seen, f"the file was replaced or edited (expected {seen.size} bytes, found {found.size})")
    refuse_other_content(name, seen, replace(found, offset=seen.offset))
    if seen.mtime_ns != found.mtime_ns:
        raise refusal(
            name,
            seen,
            f"the file was rewritten (expected time {seen.mtime_ns} ns, found {found.mtime_ns} ns; cp -p keeps it)",
        )
