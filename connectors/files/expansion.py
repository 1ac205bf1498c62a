"""Expand a place to its files: folders with folders, patterns, links, and names that are not data.

The files of a place are sorted by their path, compared as text: ``a.csv``, ``day1/part-0.csv``, ``z.csv``. A file or
folder whose name begins with ``.`` or ``_`` is not data. A folder of a table format is refused, see `files.tables`.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.errors import SourceError, foreign_errors
from connectors.files.tables import is_partition, refuse_table, table_among, table_in, table_of
from connectors.stores.address import is_address, redact
from connectors.stores.storage import Matches, Storage
from connectors.suggestions import nearest

__all__ = ["Expansion", "FolderScanner", "expand", "is_hidden", "root_of"]

Entry = tuple[str, "os.DirEntry[str]"]  # its path and itself
Ancestors = tuple[tuple[int, int], ...]  # device and inode number of folders

_NAMED = 5  # files that a message names, where none is data


@dataclass(frozen=True, slots=True)
class Expansion:
    """The files of one place.

    Parameters
    ----------
    names
        Their names, in the order of the stream.
    root
        The part of the names up to the folder of the place, with its ``/``.
    remarks
        Lines about what was skipped.
    """

    names: Sequence[str]
    root: str
    remarks: Sequence[str] = ()


def is_hidden(name: str) -> bool:
    """Return whether the name of a file or folder says that it is not data."""
    return name.startswith((".", "_"))


def root_of(place: str) -> str:
    """Return the part of the names of a local place's files up to its folder, with its ``/``."""
    if os.path.isdir(place):  # noqa: PTH112 - as fast as possible
        return os.path.join(place, "")  # noqa: PTH118 - keeps "./" as given
    fixed = place
    if not os.path.lexists(place) and glob.has_magic(place):
        fixed = place[: min(at for sign in "*?[" if (at := place.find(sign)) >= 0)]
    return fixed[: fixed.rfind(os.sep) + 1]


def expand(
    place: str, storage: Storage, is_data: Callable[[str], bool], supported: str, exclude: Collection[str] = ()
) -> Expansion:
    """Return the files of one place.

    Parameters
    ----------
    place
        A file, a folder, a pattern, or an address.
    storage
        Where the files are.
    is_data
        Returns whether the name of a file has a supported ending.
    supported
        The supported endings, for messages.
    exclude
        Local folders that are skipped, such as the folder of the job's own output.

    Raises
    ------
    SourceError
        There is no such place, no data in it, or it is a table.
    """
    if is_address(place):
        return _expand_address(place, storage, is_data, supported)
    if os.path.isdir(place):  # noqa: PTH112
        return FolderScanner(place, is_data, exclude).expansion(supported)
    if os.path.exists(place):  # noqa: PTH110
        if not is_data(place):
            raise SourceError(f"{place}: unknown file type; supported: {supported}")
        root = root_of(place)
        return Expansion([place], root, _of_table(root or "."))
    if os.path.islink(place):  # noqa: PTH114
        raise _dangling(place)
    if glob.has_magic(place):
        return FolderScanner(place, is_data, exclude).expansion(supported)
    path = Path(place)
    with foreign_errors(str(path.parent)):
        siblings = os.listdir(path.parent) if path.parent.is_dir() else []  # noqa: PTH208
    raise SourceError(f"{place}: no such file or folder{nearest(path.name, siblings)}")


def _refuse_part_of_table(folder: str) -> None:
    if (table := table_of(folder)) is not None:
        raise refuse_table(*table)


def _of_table(folder: str) -> list[str]:
    """Return a remark about a file that is named directly, if its folder belongs to a table."""
    if (table := table_of(folder)) is None:
        return []
    return [f"{table[0]}: a file of this {table[1]} table is named directly; the table may no longer use it"]


