"""Sources that do not end: text that grows and is rotated, folders in which files land.

Files are read one after the other, like those of a source that ends. What is new is that nobody knows what comes next:

- a file of text is read on while it grows; a record that is not ended is held back. It is left for another file once it
  was quiet for a while; one that grows after that is read on later, from where it was left;
- a file that is renamed while it is read is the same file; one that was truncated begins anew, and what was not read of
  it is looked for in a copy;
- a file whose name begins with ``.`` or ``_``, or ends otherwise than data do, is not looked at: so an upload under
  such a name is invisible until it is renamed. A Parquet file without a footer and compressed text are read once
  nothing was written to them for a while;
- which file comes next, and where the one before is left, is decided once, and whoever opens the source can keep that
  (`Decisions`): so a run that goes on from an earlier position reads the files in the order of the first one, though
  others have come in between, and whatever they are called by then.

The identities of 256 files are kept in a cursor, those that come last in the order; an earlier one is known by its
place: a file that comes before them, and was written later than the files there were, or appears while the place is
followed, is a bad row.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import LASTING, Decisions
from connectors.errors import (
    ConnectorError,
    CursorError,
    RowError,
    SchemaError,
    SourceError,
    foreign_errors,
)
from connectors.files.listing import Listing
from connectors.files.recognition import BeingRead, Recognition, late
from connectors.formats.base import (
    DamagedPart,
    FileFacts,
    Format,
    Part,
    Piece,
    block_of,
    doubts_of,
    file_start,
    first_columns,
    identify,
    is_unavailable,
    refusal,
    refuse_crowd,
    schema_of,
)
from connectors.formats.file_cursor import FileCursor, FileIdentity, same_rows_before
from connectors.notes import FileStart, Note
from connectors.pipes import Spool
from connectors.schemas import refuse_strangers
from connectors.source import Block, Reader, Source
from connectors.stores.storage import Status

__all__ = ["Follow", "FollowedSource"]

_LOOK_S = 1.0  # between two looks where nothing is told
_PATIENCE_S = 1.0  # how long a person waits without asking why
_LIST_S = 5.0  # between two looks at the whole place where nothing is told
_QUIET_S = 1.0  # a file of text is left for another one
_WHOLE_S = 10.0  # what stands at its end is a whole record; a file that cannot be read yet is no longer written
_LOOKED_AT = 16  # files that types are told from


@dataclass(frozen=True, slots=True)
class Follow:
    """How a source is followed.

    Parameters
    ----------
    order
        ``name``, or ``time``: of the last change, then name.
    idle_timeout_s
        End when nothing came for so long; ``None`` to wait for ever.
    """

    order: str = "name"
    idle_timeout_s: float | None = None


class FollowedSource(Source):
    """Rows of a file that grows, or of files that land in a folder or match a pattern.

    Parameters
    ----------
    place
        The file, the folder or the pattern.
    format_of
        Returns the format of a file, None for what is no data.
    follow
        In what order, for how long.
    keeps_bad_rows, ignore
        As in `files.FileSource`.
    spool
        What writes the files, if the place is its folder.
    tell
        Hears, in a line, why it takes a while, and of what is held back at the end; any thread may call it.

    Raises
    ------
    SourceError
        There is no such place; or nothing came in time.
    SchemaError
        Columns disagree.
    """

    is_endless = True

    def __init__(
        self,
        place: str,
        format_of: Callable[[str], Format | None],
        follow: Follow,
        *,
        keeps_bad_rows: bool = False,
        spool: Spool | None = None,
        ignore: Collection[str] = (),
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._files = Listing(place, format_of, follow.order)
        self._follow, self._keeps_bad_rows, self._spool = follow, keeps_bad_rows, spool
        self._ignore, self._tell = ignore, tell
        self._place = spool.description if spool is not None else place
        with _telling(spool):
            self._schema = self._first_schema()

    def _first_schema(self) -> pa.Schema:
        """Wait for a file that has rows, and return the columns of the first files."""
        began, is_told = time.monotonic(), False
        with contextlib.closing(self._files.watch()) as watch:
            while True:
                has_ended = self._spool is not None and self._spool.has_ended
                facts = self._first_facts()
                if any(fact.schema is not None if has_ended else _has_rows(fact) for fact in facts):
                    if not has_ended:  # the more rows there are, the more types are known
                        time.sleep(_QUIET_S)
                        facts = [self._peek(fact.name) or fact for fact in facts]
                    self._doubts = doubts_of(facts)
                    return first_columns(facts, schema_of(facts, self._files.format, self._ignore))
                if self._spool is not None and has_ended:
                    self._spool.refuse_failure()
                    raise SourceError(f"{self._place}: what came has no rows; expected a header, and records")
                if self._follow.idle_timeout_s is not None and time.monotonic() - began > self._follow.idle_timeout_s:
                    raise SourceError(f"{self._place}: nothing to read came within {self._follow.idle_timeout_s:g} s")
                if self._tell is not None and not is_told and time.monotonic() - began >= _PATIENCE_S:
                    self._tell(f"{self._place}: waiting for the first rows")
                    is_told = True
                watch.wait(_LOOK_S)

    def _first_facts(self) -> list[FileFacts]:
        """Look at the first files, as far as some that have rows; of a log that has none yet, at what it was before."""
        facts: list[FileFacts] = []
        n_with_rows = 0
        for found in self._files.listed():
            if (fact := self._peek(found.name)) is not None:
                facts.append(fact)
                n_with_rows += _has_rows(fact)
            if n_with_rows == _LOOKED_AT:
                break
        if not n_with_rows:
            rotated = reversed(self._files.listed(0))
            facts += [fact for found in rotated if (fact := self._peek(found.name)) is not None and _has_rows(fact)]
        return facts

    def _peek(self, name: str) -> FileFacts | None:
        """Look at a file; None if it cannot be looked at yet."""
        try:
            with foreign_errors(name):
                return self._files.format(name).peek(name)
        except (RowError, SourceError):
            return None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the first file that was there, with types that fit the first ones."""
        return self._schema

    @property
    def doubts(self) -> dict[str, str]:
        """What the first files tell of their columns."""
        return self._doubts

    @property
    def n_rows(self) -> None:
        """Nobody knows."""

    @property
    def description(self) -> str:
        """The place."""
        return f"{self._files.place}, followed" if self._spool is None else self._spool.description

    def fraction(self, cursor: Cursor) -> None:
        """Nobody knows."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return the bytes that were not read; a Parquet file counts until its first row is."""
        files = FileCursor.from_cursor(cursor)
        seen = {key: one for one in files.seen for key in (one.inode, one.name) if key}
        n_bytes = 0
        with contextlib.suppress(ConnectorError):
            for file in self._files.listed(min((one.mtime_ns for one in files.seen), default=0)):
                status = file.status
                identity = seen.get(status.st_ino) or seen.get(file.name)
                if identity is None:
                    n_bytes += status.st_size if file.key > files.horizon.place else 0
                elif self._files.format(file.name).guesses_types:  # of text, offsets are bytes
                    n_bytes += max(0, status.st_size - identity.offset)
            return n_bytes
        return None

    def label(self, cursor: Cursor) -> str:
        """Return the name of the file that holds the last row before a cursor."""
        last = FileCursor.at_last_file(cursor).last
        return self.description if last is None else last.name if self._spool is None else self._spool.told(last.name)

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Tell whether the same rows lie before two cursors, in files that may have been touched meanwhile."""
        return same_rows_before(one, other)

    def compact(self, cursor: Cursor) -> Cursor:
        """Return a cursor that knows the file of its last row alone."""
        return FileCursor.at_last_file(cursor).to_cursor()

    def acknowledge(self, cursor: Cursor) -> None:
        """Let what no checkpoint needs any more be removed, if it is ours; see `Source.acknowledge`."""
        last = FileCursor.at_last_file(cursor).last
        if self._spool is not None and last is not None:
            self._spool.acknowledge(last.name)

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Open the place at a position; see `Source.open`."""
        start = FileCursor.from_cursor(cursor or Cursor.start())
        if self._spool is not None and not self._spool.is_kept:
            # What came before is gone with the process that it came to.
            start, decisions = FileCursor(start.row), None
        with _telling(self._spool):
            blocks = _Following(
                self._files,
                schema,
                start,
                decisions or Decisions(),
                follow=self._follow,
                columns=self._schema.names,
                keeps_bad_rows=self._keeps_bad_rows,
                spool=self._spool,
                known=known,
                tell=self._tell,
            )
        return Reader(blocks, self.description, blocks.again, blocks.notes)


