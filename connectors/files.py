"""A stream that is the concatenation of files, whatever their format: the order, the cursor, the identities.

What differs between formats is behind two protocols: a `Format` looks at a file and opens it at an offset, and the
`Part` it opens yields rows with the offset after each. Everything about *several* files is here, and only here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa

from connectors.base import Block, Cursor, FileIdentity, Reader, Source
from connectors.errors import CursorError, SourceError, foreign_errors
from connectors.schemas import require, unify

__all__ = ["FileFacts", "FileSource", "Format", "Part", "identify", "refusal"]

Locate = Callable[[int], tuple[int, FileIdentity]]


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
    """

    name: str
    schema: pa.Schema | None
    n_rows: int | None = None
    n_bytes: int | None = None


class Part(Iterator[tuple[pa.RecordBatch, Locate]], Protocol):
    """One open file: yields rows, each time with the way to the offset and identity after the first n of them."""

    def identity(self) -> FileIdentity:
        """Return the identity of the whole file; asked once, after the last row."""

    def close(self) -> None:
        """Release the file; a second call does nothing."""


class Format(Protocol):
    """How one kind of file is looked at, opened and recognised."""

    name: str

    def peek(self, name: str) -> FileFacts:
        """Look at a file without reading it through."""

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the type of a column that is of two types in two files, None where they exclude each other."""

    def open(self, name: str, schema: pa.Schema, row: int, offset: int, seen: FileIdentity | None) -> Part:
        """Open a file at an offset, at which the stream's row `row` begins.

        With `seen`, check first that the file still holds what was read up to there; else `CursorError`.
        """

    def verify(self, name: str, seen: FileIdentity) -> None:
        """Check that a file read to its end is still the same; else `CursorError`."""


class FileSource(Source):
    """Rows of several files of one format, one file after the other.

    Parameters
    ----------
    names
        Paths, in the order of the stream; at least one.
    file_format
        How to look at each and open it.

    Raises
    ------
    SourceError, SchemaError
        A file cannot be read; all are empty; columns disagree.
    """

    def __init__(self, names: Sequence[str], file_format: Format) -> None:
        self._format = file_format
        self._files = [self._peek(name) for name in names]
        schemas = [(file.name, file.schema) for file in self._files if file.schema is not None]
        if not schemas:
            raise SourceError(f"{names[0]}: the file is empty; expected at least a header with the columns' names")
        self._schema = unify(schemas, file_format.merge)

    def _peek(self, name: str) -> FileFacts:
        with foreign_errors(name):
            return self._format.peek(name)

    @property
    def schema(self) -> pa.Schema:
        """Every column of every file, with the type that fits them all."""
        return self._schema

    @property
    def n_rows(self) -> int | None:
        """Sum over the files, where their footers tell."""
        return _total([file.n_rows for file in self._files])

    @property
    def description(self) -> str:
        """The file, or how many and the first of them."""
        first, n_files = self._files[0].name, len(self._files)
        return first if n_files == 1 else f"{n_files} {self._format.name} files from {first}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files, in the order of the stream."""
        return tuple(os.path.abspath(file.name) for file in self._files)  # noqa: PTH100 - no link is to be resolved

    def fraction(self, cursor: Cursor) -> float | None:
        """Return the share of rows, or else of bytes, before `cursor`; None for compressed text."""
        if self.n_rows is not None:
            done, whole = cursor.row, self.n_rows
        else:
            sizes = [file.n_bytes for file in self._files]
            total = _total(sizes)
            if total is None:
                return None
            done, whole = (_total(sizes[: cursor.file]) or 0) + cursor.offset, total
        # A file may have grown since it was looked at.
        return min(1.0, done / whole) if whole else 1.0

    def open(self, schema: pa.Schema, cursor: Cursor | None = None) -> Reader:
        """Open the files at a position; see `Source.open`."""
        for file in self._files:
            if file.schema is not None:
                require(schema, file.schema.names, file.name)
        chain = _Chain([file.name for file in self._files], self._format, schema, cursor or Cursor.start())
        return Reader(chain, self.description)


class _Chain(Iterator[Block]):
    """The blocks of all files from a cursor on; the first file is opened, and all before it checked, at once."""

    def __init__(self, names: list[str], file_format: Format, schema: pa.Schema, cursor: Cursor) -> None:
        self._names, self._format, self._schema = names, file_format, schema
        self._row, self._file = cursor.row, cursor.file
        self._seen = cursor.seen[:-1]
        self._part: Part | None = None
        self._verify(cursor)
        self._open(cursor.offset, cursor.seen[-1] if cursor.seen else None)

    def _verify(self, cursor: Cursor) -> None:
        if cursor.file >= len(self._names):
            last = cursor.seen[-1].name if cursor.seen else "?"
            raise CursorError(
                f"{self._names[-1]}: the stream ends with this file, number {len(self._names)}, but the checkpoint "
                f"stands in file number {cursor.file + 1} ({last}); give every file, or start over with --fresh"
            )
        for name, identity in zip(self._names, cursor.seen[:-1], strict=False):
            with foreign_errors(name):
                self._format.verify(name, identity)

    def _open(self, offset: int = 0, seen: FileIdentity | None = None) -> None:
        name = self._names[self._file]
        with foreign_errors(name):
            self._part = self._format.open(name, self._schema, self._row, offset, seen)

    def __next__(self) -> Block:
        while self._part is not None:
            with foreign_errors(self._names[self._file]):
                for records, locate in self._part:
                    return self._block(records, locate)
                self._finish(self._part)
            if self._file < len(self._names):
                self._open()
        raise StopIteration

    def _block(self, records: pa.RecordBatch, locate: Locate) -> Block:
        block = Block(records, partial(_cursor, self._row, self._file, self._seen, locate))
        self._row += len(block)
        return block

    def _finish(self, part: Part) -> None:
        """Leave a file behind; what it was is remembered in every cursor from here on."""
        self._seen = (*self._seen, part.identity())
        self.close()
        self._file += 1

    def close(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()


def _cursor(row: int, file: int, seen: tuple[FileIdentity, ...], locate: Locate, n: int) -> Cursor:
    offset, identity = locate(n)
    return Cursor(row=row + n, file=file, offset=offset, seen=(*seen, identity))


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def identify(name: str, status: os.stat_result, digest: str) -> FileIdentity:
    """Return the identity of a file from what the system and the format know of it."""
    return FileIdentity(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, digest)


def refusal(name: str, seen: FileIdentity, what: str) -> CursorError:
    """Return the error for a file that is not what the cursor points into.

    Parameters
    ----------
    name
        The file as it is called now.
    seen
        What it was.
    what
        What happened to it, with what was expected and what was found.
    """
    then = "" if seen.name == name else f" (then {seen.name})"
    return CursorError(f"{name}{then}: {what} since the checkpoint; restore the file, or start over with --fresh")
