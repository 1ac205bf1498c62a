"""Choose the next file of a followed place: the one in the decisions, or the first unread one."""

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
    """The next files, in order.

    Parameters
    ----------
    files
        The place.
    recognition
        Finds the files that were not read yet.
    decisions
        Decisions about files.
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
        """List the place at the next request for a file, even if it was listed a moment ago."""
        self._listed = -intervals.LIST_S

    def next_name(self, cursor: FileCursor, present: OpenFile | None) -> str | None:
        """Return the file after the current one; None if there is none yet."""
        decided = self._decisions.came_next(cursor.file + (present is not None))
        if decided is not None:
            return self._found_again(decided)
        if time.monotonic() - self._listed > (intervals.LOOK_S if self._names else intervals.LIST_S):
            self._names, self._listed = self._look(cursor, present), time.monotonic()
        return self._names[0] if self._names else None

    def take(self, name: str) -> None:
        """Remove a file from the queue, since it is being read."""
        if name in self._names:
            self._names.remove(name)

    def take_late(self) -> list[BadRow]:
        """Return the events of files that came too late, each of them once."""
        found, self._late = self._late, []
        return found

    def _look(self, cursor: FileCursor, present: OpenFile | None) -> deque[str]:
        """Return the unread files, and store which files came too late."""
        reading = None
        if present is not None:
            reading = BeingRead(present.reader.identity(), present.reader.status_now(), has_rows=present.is_decided)
        unread, too_late = self._recognition.unread(cursor, reading)
        for file in too_late:
            self._note_late(file.name, cursor.row)
        return deque(file.name for file in unread)

    def _note_late(self, name: str, row: int) -> None:
        """Store, once, that a file came after later ones in the order had been read and dropped from the list."""
        if self._decisions.is_late(name):
            return
        found = late(name, row)
        if not self._keeps_bad_rows:
            raise SourceError(f"{name}: {found.reason}; rename it so that it is last in the order")
        self._decisions.note_late(row, name)
        self._late.append(found)

    def _found_again(self, decided: FileIdentity) -> str | None:
        """Return the present name of a file in the decisions; None if it is not visible at this moment.

        A file is recognised by its first rows, or by its inode number if it had no rows.
        """
        with contextlib.suppress(OSError):  # usually the file has neither moved nor changed
            is_it = Path(decided.name).stat().st_ino == decided.inode
            if is_it and (not decided.digest or self._recognition.holds(decided.name, decided)):
                self._missed = 0.0
                return decided.name
        found = self._files.listed(0, {decided.inode})
        for file in sorted(found, key=lambda one: (one.status.st_ino != decided.inode, one.name != decided.name)):
            if self._recognition.holds(file.name, decided) if decided.digest else file.status.st_ino == decided.inode:
                self._missed = 0.0
                return file.name
        if not self._missed:  # another process may be renaming it, so wait before it counts as gone
            self._missed = time.monotonic()
        elif time.monotonic() - self._missed > intervals.QUIET_S:
            raise CursorError(
                f"{decided.name}: the next file is gone or changed, and rows of it may have been learned; put it back"
            )
        return None
