"""A stream that is the concatenation of files, whatever their format: the order, the cursor, the identities.

What differs between formats is behind two protocols: a `Format` looks at a file and opens it at an offset, and the
`FileReader` it opens yields rows with the offset after each. Everything about *several* files is here, and only here,
and so is *when* a file is looked at again: as often as it costs nothing, for the system tells by its times whether a
file was touched, and only one that was is compared with what was read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Protocol

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.errors import (
    ConnectorError,
    CursorError,
    NewColumnsError,
    RowError,
    SourceError,
    UnavailableError,
    foreign_errors,
    is_of_system,
)
from connectors.formats.file_cursor import FileCursor, FileIdentity
from connectors.notes import BadRow, FileStart, SourceEvent
from connectors.schemas import doubt, unify
from connectors.source import RecordBatchSlice
from connectors.stores.object_file import replaced
from connectors.stores.storage import DISK, Status, Storage

__all__ = [
    "DamagedFileReader",
    "FileChunk",
    "FileFacts",
    "FileReader",
    "Format",
    "block_of",
    "file_start",
    "first_columns",
    "identify",
    "is_unavailable",
    "refusal",
    "refuse_crowd",
    "refuse_other_content",
    "refuse_other_version",
    "schema_of",
    "type_warnings_of",
]

Locate = Callable[[int], FileIdentity]

_MOST_BAD = 100_000  # one after the other: they wait in memory for a row


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one look at a file tells.

    Parameters
    ----------
    name
        Its path.
    schema
        Its columns; None for a file without even a header.
    n_rows
        Its rows, where a footer tells.
    n_bytes
        The offset of its end, where offsets are bytes and the end is known.
    damage
        Why nothing of it can be read; ``None`` if something can.
    """

    name: str
    schema: pa.Schema | None
    n_rows: int | None = None
    n_bytes: int | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class FileChunk:
    """What was read of a file.

    Parameters
    ----------
    records
        Rows; none, if all that stood there is bad.
    locate
        n → identity after the first n of them.
    bad
        What stands just before one of these rows, or behind them all; its ``row`` counts from the first of them.
    """

    records: pa.RecordBatch
    locate: Locate
    bad: Sequence[BadRow] = ()


class FileReader(Iterator[FileChunk], Protocol):
    """One open file: yields what it holds, piece by piece."""

    @property
    def whole(self) -> FileIdentity | None:
        """What the file must be until its end; None for one that may grow while it is read."""

    def identity(self) -> FileIdentity:
        """Return the identity of the file, as far as it was read: of the whole one, after the last row."""

    def close(self) -> None:
        """Release the file; a second call does nothing."""

    def status_now(self) -> Status:
        """Return what the system knows of the open file now: of one that is followed it may change."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all its columns."""

    @property
    def is_growing(self) -> bool:
        """Whether more may come at its end."""

    @property
    def has_rest(self) -> bool:
        """Whether what was read last, of a file that grows, is part of a row."""

    @property
    def read_to(self) -> int:
        """Up to which offset a file that grows was read, whether that ends a row or not."""

    @property
    def is_rewritten(self) -> bool:
        """Whether a file that grows has other content now where it was read: it was truncated, and written again."""

    def settle(self, until: int | None) -> None:
        """Take a file that grows for whole, up to an offset if one is given; the next pieces are what was held back."""


class Format(Protocol):
    """How one kind of file is looked at, opened and recognised."""

    name: str
    guesses_types: bool

    def peek(self, name: str) -> FileFacts:
        """Look at a file without reading it through."""

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the type of a column that is of two types in two files, None where they exclude each other."""

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
        """Open a file where `seen` ends, at its beginning without; the stream's row `row` begins there.

        With `seen`, check first that the file still holds what was read up to there; else `CursorError`. Of a file that
        is growing, the part ends where nothing more is there for now, and goes on if it is asked again; there is none
        yet, None, as long as nothing can be told of it. One that was read up to an offset `until` and left there ends
        there.
        """

    def head(self, name: str) -> FileIdentity | None:
        """Return what a file that may grow is known by later on: its first rows; None if it has none yet."""

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Check that a file which was touched after it was read to its end is still the same; else `CursorError`."""


def first_columns(files: Sequence[FileFacts], schema: pa.Schema) -> pa.Schema:
    """Return the columns of the first file that has some, with their types in a schema of all files."""
    first = next(file.schema for file in files if file.schema is not None)
    return pa.schema([schema.field(name) for name in first.names])


def type_warnings_of(files: Sequence[FileFacts]) -> dict[str, str]:
    """Return what is to be said of columns, by name: of each, what the first file says that says something."""
    fields = [field for file in reversed(files) for field in file.schema or ()]
    return {field.name: line for field in fields if (line := doubt(field)) is not None}


def schema_of(
    files: Sequence[FileFacts], format_of: Callable[[str], Format], ignore: Collection[str] = ()
) -> pa.Schema:
    """Return every column of some files, with the type that fits them all.

    Raises
    ------
    SourceError
        All of them are empty.
    SchemaError
        Two disagree on a column.
    """
    schemas = [(file.name, file.schema) for file in files if file.schema is not None]
    if not schemas:
        what = files[0].damage or "the file is empty; expected at least a header with the columns' names"
        raise SourceError(f"{files[0].name}: {what}")
    formats = [format_of(name) for name, _ in schemas]
    guessing = next((one for one in formats if one.guesses_types), formats[0])
    return unify(schemas, guessing.merge, ignore)


