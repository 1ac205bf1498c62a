"""What was decided about the files of a place that is followed: which one came next, and where one was left."""

from __future__ import annotations

import json
from typing import Any

from connectors.decisions import LASTING, Decisions
from connectors.errors import CursorError
from connectors.events import BadRow
from connectors.files.recognition import late
from connectors.formats.file_cursor import FileIdentity

__all__ = ["FileDecisions"]


class FileDecisions:
    """Decisions about files, written down before anything follows from them.

    Files are counted from 0, in the order in which they are read.

    Parameters
    ----------
    decisions
        Where they are kept.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    def came_next(self, number: int) -> FileIdentity | None:
        """Return the file of a number, as its first rows were; None if it was not decided."""
        return self._file(f"file {number}")

    def note_next(self, row: int, number: int, identity: FileIdentity) -> None:
        """Keep which file has a number; `row` rows of the stream lie before it."""
        self._note(row, f"file {number}", identity)

    def left(self, number: int) -> FileIdentity | None:
        """Return how the file of a number was when it was left, and where it ended then; None if it was not."""
        return self._file(f"left {number}")

    def note_left(self, row: int, number: int, identity: FileIdentity) -> None:
        """Keep how a file was left."""
        self._note(row, f"left {number}", identity)

    def empty(self, number: int) -> tuple[FileIdentity, Any] | None:
        """Return a file that had no rows when its turn was, with its columns if it had some; None if it had rows."""
        return self._recalled(f"empty {number}")

    def note_empty(self, row: int, number: int, identity: FileIdentity, columns: tuple[str, ...] | None) -> None:
        """Keep that a file had no rows."""
        self._note(row, f"empty {number}", identity, columns=columns)

    def late(self, row: int) -> list[BadRow]:
        """Return what was said of files that came too late, from a row on."""
        names = [name for name in self._decisions.names() if name.startswith(LASTING)]
        told = [(name.removeprefix(LASTING), int(self._decisions.recall(name) or 0)) for name in names]
        return [late(name, at) for name, at in told if at >= row]

    def is_late(self, name: str) -> bool:
        """Tell whether it was said that a file came too late."""
        return self._decisions.recall(LASTING + name) is not None

    def note_late(self, row: int, name: str) -> None:
        """Keep that a file came too late."""
        self._decisions.note(row, LASTING + name, str(row))

    def _file(self, key: str) -> FileIdentity | None:
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

    def _note(self, row: int, key: str, identity: FileIdentity, **more: object) -> None:
        """Write a decision down, unless it was."""
        if self._decisions.recall(key) is None:
            self._decisions.note(row, key, json.dumps({**identity.to_json(), **more}))
