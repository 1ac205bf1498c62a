"""Where a stream stands: the next unapplied row, and what was known of the files up to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from connectors.errors import CursorError

__all__ = ["Cursor", "FileIdentity", "Horizon"]


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What was known of a file when rows were read from it.

    Parameters
    ----------
    name
        The path as it was given to the source; a file may move.
    size
        Size in bytes, as stored.
    mtime_ns, ctime_ns
        Times of the last change of content and of metadata, nanoseconds since 1970.
    inode
        The number of the file in its file system.
    offset
        How far it was read: a row for Parquet and memory, a byte (uncompressed) for CSV.
    digest
        SHA-256, hexadecimal, of what the format says identifies the content read so far.
    version
        Of an object in a store, what its store says differs from that of any other content; empty of a file on a disk.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    offset: int
    digest: str
    version: str = ""

    @classmethod
    def from_json(cls, data: object) -> FileIdentity:
        """Rebuild an identity from plain values; a `CursorError` if they are none."""
        if isinstance(data, dict):  # files were on disks once
            data = {"version": "", **data}
        return cls(**_checked(cls, data, "cursor, file"))


class Horizon(NamedTuple):
    """How far files reach that were read and are not known one by one any more.

    Parameters
    ----------
    time_ns, name
        The last place of one in the order of files: a time, where that counts, in nanoseconds; and its name.
    written_ns
        When the last of them was written, in nanoseconds since 1970.
    """

    time_ns: int = 0
    name: str = ""
    written_ns: int = 0

    @property
    def place(self) -> tuple[int, str]:
        """The last place in the order."""
        return self.time_ns, self.name

    def beyond(self, place: tuple[int, str], written_ns: int) -> Horizon:
        """Return the horizon with one more file."""
        return Horizon(*max(self.place, place), max(self.written_ns, written_ns))


_AT_THE_START = Horizon()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of the next unapplied row.

    Parameters
    ----------
    row
        Rows before it in the stream, over all files.
    file
        Index of the file that holds the last applied row.
    seen
        Identity of each file up to and including the current one, which is read on from its offset; empty at the start.
        Of a source without end, of those that come last in the order, and of one that was gone on with as it was last.
    before
        Identity of every file as the pass before this one left it, since each pass reads the same rows; empty in the
        first.
    horizon
        Of a source without end, how far the files reach that were read and that `seen` does not know any more.

    Examples
    --------
    >>> Cursor.from_json(Cursor.start().to_json()) == Cursor.start()
    True
    """

    row: int
    file: int
    seen: tuple[FileIdentity, ...]
    before: tuple[FileIdentity, ...] = ()
    horizon: Horizon = _AT_THE_START

    @classmethod
    def start(cls, before: tuple[FileIdentity, ...] = ()) -> Cursor:
        """Return the position before the first row: of any source, or of the one that a pass before this one read."""
        return cls(row=0, file=0, seen=(), before=before)

    def is_after_the_rows_of(self, other: Cursor) -> bool:
        """Tell whether the same rows lie before two cursors, as far as identities tell; files may have been touched."""
        contents = [[(file.offset, file.digest) for file in cursor.seen] for cursor in (self, other)]
        return self.row == other.row and contents[0] == contents[1]

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as plain numbers, strings, lists and dicts."""
        files = {key: [asdict(file) for file in getattr(self, key)] for key in ("seen", "before")}
        return {**asdict(self), **files, "horizon": list(self.horizon)}

    @classmethod
    def from_json(cls, data: object) -> Cursor:
        """Rebuild a cursor from `to_json`, or from its way through JSON.

        Raises
        ------
        CursorError
            A key is missing, unknown or of the wrong type; a number is negative; the files do not add up.
        """
        if isinstance(data, dict):  # what ends had no horizon once
            data = {"horizon": [0, "", 0], **data}
        values = _checked(cls, data, "cursor")
        match values["horizon"]:
            case [int() as time_ns, str() as name, int() as written_ns]:
                values["horizon"] = Horizon(time_ns, name, written_ns)
            case other:
                raise CursorError(f"cursor: 'horizon' should be a time, a name and a time, found {other!r}")
        for key in ("seen", "before"):
            if not isinstance(values[key], list | tuple):
                raise CursorError(f"cursor: {key!r} should be a list of files, found {values[key]!r}")
            values[key] = tuple(map(FileIdentity.from_json, values[key]))
        cursor = cls(**values)
        # Of a source without end not all are known; whether there should be more, a source that ends can tell.
        if cursor != cls.start(cursor.before) and not 0 < len(cursor.seen) <= cursor.file + 1:
            raise CursorError(
                f"cursor: it stands in file {cursor.file} and knows at most {cursor.file + 1}, found {len(cursor.seen)}"
            )
        return cursor


def _checked(kind: type[Cursor | FileIdentity], data: object, what: str) -> dict[str, Any]:
    """Return `data` as keyword arguments for `kind`, every key and every plain value checked."""
    expected = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(data, dict) or set(data) != set(expected):
        found = sorted(map(str, data)) if isinstance(data, dict) else data
        raise CursorError(f"{what}: expected an object with the keys {sorted(expected)}, found {found!r}")
    for key, value in data.items():
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        # A clock may be set before 1970, so the two times alone may be negative.
        is_time = key.endswith("_ns") and type(value) is int
        if expected[key] == "int" and not (is_count or is_time):
            raise CursorError(f"{what}: {key!r} should be a whole number from 0 up, found {value!r}")
        if expected[key] == "str" and not isinstance(value, str):
            raise CursorError(f"{what}: {key!r} should be a string, found {value!r}")
    return dict(data)