def _expand_address(place: str, storage: Storage, is_data: Callable[[str], bool], supported: str) -> Expansion:
    found = storage.expand(place)
    if found.is_one:
        name = found.names[0]
        if not is_data(name):
            hint = "; end the address of a folder with /" if found.is_http else ""
            raise SourceError(f"{name}: unknown file type; supported: {supported}{hint}")
        return Expansion([name], name[: name.rfind("/") + 1])
    if (table := table_among(found.listed) or _table_above(found, storage)) is not None:
        raise refuse_table(*table)
    n = len(found.root)
    kept = [name for name in found.names if is_data(name) and not any(map(is_hidden, name[n:].split("/")))]
    if not kept:
        others = [one[n:] for one in found.names if not is_hidden(one[n:])]
        raise _nothing(redact(place), others, supported)
    return Expansion(kept, found.root)


def _table_above(found: Matches, storage: Storage) -> tuple[str, str] | None:
    """Return the table that a folder of a store is a part of, and its format; None if there is none."""
    folder = found.root.rstrip("/")
    while found.names and (is_partition(name := folder.rpartition("/")[2]) or name == "data"):
        folder = folder.rpartition("/")[0]
        try:
            there = storage.names_in(f"{folder}/", found.names[0])
            if f"{folder}/metadata/" in there:
                there = there + storage.names_in(f"{folder}/metadata/", found.names[0])
        except SourceError:  # what is above need not be visible
            return None
        if (table := table_among(there)) is not None:
            return table
    return None


