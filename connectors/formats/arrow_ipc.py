"""Arrow files (Feather) and Arrow streams in files: read batch by batch, resumed at any row.

The offset in a cursor is a row of the file. A file is recognised by its size, the time of its last change, and a
SHA-256: of its footer, or of the beginning and the end of a stream. Memory holds one batch at a time.

Nothing in these files protects their content. So each batch is validated in full before it is used: an offset in a
damaged batch could point outside of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from connectors.errors import ConnectorError, SourceError, is_of_system
from connectors.fields import columns_of
from connectors.formats.base import FileChunk, FileFacts, identify
from connectors.formats.looks import HEAD, refuse_look
from connectors.formats.typed import OpenedFile, TypedFormat, TypedReader
from connectors.leaves import FIRST_ROWS, leaves, lists_wanted
from connectors.schemas import tell_apart
from connectors.stores.storage import Storage

__all__ = ["ArrowFormat"]

_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_EDGE = 1 << 16  # bytes at both ends of a stream that identify it


class ArrowFormat(TypedFormat["_Opened"]):
    """Inspect Arrow files and streams, and open them at a row; see `TypedFormat`. A damaged batch is a bad row."""

    name = "Arrow"

    def _opened(self, name: str) -> _Opened:
        return _Opened(name, self._storage)

    def _facts(self, opened: _Opened) -> FileFacts:
        stored = opened.schema()
        if not stored.names:
            raise SourceError(f"{opened.name}: the file has no columns")
        has_rows = opened.has_batches
        found = self._plain(opened, stored, lambda _: opened.first_rows(), has_rows=has_rows)
        return FileFacts(opened.name, has_rows=has_rows, **found)

    def _reader(self, opened: _Opened, schema: pa.Schema, row: int, offset: int) -> _ArrowReader:
        keeps, words = self._keeps_bad_rows, self._null_values
        return _ArrowReader(opened, schema, row, offset, keeps_bad_rows=keeps, null_values=words)


class _Opened(OpenedFile):
    """One open Arrow file or stream.

    Its digest is that of its footer; for a stream, that of its beginning and its end.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        super().__init__(name, storage)
        self._size = self.status.st_size
        self._head = self._bytes(0, HEAD)
        end = self._bytes(self._size - 10, 10)
        if self.is_stream:
            self._is_complete = end.endswith(_END_OF_STREAM)
            content = self._bytes(0, _EDGE) + self._bytes(self._size - _EDGE, _EDGE)
        else:
            length = int.from_bytes(end[:4], "little", signed=True)
            self._is_complete = end.endswith(_MAGIC) and 0 < length <= self._size - 10
            content = self._bytes(self._size - 10 - length, length + 10) if self._is_complete else end
        self.identity = identify(name, self.status, 0, hashlib.sha256(content).hexdigest())

    def _bytes(self, begin: int, n_bytes: int) -> bytes:
        begin = max(0, begin)
        self.file.seek(begin)
        data: bytes = self.file.read(min(n_bytes, self._size - begin))
        return data

    @property
    def is_complete(self) -> bool:
        """Whether its last bytes are those of a complete file or stream."""
        return self._is_complete

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream, without a footer."""
        return self._head.startswith(_END_OF_STREAM[:4])

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


class _ArrowReader(TypedReader):
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
        stored, _ = tell_apart(opened.schema())
        lengths, wanted = lists_wanted(schema), set(columns_of(schema))
        parts = [leaves(pa.schema([field]), lengths) for field in stored]
        self._source = opened
        self._columns = [number for number, part in enumerate(parts) if wanted & part.keys()] or [0]
        self._names = [stored.names[number] for number in self._columns]
        super().__init__(
            opened,
            schema,
            row,
            offset,
            keeps_bad_rows=keeps_bad_rows,
            null_values=null_values,
            stored=stored,
            lengths=lengths,
        )

    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip` rows."""
        for batch in self._batches():
            if isinstance(batch, str):
                # Its number of rows is unknown, so it has none: the rows after it count from the same row.
                if not skip:
                    yield self._lost(batch, 0)
                continue
            kept = batch.rename_columns(self._names).slice(min(skip, batch.num_rows))
            skip -= batch.num_rows - kept.num_rows
            for start in range(0, kept.num_rows, self._n_rows):
                yield from self._chunks_of(kept.slice(start, self._n_rows))

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
