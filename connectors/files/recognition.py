"""Recognise which files of a followed place were read: by inode number, name and time, and finally by content.

A file may be renamed, touched, copied, compressed, or replaced by a copy. It may grow. Another file may get its name,
its inode number, or its time. If these do not decide, the content is compared, as far as it was read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from connectors.errors import ContinuedError, CursorError, SourceError
from connectors.events import BadRow
from connectors.files.listing import Found, Listing, uncompressed
from connectors.formats.file_cursor import FileCursor, FileIdentity
from connectors.stores.storage import Status

__all__ = ["BeingRead", "Recognition", "late"]

_KEPT = 256  # files that a cursor lists
_COMPRESSED = 16  # newest files that a compressed part of a log is compared with; an older part has an older time


@dataclass(frozen=True, slots=True)
class BeingRead:
    """The file that is being read.

    Parameters
    ----------
    identity
        Its identity, up to where it was read.
    status
        Its present status.
    has_rows
        Whether it had any rows.
    """

    identity: FileIdentity
    status: Status
    has_rows: bool


class Recognition:
    """Finds out which files of a place were read.

    Parameters
    ----------
    files
        The place.
    may_be_renamed
        Whether files may be renamed. If not, the offset in a file is looked up by its name alone. The system reuses
        inode numbers after a removal, so files with equal rows could be confused.
    """

    def __init__(self, files: Listing, *, may_be_renamed: bool = True) -> None:
        self._files, self._may_be_renamed = files, may_be_renamed
        self._finished: set[tuple[int, int, int]] = set()
        self._there: set[int | str] | None = None

    def passed(self, cursor: FileCursor, identity: FileIdentity) -> FileCursor:
        """Return the cursor after one more file; the list drops the first files in the order if it is too long."""
        is_new = (identity.inode, identity.name) if identity.inode else None
        seen, horizon = [one for one in cursor.seen if (one.inode, one.name) != is_new], cursor.horizon
        while len(seen) >= _KEPT:
            first = min(range(len(seen)), key=lambda i: self._files.place_of(seen[i]))
            one = seen.pop(first)
            horizon = horizon.beyond(self._files.place_of(one), one.mtime_ns)
        return replace(cursor, seen=(*seen, identity), file=cursor.file + 1, horizon=horizon)

    def unread(self, cursor: FileCursor, present: BeingRead | None) -> tuple[list[Found], list[Found]]:
        """List the place, and return the files to read.

        Parameters
        ----------
        cursor
            The position, with the files that were read before.
        present
            The file that is being read; ``None`` if there is none.

        Returns
        -------
        unread : list of Found
            The files that were not read, or not to their end, in order.
        late : list of Found
            Files that appeared after later ones in the order had been read and dropped from the list.

        Raises
        ------
        SourceError
            A part of a log was compressed before it was read.
        """
        seen, horizon = cursor.seen, cursor.horizon
        read = [*seen, present.identity] if present is not None else [*seen]
        times = [identity.mtime_ns for identity in seen or read]
        listed = self._files.listed(max(times, default=None), {identity.inode for identity in seen})
        if present is not None:
            times.append(present.status.st_mtime_ns)
        compressed = self._files.compressed(max(times, default=0))
        if self._there is None and not seen:  # parts that were compressed before the first row are not in the stream
            self._finished |= {_mark(file.status) for file in compressed}
        self._refuse_unread(compressed, seen, present)
        known = {key for identity in seen for key in (identity.inode, identity.name)}
        by_size = {(key, one.size): one for one in seen for key in (one.inode, one.name)}
        by_name = {one.name: one for one in read}
        unread, too_late = [], []
        for file in listed:
            if present is not None and _is_same(file.status, present.status):
                continue
            if file.key > horizon.place or file.status.st_ino in known or file.name in known:
                if not self._is_finished(file, by_size, by_name):
                    unread.append(file)
            elif file.status.st_mtime_ns > horizon.written_ns or self._has_come(file):
                too_late.append(file)
        self._there = {key for file in listed for key in (file.status.st_ino, file.name)}
        # Drop files that are gone: otherwise the set would grow with the stream.
        self._finished &= {_mark(file.status) for file in (*listed, *compressed)}
        return unread, too_late

    def _refuse_unread(
        self, compressed: Sequence[Found], seen: Sequence[FileIdentity], present: BeingRead | None
    ) -> None:
        """Refuse compressed parts of a log, unless they hold a file that was read lately, or is being read."""
        for file in compressed:
            if _mark(file.status) in self._finished:
                continue
            is_present = present is not None and present.has_rows and self.holds(file.name, present.identity)
            read = reversed(seen[-_COMPRESSED:])
            if not is_present and not any(self.holds(file.name, one, may_grow=False) for one in read):
                raise SourceError(
                    f"{file.name}: this part of the log was compressed before it was read; decompress it, or move it "
                    "away to leave it out"
                )
            self._finished.add(_mark(file.status))

    def _has_come(self, file: Found) -> bool:
        """Return whether a file is new since the last listing: neither renamed nor compressed since."""
        there = self._there
        return there is not None and there.isdisjoint({file.status.st_ino, file.name, uncompressed(file.name)})

    def _is_finished(
        self, file: Found, by_size: Mapping[tuple[int | str, int], FileIdentity], by_name: Mapping[str, FileIdentity]
    ) -> bool:
        """Return whether a file was read to its end, and has not been written since.

        It may have been renamed, touched, compressed, or replaced by a copy. A file with another name and another time
        is another file, even with the same inode number: the system reuses these numbers.
        """
        status, plain = file.status, uncompressed(file.name)
        if _mark(status) in self._finished:
            return True
        found = (by_size.get((key, status.st_size)) for key in (status.st_ino, file.name))
        is_finished = any(identity is not None and self._was_read(file, identity) for identity in found)
        if not is_finished and plain != file.name and (identity := by_name.get(plain)) is not None:
            is_finished = self.holds(file.name, identity, may_grow=False)
        if is_finished:
            self._finished.add(_mark(status))
        return is_finished

    def _was_read(self, file: Found, identity: FileIdentity) -> bool:
        status = file.status
        if identity.mtime_ns == status.st_mtime_ns and identity.inode == status.st_ino:
            return True
        if identity.name != file.name:
            return False
        # If the place was copied before this run, every inode number differs, but times are the same. During the run
        # another inode number means that the file was replaced, so compare its content.
        is_copy = self._there is None and identity.mtime_ns == status.st_mtime_ns
        return is_copy or self.holds(file.name, identity)

    def left_at(self, name: str, seen: Sequence[FileIdentity]) -> FileIdentity | None:
        """Return the identity of what was read of this file before.

        It may have been compressed since, or it may be the copy of a log that was then truncated. None for a new file.
        """
        status = Path(name).stat()
        for identity in reversed(seen):
            # An equal inode number proves little: the system reuses the number of a removed file.
            is_it = name == identity.name or (self._may_be_renamed and status.st_ino == identity.inode)
            is_same_time = identity.mtime_ns == status.st_mtime_ns
            has_grown = status.st_size > identity.size
            is_like_it = has_grown or (status.st_size == identity.size and (is_same_time or name == identity.name))
            is_compressed = identity.name == uncompressed(name) != name
            if ((is_it and is_like_it) or is_compressed) and self.holds(name, identity):
                return identity
        truncated = next((identity for identity in reversed(seen) if not identity.inode), None)
        return truncated if truncated is not None and self.holds(name, truncated) else None

    def holds(self, name: str, identity: FileIdentity, *, may_grow: bool = True) -> bool:
        """Return whether a file begins with the content of an identity, and ends there unless it may have grown."""
        try:
            self._files.format(name).compare(name, identity, may_grow=may_grow)
        except ContinuedError:
            raise
        except (CursorError, OSError):
            return False
        return True


def late(name: str, row: int) -> BadRow:
    """Return the event for a file that came too late; `row` is the number of rows before that was found."""
    reason = f"the file appeared after {_KEPT} later files in the order had been read, and is skipped"
    return BadRow(row, name, 0, "late", reason, b"", n_rows=0)


def _mark(status: Status) -> tuple[int, int, int]:
    """Return what stays the same while a file is not written: inode number, size and time."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_same(one: Status, other: Status) -> bool:
    """Return whether two statuses belong to the same file."""
    return isinstance(one, os.stat_result) and isinstance(other, os.stat_result) and os.path.samestat(one, other)