class DamagedFileReader(Iterator[FileChunk]):
    """A file of which nothing can be read: one bad row."""

    whole = None
    is_growing = False
    columns = ()

    def __init__(self, name: str, damage: str, schema: pa.Schema, storage: Storage = DISK) -> None:
        with foreign_errors(name):
            self._name, self._status = name, storage.status(name)
        records = pa.RecordBatch.from_pylist([], schema=schema)
        bad = BadRow(0, name, 0, "damage", f"nothing of the file can be read: {damage}", b"", n_rows=0)
        self._chunks = iter([FileChunk(records, lambda _: self.identity(), [bad])])

    def __next__(self) -> FileChunk:
        return next(self._chunks)

    def identity(self) -> FileIdentity:
        """Return what it is: nothing of it was read."""
        return identify(self._name, self._status, 0, "")

    def status_now(self) -> Status:
        """Return what it was when nothing could be read of it."""
        return self._status

    has_rest = is_rewritten = False
    read_to = 0

    def settle(self, until: int | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Release nothing."""


def block_of(
    chunk: FileChunk, start: FileCursor, waiting: list[SourceEvent]
) -> tuple[RecordBatchSlice | None, FileCursor, list[SourceEvent]]:
    """Put a chunk of a file into the stream.

    Parameters
    ----------
    chunk
        What was read.
    start
        How many rows lie before it, and the files before its own.
    waiting
        What is to be said of what lies behind the last row.

    Returns
    -------
    block : RecordBatchSlice or None
        Its rows, with what is to be said of them; None if it has none.
    start : FileCursor
        With the rows of the chunk.
    waiting : list of SourceEvent
        What is to be said of what lies behind the last row: it waits for the next one. If too much does, the rows of
        the chunk end there; see `refuse_crowd`.
    """
    waiting = [*waiting, *(replace(bad, row=start.row + bad.row) for bad in chunk.bad)]
    crowd = _crowd(waiting)
    records = chunk.records if crowd is None else chunk.records.slice(0, max(0, crowd[0].row - start.row))
    end = replace(start, row=start.row + len(records))
    before = sorted((note for note in waiting if note.row < end.row), key=lambda note: note.row)
    waiting = [note for note in waiting if note.row >= end.row]
    block = RecordBatchSlice(records, partial(_cursor, start, chunk.locate), before) if len(records) else None
    return block, end, waiting


def refuse_crowd(waiting: Sequence[SourceEvent]) -> None:
    """Refuse to read on behind too many bad rows, one after the other: they wait in memory.

    Raises
    ------
    RowError
        There are too many.
    """
    if (crowd := _crowd(waiting)) is not None:
        first = crowd[0]
        raise RowError(
            f"{first.place}, row {first.row}: more than {_MOST_BAD:,} bad rows lie here one after the other, "
            f"the first one: {first.reason}; is this a file of another kind?"
        )


def _crowd(notes: Sequence[SourceEvent]) -> list[BadRow] | None:
    """Return the first bad rows that lie before one row and are too many."""
    if len(notes) <= _MOST_BAD:
        return None
    bad = [note for note in notes if isinstance(note, BadRow)]
    groups = (list(group) for _, group in groupby(bad, key=lambda one: one.row))
    return next((group for group in groups if len(group) > _MOST_BAD), None)


def file_start(
    name: str, reader: FileReader, row: int, known: Collection[str] | None, file_format: Format
) -> FileStart:
    """Return what is to be said of a file that begins.

    Raises
    ------
    NewColumnsError
        It has columns that are not among the known ones, if these are given.
    """
    new = [column for column in reader.columns if known is not None and column not in known]
    if new and (schema := file_format.peek(name).schema) is not None:
        reader.close()
        raise NewColumnsError(name, pa.schema([schema.field(column) for column in new]), row)
    return FileStart(row, name, reader.columns)


def _cursor(start: FileCursor, locate: Locate, n: int) -> Cursor:
    return replace(start, row=start.row + n, seen=(*start.seen, locate(n))).to_cursor()


def identify(name: str, status: Status, offset: int, digest: str) -> FileIdentity:
    """Return the identity of a file from what the system, or its store, and the format know of it."""
    times = status.st_mtime_ns, status.st_ctime_ns
    version = "" if isinstance(status, os.stat_result) else status.version
    return FileIdentity(name, status.st_size, *times, status.st_ino, offset, digest, version)


def is_unavailable(error: ConnectorError) -> bool:
    """Tell whether the system or a store does not hand a file over, so that nothing can be said of its rows."""
    return isinstance(error, UnavailableError) or is_of_system(error.__cause__)


def refuse_other_version(name: str, seen: FileIdentity, found: FileIdentity) -> bool:
    """Refuse an object of another version than was read; tell whether it is known to be the same one."""
    if seen.version and found.version and seen.version != found.version:
        raise replaced(name, seen.version, found.version)
    return seen.version == found.version != ""


def refuse_other_content(name: str, seen: FileIdentity, found: FileIdentity) -> None:
    """Refuse a file whose content, as far as it was read, is not what it was."""
    if (found.offset, found.digest) != (seen.offset, seen.digest):
        expected = f"expected SHA-256 {seen.digest[:12]}…, found {found.digest[:12]}…"
        raise refusal(name, seen, f"the file was replaced or edited ({expected})")


def refusal(name: str, seen: FileIdentity, what: str, kind: type[CursorError] = CursorError) -> CursorError:
    """Return the error for a file that is not what was read.

    Parameters
    ----------
    name
        The file as it is called now.
    seen
        What it was.
    what
        What happened to it, with what was expected and what was found.
    kind
        What to raise.
    """
    then = "" if seen.name == name else f" (then {seen.name})"
    return kind(f"{name}{then}: {what} since it was read; restore the file, or start over with --restart")
