"""Read followed files one after the other; an empty block means that no row is available yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import ConnectorError, SchemaError, SourceError, foreign_errors
from connectors.events import FileStart, SourceEvent
from connectors.files import intervals
from connectors.files.file_decisions import FileDecisions
from connectors.files.file_queue import FileQueue
from connectors.files.listing import Listing
from connectors.files.open_file import OpenFile
from connectors.files.opener import FileOpener
from connectors.files.recognition import Recognition
from connectors.formats.base import block_of, file_start, identify, refusal, refuse_crowd
from connectors.formats.file_cursor import FileCursor, FileIdentity
from connectors.pipes.spool import Spool, telling
from connectors.schemas import refuse_strangers
from connectors.source import RecordBatchSlice

__all__ = ["Following"]


class Following(Iterator[RecordBatchSlice]):
    """The blocks of followed files, from a cursor onwards.

    Parameters
    ----------
    files
        The place.
    schema
        The columns to read, and their types.
    cursor
        Where to start.
    decisions
        Decisions about files from earlier runs; new ones are stored here too.
    idle_timeout_s
        Seconds without new data after which the blocks end; ``None`` to wait for ever.
    columns
        Names of the expected columns.
    keeps_bad_rows
        Whether bad rows are yielded as events, instead of raised as errors.
    spool
        The spool that writes the files, if the place is its folder.
    known
        Names of all known columns; see `Source.open`.
    on_message
        Receives one line if the source ends with an incomplete record.
    is_look
        Whether another reader will yield the same rows, so that a temporary spool must keep them.
    """

    def __init__(
        self,
        files: Listing,
        schema: pa.Schema,
        cursor: FileCursor,
        decisions: Decisions,
        *,
        idle_timeout_s: float | None,
        columns: Sequence[str],
        keeps_bad_rows: bool,
        spool: Spool | None,
        known: Collection[str] | None,
        on_message: Callable[[str], object] | None,
        is_look: bool = False,
    ) -> None:
        self._files, self._schema, self._idle_timeout_s = files, schema, idle_timeout_s
        self._columns, self._known = columns, known
        self._spool, self._on_message = spool, on_message
        self._watch, self._came = files.watch(), time.monotonic()
        self._cursor = cursor
        self._present: OpenFile | None = None
        self._must_wait, self._is_look = False, is_look
        self._recognition = Recognition(files, may_be_renamed=spool is None)
        self._decisions = FileDecisions(decisions)
        self._queue = FileQueue(files, self._recognition, self._decisions, keeps_bad_rows=keeps_bad_rows)
        self._opener = FileOpener(files, schema, keeps_bad_rows=keeps_bad_rows)
        # A resumed run must report late files at the same rows as the run before it.
        self._notes: list[SourceEvent] = [*self._decisions.late(cursor.row)]
        if cursor.last is not None:
            self._resume(cursor.last)

    def _resume(self, seen: FileIdentity) -> None:
        """Open the file that holds the last row, under its present name."""
        reader, name = self._opener.resume(self._cursor.row, seen, self._decisions.left(self._cursor.file))
        self._present = OpenFile(reader, name, is_decided=True)
        seen_now = self._files.moved(self._cursor.seen, name)
        self._cursor = replace(self._cursor, seen=seen_now[:-1])

    def __next__(self) -> RecordBatchSlice:
        with telling(self._spool):
            return self._next()

    def _next(self) -> RecordBatchSlice:
        has_happened = self._must_wait and self._watch.wait(intervals.LOOK_S)
        has_ended = self._spool is not None and self._spool.has_ended
        if has_happened or has_ended:
            self._queue.look_again()
        while (present := self._present or self._next_present()) is not None:
            self._present = present
            block = self._read(present)
            if block is not None:
                return block
            if not self._leaves(present):
                break
        if self._spool is not None and has_ended and present is None:
            self._spool.refuse_failure()
            raise StopIteration
        if self._idle_timeout_s is not None and time.monotonic() - self._came > self._idle_timeout_s:
            self._tell_rest()
            raise StopIteration
        self._must_wait = True
        here = self._here()
        return RecordBatchSlice(pa.RecordBatch.from_pylist([], schema=self._schema), lambda _: here.to_cursor())

    def _tell_rest(self) -> None:
        """Report the size of an incomplete record at the end."""
        if self._spool is not None:
            name, n_bytes = self._spool.description, self._spool.n_held
        elif self._present is not None and (reader := self._present.reader).has_rest:
            name, n_bytes = self._present.name, reader.read_to - reader.identity().offset
        else:
            return
        if n_bytes and self._on_message is not None:
            held = f"{n_bytes:,} byte{'s' * (n_bytes != 1)}"
            self._on_message(f"{name}: the last record is incomplete: {held} held back")

    def _here(self) -> FileCursor:
        """Return the present position, as a position in a file."""
        if self._present is None:
            return replace(self._cursor, file=max(0, self._cursor.file - 1))
        return replace(self._cursor, seen=(*self._cursor.seen, self._present.reader.identity()))

    def _next_present(self) -> OpenFile | None:
        """Open the next file; return None if no file can be read yet."""
        while self._pass_by_empty():
            pass
        name = self._next_name()
        if name is None:
            return None
        row, number = self._cursor.row, self._cursor.file
        try:
            with foreign_errors(name):
                left_at = self._recognition.left_at(name, self._cursor.seen)
                reader = self._opener.open(name, row, left_at, self._decisions.left(number))
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._queue.look_again()  # it was renamed after the place was listed
            return None
        if reader is None:
            self._came = time.monotonic()  # it is being written, so the source is not idle
            return None
        if reader.columns:
            try:
                refuse_strangers(self._columns, reader.columns, name)
            except ConnectorError:
                reader.close()
                raise
        self._queue.take(name)
        present = OpenFile(reader, name, self._decisions.came_next(number) is not None)
        if left_at is None and reader.columns:
            present.begun = file_start(name, reader, row, self._known, self._files.format(name))
            self._notes.append(replace(present.begun, place=self._told(name)))
        return present

    def _pass_by_empty(self) -> bool:
        """Skip a file that had no rows at its turn, even if it has rows now; return whether there was one."""
        recalled = self._decisions.empty(self._cursor.file)
        if recalled is None:
            return False
        identity, columns = recalled
        if columns is not None:
            self._notes.append(FileStart(self._cursor.row, identity.name, tuple(columns)))
        self._cursor = self._recognition.passed(self._cursor, identity)
        return True

    def _next_name(self) -> str | None:
        """Return the name of the next file; None if there is none yet."""
        name = self._queue.next_name(self._cursor, self._present)
        self._notes += self._queue.take_late()
        return name

    def _read(self, present: OpenFile) -> RecordBatchSlice | None:
        """Return the next rows of a file; None if no row is available yet."""
        while True:
            refuse_crowd(self._notes)
            with foreign_errors(self._files.place):
                chunk = present.next_chunk()
            if chunk is None:
                return None
            if chunk.bad:
                chunk = replace(chunk, bad=[replace(bad, place=self._told(bad.place)) for bad in chunk.bad])
            self._came, self._must_wait = time.monotonic(), False
            if not present.is_decided and (chunk.records.num_rows or chunk.bad):
                # Store the choice before a row is used: a resumed run must not prefer a file that came later.
                head = self._opener.head(present.name, present.reader)
                self._decisions.note_next(self._cursor.row, self._cursor.file, head)
                present.is_decided = True
            block, self._cursor, self._notes = block_of(chunk, self._cursor, self._notes)
            if block is not None:
                return block

    def _leaves(self, present: OpenFile) -> bool:
        """Leave a file that was read to its present end, if it is time; return whether there may be more to read."""
        reader = present.reader
        if present.is_leaving or not reader.is_growing:
            self._finish(present)
            return True
        if present.is_truncated:
            present.left = replace(reader.identity(), size=0)
            self._finish(present, is_truncated=True)
            return True
        if self._spool is None:
            if self._next_name() is None:
                return False
            self._came = time.monotonic()  # another file is waiting, so the source is not idle
            if present.quiet_s < (intervals.WHOLE_S if reader.has_rest else intervals.QUIET_S):
                return False
        elif not self._spool.is_whole(present.name):
            return False
        until = None
        if self._spool is None and present.status is not None:
            # Fix the end now: text that is written to the file later is read after the files that come next.
            until = reader.read_to
            present.left = identify(present.name, present.status, until, "")
        present.is_leaving = True
        reader.settle(until)
        return True

    def _finish(self, present: OpenFile, *, is_truncated: bool = False) -> None:
        """Move the cursor past a file."""
        row, number = self._cursor.row, self._cursor.file
        identity, left = present.identity(), self._decisions.left(number) or present.left
        if left is not None:
            if identity.offset < left.offset:
                what = f"the file was truncated (expected {left.offset} bytes of text, found {identity.offset})"
                raise refusal(identity.name, left, what)
            identity = replace(identity, size=left.size, mtime_ns=left.mtime_ns)
        if is_truncated:
            # The same file now holds other content; without its inode number, that content counts as another file.
            identity = replace(present.reader.identity(), inode=0)
            self._queue.look_again()
        if not present.is_decided:
            columns = present.begun.columns if present.begun is not None else None
            self._decisions.note_empty(row, number, identity, columns)
        elif present.left is not None:
            self._decisions.note_left(row, number, present.left)
        present.reader.close()
        if self._spool is not None and not self._is_look:
            self._spool.leave(identity.name)
        self._cursor, self._present = self._recognition.passed(self._cursor, identity), None

    def _told(self, name: str) -> str:
        """Return the name of a file for messages."""
        return name if self._spool is None else self._spool.told(name)

    def notes(self) -> list[SourceEvent]:
        """Return the events after the last row."""
        return self._notes

    def next_pass(self) -> Cursor:
        """Raise an error: an unbounded source has no second pass."""
        place = self._told(self._files.place)
        raise SchemaError(f"{place}: a followed source or a pipe is read only once; leave out --epochs")

    def close(self) -> None:
        """Release the file, and wake a waiting thread."""
        self._watch.close()
        present, self._present = self._present, None
        if present is not None:
            present.reader.close()