class FolderScanner:
    """Finds the files of a local place.

    Parameters
    ----------
    place
        The folder or the pattern.
    is_data
        Returns whether the name of a file has a supported ending.
    exclude
        Folders that are skipped.
    may_change
        Whether files may come and go meanwhile. Then a link without a target is skipped, not refused.

    Attributes
    ----------
    remarks : list of str
        One line for each surprise so far.
    """

    def __init__(
        self, place: str, is_data: Callable[[str], bool], exclude: Collection[str] = (), *, may_change: bool = False
    ) -> None:
        self._place, self._is_data, self._may_change = place, is_data, may_change
        self._exclude = {os.path.realpath(folder) for folder in exclude}
        self._root = os.path.realpath(root_of(place) or ".")
        self._others: list[str] = []
        self.remarks: list[str] = []

    def expansion(self, supported: str) -> Expansion:
        """Return the files in order; raise a `SourceError` if there are none."""
        names = self.files()
        if not names:
            raise _nothing(self._place, self._others, supported)
        return Expansion(names, root_of(self._place), self.remarks)

    def files(self) -> list[str]:
        """Return the present files in order, each once."""
        root = root_of(self._place)
        _refuse_part_of_table(root or ".")
        if os.path.isdir(self._place):  # noqa: PTH112
            return sorted(self._walk(self._place))
        return sorted(set(self._matches(root, self._place[len(root) :].split("/"))))

    def _walk(self, folder: str, above: Ancestors = ()) -> Iterator[str]:
        """Yield the data files of a folder, and of the folders in it."""
        folders, files = self._entries(folder)
        yield from (path for path, entry in files if self._is_kept(path, entry))
        above = (*above, _identity(folder)) if folders else above
        for path, entry in folders:
            if self._is_entered(path, entry, above):
                yield from self._walk(path, above)

    def _matches(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """Yield the data files that match a pattern in a folder; a matching folder stands for the files in it."""
        part, rest = parts[0], parts[1:]
        if part == "**" and not any(rest):
            yield from self._walk(folder)
        elif part == "**":
            for below in self._below(folder):
                yield from self._matches(below, rest)
        elif not glob.has_magic(part):
            _refuse_part_of_table(folder or ".")
            yield from self._at(os.path.join(folder, part), rest)  # noqa: PTH118
        elif os.path.isdir(folder or "."):  # noqa: PTH112
            is_match = re.compile(fnmatch.translate(part)).match
            folders, files = self._entries(folder)
            yield from (path for path, file in files if not rest and is_match(file.name) and self._is_kept(path, file))
            for path, entry in folders:
                if is_match(entry.name) and not self._is_excluded(path):
                    yield from self._at(path, rest)

    def _at(self, path: str, rest: Sequence[str]) -> Iterator[str]:
        """Yield what matches the rest of a pattern, at a path."""
        if os.path.isdir(path):  # noqa: PTH112
            yield from self._matches(path, rest) if any(rest) else self._walk(path)
        elif not rest and self._is_data(path) and not is_hidden(os.path.basename(path)):  # noqa: PTH119
            if os.path.islink(path) and not os.path.exists(path) and not self._may_change:  # noqa: PTH110, PTH114
                raise _dangling(path)
            if os.path.isfile(path):  # noqa: PTH113
                yield path

    def _below(self, folder: str, above: Ancestors = ()) -> Iterator[str]:
        """Yield a folder, and all folders below it."""
        yield folder
        folders, _ = self._entries(folder)
        above = (*above, _identity(folder)) if folders else above
        for path, entry in folders:
            if self._is_entered(path, entry, above):
                yield from self._below(path, above)

    def _entries(self, folder: str) -> tuple[list[Entry], list[Entry]]:
        """Return the folders in a folder, and its other entries; refuse it if it is a table."""
        try:
            with foreign_errors(folder or "."), os.scandir(folder or ".") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except SourceError as error:
            if self._may_change and isinstance(error.__cause__, FileNotFoundError):
                return [], []
            raise
        if (kind := table_in(folder or ".", (entry.name for entry in entries))) is not None:
            raise refuse_table(folder, kind)
        folders: list[Entry] = []
        files: list[Entry] = []
        for entry in entries:
            if not is_hidden(entry.name):
                path = os.path.join(folder, entry.name)  # noqa: PTH118 - entry.path would begin with "./"
                (folders if _is_folder(entry) else files).append((path, entry))
        return folders, files

    def _is_excluded(self, path: str) -> bool:
        return bool(self._exclude) and os.path.realpath(path) in self._exclude

    def _is_entered(self, path: str, entry: os.DirEntry[str], above: Ancestors) -> bool:
        """Return whether to read a folder: neither the output of a job, nor a link to what is read anyway."""
        if self._is_excluded(path):
            return False
        if _is_run(path):
            self._remark(f"{path}: the folder of a run, and skipped; name its files to read them")
            return False
        if not entry.is_symlink():
            return True
        target = os.path.realpath(path)
        is_inside = f"{target}/".startswith(f"{self._root}/")
        is_read = is_inside and not any(map(is_hidden, target[len(self._root) + 1 :].split("/")))
        if is_read or _identity(path) in above:
            self._remark(f"{path}: this link leads to a folder of the same place, and is skipped")
            return False
        return True

    def _is_kept(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry is a data file; refuse a link without a target."""
        if not self._is_data(entry.name):
            self._others.append(entry.name)
            return False
        try:
            if entry.is_file():
                return True
        except OSError:  # a link to itself
            pass
        if not entry.is_symlink() or os.path.exists(path):  # noqa: PTH110
            self._remark(f"{path}: not a regular file, and skipped")
        elif not self._may_change:
            raise _dangling(path)
        return False

    def _remark(self, line: str) -> None:
        if line not in self.remarks and not self._may_change:
            self.remarks.append(line)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or a target that may not be seen
        return False


def _is_run(folder: str) -> bool:
    """Return whether a folder holds checkpoints and history of a job, which are CSV files too."""
    return all(os.path.exists(os.path.join(folder, name)) for name in ("checkpoints", "history.csv"))  # noqa: PTH110, PTH118


def _identity(folder: str) -> tuple[int, int]:
    with foreign_errors(folder or "."):
        status = os.stat(folder or ".")  # noqa: PTH116
    return status.st_dev, status.st_ino


def _dangling(path: str) -> SourceError:
    """Return the error for a link whose target is not there."""
    target = os.readlink(path)  # noqa: PTH115
    return SourceError(f"{path}: a link to {target!r}, which does not exist; remove the link, or restore its target")


def _nothing(place: str, others: Sequence[str], supported: str) -> SourceError:
    """Return the error for a place without data; it names some of what is there."""
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    there = f", only {', '.join(others[:_NAMED])}{more}" if others else ""
    return SourceError(f"{place}: no data file there{there}; supported: {supported}")