@dataclass
class _Present:
    """The file that is being read.

    Attributes
    ----------
    part, name
        It, open, and what it was called then.
    is_decided
        Whether it was decided that its rows come now.
    begun
        What was said of its beginning; ``None`` where it was gone on with.
    status
        What the system knew of it when it was last read.
    changed
        When that was seen to change, by a clock that nobody sets.
    largest
        Bytes it was seen to have, at most.
    left
        What it was when it was left; ``None`` before.
    is_leaving
        Whether what it holds is all that is read of it.
    """

    part: Part
    name: str
    is_decided: bool
    begun: FileStart | None = None
    status: Status | None = None
    changed: float = field(default_factory=time.monotonic)
    largest: int = 0
    left: FileIdentity | None = None
    is_leaving: bool = False
    _ended_at: tuple[int, int] = (-1, 0)

    def next_piece(self) -> Piece | None:
        """Return what comes next of it; None where there is nothing for now."""
        while True:
            # What is written from here on shows in the file's times, whether it is read or not.
            status = self.part.status_now()
            written = status.st_size, status.st_mtime_ns
            if self.status is None or written != (self.status.st_size, self.status.st_mtime_ns):
                self.changed = time.monotonic()
            self.status = status
            piece = next(self.part, None)
            self.largest = max(self.largest, status.st_size, self.part.status_now().st_size)
            if piece is not None or self._ended_at == written:
                return piece
            # What was read ahead may have ended before that was written.
            self._ended_at = written

    @property
    def is_truncated(self) -> bool:
        """Whether what it held is not all there any more."""
        return self.part.is_rewritten or self.part.status_now().st_size < self.largest

    @property
    def quiet_s(self) -> float:
        """For how long nothing was written; one that lies there for long needs no waiting."""
        written = self.status.st_mtime_ns / 1e9 if self.status is not None else time.time()
        # Clocks of other machines may be wrong.
        return max(time.monotonic() - self.changed, time.time() - written)

    def identity(self) -> FileIdentity:
        """Return what it was when it was last read: what was written since shows."""
        identity = self.part.identity()
        if self.status is None or self.part.whole is not None:
            return identity
        return identify(identity.name, self.status, identity.offset, identity.digest)


