"""List the present files of a followed place, in order."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from connectors.errors import SourceError, foreign_errors
from connectors.files.expansion import FolderScanner, root_of
from connectors.files.watcher import FileWatcher
from connectors.formats.base import Format
from connectors.formats.file_cursor import FileIdentity
from connectors.formats.kinds import compression_of
from connectors.formats.partitions import PartitionColumns
from connectors.stores.storage import Status

__all__ = ["Found", "Listing", "uncompressed"]

_TURN = "[0-9]{1,4}"  # a rotated log is named by a number (`log.csv.1`), or by a time (`log-20240131.csv`)
_TIMES = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[0-9T:._\-]*"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was found in the place.

    Parameters
    ----------
    key
        Its position in the order: a time in nanoseconds (0 if files are ordered by name), and its name within the
        place.
    name
        Its path.
    status
        Its status.
    """

    key: tuple[int, str]
    name: str
    status: Status


class Listing:
    """The files of a place, in order.

    Parameters
    ----------
    place
        A folder, a pattern, or a text file. A text file includes its rotated files: those with its name and a number or
        a time.
    format_of
        Returns the format of a file; None for a file that is not data.
    order
        Order of files: ``name``, or ``time`` (of the last change, then name). Rotated files are always ordered by time.
        The name is the path within the place.
    exclude
        Folders that are skipped.
    has_partitions
        Whether names of folders give columns.

    Raises
    ------
    SourceError
        The place does not exist, or a file type is unknown.
    """

    def __init__(
        self,
        place: str,
        format_of: Callable[[str], Format | None],
        order: str,
        *,
        exclude: Collection[str] = (),
        has_partitions: bool = True,
    ) -> None:
        self.place, self._format_of, self._order = place, format_of, order
        self._is_folder, self._is_pattern = Path(place).is_dir(), False
        if not self._is_folder and not Path(place).exists():
            self._is_pattern = glob.has_magic(place)
            if not self._is_pattern and not Path(place).parent.is_dir():
                raise SourceError(f"{place}: no such file or folder")
        self._is_file = not self._is_folder and not self._is_pattern
        self.root = root_of(place)
        self._columns = PartitionColumns(self.root if has_partitions else None)
        self._scanner = FolderScanner(place, lambda name: format_of(name) is not None, exclude, may_change=True)
        if self._is_file:
            self.format(place)
        name, stem, end = (re.escape(one) for one in (Path(place).name, Path(place).stem, Path(place).suffix))
        self._rotated = re.compile(
            rf"{name}[.\-_](?:{_TIMES}|{_TURN}|old|prev)|{stem}[.\-_]{_TIMES}{end}|{stem}\.{_TURN}{end}"
        )

    def within(self, name: str) -> str:
        """Return the name of a file within the place; it stays the same if the place is moved."""
        return name.removeprefix(self.root)

    def moved(self, seen: tuple[FileIdentity, ...], name: str) -> tuple[FileIdentity, ...]:
        """Return the files that were read, with paths in the present place; `name` is the present path of the last."""
        before = seen[-1].name.removesuffix(self.within(name))
        if before == seen[-1].name or before == self.root:
            return seen
        return tuple(replace(one, name=self.root + one.name.removeprefix(before)) for one in seen)

    def format(self, name: str) -> Format:
        """Return the format of a file; a rotated file has the format of its log."""
        found = self._format_of(self.place if self._is_file else name)
        if found is None:
            raise SourceError(f"{name}: unknown file type")
        return self._columns.wrap(found)

    def place_of(self, identity: FileIdentity) -> tuple[int, str]:
        """Return the position in the order that a file had when it was read."""
        return self._place(identity.name, identity.mtime_ns)

    def _place(self, name: str, time_ns: int) -> tuple[int, str]:
        return (time_ns if self._order == "time" or self._is_file else 0, self.within(name))

    def compressed(self, newer_ns: int) -> list[Found]:
        """Return compressed rotated files that were changed after a time, if the place is a log."""
        if not self._is_file:
            return []
        with foreign_errors(self.place):
            siblings = [entry for entry in os.scandir(Path(self.place).parent) if compression_of(entry.name)]
            parts = [entry.path for entry in siblings if self._rotated.fullmatch(uncompressed(entry.name))]
            found = [self._found(path) for path in parts]
        return [file for file in found if file is not None and file.status.st_mtime_ns > newer_ns]

    def watch(self) -> FileWatcher:
        """Return a watcher that reports changes in the place."""
        folder = Path(self.place)
        while not folder.is_dir() or glob.has_magic(str(folder)):
            folder = folder.parent
        return FileWatcher(str(folder), is_deep=self._is_folder or os.sep in self.place[len(self.root) :])

    def listed(self, newer_ns: int | None = None, inodes: Collection[int] = ()) -> list[Found]:
        """Return the files; for a log, also rotated files that are new enough or have one of some inode numbers.

        Parameters
        ----------
        newer_ns
            Rotated files must have been changed at this time or later, in nanoseconds since 1970; ``None`` for the log
            alone.
        inodes
            Inode numbers of files that may have any name now.
        """
        with foreign_errors(self.place):
            found = [self._found(name) for name in self._names(newer_ns is not None, inodes)]
        files = [file for file in found if file is not None]
        if self._is_file:
            files = [f for f in files if f.name == self.place or f.status.st_mtime_ns >= (newer_ns or 0)]
        return sorted(files, key=lambda file: file.key)

    def _names(self, with_rotated: bool, inodes: Collection[int]) -> list[str]:
        place = Path(self.place)
        if not self._is_file:
            return self._noted(self._scanner.files())
        if not with_rotated:
            return self._noted([self.place])
        siblings = [entry for entry in os.scandir(place.parent) if entry.name != place.name]
        rotated = [e.path for e in siblings if self._rotated.fullmatch(e.name) or e.inode() in inodes]
        return self._noted([self.place, *rotated])

    def _noted(self, names: list[str]) -> list[str]:
        """Return the names, once the columns that their folders give are known."""
        for name in names:
            self._columns.note(name)
        return names

    def _found(self, name: str) -> Found | None:
        try:
            status = Path(name).stat()
        except FileNotFoundError:  # it was renamed or removed after the folder was listed
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        is_last = self._is_file and name == self.place  # a log follows all its rotated files, whatever its time
        return Found(self._place(name, 2**63 if is_last else status.st_mtime_ns), name, status)


def uncompressed(name: str) -> str:
    """Return the name of a text file before compression; its own name if it is not compressed."""
    return name[: -len(Path(name).suffix)] if compression_of(name) else name
