"""Files that end, read one after the other, each checked against its identity in the cursor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import CursorError, RowError, SourceError, foreign_errors
from connectors.events import SourceEvent
from connectors.formats.base import (
    DamagedFileReader,
    FileFacts,
    FileReader,
    Format,
    Samples,
    block_of,
    file_start,
    identify,
    is_unavailable,
    refuse_crowd,
    refuse_other_content,
    refuse_other_version,
)
from connectors.formats.facts import first_columns, remarks_of, schema_of, type_warnings_of, with_types, written_type
from connectors.formats.file_cursor import FileCursor, FileIdentity, same_rows_before
from connectors.schemas import like, refuse_strangers, require
from connectors.source import Reader, RecordBatchSlice, Source
from connectors.stores.storage import DISK, Storage

__all__ = ["FileSource"]


class FileSource(Source):
    """Rows of several files, one file after the other.

    Parameters
    ----------
    names
        Paths, in the order of the stream; at least one.
    format_of
        Returns the format of a file.
    storage
        Where the files are.
    keeps_bad_rows
        Whether bad rows are yielded as `BadRow` events, instead of raised as errors.
    ignore
        Columns that are not read; files may disagree on their types.
    remarks
        Lines about the places, which precede those about the files.

    Raises
    ------
    SourceError
        A file cannot be read, or all files are empty.
    SchemaError
        Files disagree on the type of a column.
    """

    def __init__(
        self,
        names: Sequence[str],
        format_of: Callable[[str], Format],
        storage: Storage = DISK,
        *,
        keeps_bad_rows: bool = False,
        ignore: Collection[str] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        self._place_remarks = tuple(remarks)
        self._format_of, self._storage, self._keeps_bad_rows = format_of, storage, keeps_bad_rows
        self._files = self._peek_all(names)
        self._schema = schema_of(self._files, format_of, ignore)
        for file in self._files:
            if file.schema is not None and file.n_rows != 0:
                refuse_strangers(self.schema.names, file.schema.names, file.name)

    def _peek_all(self, names: Sequence[str]) -> list[FileFacts]:
        """Inspect the files, and infer types from the first records of the whole stream."""
        samples = Samples()
        return with_types([self._peek(name, samples) for name in names], self._format_of, samples)

    def _peek(self, name: str, samples: Samples) -> FileFacts:
        try:
            with foreign_errors(name):
                return self._format_of(name).peek(name, samples)
        except (RowError, SourceError) as error:
            if not self._keeps_bad_rows or is_unavailable(error):
                raise
            return FileFacts(name, None, damage=str(error).removeprefix(f"{name}: "))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the first file that has any, with the types that fit all files."""
        return first_columns(self._files, self._schema)

    @property
    def type_warnings(self) -> dict[str, str]:
        """Type warnings about columns of the files."""
        return type_warnings_of(self._files)

    has_copies = has_null_words = True

    def written_type(self, name: str) -> pa.DataType:
        """Return the type in which a column is copied: a string if a file of text has it."""
        return written_type(self._files, self._format_of, self.schema, name)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks about the files."""
        return (*self._place_remarks, *remarks_of(self._files))

    @property
    def n_rows(self) -> int | None:
        """Number of rows of all files; None unless every file has a footer that says so."""
        return _total([file.n_rows for file in self._files])

    @property
    def description(self) -> str:
        """The name of the file; or the number of files, and the first name."""
        first, n_files = self._files[0].name, len(self._files)
        kinds = " and ".join(dict.fromkeys(self._format_of(file.name).name for file in self._files))
        return first if n_files == 1 else f"{n_files} {kinds} files from {first}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files, and addresses without secrets, in the order of the stream."""
        return tuple(self._storage.redact(file.name) for file in self._files)

    def label(self, cursor: Cursor) -> str:
        """Return the name of the file that holds the last row before a cursor."""
        last = FileCursor.at_last_file(cursor).last
        return self.description if last is None else last.name

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Return whether the rows before two cursors are the same; files may have been touched meanwhile."""
        return same_rows_before(one, other)

    def fraction(self, cursor: Cursor) -> float | None:
        """Return the share of rows, or else of bytes, before `cursor`; None for compressed text."""
        if self.n_rows is not None:
            done, whole = cursor.row, self.n_rows
        else:
            sizes = [file.n_bytes for file in self._files]
            total = _total(sizes)
            if total is None:
                return None
            here = FileCursor.at_last_file(cursor)
            offset = here.last.offset if here.last is not None else 0
            done, whole = (_total(sizes[: here.file]) or 0) + offset, total
        # A file may have grown since its size was taken.
        return min(1.0, done / whole) if whole else 1.0

    def lag(self, cursor: Cursor) -> int | None:
        """Return the number of bytes after `cursor`, estimated from the fraction; None for compressed text."""
        n_bytes, done = _total([file.n_bytes for file in self._files]), self.fraction(cursor)
        return None if n_bytes is None or done is None else round(n_bytes * (1 - done))

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Open the files at a position; see `Source.open`."""
        self._require(schema)
        schema = like(schema, self._schema)
        names = [file.name for file in self._files]
        start, keeps = FileCursor.from_cursor(cursor or Cursor.start()), self._keeps_bad_rows
        chain = _Chain(names, self._format_of, self._storage, schema, start, keeps_bad_rows=keeps, known=known)
        return Reader(chain, self.description, chain.next_pass, chain.notes)

    def _require(self, schema: pa.Schema) -> None:
        """Refuse columns that no file has."""
        files = [(file.name, file.schema.names) for file in self._files if file.schema is not None]
        require(schema, [name for _, names in files for name in names], files[0][0])