class _Following(Iterator[Block]):
    """The blocks of files that come, from a cursor on; an empty one says that there is nothing for now."""

    def __init__(
        self,
        files: Listing,
        schema: pa.Schema,
        cursor: FileCursor,
        decisions: Decisions,
        *,
        follow: Follow,
        columns: Sequence[str],
        keeps_bad_rows: bool,
        spool: Spool | None,
        known: Collection[str] | None,
        tell: Callable[[str], object] | None,
    ) -> None:
        self._files, self._schema, self._decisions, self._follow = files, schema, decisions, follow
        self._columns = columns
        self._keeps_bad_rows, self._spool = keeps_bad_rows, spool
        self._watch = files.watch()
        self._cursor = cursor
        self._known, self._tell = known, tell
        self._notes: list[Note] = []
        self._present: _Present | None = None
        self._must_wait = False
        self._came = time.monotonic()
        self._queue: deque[str] = deque()
        self._listed = -_LIST_S
        self._recognition = Recognition(files, may_be_renamed=spool is None)
        self._written_last = ((-1, 0, 0), 0.0)
        self._missed = 0.0
        # What was told of files that came too late is told again where it was.
        names = [name for name in decisions.names() if name.startswith(LASTING)]
        told = [(name.removeprefix(LASTING), int(decisions.recall(name) or 0)) for name in names]
        self._notes += [late(name, row) for name, row in told if row >= cursor.row]
        if cursor.seen:
            self._resume(cursor.seen[-1])

    def _resume(self, seen: FileIdentity) -> None:
        """Open the file that holds the last row, by whatever name it goes by now."""
        found = self._files.listed(seen.mtime_ns, {seen.inode})
        found.sort(key=lambda one: (one.status.st_ino != seen.inode, not f"/{seen.name}".endswith(f"/{one.key[1]}")))
        failure: ConnectorError | None = None
        for file in found:
            part = None
            try:
                part = self._opened(file.name, seen)
            except (ConnectorError, OSError) as error:
                failure = failure or (error if isinstance(error, ConnectorError) else None)
            if part is not None:
                self._present = _Present(part, file.name, is_decided=True)
                self._cursor = replace(self._cursor, seen=self._moved(file.name)[:-1])
                return
        raise failure or CursorError(f"{seen.name}: the file that the checkpoint stands in is gone; put it back")

    def _moved(self, name: str) -> tuple[FileIdentity, ...]:
        """Return the files that were read, by their names in the place as it is called now, given that of the last."""
        seen, within = self._cursor.seen, self._files.within(name)
        before = seen[-1].name.removesuffix(within)
        if before == seen[-1].name or before == self._files.root:
            return seen
        return tuple(replace(one, name=self._files.root + one.name.removeprefix(before)) for one in seen)

    def _opened(self, name: str, seen: FileIdentity | None, *, is_growing: bool = True) -> Part | None:
        left = self._left()
        until = left.offset if left is not None else None
        with foreign_errors(name):
            return self._files.format(name).open(
                name, self._schema, self._cursor.row, seen, is_growing=is_growing, until=until
            )

    def __next__(self) -> Block:
        with _telling(self._spool):
            return self._next()

    def _next(self) -> Block:
        has_happened = self._must_wait and self._watch.wait(_LOOK_S)
        has_ended = self._spool is not None and self._spool.has_ended
        if has_happened or has_ended:
            self._listed = -_LIST_S
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
        if self._follow.idle_timeout_s is not None and time.monotonic() - self._came > self._follow.idle_timeout_s:
            self._tell_rest()
            raise StopIteration
        self._must_wait = True
        here = self._here()
        return Block(pa.RecordBatch.from_pylist([], schema=self._schema), lambda _: here.to_cursor())

    def _tell_rest(self) -> None:
        """Tell of part of a record that stands at the end."""
        if self._spool is not None:
            name, n_bytes = self._spool.description, self._spool.n_held
        elif self._present is not None and (part := self._present.part).has_rest:
            name, n_bytes = self._present.name, part.read_to - part.identity().offset
        else:
            return
        if n_bytes and self._tell is not None:
            held = f"{n_bytes:,} byte{'s' * (n_bytes != 1)}"
            self._tell(f"{name}: the last record has no end yet: {held} held back")

    def _here(self) -> FileCursor:
        """Return the present position, as one that stands in a file."""
        if self._present is None:
            return replace(self._cursor, file=max(0, self._cursor.file - 1))
        return replace(self._cursor, seen=(*self._cursor.seen, self._present.part.identity()))

    def _read(self, present: _Present) -> Block | None:
        """Return the next rows of a file; None where there are none for now."""
        while True:
            refuse_crowd(self._notes)
            with foreign_errors(self._files.place):
                piece = present.next_piece()
            if piece is None:
                return None
            if piece.bad:
                piece = replace(piece, bad=[replace(bad, place=self._told(bad.place)) for bad in piece.bad])
            self._came, self._must_wait = time.monotonic(), False
            if not present.is_decided and (piece.records.num_rows or piece.bad):
                # Whatever comes meanwhile: the rows of this one come now.
                self._note(f"file {self._cursor.file}", self._head(present.name, present.part))
                present.is_decided = True
            block, self._cursor, self._notes = block_of(piece, self._cursor, self._notes)
            if block is not None:
                return block

    def _leaves(self, present: _Present) -> bool:
        """Leave a file of which nothing more is there, if it is time; tell whether there may be more to read."""
        part = present.part
        if present.is_leaving or not part.is_growing:
            self._finish(present)
            return True
        if present.is_truncated:
            present.left = replace(part.identity(), size=0)
            self._finish(present, is_truncated=True)
            return True
        if self._spool is None:
            if self._next_name() is None:
                return False
            self._came = time.monotonic()  # there is something to be read
            if present.quiet_s < (_WHOLE_S if part.has_rest else _QUIET_S):
                return False
        elif not self._spool.is_whole(present.name):
            return False
        until = None
        if self._spool is None and present.status is not None:
            # What is written to it from now on comes behind the files that come next.
            until = part.read_to
            present.left = identify(present.name, present.status, until, "")
        present.is_leaving = True
        part.settle(until)
        return True

    def _left(self) -> FileIdentity | None:
        """Return how the present file was when it was left, and where it ended then, if that was decided."""
        return self._decided(f"left {self._cursor.file}")

    def _decided(self, key: str) -> FileIdentity | None:
        recalled = self._recalled(key)
        return recalled and recalled[0]

    def _recalled(self, key: str) -> tuple[FileIdentity, Any] | None:
        """Return the file that was decided about, and the columns that were noted with it."""
        decision = self._decisions.recall(key)
        if decision is None:
            return None
        try:
            noted = json.loads(decision)
            columns = noted.pop("columns", None)
            return FileIdentity.from_json(noted), columns
        except (AttributeError, CursorError, TypeError, ValueError) as error:
            raise CursorError(f"what was decided about {key!r} cannot be read: {decision[:200]!r}") from error

    def _note(self, key: str, identity: FileIdentity, **more: object) -> None:
        """Write a decision down, if it is one."""
        if self._decisions.recall(key) is None:
            self._decisions.note(self._cursor.row, key, json.dumps({**identity.to_json(), **more}))

    def _finish(self, present: _Present, *, is_truncated: bool = False) -> None:
        """Stand behind a file."""
        identity, left = present.identity(), self._left() or present.left
        if left is not None:
            if identity.offset < left.offset:
                what = f"the file was truncated (expected {left.offset} bytes of text, found {identity.offset})"
                raise refusal(identity.name, left, what)
            identity = replace(identity, size=left.size, mtime_ns=left.mtime_ns)
        if is_truncated:
            # What the file holds from now on is another content, though it is the same file.
            identity = replace(present.part.identity(), inode=0)
            self._listed = -_LIST_S
        if not present.is_decided:
            columns = present.begun.columns if present.begun is not None else None
            self._note(f"empty {self._cursor.file}", identity, columns=columns)
        elif present.left is not None:
            self._note(f"left {self._cursor.file}", present.left)
        present.part.close()
        if self._spool is not None:
            self._spool.leave(identity.name)
        self._cursor, self._present = self._recognition.passed(self._cursor, identity), None

    def _next_name(self) -> str | None:
        """Return the file that comes behind this one: the one that was decided for, or the first that is there."""
        decided = self._decided(f"file {self._cursor.file + (self._present is not None)}")
        if decided is not None:
            return self._found_again(decided)
        if time.monotonic() - self._listed > (_LOOK_S if self._queue else _LIST_S):
            self._queue, self._listed = self._look(), time.monotonic()
        return self._queue[0] if self._queue else None

    def _found_again(self, decided: FileIdentity) -> str | None:
        """Return by what name a file goes now that came next before; None if it is not seen in this moment.

        It is known by its first rows; one that had none, by its number.
        """
        with contextlib.suppress(OSError):  # as a rule nothing happened to it
            is_it = Path(decided.name).stat().st_ino == decided.inode
            if is_it and (not decided.digest or self._recognition.holds(decided.name, decided)):
                self._missed = 0.0
                return decided.name
        found = self._files.listed(0, {decided.inode})
        for file in sorted(found, key=lambda one: (one.status.st_ino != decided.inode, one.name != decided.name)):
            if self._recognition.holds(file.name, decided) if decided.digest else file.status.st_ino == decided.inode:
                self._missed = 0.0
                return file.name
        if not self._missed:  # it may be renamed in this very moment
            self._missed = time.monotonic()
        elif time.monotonic() - self._missed > _QUIET_S:
            raise CursorError(
                f"{decided.name}: the file that came next is gone or changed, and rows of it may have been learned; "
                "put it back"
            )
        return None

    def _head(self, name: str, part: Part) -> FileIdentity:
        """Return what a file is known by later on: its first rows; its number alone, if these cannot be had."""
        if part.whole is not None:
            return part.whole
        status = part.status_now()
        # It may have been renamed since; most have not, and a place may hold many files.
        for called in chain([name], self._named(status.st_ino)):
            with contextlib.suppress(ConnectorError, OSError, pa.ArrowException):
                head = self._files.format(called).head(called)
                if head is not None and head.inode == status.st_ino:
                    return replace(head, name=name)
        return identify(name, status, 0, "")

    def _named(self, inode: int) -> Iterator[str]:
        """Yield by what names a file goes, by its number."""
        yield from (file.name for file in self._files.listed(0, {inode}) if file.status.st_ino == inode)

    def _pass_by_empty(self) -> bool:
        """Pass by a file that had no rows when its turn was, whatever became of it; tell whether it was one."""
        recalled = self._recalled(f"empty {self._cursor.file}")
        if recalled is None:
            return False
        identity, columns = recalled
        if columns is not None:
            self._notes.append(FileStart(self._cursor.row, identity.name, tuple(columns)))
        self._cursor = self._recognition.passed(self._cursor, identity)
        return True

    def _look(self) -> deque[str]:
        """Return the files that come next, and tell of those that came too late."""
        unread, too_late = self._recognition.unread(self._cursor, self._being_read())
        for file in too_late:
            self._tell_late(file.name)
        return deque(file.name for file in unread)

    def _being_read(self) -> BeingRead | None:
        if (present := self._present) is None:
            return None
        return BeingRead(present.part.identity(), present.part.status_now(), has_rows=present.is_decided)

    def _tell_late(self, name: str) -> None:
        """Tell, once, of a file that came later than those behind it in the order are known."""
        if self._decisions.recall(LASTING + name) is not None:
            return
        told = late(name, self._cursor.row)
        if not self._keeps_bad_rows:
            raise SourceError(f"{name}: {told.reason}; rename it, so that it comes last")
        self._decisions.note(told.row, LASTING + name, str(told.row))
        self._notes.append(told)

    def _next_present(self) -> _Present | None:
        """Open the file that comes next; None if there is none that can be read."""
        while self._pass_by_empty():
            pass
        name = self._next_name()
        if name is None:
            return None
        try:
            with foreign_errors(name):
                left_at = self._recognition.left_at(name, self._cursor.seen)
                part = self._opened_or_damaged(name, left_at)
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._listed = -_LIST_S  # it was renamed in this very moment
            return None
        if part is None:
            return None
        if part.columns:
            try:
                refuse_strangers(self._columns, part.columns, name)
            except ConnectorError:
                part.close()
                raise
        if name in self._queue:
            self._queue.remove(name)
        present = _Present(part, name, self._decisions.recall(f"file {self._cursor.file}") is not None)
        if left_at is None and part.columns:
            present.begun = file_start(name, part, self._cursor.row, self._known, self._files.format(name))
            self._notes.append(replace(present.begun, place=self._told(name)))
        return present

    def _opened_or_damaged(self, name: str, left_at: FileIdentity | None) -> Part | None:
        try:
            part = self._opened(name, left_at)
            if part is None and not self._is_being_written(name):
                part = self._opened(name, None, is_growing=False)
        except (RowError, SourceError) as error:
            if not self._keeps_bad_rows or is_unavailable(error):
                raise
            return DamagedPart(name, str(error).removeprefix(f"{name}: "), self._schema)
        return part

    def _is_being_written(self, name: str) -> bool:
        """Tell whether a file was written a moment ago: then there is something that comes."""
        status = Path(name).stat()
        age_s = time.time() - status.st_mtime
        written = (status.st_ino, status.st_size, status.st_mtime_ns)
        if written != self._written_last[0]:
            self._written_last = written, time.monotonic()
        # Clocks of other machines may be wrong: what is of the future is whole once nothing happened to it for a while.
        is_being_written = age_s <= _WHOLE_S and time.monotonic() - self._written_last[1] <= _WHOLE_S
        if is_being_written:
            self._came = time.monotonic()
        return is_being_written

    def _told(self, name: str) -> str:
        """Return what a file is called to people."""
        return name if self._spool is None else self._spool.told(name)

    def notes(self) -> list[Note]:
        """Return what is to be said of what lies behind the last row."""
        return self._notes

    def again(self) -> Cursor:
        """Refuse: what does not end has no second pass."""
        place = self._told(self._files.place)
        raise SchemaError(f"{place}: what is followed is read once; --epochs is for sources that end")

    def close(self) -> None:
        """Release the file, and whoever waits."""
        self._watch.close()
        present, self._present = self._present, None
        if present is not None:
            present.part.close()


def _telling(spool: Spool | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if spool is None else spool.telling()


def _has_rows(fact: FileFacts) -> bool:
    """Tell whether a file has rows: of one with a header alone no type is known."""
    return bool(fact.n_rows) or (fact.schema is not None and any(type_ != pa.null() for type_ in fact.schema.types))
