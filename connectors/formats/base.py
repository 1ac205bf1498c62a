"""What all file formats share: protocols, blocks of a stream of files, and refusals.

Two protocols hide the differences between formats. A `Format` inspects a file and opens it at an offset. The
`FileReader` that it opens yields rows, with the offset after each of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.errors import (
    ConnectorError,
    CursorError,
    NewColumnsError,
    RowError,
    UnavailableError,
    foreign_errors,
    is_of_system,
)
from connectors.events import BadRow, FileStart, NullWord, SourceEvent
from connectors.formats.file_cursor import FileCursor, FileIdentity
from connectors.source import RecordBatchSlice
from connectors.stores.object_file import replaced
from connectors.stores.storage import DISK, Status, Storage

__all__ = [
    "DamagedFileReader",
    "FileChunk",
    "FileFacts",
    "FileReader",
    "Format",
    "Samples",
    "block_of",
    "file_start",
    "identify",
    "is_unavailable",
    "refusal",
    "refuse_crowd",
    "refuse_other_content",
    "refuse_other_version",
]

Locate = Callable[[int], FileIdentity]
T = TypeVar("T")

_MOST_BAD = 100_000  # in a row: all of them wait in memory until a good row comes


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts about a file, known without reading it to its end.

    Parameters
    ----------
    name
        Path of the file.
    schema
        Its columns; None for a file without a header.
    n_rows
        Number of its rows, if it has a footer that says so.
    n_bytes
        Offset of its end, if offsets are bytes and the end is known.
    damage
        Why it cannot be read at all; ``None`` if it can be read.
    remarks
        One line for each surprise about it, such as a column that is left out.
    has_rows
        Whether a row was seen.
    """

    name: str
    schema: pa.Schema | None
    n_rows: int | None = None
    n_bytes: int | None = None
    damage: str | None = None
    remarks: tuple[str, ...] = ()
    has_rows: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether it has rows; with a header alone, no type is known."""
        return self.has_rows or bool(self.n_rows)


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Consecutive rows of a file.

    Parameters
    ----------
    records
        The rows; empty if all of them are bad.
    locate
        n → identity of the file after the first n rows.
    bad
        Bad rows before, between and after these rows. Their ``row`` counts from the first of these rows.
    words
        Words for a missing value, each with the first of these rows that has it.
    """

    records: pa.RecordBatch
    locate: Locate
    bad: Sequence[BadRow] = ()
    words: Mapping[str, int] = field(default_factory=dict)


class Samples:
    """The first records of a stream, for each format that infers types from them."""

    def __init__(self) -> None:
        self._found: dict[type[Any], Any] = {}

    def of(self, kind: type[T]) -> T:
        """Return the sample of a kind; at first an empty one."""
        found: T = self._found.setdefault(kind, kind())
        return found


class FileReader(Iterator[FileChunk], Protocol):
    """One open file, which yields its content in chunks."""

    @property
    def whole(self) -> FileIdentity | None:
        """The identity that the file must keep until its end; None for a file that may grow during the read."""

    def identity(self) -> FileIdentity:
        """Return the identity of the part that was read; after the last row, of the whole file."""

    def close(self) -> None:
        """Release the file; a second call does nothing."""

    def status_now(self) -> Status:
        """Return the present status of the open file; it may change while a file is followed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the file."""

    @property
    def is_growing(self) -> bool:
        """Whether the file may still grow."""

    @property
    def has_rest(self) -> bool:
        """Whether the last record of a growing file is incomplete."""

    @property
    def read_to(self) -> int:
        """Offset up to which a growing file was read, including an incomplete record."""

    @property
    def is_rewritten(self) -> bool:
        """Whether a growing file was truncated and rewritten where it had been read."""

    def settle(self, until: int | None) -> None:
        """Treat a growing file as complete, up to an offset if given; the next chunks are the data held back."""


