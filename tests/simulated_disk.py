"""A disk in memory that fails on demand and forgets, at a power cut, what was never synced."""
# ruff: noqa: D102 - the methods are documented where they are defined, in Disk

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self

from stream_bp.persistence.filesystem import CHUNK_BYTES, FileSystem


class PowerCut(BaseException):
    """The machine is off: nothing that runs may catch this."""


@dataclass
class Inode:
    """A file's content as programs see it, and as the medium has it."""

    content: bytes = b""
    durable: bytes = b""

    def after_power_cut(self, content_kept: bool) -> "Inode":
        content = self.content if content_kept else self.durable
        return Inode(content, content)


@dataclass
class SimulatedDisk(FileSystem):
    """Files, names and folders as programs see them, and as the medium has them.

    ``fail_at`` counts the calls from 1; at that call ``failure`` is raised, ``fired`` is set, and a write has taken
    half of its data.
    """

    fail_at: int = 0
    failure: BaseException = field(default_factory=lambda: OSError(errno.EIO, os.strerror(errno.EIO)))
    calls: list[str] = field(default_factory=list)
    fired: str = ""
    names: dict[Path, Inode | None] = field(default_factory=lambda: {Path("/"): None})
    durable_names: dict[Path, Inode | None] = field(default_factory=lambda: {Path("/"): None})
    open_files: dict[int, Inode] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(3))

    def arm(self, fail_at: int, failure: BaseException) -> None:
        """Fail at a call counted from now on."""
        self.calls.clear()
        self.fail_at, self.failure, self.fired = fail_at, failure, ""

    def after_power_cut(self, *, names_kept: bool, content_kept: bool) -> Self:
        """Return what the medium may hold after power fails: unsynced names, and content, each lost or luckily kept."""
        names = self.names if names_kept else self.durable_names
        disk = type(self)()
        for path, inode in names.items():
            if all(parent in names for parent in path.parents):
                disk.names[path] = inode and inode.after_power_cut(content_kept)
        disk.durable_names = dict(disk.names)
        return disk

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fail_at:
            self.fired = name
            raise self.failure

    def _file(self, path: Path) -> Inode:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        inode = self.names[path]
        if inode is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return inode

    def _opened(self, inode: Inode) -> int:
        fd = next(self.numbers)
        self.open_files[fd] = inode
        return fd

    def open_new(self, path: Path) -> int:
        self._call("open_new")
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if path.parent not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        inode = self.names[path] = Inode()
        return self._opened(inode)

    def open_existing(self, path: Path) -> int:
        self._call("open_existing")
        return self._opened(self._file(path))

    def open_lock(self, path: Path) -> int:
        self._call("open_lock")
        return self._opened(self._file(path)) if path in self.names else self.open_new(path)

    def try_lock(self, fd: int) -> bool:
        self._call("try_lock")
        return fd in self.open_files

    def write(self, fd: int, data: bytes) -> None:
        before = self.open_files[fd].content
        self.open_files[fd].content = before + data[: len(data) // 2]
        self._call("write")
        self.open_files[fd].content = before + data

    def truncate(self, fd: int, size_bytes: int) -> None:
        self._call("truncate")
        self.open_files[fd].content = self.open_files[fd].content[:size_bytes]

    def fsync(self, fd: int) -> None:
        self._call("fsync")
        self.open_files[fd].durable = self.open_files[fd].content

    def close(self, fd: int) -> None:
        del self.open_files[fd]
        self._call("close")

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        self.names[target] = self._file(source)
        del self.names[source]

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        self._file(path)
        del self.names[path]

    def mkdir(self, path: Path) -> None:
        self._call("mkdir")
        self.names[path] = None

    def fsync_folder(self, path: Path) -> None:
        self._call("fsync_folder")
        others = {name: inode for name, inode in self.durable_names.items() if name == path or name.parent != path}
        self.durable_names = others | {name: inode for name, inode in self.names.items() if name.parent == path}

    def listdir(self, path: Path) -> list[str]:
        self._call("listdir")
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return [name.name for name in self.names if name.parent == path and name != path]

    def is_folder(self, path: Path) -> bool:
        return path in self.names and self.names[path] is None

    def is_link(self, path: Path) -> bool:
        return False

    def read(self, path: Path) -> bytes:
        self._call("read")
        return self._file(path).content

    def chunks(self, path: Path, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        content = self.read(path)
        for start in range(0, len(content), size_bytes):
            yield content[start : start + size_bytes]


class WithoutFsync(SimulatedDisk):
    """Wrong: content is never synced."""

    def fsync(self, fd: int) -> None:
        """Do nothing."""


class WithoutFolderFsync(SimulatedDisk):
    """Wrong: names are never synced."""

    def fsync_folder(self, path: Path) -> None:
        """Do nothing."""
