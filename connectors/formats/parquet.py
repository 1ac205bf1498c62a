"""Parquet files: read row group by row group, resumed at any row.

The offset in a cursor is a row of the file. A file is recognised by its size, the time of its last change and the
SHA-256 of its footer. The footer holds the position and statistics of every page. To hash the pages too would cost as
much as reading the file. So if a file is rewritten and its old time restored, the footer reveals the change. The change
is missed only if size, footer and time all stay the same and just the pages differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import ConnectorError, SourceError, is_of_system
from connectors.fields import columns_of
from connectors.formats.base import FileChunk, FileFacts, identify
from connectors.formats.looks import HEAD, refuse_look
from connectors.formats.row_groups import DamageError, RowGroups, few_words, first_rows, refuse_wrong_counts
from connectors.formats.typed import OpenedFile, TypedFormat, TypedReader
from connectors.leaves import leaves, lists_wanted
from connectors.schemas import tell_apart
from connectors.stores.storage import Storage

__all__ = ["ParquetFormat"]

_MAGIC = (b"PAR1", b"PARE")
_FEW_GROUPS = 64
_BUFFER = 1 << 18  # bytes that each column reads at a time


class ParquetFormat(TypedFormat["_Opened"]):
    """Inspect Parquet files and open them at a row; see `TypedFormat`. The rest of a damaged row group is a bad row."""

    name = "Parquet"

    def _opened(self, name: str) -> _Opened:
        return _Opened(name, self._storage)

    def _facts(self, opened: _Opened) -> FileFacts:
        file = opened.parquet(is_read=False)
        stored, n_rows = file.schema_arrow, file.metadata.num_rows
        if not stored.names:
            raise SourceError(f"{opened.name}: the file has {n_rows} rows and no columns")
        found = self._plain(
            opened, stored, lambda lists: first_rows(file, tell_apart(stored)[0], lists), has_rows=n_rows > 0
        )
        return FileFacts(opened.name, n_rows=n_rows, **found)

    def _reader(self, opened: _Opened, schema: pa.Schema, row: int, offset: int) -> _ParquetReader:
        keeps, words = self._keeps_bad_rows, self._null_values
        return _ParquetReader(opened, schema, row, offset, keeps_bad_rows=keeps, null_values=words)


class _Opened(OpenedFile):
    """One open Parquet file.

    Its digest is that of its footer: metadata, 4 bytes of length, 4 bytes of magic.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        super().__init__(name, storage)
        size = self.status.st_size
        self.file.seek(max(0, size - 8))
        end = self.file.read(8)
        # Without the magic the file is still being written: these 4 bytes are data, and as a length they could be huge.
        length = int.from_bytes(end[:4], "little") if end[4:] in _MAGIC else 0
        self.file.seek(max(0, size - 8 - length))
        self.identity = identify(name, self.status, 0, hashlib.sha256(self.file.read()).hexdigest())

    @property
    def is_complete(self) -> bool:
        """Whether its metadata can be read."""
        try:
            pq.read_metadata(self.file)
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
                self.file,
                metadata=facts,
                read_dictionary=list(words) or None,
                pre_buffer=self.is_remote,
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
        self.file.seek(max(0, self.identity.size - 4))
        end = self.file.read(4)
        self.file.seek(0)
        head = self.file.read(HEAD)
        refuse_look(self.name, head, "parquet")
        if end == b"PARE" or "encrypt" in str(error).lower() or "decrypt" in str(error).lower():
            raise SourceError(f"{self.name}: the Parquet file is encrypted; write it without encryption") from error
        if head.startswith(b"PAR1") and end not in _MAGIC:
            raise SourceError(
                f"{self.name}: the Parquet file has no footer; it was cut off, or is still being written"
            ) from error


class _ParquetReader(TypedReader):
    """One open Parquet file, from a row onwards."""

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
        self._file = opened.parquet()
        self._stored, _ = tell_apart(self._file.schema_arrow)
        lengths = lists_wanted(schema)
        found = leaves(self._stored, lengths)
        self._wanted = [found[name] for name in columns_of(schema) if name in found]
        super().__init__(
            opened,
            schema,
            row,
            offset,
            keeps_bad_rows=keeps_bad_rows,
            null_values=null_values,
            stored=self._stored,
            lengths=lengths,
        )
        if words := few_words(self._file, self._wanted):
            self._file = opened.parquet(words, self._file.metadata)

    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip` rows; a row group that is skipped entirely is not read."""
        columns = RowGroups(self._file, self._stored, self._wanted)
        for group in range(self._file.num_row_groups):
            left = self._file.metadata.row_group(group).num_rows
            if skip >= left:
                skip -= left
                continue
            batches = columns.read(group, self._n_rows)
            while (batch := self._next(batches, left - skip)) is not None:
                if isinstance(batch, FileChunk):
                    yield batch
                    skip = 0
                    break
                left -= batch.num_rows
                kept = batch.slice(min(skip, batch.num_rows))
                skip -= batch.num_rows - kept.num_rows
                yield from self._chunks_of(kept)

    def _next(self, batches: Iterator[pa.RecordBatch], n_left: int) -> pa.RecordBatch | FileChunk | None:
        """Return the next rows of a row group; or, if they are damaged, the bad row for all that are left."""
        try:
            return next(batches, None)
        except (OSError, pa.ArrowException) as error:
            is_damage = not isinstance(error, ConnectorError) and not is_of_system(error)
            if self._keeps_bad_rows and is_damage:
                what = f"{n_left} rows up to the end of the row group are damaged"
                return self._lost(f"{what}: {' '.join(str(error).split())}", n_left)
            if isinstance(error, DamageError):
                hint = "the file is damaged: write it again, or leave out such rows with --on-bad-row skip"
                raise SourceError(f"{self._name}: {error}; {hint}") from error
            raise

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._file.close()
        super().close()