class Format(Protocol):
    """How to inspect, open and recognise one kind of file."""

    name: str
    guesses_types: bool
    is_text: bool
    """Whether every value is text, so that a column can be copied as it is written."""

    def peek(self, name: str, samples: Samples | None = None) -> FileFacts:
        """Return facts about a file without reading all of it.

        With samples of the stream, a format that infers types adds the first records to its own. Types follow from the
        records of all files, by `infer`.
        """

    def infer(self, samples: Samples) -> pa.Schema:
        """Return the columns of a sample with inferred types; none for a format whose files declare their types."""

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the type of a column that has two types in two files; None if the types exclude each other."""

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
        """Open a file where `seen` ends, or at its start; the next row there is row `row` of the stream.

        With `seen`, the file must still hold what was read up to there, or a `CursorError` is raised. The reader of a
        growing file stops at the present end, and reads on when it is asked again. None is returned while such a file
        has no header or footer yet. With `until`, the file ends at this offset.
        """

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of a growing file's first rows, to recognise it later; None if it has no row yet."""

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Check that a file still holds what was read of it; otherwise raise a `CursorError`."""


class DamagedFileReader(Iterator[FileChunk]):
    """A file that cannot be read at all; it yields one bad row."""

    whole = None
    is_growing = False
    columns = ()

    def __init__(self, name: str, damage: str, schema: pa.Schema, storage: Storage = DISK) -> None:
        with foreign_errors(name):
            self._name, self._status = name, storage.status(name)
        records = pa.RecordBatch.from_pylist([], schema=schema)
        bad = BadRow(0, name, 0, "damage", f"the whole file cannot be read: {damage}", b"", n_rows=0)
        self._chunks = iter([FileChunk(records, lambda _: self.identity(), [bad])])

    def __next__(self) -> FileChunk:
        return next(self._chunks)

    def identity(self) -> FileIdentity:
        """Return the identity of the file, with no part of it read."""
        return identify(self._name, self._status, 0, "")

    def status_now(self) -> Status:
        """Return the status at the time of the failed read."""
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
    """Convert a chunk of a file to a block of the stream.

    Parameters
    ----------
    chunk
        The chunk that was read.
    start
        The position before it: the number of rows, and the files before the current one.
    waiting
        Events after the last row that was yielded.

    Returns
    -------
    block : RecordBatchSlice or None
        The rows of the chunk with their events; None if it has no rows.
    start : FileCursor
        The position after the chunk.
    waiting : list of SourceEvent
        Events after the last row of the chunk; they wait for the next row. If too many wait, the rows of the chunk are
        cut off there; see `refuse_crowd`.
    """
    waiting = [*waiting, *(replace(bad, row=start.row + bad.row) for bad in chunk.bad)]
    waiting += [NullWord(start.row + row, word) for word, row in chunk.words.items()]
    crowd = _crowd(waiting)
    records = chunk.records if crowd is None else chunk.records.slice(0, max(0, crowd[0].row - start.row))
    end = replace(start, row=start.row + len(records))
    before = sorted((note for note in waiting if note.row < end.row), key=lambda note: note.row)
    waiting = [note for note in waiting if note.row >= end.row]
    block = RecordBatchSlice(records, partial(_cursor, start, chunk.locate), before) if len(records) else None
    return block, end, waiting


def refuse_crowd(waiting: Sequence[SourceEvent]) -> None:
    """Refuse to read on after too many consecutive bad rows, since they wait in memory.

    Raises
    ------
    RowError
        There are too many.
    """
    if (crowd := _crowd(waiting)) is not None:
        first = crowd[0]
        raise RowError(
            f"{first.place}, row {first.row}: more than {_MOST_BAD:,} consecutive bad rows, "
            f"the first: {first.reason}; does this file belong to the stream?"
        )


def _crowd(notes: Sequence[SourceEvent]) -> list[BadRow] | None:
    """Return the first group of too many bad rows before the same row, or None."""
    if len(notes) <= _MOST_BAD:  # nearly always: this runs for every block, and grouping is slow
        return None
    bad = [note for note in notes if isinstance(note, BadRow)]
    groups = (list(group) for _, group in groupby(bad, key=lambda one: one.row))
    return next((group for group in groups if len(group) > _MOST_BAD), None)


def file_start(
    name: str, reader: FileReader, row: int, known: Collection[str] | None, file_format: Format
) -> FileStart:
    """Return the event for the start of a file.

    Raises
    ------
    NewColumnsError
        It has columns that are not among the known ones, if these are given.
    """
    new = [column for column in reader.columns if known is not None and column not in known]
    if new and (schema := file_format.peek(name).schema) is not None:
        reader.close()
        # By the names in the schema: a reader does not know how many elements a new list has.
        raise NewColumnsError(name, pa.schema([field for field in schema if field.name not in (known or ())]), row)
    return FileStart(row, name, reader.columns)


def _cursor(start: FileCursor, locate: Locate, n: int) -> Cursor:
    return replace(start, row=start.row + n, seen=(*start.seen, locate(n))).to_cursor()


def identify(name: str, status: Status, offset: int, digest: str) -> FileIdentity:
    """Return the identity of a file from its status, and from the offset and digest that its format gives."""
    times = status.st_mtime_ns, status.st_ctime_ns
    version = "" if isinstance(status, os.stat_result) else status.version
    return FileIdentity(name, status.st_size, *times, status.st_ino, offset, digest, version)


def is_unavailable(error: ConnectorError) -> bool:
    """Return whether the system or a store does not deliver a file, so that it is unknown whether rows are bad."""
    return isinstance(error, UnavailableError) or is_of_system(error.__cause__)


def refuse_other_version(name: str, seen: FileIdentity, found: FileIdentity) -> bool:
    """Refuse an object of another version than was read; return whether the version proves that it is the same."""
    if seen.version and found.version and seen.version != found.version:
        raise replaced(name, seen.version, found.version)
    return seen.version == found.version != ""


def refuse_other_content(name: str, seen: FileIdentity, found: FileIdentity) -> None:
    """Refuse a file whose content has changed in the part that was read."""
    if (found.offset, found.digest) != (seen.offset, seen.digest):
        expected = f"expected SHA-256 {seen.digest[:12]}…, found {found.digest[:12]}…"
        raise refusal(name, seen, f"the file was replaced or edited ({expected})")


def refusal(name: str, seen: FileIdentity, what: str, kind: type[CursorError] = CursorError) -> CursorError:
    """Return the error for a file that is not what was read.

    Parameters
    ----------
    name
        The present name of the file.
    seen
        Its identity when it was read.
    what
        What happened to it, with what was expected and what was found.
    kind
        The class of the error.
    """
    then = "" if seen.name == name else f" (then {seen.name})"
    return kind(f"{name}{then}: {what} since it was read; restore the file, or start over with --restart")
