"""Which file of a place that is followed comes next: the one that was decided for, or the first that was not read."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from pathlib import Path

from connectors.errors import CursorError, SourceError
from connectors.events import BadRow
from connectors.files import intervals
from connectors.files.file_decisions import FileDecisions
from connectors.files.listing import Listing
from connectors.files.open_file import OpenFile
from connectors.files.recognition import BeingRead, Recognition, late
from connectors.formats.file_cursor import FileCursor, FileIdentity

__all__ = ["FileQueue"]


class FileQueue:
    """The files that come next, in their order.

    Parameters
    ----------
    files
        The place.
    recognition
        Tells which of its files were read.
    decisions
        What was decided about files.
    keeps_bad_rows
        Whether a file that comes too late is a bad row, instead of an error.
    """

    def __init__(
        self, files: Listing, recognition: Recognition, decisions: FileDecisions, *, keeps_bad_rows: bool
    ) -> None:
        self._files, self._recognition, self._decisions = files, recognition, decisions
        self._keeps_bad_rows = keeps_bad_rows
        self._names: deque[str] = deque()
        self._late: list[BadRow] = []
        self._listed = -intervals.LIST_S
        self._missed = 0.0

    def __len__(self) -> int:
        return len(self._names)

    def look_again(self) -> None:
        """Look at the place when the next file is asked for, however short ago that was done."""
        self._listed = -intervals.LIST_S

    def next_name(self, cursor: FileCursor, present: OpenFile | None) -> str | None:
        """Return the file that comes after the present one; None if there is none yet."""
        decided = self._decisions.came_next(cursor.file + (present is not None))
        if decided is not None:
            return self._found_again(decided)
        if time.monotonic() - self._listed > (intervals.LOOK_S if self._names else intervals.LIST_S):
            self._names, self._listed = self._look(cursor, present), time.monotonic()
        return self._names[0] if self._names else None

    def take(self, name: str) -> None:
        """Take a file out, since it is being read."""
        if name in self._names:
            self._names.remove(name)

    def take_late(self) -> list[BadRow]:
        """Return what is to be said of files that came too late, once."""
        found, self._late = self._late, []
        return found

    def _look(self, cursor: FileCursor, present: OpenFile | None) -> deque[str]:
        """Return the files that come next, and note those that came too late."""
        reading = None
        if present is not None:
            reading = BeingRead(present.reader.identity(), present.reader.status_now(), has_rows=present.is_decided)
        unread, too_late = self._recognition.unread(cursor, reading)
        for file in too_late:
            self._note_late(file.name, cursor.row)
        return deque(file.name for file in unread)

    def _note_late(self, name: str, row: int) -> None:
        """Note, once, that a file came after later ones in the order were read and forgotten."""
        if self._decisions.is_late(name):
            return
        found = late(name, row)
        if not self._keeps_bad_rows:
            raise SourceError(f"{name}: {found.reason}; rename it, so that it comes last")
        self._decisions.note_late(row, name)
        self._late.append(found)

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
        elif time.monotonic() - self._missed > intervals.QUIET_S:
            raise CursorError(
                f"{decided.name}: the file that came next is gone or changed, and rows of it may have been learned; "
                "put it back"
            )
        return None
