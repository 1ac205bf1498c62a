"""Arrow files (Feather) and Arrow streams in files: read batch by batch, resumed at any row.

The offset in a cursor is a row of the file. A file is recognised by its size, the time of its last change, and a
SHA-256: of its footer, or of the beginning and the end of a stream. Memory holds one batch at a time.

Nothing in these files protects their content. So each batch is validated in full before it is used: an offset in a
damaged batch could point outside of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import pyarrow as pa

from connectors.errors import ConnectorError, SourceError, is_of_system
from connectors.events import BadRow
from connectors.fields import columns_of
from connectors.formats.base import FileChunk, FileFacts, FileReader, identify
from connectors.formats.file_cursor import FileIdentity
from connectors.formats.looks import HEAD, refuse_look
from connectors.formats.parquet import ParquetReader, compare_whole, refuse_retyped
from connectors.leaves import FIRST_ROWS, leaves, lists_wanted, plain
from connectors.schemas import bounded, plain_columns, tell_apart, wider_type
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["ArrowFormat"]

_CELLS = 1 << 19  # in a block, over all columns
_MAX_ROWS = 1 << 15
_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_EDGE = 1 << 16  # bytes at both ends of a stream that identify it


class ArrowFormat:
    """Inspect Arrow files and streams, and open them at a row.

    Parameters
    ----------
    storage
        Where the files are.
    keeps_bad_rows
        Whether bad rows are yielded as events, instead of raised as errors. A bad row is a row with a value of the
        wrong type, or a damaged batch.
    null_values
        Words for a missing value; see `schemas.cast`.
    """

    name = "Arrow"
    guesses_types = False
    is_text = False

    def __init__(
        self, storage: Storage = DISK, *, keeps_bad_rows: bool = False, null_values: Sequence[str] = ()
    ) -> None:
        self._storage, self._keeps_bad_rows, self._null_values = storage, keeps_bad_rows, tuple(null_values)
        self._lengths: dict[str, int | None] = {}

    def peek(self, name: str, sample: object = None) -> FileFacts:
        """Read the schema."""
        with closing(_Opened(name, self._storage)) as opened:
            stored = opened.schema()
            if not stored.names:
                raise SourceError(f"{name}: the file has no columns")
            # The first file with rows decides the lengths of lists.
            known = self._lengths if opened.has_batches else dict(self._lengths)
            schema, remarks = plain_columns(stored, lambda _: opened.first_rows(), known)
            lines = tuple(f"{name}: {line}" for line in remarks)
            return FileFacts(name, schema, has_rows=opened.has_batches, remarks=lines)

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
        """Open a file at one of its rows; return None for a file that is being written and has no end yet."""
        with ExitStack() as stack:
            opened = stack.enter_context(closing(_Opened(name, self._storage)))
            if is_growing and not opened.is_complete:
                return None
            if seen is not None:
                compare_whole(name, seen, opened.identity)
            offset = seen.offset if seen is not None else 0
            keeps, words = self._keeps_bad_rows, self._null_values
            reader = _ArrowReader(opened, schema, row, offset, keeps_bad_rows=keeps, null_values=words)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity:
        """Return the identity of the file."""
        with closing(_Opened(name, self._storage)) as opened:
            return opened.identity

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Compare status and footer, without reading the batches."""
        compare_whole(name, seen, self.head(name))


