"""The one seam through which stream-bp changes and reads the files of a run directory.

Everything that must survive a power cut goes through :class:`FileSystem`, one method per step of the protocol. So a
test can put a failing or forgetful disk in its place, and the order of the steps reads plainly where it matters.
Every method raises :class:`OSError` as the kernel reports it; the callers turn it into an error that tells a way out.
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
# A planted link must not lead a write elsewhere, and a child process must not inherit a file, still less the lock.
SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


class FileSystem:
    """The real disk, by way of the system calls of POSIX."""

    def open_new(self, path: Path) -> int:
        """Create a file to append to; fail if anything, even a dangling link, has this name.

        Parameters
        ----------
        path
            The file to create.

        Returns
        -------
        int
            A file descriptor, to be given back to :meth:`close`.
        """
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | SAFE, 0o644)

    def open_existing(self, path: Path) -> int:
        """Open an existing file to append to or to truncate; a link is refused (``ELOOP``)."""
        return self._regular(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | SAFE), path)

    def open_lock(self, path: Path) -> int:
        """Open a file to lock, creating it if need be; a link is refused (``ELOOP``)."""
        return self._regular(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | SAFE, 0o644), path)

    def try_lock(self, fd: int) -> bool:
        """Take the kernel's exclusive lock; it is free again when the descriptor closes or the process dies.

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
        """Write all of the data; the kernel may take it in several pieces."""
        rest = memoryview(data)
        while rest:
            # The system may write less than it is given.
            rest = rest[os.write(fd, rest) :]

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut a file to a size."""
        os.ftruncate(fd, size_bytes)

    def fsync(self, fd: int) -> None:
        """Wait until a file's content is on the medium; after a failure nothing is known and no retry can tell more."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in one step, replacing what had it."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file's name; a link is removed, not what it leads to."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Create one folder, whose parent exists."""
        path.mkdir()

    def fsync_folder(self, path: Path) -> None:
        """Wait until a folder's entries (the names made, changed and removed in it) are on the medium."""
        # A name that was made or changed is durable once its folder is synced.
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def listdir(self, path: Path) -> list[str]:
        """Return the names in a folder, in no particular order."""
        return os.listdir(path)  # noqa: PTH208 - the names are wanted, and iterdir would build a Path of each

    def is_folder(self, path: Path) -> bool:
        """Tell whether a folder, or a link to one, has this name and can be seen."""
        try:
            return path.is_dir()
        except OSError:
            return False

    def is_link(self, path: Path) -> bool:
        """Tell whether a symbolic link has this name."""
        return path.is_symlink()

    def read(self, path: Path) -> bytes:
        """Return the whole content of a regular file."""
        with io.FileIO(self._open_reading(path)) as file:
            return file.read()

    def chunks(self, path: Path, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the content of a regular file in pieces of a bounded size."""
        with io.FileIO(self._open_reading(path)) as file:
            while chunk := file.read(size_bytes):
                yield chunk

    def _open_reading(self, path: Path) -> int:
        # Without O_NONBLOCK the opening of a named pipe would wait for a writer for ever.
        return self._regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)

    def _regular(self, fd: int, path: Path) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def make_folder(disk: FileSystem, path: Path) -> None:
    """Create a folder and its missing parents, each of them durably.

    Parameters
    ----------
    disk
        Where to create it.
    path
        The folder; one that exists is left as it is.
    """
    if disk.is_folder(path):
        return
    if path.parent != path:
        make_folder(disk, path.parent)
    try:
        disk.mkdir(path)
    except FileExistsError:
        # Another process was faster; whatever else has this name shows when a file is opened in it.
        return
    disk.fsync_folder(path.parent)
