"""The one way from a run directory to the disk: few operations, each of them durable or not by its name.

Everything that must survive a kill or a power cut goes through a :class:`Disk`, so that a test can put a faulty one
in its place. Nothing here knows what the bytes mean.
"""

import contextlib
import os
from pathlib import Path

__all__ = ["Disk"]


class Disk:
    """Operations of the file system. Each raises ``OSError`` as the system does.

    Notes
    -----
    No operation follows a symbolic link at the end of its path when it writes, and none retries a failed fsync:
    the kernel may have dropped the pages, and a second call would succeed without them.
    """

    def make_folder(self, path: Path) -> None:
        """Create a folder and its parents; their entries are durable afterwards."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        self.sync_folder(path.parent)

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file, and make its content durable (not yet its name).

        Raises
        ------
        FileExistsError
            If there is one.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_at(self, path: Path, offset: int, data: bytes) -> None:
        """Cut a file at ``offset``, append ``data`` there, and make it durable; the file is created if need be."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, replacing what had it, in one step."""
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file; nothing happens if there is none."""
        path.unlink(missing_ok=True)

    def read(self, path: Path) -> bytes:
        """Return the content of a file."""
        return path.read_bytes()

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder, sorted; none if there is no folder."""
        return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
