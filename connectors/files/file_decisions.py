"""Decisions about the files of a followed place: which file came next, and where each one was left."""

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
    """Decisions about files, stored before they take effect.

    Files are counted from 0, in the order in which they are read.

    Parameters
    ----------
    decisions
        Where the decisions are stored.
    """

    # The keys "file", "left" and "empty" are in decision logs on disk: they are part of a file format.

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    def came_next(self, number: int) -> FileIdentity | None:
        """Return the file with an index, identified by its first rows; None if it was not decided."""
        return self._file(f"file {number}")

    def note_next(self, row: int, number: int, identity: FileIdentity) -> None:
        """Store which file has an index; `row` is the number of rows before it in the stream."""
        self._note(row, f"file {number}", identity)

    def left(self, number: int) -> FileIdentity | None:
        """Return the file with an index as it was when it was left, with its end then; None if it was not left."""
        return self._file(f"left {number}")

    def note_left(self, row: int, number: int, identity: FileIdentity) -> None:
        """Store the identity of a file when it was left."""
        self._note(row, f"left {number}", identity)

    def empty(self, number: int) -> tuple[FileIdentity, Any] | None:
        """Return a file that had no rows at its turn, with its columns if it had any; None if it had rows."""
        return self._recalled(f"empty {number}")

    def note_empty(self, row: int, number: int, identity: FileIdentity, columns: tuple[str, ...] | None) -> None:
        """Store that a file had no rows."""
        self._note(row, f"empty {number}", identity, columns=columns)

    def late(self, row: int) -> list[BadRow]:
        """Return the events of files that came too late, from a row onwards."""
        names = [name for name in self._decisions.names() if name.startswith(LASTING)]
        told = [(name.removeprefix(LASTING), int(self._decisions.recall(name) or 0)) for name in names]
        return [late(name, at) for name, at in told if at >= row]

    def is_late(self, name: str) -> bool:
        """Return whether a file was already reported as too late."""
        return self._decisions.recall(LASTING + name) is not None

    def note_late(self, row: int, name: str) -> None:
        """Store that a file came too late."""
        self._decisions.note(row, LASTING + name, str(row))

    def _file(self, key: str) -> FileIdentity | None:
        recalled = self._recalled(key)
        return recalled and recalled[0]

    def _recalled(self, key: str) -> tuple[FileIdentity, Any] | None:
        """Return the file of a decision, and the columns stored with it."""
        decision = self._decisions.recall(key)
        if decision is None:
            return None
        try:
            noted = json.loads(decision)
            columns = noted.pop("columns", None)
            return FileIdentity.from_json(noted), columns
        except (AttributeError, CursorError, TypeError, ValueError) as error:
            raise CursorError(f"decision log: the entry {key!r} cannot be read, found {decision[:200]!r}") from error

    def _note(self, row: int, key: str, identity: FileIdentity, **more: object) -> None:
        """Store a decision, unless it is stored already."""
        if self._decisions.recall(key) is None:
            self._decisions.note(row, key, json.dumps({**identity.to_json(), **more}))