class _Opened:
    """One open file.

    Attributes
    ----------
    name
        Its name when it was opened.
    identity : FileIdentity
        Its identity then.
    is_complete : bool
        Whether its last bytes are those of a complete file or stream.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        self.name, self._storage = name, storage
        self._is_remote = storage.is_remote(name)
        # No memory map: if the file is truncated while it is read, an access to it would end the process.
        self.file = storage.open(name, is_sequential=False) if self._is_remote else pa.OSFile(name)
        status = self.file.opened if self._is_remote else self.status_now()
        self._size = status.st_size
        self._head = self._bytes(0, HEAD)
        end = self._bytes(self._size - 10, 10)
        if self.is_stream:
            self.is_complete = end.endswith(_END_OF_STREAM)
            content = self._bytes(0, _EDGE) + self._bytes(self._size - _EDGE, _EDGE)
        else:
            length = int.from_bytes(end[:4], "little", signed=True)
            self.is_complete = end.endswith(_MAGIC) and 0 < length <= self._size - 10
            content = self._bytes(self._size - 10 - length, length + 10) if self.is_complete else end
        self.identity = identify(name, status, 0, hashlib.sha256(content).hexdigest())

    def _bytes(self, begin: int, n_bytes: int) -> bytes:
        begin = max(0, begin)
        self.file.seek(begin)
        data: bytes = self.file.read(min(n_bytes, self._size - begin))
        return data

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream, without a footer."""
        return self._head.startswith(_END_OF_STREAM[:4])

    def status_now(self) -> Status:
        """Return the present status: of the open file, or of the object that now has its name."""
        return self._storage.status(self.name) if self._is_remote else os.fstat(self.file.fileno())

    @property
    def has_more(self) -> bool:
        """Whether more bytes follow what was read."""
        return bool(self.file.tell() < self._size)

    @property
    def has_batches(self) -> bool:
        """Whether something follows the schema."""
        if not self.is_stream:
            return bool(self.table().num_record_batches)
        self.stream()
        return bool(self.file.tell() + len(_END_OF_STREAM) < self._size)

    def schema(self) -> pa.Schema:
        """Return the columns of the file."""
        schema: pa.Schema = self.stream().schema if self.is_stream else self.table().schema
        return schema

    def first_rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the first rows, as far as they are not damaged."""
        names, left = tell_apart(self.schema())[0].names, FIRST_ROWS
        reader = self.stream() if self.is_stream else self.table()
        batches = reader if self.is_stream else map(reader.get_batch, range(reader.num_record_batches))
        for batch in batches:
            batch.validate(full=True)
            yield batch.slice(0, left).rename_columns(names)
            left -= batch.num_rows
            if left <= 0:
                return

    def stream(self) -> pa.RecordBatchStreamReader:
        """Return a reader of the stream, from its start."""
        self.file.seek(0)
        return pa.ipc.open_stream(self.file)

    def table(self, columns: list[int] | None = None) -> pa.RecordBatchFileReader:
        """Return a reader of the file that reads only some of its columns."""
        if not self._size:
            raise SourceError(f"{self.name}: the file is empty; expected Arrow")
        refuse_look(self.name, self._head, "arrow")
        if self._head.startswith(_MAGIC) and not self.is_complete:
            raise SourceError(f"{self.name}: the Arrow file has no footer; it was cut off, or is still being written")
        return pa.ipc.open_file(self.file, options=pa.ipc.IpcReadOptions(included_fields=columns, use_threads=False))

    def close(self) -> None:
        """Release it; a second call does nothing."""
        self.file.close()


class _ArrowReader(ParquetReader):
    """One open Arrow file, from a row onwards."""

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
        # Not `super().__init__`, which opens a Parquet file.
        self._name, self._source, self.whole, self._schema = opened.name, opened, opened.identity, schema
        self._row, self._offset, self._end = row, offset, offset
        self._keeps_bad_rows, self._null_values = keeps_bad_rows, null_values
        stored, _ = tell_apart(opened.schema())
        lengths, wanted = lists_wanted(schema), set(columns_of(schema))
        parts = [leaves(pa.schema([field]), lengths) for field in stored]
        self._columns = [number for number, part in enumerate(parts) if wanted & part.keys()] or [0]
        self._names = [stored.names[number] for number in self._columns]
        found = plain(stored, lengths)
        self._chunks = self._read(offset)
        self.columns = tuple(found.names)
        refuse_retyped(schema, found, opened.name)

    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip` rows."""
        n_rows = max(1, min(_MAX_ROWS, _CELLS // len(self._schema)))
        for batch in self._batches():
            if isinstance(batch, str):
                # Its number of rows is unknown, so it has none: the rows after it count from the same row.
                if not skip:
                    yield self._lost(batch)
                continue
            kept = batch.rename_columns(self._names).slice(min(skip, batch.num_rows))
            skip -= batch.num_rows - kept.num_rows
            for start in range(0, kept.num_rows, n_rows):
                for part in bounded(kept.slice(start, n_rows)):
                    yield self._chunk(part)

    def _batches(self) -> Iterator[pa.RecordBatch | str]:
        """Yield the batches of the wanted columns, each validated; for a damaged batch, the reason."""
        if self._source.is_stream:
            yield from self._stream_batches()
            return
        reader = self._source.table(self._columns)
        for number in range(reader.num_record_batches):
            try:
                batch = reader.get_batch(number)
                batch.validate(full=True)
            except (OSError, pa.ArrowException) as error:
                yield self._reason(error, f"record batch {number} is damaged")
            else:
                yield batch

    def _stream_batches(self) -> Iterator[pa.RecordBatch | str]:
        """Yield the batches of the streams that follow each other in a file; nothing after damage can be found."""
        number = 0
        try:
            reader = self._source.stream()
            schema = reader.schema
            while True:
                batch = next(reader, None)
                if batch is not None:
                    batch = batch.select(self._columns)
                    batch.validate(full=True)
                    number += 1
                    yield batch
                    continue
                if not self._source.has_more:
                    break
                reader = pa.ipc.open_stream(self._source.file)
                if reader.schema != schema:
                    raise pa.ArrowInvalid("a stream with other columns follows; write it to a file of its own")
            if not self._source.is_complete:
                raise pa.ArrowInvalid("the stream has no end mark, so the file may be cut off")
        except (OSError, pa.ArrowException) as error:
            yield self._reason(error, f"the file is damaged after {number} record batches")

    def _reason(self, error: Exception, what: str) -> str:
        """Return the line about damage; raise it if bad rows are errors."""
        if isinstance(error, ConnectorError) or is_of_system(error):
            raise error
        line = f"{what}: {' '.join(str(error).split())}"
        if not self._keeps_bad_rows:
            raise SourceError(f"{self._name}: {line}") from error
        return line

    def _lost(self, reason: str) -> FileChunk:
        """Return one bad row for a damaged batch."""
        records = pa.RecordBatch.from_pylist([], schema=self._schema)
        end = replace(self.whole, offset=self._end)
        return FileChunk(records, lambda _: end, [BadRow(0, self._name, self._offset, "damage", reason, b"", n_rows=0)])

    def status_now(self) -> Status:
        """Return the present status of the file."""
        return self._source.status_now()

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._source.close()
