"""The only place where stream-bp reads and changes the files of a run directory.

All files that must survive a power cut go through :class:`FileSystem`. It has one method per step of the protocol. So a
test can simulate a disk that fails or loses data, and callers show the order of the steps.

Every method raises the :class:`OSError` of the kernel. The callers turn it into an error with advice.
"""

import errno
import fcntl
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FileSystem", "make_folder"]

CHUNK_BYTES = 1 << 20
# A planted link must not redirect a write. A child process must not inherit a file, and above all not the lock.
SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


class FileSystem:
    """The real disk, through POSIX system calls."""

    def open_new(self, path: Path) -> int:
        """Create a file to append to. Fail if the name exists, even as a dangling link.

        Parameters
        ----------
        path
            The file to create.

        Returns
        -------
        int
            A file descriptor. :meth:`close` closes it.
        """
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | SAFE, 0o644)

    def open_existing(self, path: Path) -> int:
        """Open an existing file to append or to truncate. A link is refused (``ELOOP``)."""
        return self._regular(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | SAFE), path)

    def open_lock(self, path: Path) -> int:
        """Open a file to lock. Create it if it does not exist; a link is refused (``ELOOP``)."""
        return self._regular(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | SAFE, 0o644), path)

    def try_lock(self, fd: int) -> bool:
        """Take the kernel's exclusive lock. The kernel frees it when the descriptor closes or the process dies.

        Returns
        -------
        bool
            False if another open file holds it.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write(self, fd: int, data: bytes) -> None:
        """Write all of the data."""
        rest = memoryview(data)
        while rest:
            # The kernel may write only a part of the data.
            rest = rest[os.write(fd, rest) :]

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Shorten a file to a size."""
        os.ftruncate(fd, size_bytes)

    def fsync(self, fd: int) -> None:
        """Wait until a file's content is on the medium. Never retry after a failure: a retry may report success."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file in one step. An existing target is replaced."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file. For a link, the link is removed and not its target."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Create a folder. Its parent must exist."""
        path.mkdir()

    def fsync_folder(self, path: Path) -> None:
        """Wait until the entries of a folder are on the medium: created, changed and removed names."""
        # The fsync of a file does not make its name durable; that of the folder does.
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def listdir(self, path: Path) -> list[str]:
        """Return the names in a folder, in no particular order."""
        return os.listdir(path)  # noqa: PTH208 - only names are needed; iterdir would make a Path of each

    def is_folder(self, path: Path) -> bool:
        """Return whether this is a visible folder, or a link to one."""
        try:
            return path.is_dir()
        except OSError:
            return False

    def is_link(self, path: Path) -> bool:
        """Return whether this is a symbolic link."""
        return path.is_symlink()

    def read(self, path: Path) -> bytes:
        """Return the content of a regular file."""
        with io.FileIO(self._open_reading(path)) as file:
            return file.read()

    def chunks(self, path: Path, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the content of a regular file in pieces of a bounded size."""
        with io.FileIO(self._open_reading(path)) as file:
            while chunk := file.read(size_bytes):
                yield chunk

    def _open_reading(self, path: Path) -> int:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer forever.
        return self._regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)

    def _regular(self, fd: int, path: Path) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def make_folder(disk: FileSystem, path: Path) -> None:
    """Create a folder and its missing parents, each durably.

    Parameters
    ----------
    disk
        Creates the folders.
    path
        The folder. An existing one is not changed.
    """
    if disk.is_folder(path):
        return
    if path.parent != path:
        make_folder(disk, path.parent)
    try:
        disk.mkdir(path)
    except FileExistsError:
        # Another process created it first. If the name is not a folder, opening a file in it will fail.
        return
    disk.fsync_folder(path.parent)
