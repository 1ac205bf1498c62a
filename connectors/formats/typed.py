"""Files with typed columns, such as Parquet and Arrow: a cursor is a row of the file, and the file as a whole is known.

`TypedFormat` inspects and opens such files, and `TypedReader` yields their rows. A format of its own says how a file is
opened, and how its batches are read.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from connectors.casting import BadValue
from connectors.errors import RowError, SchemaError
from connectors.events import BadRow
from connectors.fields import source_column
from connectors.formats.base import (
    FileChunk,
    FileFacts,
    FileReader,
    Samples,
    refusal,
    refuse_other_content,
    refuse_other_version,
)
from connectors.formats.file_cursor import FileIdentity
from connectors.leaves import plain
from connectors.schemas import bounded, cast, cast_what_can_be, plain_columns, wider_type
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["OpenedFile", "TypedFormat", "TypedReader", "compare_whole"]

_CELLS = 1 << 19  # in a block, over all columns
_MAX_ROWS = 1 << 15


class OpenedFile(ABC):
    """One open file; status and content are of this file, even if its name now refers to another one.

    Attributes
    ----------
    name
        Its name when it was opened.
    file
        Its bytes. A local file is one of Arrow's own, which avoids a call into Python for each read. It is not a memory
        map: if the file is truncated while it is read, an access to a map would end the process.
    status : Status
        Its status then.
    identity : FileIdentity
        Its identity then.
    """

    identity: FileIdentity

    def __init__(self, name: str, storage: Storage) -> None:
        self.name, self._storage = name, storage
        self.is_remote = storage.is_remote(name)
        self.file = storage.open(name, is_sequential=False) if self.is_remote else pa.OSFile(name)
        self.status = self.file.opened if self.is_remote else self.status_now()

    def status_now(self) -> Status:
        """Return the present status: of the open file, or of the object that now has its name."""
        return self._storage.status(self.name) if self.is_remote else os.fstat(self.file.fileno())

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Whether it was written to its end."""

    def close(self) -> None:
        """Release it; a second call does nothing."""
        self.file.close()


Opened = TypeVar("Opened", bound=OpenedFile)