class _Chain(Iterator[RecordBatchSlice]):
    """The blocks of all files, from a cursor onwards.

    The constructor checks all earlier files and opens the current one. A pass after the first one also checks every
    file, and checks the current one again around each block. So it reads the same rows as the previous pass, or fails.
    """

    def __init__(
        self,
        names: list[str],
        format_of: Callable[[str], Format],
        storage: Storage,
        schema: pa.Schema,
        cursor: FileCursor,
        *,
        keeps_bad_rows: bool,
        known: Collection[str] | None,
    ) -> None:
        self._names, self._format_of, self._storage, self._schema = names, format_of, storage, schema
        self._keeps_bad_rows = keeps_bad_rows
        self._known = known
        self._notes: list[SourceEvent] = []
        self._reader: FileReader | None = None
        self._refuse_other_number(cursor)
        before, seen = self._verified(cursor.before), self._verified(cursor.seen[:-1])
        # The position before the current file, so `seen` holds only the files before it.
        self._start = replace(cursor, before=before, seen=seen)
        self._open(cursor.seen[-1] if cursor.seen else None)

    def _refuse_other_number(self, cursor: FileCursor) -> None:
        n_files, wanted = len(self._names), len(cursor.before) or cursor.file + 1
        if n_files < wanted or (cursor.before and n_files > wanted):
            last = (cursor.before or cursor.seen)[-1].name
            stands = f"the epoch before read {wanted} files" if cursor.before else f"is in file number {wanted}"
            raise CursorError(
                f"{self._names[-1]}: the stream ends with this file, number {n_files}, but the checkpoint "
                f"{stands} ({last}); give every file, or start over with --restart"
            )
        if cursor.seen and len(cursor.seen) != cursor.file + 1:
            raise CursorError(
                f"cursor: in file {cursor.file} it must list {cursor.file + 1} files, found {len(cursor.seen)}"
            )

    def _verified(self, identities: Sequence[FileIdentity], *, may_grow: bool = False) -> tuple[FileIdentity, ...]:
        """Check the first files, and return their present identities; the last of them may have grown."""
        last = len(identities) - 1
        return tuple(
            self._verify(name, identity, may_grow=may_grow and i == last)
            for i, (name, identity) in enumerate(zip(self._names, identities, strict=False))
        )

    def _verify(self, name: str, seen: FileIdentity, *, may_grow: bool = False, at_once: bool = False) -> FileIdentity:
        """Check a file, and return its present identity; its content is compared only if its status has changed."""
        with foreign_errors(name):
            now = identify(seen.name, self._storage.status(name, at_once=at_once), seen.offset, seen.digest)
            if now != seen and not refuse_other_version(name, seen, now):
                self._format_of(name).compare(name, seen, may_grow=may_grow)
            return now

    def _open(self, seen: FileIdentity | None = None) -> None:
        name, before = self._name, self._start.before
        known = self._verify(name, before[self._start.file]) if before else None
        try:
            with foreign_errors(name):
                reader = self._format_of(name).open(name, self._schema, self._start.row, seen)
        except (RowError, SourceError) as error:
            if not self._keeps_bad_rows or is_unavailable(error):
                raise
            reader = DamagedFileReader(name, str(error).removeprefix(f"{name}: "), self._schema, self._storage)
        if reader is not None and reader.columns and seen is None:
            self._notes.append(file_start(name, reader, self._start.row, self._known, self._format_of(name)))
        self._reader = reader
        self._whole = known or (reader.whole if reader is not None else None)

    @property
    def _name(self) -> str:
        return self._names[self._start.file]

    def __next__(self) -> RecordBatchSlice:
        while self._reader is not None:
            refuse_crowd(self._notes)
            chunk = None
            try:
                with foreign_errors(self._name):
                    chunk = next(self._reader, None)
            finally:
                # If the file changed during the read, its rows, or the error, belong to no version of it. So the check
                # comes last, and its error replaces the other one.
                if self._whole is not None:
                    self._whole = self._verify(self._name, self._whole, at_once=chunk is None)
            if chunk is not None:
                block, self._start, self._notes = block_of(chunk, self._start, self._notes)
                if block is not None:
                    return block
                continue
            self._finish(self._reader)
            if self._start.file < len(self._names):
                self._open()
            else:
                self._verified(self._start.seen, may_grow=not self._start.before)
        refuse_crowd(self._notes)
        raise StopIteration

    def notes(self) -> list[SourceEvent]:
        """Return the events after the last row, once all rows were read."""
        return self._notes

    def _finish(self, reader: FileReader) -> None:
        """Close a file that was read to its end; every later cursor holds its identity."""
        with foreign_errors(self._name):
            identity = reader.identity()
        if self._start.before:
            refuse_other_content(self._name, self._start.before[self._start.file], identity)
        self.close()
        self._start = replace(self._start, seen=(*self._start.seen, identity), file=self._start.file + 1)

    def next_pass(self) -> Cursor:
        """Return the start of another pass, which must find every file unchanged."""
        return FileCursor(0, before=self._start.seen).to_cursor()

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
