"""A position in a stream of files: the current file, and the identity of each file when its rows were read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from connectors.cursor import Cursor, checked_fields
from connectors.errors import CursorError

__all__ = ["FileCursor", "FileIdentity", "Horizon", "same_rows_before"]


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What identifies a file whose rows were read.

    Parameters
    ----------
    name
        The path as it was given to the source; the file may have moved since.
    size
        Size in bytes, as stored.
    mtime_ns, ctime_ns
        Times of the last change of content and of metadata, nanoseconds since 1970.
    inode
        The inode number of the file.
    offset
        How far it was read: a row for Parquet and Arrow, a byte of the uncompressed text for CSV and JSON lines.
    digest
        SHA-256, hexadecimal, of the bytes that identify the content read so far; the format decides which.
    version
        For an object in a store, a string that its store changes with the content; empty for a file on a disk.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    offset: int
    digest: str
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the identity as plain numbers and strings."""
        return {key: getattr(self, key) for key in _KEYS}

    @classmethod
    def from_json(cls, data: object) -> FileIdentity:
        """Rebuild an identity from plain values; raise a `CursorError` if they do not describe one."""
        if isinstance(data, dict):  # early builds read files on disks only
            data = {"version": "", **data}
        return cls(**checked_fields(cls, data, "cursor, file"))


_KEYS = [field.name for field in fields(FileIdentity)]


class Horizon(NamedTuple):
    """The upper bound of the files that were read and are no longer listed one by one.

    Parameters
    ----------
    time_ns, name
        The last position among them in the order of files: a time in nanoseconds, if files are ordered by time, and a
        name.
    written_ns
        When the newest of them was written, in nanoseconds since 1970.
    """

    time_ns: int = 0
    name: str = ""
    written_ns: int = 0

    @property
    def place(self) -> tuple[int, str]:
        """The last position in the order."""
        return self.time_ns, self.name

    def beyond(self, place: tuple[int, str], written_ns: int) -> Horizon:
        """Return the horizon with one more file."""
        return Horizon(*max(self.place, place), max(self.written_ns, written_ns))


_AT_THE_START = Horizon()


@dataclass(frozen=True, slots=True)
class FileCursor:
    """A cursor of a source that reads files, with its state as typed values.

    Parameters
    ----------
    row
        Number of rows before it in the stream, over all files.
    file
        Index of the file that holds the last applied row.
    seen
        Identity of each file up to the current one, which is read on from its offset; empty at the start. A followed
        source keeps only the last ones in the order. If a file was resumed, its newest identity is kept.
    before
        Identity of every file after the previous pass, since each pass must read the same rows; empty in the first.
    horizon
        For a followed source, the upper bound of the files that were read and are no longer in `seen`.

    Examples
    --------
    >>> FileCursor.from_cursor(Cursor.start()) == FileCursor(row=0)
    True
    """

    row: int
    file: int = 0
    seen: tuple[FileIdentity, ...] = ()
    before: tuple[FileIdentity, ...] = ()
    horizon: Horizon = _AT_THE_START

    def to_cursor(self) -> Cursor:
        """Return the cursor that a job keeps."""
        seen, before = ([one.to_json() for one in files] for files in (self.seen, self.before))
        state = {"file": self.file, "seen": seen, "before": before, "horizon": list(self.horizon)}
        return Cursor(self.row, state)

    @classmethod
    def from_cursor(cls, cursor: Cursor) -> FileCursor:
        """Read the state of a cursor.

        Raises
        ------
        CursorError
            It is not a state of files, or it lists an impossible number of files.
        """
        state = {"file": 0, "seen": [], "before": []} if cursor.state is None else cursor.state
        expected = {field.name for field in fields(cls)} - {"row"}
        if not isinstance(state, dict) or set(state) | {"horizon"} != expected:  # early builds had no horizon
            found = sorted(map(str, state)) if isinstance(state, dict) else state
            raise CursorError(
                f"cursor: its state does not describe files: expected an object with keys {sorted(expected)}, found "
                f"{found!r}; give the source of the checkpoint, or start over with --restart"
            )
        values = checked_fields(cls, {"horizon": list(_AT_THE_START), **state, "row": cursor.row}, "cursor")
        match values["horizon"]:
            case [int() as time_ns, str() as name, int() as written_ns]:
                values["horizon"] = Horizon(time_ns, name, written_ns)
            case other:
                raise CursorError(f"cursor: 'horizon' must be a time, a name and a time, found {other!r}")
        for key in ("seen", "before"):
            if not isinstance(values[key], list | tuple):
                raise CursorError(f"cursor: {key!r} must be a list of files, found {values[key]!r}")
            values[key] = tuple(map(FileIdentity.from_json, values[key]))
        found = cls(**values)
        # A followed source drops old files from the list, so fewer than expected is valid here. `FileSource`, which
        # drops none, checks the exact number.
        if found != cls(0, before=found.before) and not 0 < len(found.seen) <= found.file + 1:
            raise CursorError(
                f"cursor: in file {found.file} it must list between 1 and {found.file + 1} files, "
                f"found {len(found.seen)}"
            )
        return found

    @classmethod
    def at_last_file(cls, cursor: Cursor) -> FileCursor:
        """Read the state of a cursor, but only the last of its files: the cost does not grow with their number."""
        state = cursor.state
        if isinstance(state, dict) and isinstance(state.get("seen"), list):
            state = {**state, "seen": state["seen"][-1:], "before": []}
        return cls.from_cursor(Cursor(cursor.row, state))

    @property
    def last(self) -> FileIdentity | None:
        """The file that holds the last applied row; ``None`` at the start."""
        return self.seen[-1] if self.seen else None


def same_rows_before(one: Cursor, other: Cursor) -> bool:
    """Return whether the rows of files before two cursors are the same; files may have been touched or renamed."""
    contents = [[(file.offset, file.digest) for file in FileCursor.from_cursor(cursor).seen] for cursor in (one, other)]
    return one.row == other.row and contents[0] == contents[1]