class TypedFormat(ABC, Generic[Opened]):
    """Inspect files with typed columns, and open them at a row.

    Parameters
    ----------
    storage
        Where the files are.
    keeps_bad_rows
        Whether bad rows are yielded as events, instead of raised as errors. A bad row is a row with a value of the
        wrong type, with text that is not UTF-8, or rows that are damaged.
    null_values
        Words for a missing value; see `schemas.cast`.
    """

    name: str
    guesses_types = is_text = False

    def __init__(
        self, storage: Storage = DISK, *, keeps_bad_rows: bool = False, null_values: Sequence[str] = ()
    ) -> None:
        self._storage, self._keeps_bad_rows, self._null_values = storage, keeps_bad_rows, tuple(null_values)
        self._lengths: dict[str, int | None] = {}

    @abstractmethod
    def _opened(self, name: str) -> Opened:
        """Open a file."""

    @abstractmethod
    def _facts(self, opened: Opened) -> FileFacts:
        """Return facts about an open file."""

    @abstractmethod
    def _reader(self, opened: Opened, schema: pa.Schema, row: int, offset: int) -> FileReader:
        """Return the reader of an open file, from one of its rows onwards."""

    def peek(self, name: str, samples: Samples | None = None) -> FileFacts:
        """Read the schema, and the first rows of lists without a fixed size that no earlier file had."""
        with closing(self._opened(name)) as opened:
            return self._facts(opened)

    def infer(self, samples: Samples) -> pa.Schema:
        """Return no columns: files declare their types."""
        return pa.schema([])

    def _plain(self, opened: Opened, stored: pa.Schema, first_rows: Any, *, has_rows: bool) -> dict[str, Any]:
        """Return the columns and the remarks of `FileFacts`.

        The first file with rows decides the lengths of lists: to read the lists of each file may take long, above all
        from a store.
        """
        known = self._lengths if has_rows else dict(self._lengths)
        schema, remarks = plain_columns(stored, first_rows, known)
        return {"schema": schema, "remarks": tuple(f"{opened.name}: {line}" for line in remarks)}

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
            opened = stack.enter_context(closing(self._opened(name)))
            if is_growing and not opened.is_complete:
                return None
            if seen is not None:
                compare_whole(name, seen, opened.identity)
            reader = self._reader(opened, schema, row, seen.offset if seen is not None else 0)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity:
        """Return the identity of the file as a whole."""
        with closing(self._opened(name)) as opened:
            return opened.identity

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Compare status and digest, without reading the rows."""
        compare_whole(name, seen, self.head(name))


class TypedReader(Iterator[FileChunk], ABC):
    """One open file with typed columns, from a row onwards.

    Parameters
    ----------
    opened
        The file.
    schema, row, offset
        The columns wanted, the number of the next row in the stream, and in the file.
    keeps_bad_rows, null_values
        As for `TypedFormat`.
    stored, lengths
        The columns of the file, with unique names, and the lengths of lists.
    """

    def __init__(
        self,
        opened: OpenedFile,
        schema: pa.Schema,
        row: int,
        offset: int,
        *,
        keeps_bad_rows: bool,
        null_values: tuple[str, ...],
        stored: pa.Schema,
        lengths: dict[str, int],
    ) -> None:
        self._name, self._opened, self.whole, self._schema = opened.name, opened, opened.identity, schema
        self._row, self._offset, self._end = row, offset, offset
        self._keeps_bad_rows, self._null_values = keeps_bad_rows, null_values
        self._words = set[str]()  # those that occurred
        self._n_rows = max(1, min(_MAX_ROWS, _CELLS // len(schema)))  # of a block
        found = plain(stored, lengths)
        self.columns = tuple(found.names)
        _refuse_retyped(schema, found, opened.name)
        self._chunks = self._read(offset)

    @abstractmethod
    def _read(self, skip: int) -> Iterator[FileChunk]:
        """Yield the rows after the first `skip` rows."""

    def __next__(self) -> FileChunk:
        return next(self._chunks)

    def _chunks_of(self, rows: pa.RecordBatch) -> Iterator[FileChunk]:
        """Yield some rows of the file, which come next."""
        for part in bounded(rows) if rows.num_rows else ():
            yield self._chunk(part)

    def _chunk(self, batch: pa.RecordBatch) -> FileChunk:
        words: dict[str, int] = {}
        try:
            records = cast(batch, self._schema, self._name, self._row, self._null_values, words=words)
            bad: list[BadValue] = []
        except RowError:
            if not self._keeps_bad_rows:
                raise
            words = {}
            records, bad = cast_what_can_be(batch, self._schema, self._name, self._null_values, words=words)
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
        new = {word: first for word, first in words.items() if word not in self._words}
        self._words |= new.keys()
        return FileChunk(records, locate, found, new)

    def _lost(self, reason: str, n_rows: int) -> FileChunk:
        """Return one bad row that represents damaged rows; with 0 rows, their number is unknown."""
        records = pa.RecordBatch.from_pylist([], schema=self._schema)
        bad = BadRow(0, self._name, self._offset, "damage", reason, b"", n_rows=n_rows)
        self._offset += n_rows
        return FileChunk(records, partial(_locate, self.whole, self._end, self._offset, None), [bad])

    def identity(self) -> FileIdentity:
        """Return the identity of the file when it was opened; the caller checks it around each block."""
        return replace(self.whole, offset=self._offset)

    def status_now(self) -> Status:
        """Return the present status of the file."""
        return self._opened.status_now()

    is_growing = has_rest = is_rewritten = False
    read_to = 0

    def settle(self, until: int | None) -> None:
        """Do nothing: the file is complete."""

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._opened.close()


def _locate(whole: FileIdentity, end: int, offset: int, rows: Any, n: int) -> FileIdentity:
    """Return the identity up to row n - 1 of a chunk.

    The chunk begins at `offset`. If some of its rows are bad, `rows` holds the indices of the good ones. The previous
    good row ends at `end`.
    """
    if not n:
        return replace(whole, offset=end)
    return replace(whole, offset=offset + (n if rows is None else int(rows[n - 1]) + 1))


def _refuse_retyped(wanted: pa.Schema, found: pa.Schema, name: str) -> None:
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
