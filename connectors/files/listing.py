"""The files of a place that is followed, as they are there now, in their order."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from connectors.errors import SourceError, foreign_errors
from connectors.files.watcher import FileWatcher
from connectors.formats.base import Format
from connectors.formats.csv.text_stream import compression_of
from connectors.formats.file_cursor import FileIdentity
from connectors.stores.storage import Status

__all__ = ["Found", "Listing", "uncompressed"]

_TURN = "[0-9]{1,4}"  # what a rotated log is called by: a number, or a time
_TIMES = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[0-9T:._\-]*"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it is found in the place.

    Parameters
    ----------
    key
        Its place in the order: a time in nanoseconds, or 0 where names alone count, and its name within the place.
    name
        Its path.
    status
        What the system knows of it.
    """

    key: tuple[int, str]
    name: str
    status: Status


class Listing:
    """The files of a place, in their order.

    Parameters
    ----------
    place
        A folder, a pattern, or a file of text; with a file go those that bear its name with a number or a time, which
        it was before it was rotated.
    format_of
        Returns the format of a file, None for what is no data.
    order
        ``name``, or ``time``: of the last change, then name; the only one among rotated files.

    Raises
    ------
    SourceError
        There is no such place, or a file is of an unknown kind.
    """

    def __init__(self, place: str, format_of: Callable[[str], Format | None], order: str) -> None:
        self.place, self._format_of, self._order = place, format_of, order
        self._is_folder, self._is_pattern = Path(place).is_dir(), False
        if not self._is_folder and not Path(place).exists():
            self._is_pattern = glob.has_magic(place)
            if not self._is_pattern and not Path(place).parent.is_dir():
                raise SourceError(f"{place}: no such file or folder")
        self._is_file = not self._is_folder and not self._is_pattern
        fixed = place if not self._is_pattern else place[: glob_start(place)]
        self.root = os.path.join(place, "") if self._is_folder else fixed[: fixed.rfind(os.sep) + 1]  # noqa: PTH118
        if self._is_file:
            self.format(place)
        name, stem, end = (re.escape(one) for one in (Path(place).name, Path(place).stem, Path(place).suffix))
        self._rotated = re.compile(
            rf"{name}[.\-_](?:{_TIMES}|{_TURN}|old|prev)|{stem}[.\-_]{_TIMES}{end}|{stem}\.{_TURN}{end}"
        )

    def within(self, name: str) -> str:
        """Return what a file is called within the place: that stays, wherever the place is moved to."""
        return name.removeprefix(self.root)

    def moved(self, seen: tuple[FileIdentity, ...], name: str) -> tuple[FileIdentity, ...]:
        """Return files that were read, by their names in the place as it is called now, given that of the last."""
        before = seen[-1].name.removesuffix(self.within(name))
        if before == seen[-1].name or before == self.root:
            return seen
        return tuple(replace(one, name=self.root + one.name.removeprefix(before)) for one in seen)

    def format(self, name: str) -> Format:
        """Return how a file is read; a rotated one as the one that it was."""
        found = self._format_of(self.place if self._is_file else name)
        if found is None:
            raise SourceError(f"{name}: unknown kind of file")
        return found

    def place_of(self, identity: FileIdentity) -> tuple[int, str]:
        """Return the place in the order that a file had when it was read."""
        return self._place(identity.name, identity.mtime_ns)

    def _place(self, name: str, time_ns: int) -> tuple[int, str]:
        return (time_ns if self._order == "time" or self._is_file else 0, self.within(name))

    def compressed(self, newer_ns: int) -> list[Found]:
        """Return the parts of a log, if the place is one, that were compressed, and changed after a time."""
        if not self._is_file:
            return []
        with foreign_errors(self.place):
            siblings = [entry for entry in os.scandir(Path(self.place).parent) if compression_of(entry.name)]
            parts = [entry.path for entry in siblings if self._rotated.fullmatch(uncompressed(entry.name))]
            found = [self._found(path) for path in parts]
        return [file for file in found if file is not None and file.status.st_mtime_ns > newer_ns]

    def watch(self) -> FileWatcher:
        """Return what tells when something happens."""
        folder = Path(self.place)
        while not folder.is_dir() or glob.has_magic(str(folder)):
            folder = folder.parent
        return FileWatcher(str(folder), is_deep="**" in self.place)

    def listed(self, newer_ns: int | None = None, inodes: Collection[int] = ()) -> list[Found]:
        """Return the files; of one that is rotated those, too, that were changed at a time or later, or have a number.

        Parameters
        ----------
        newer_ns
            The time, in nanoseconds since 1970; ``None`` for the file alone.
        inodes
            The numbers of files that may go by any name now.
        """
        with foreign_errors(self.place):
            found = [self._found(name) for name in self._names(newer_ns is not None, inodes)]
        files = [file for file in found if file is not None]
        if self._is_file:
            files = [f for f in files if f.name == self.place or f.status.st_mtime_ns >= (newer_ns or 0)]
        return sorted(files, key=lambda file: file.key)

    def _names(self, with_rotated: bool, inodes: Collection[int]) -> list[str]:
        place = Path(self.place)
        if self._is_pattern:
            found = glob.glob(self.place, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            return [name for name in found if self._is_data(name)]
        if self._is_folder:
            names = [os.path.join(self.place, entry.name) for entry in os.scandir(place)]  # noqa: PTH118 - as given
            return [name for name in names if self._is_data(name)]
        if not with_rotated:
            return [self.place]
        siblings = [entry for entry in os.scandir(place.parent) if entry.name != place.name]
        rotated = [e.path for e in siblings if self._rotated.fullmatch(e.name) or e.inode() in inodes]
        return [self.place, *rotated]

    def _is_data(self, name: str) -> bool:
        return not Path(name).name.startswith((".", "_")) and self._format_of(name) is not None

    def _found(self, name: str) -> Found | None:
        try:
            status = Path(name).stat()
        except FileNotFoundError:  # it was renamed in this very moment
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        is_last = self._is_file and name == self.place
        return Found(self._place(name, 2**63 if is_last else status.st_mtime_ns), name, status)


def uncompressed(name: str) -> str:
    """Return what a file of text was called before it was compressed; its name, if it was not."""
    return name[: -len(Path(name).suffix)] if compression_of(name) else name


def glob_start(pattern: str) -> int:
    """Return where the first character of a pattern is that stands for others."""
    return min(found for sign in "*?[" if (found := pattern.find(sign)) >= 0)
