r"""A run directory: all the files of one job, and the lock that gives it one writer.

::

    runs/elec2/
      lock             locked by the kernel while a job runs; holds "stream-bp" and the number of the process
      checkpoints/     step-000000001200.safetensors, …: see :mod:`stream_bp.persistence.checkpoints`
      history.csv, …   the files of :data:`~stream_bp.persistence.run_files.RUN_FILES`, which grow with the job

The kernel frees the lock when the process dies, so no file must be removed by hand. The lock file is never removed:
otherwise a second process could lock a new file with the same name. The directory may hold other files. They are not
read and not removed.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_bp.errors import ConfigError, DiskError, LockedError
from stream_bp.persistence.checkpoints import is_temporary, step_of
from stream_bp.persistence.filesystem import FileSystem, make_folder
from stream_bp.persistence.run_files import RUN_FILES

__all__ = ["RunDirectory"]


OWNER = "stream-bp"
# Errors that another path avoids. All others are errors of the disk.
MISPLACED = {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM}


class RunDirectory:
    """The files of one job. Entering the context creates the directory and locks it.

    Parameters
    ----------
    path
        The directory. It need not exist, and may hold other files.
    disk
        Reads and writes the files.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunDirectory(Path(folder) / "runs" / "first") as run:
    ...     print(run.checkpoints.name, run.file("history").name, run.peek())
    checkpoints history.csv False
    """

    def __init__(self, path: str | Path, disk: FileSystem | None = None) -> None:
        self.path = Path(path)
        self._disk = disk or FileSystem()
        self._lock: int | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoint files."""
        return self.path / "checkpoints"

    def file(self, name: str) -> Path:
        """Return the path of a log file, by its name in :data:`~stream_bp.persistence.run_files.RUN_FILES`."""
        known = RUN_FILES[name]
        if known.former_file is not None and self._holds(known.former_file, known.columns):
            return self.path / known.former_file
        return self.path / known.file

    def _holds(self, file: str, columns: Sequence[str] | None) -> bool:
        """Return whether a file with a former name is from release 0.1.0: today a user may use that name."""
        with self._refusing(), suppress(FileNotFoundError):
            head = next(self._disk.chunks(self.path / file), b"")
            return columns is not None and head.startswith(f"{','.join(columns)}\n".encode())
        return False

    @property
    def _run_files(self) -> tuple[Path, ...]:
        """All log files; the history last, since checkpoints without it are refused."""
        return tuple(map(self.file, reversed(RUN_FILES)))

    @property
    def lock_path(self) -> Path:
        """The lock file."""
        return self.path / "lock"

    @property
    def is_ours(self) -> bool:
        """Whether a job of stream-bp ran here: there is its lock file or a checkpoint."""
        with self._refusing():
            owner = self._owner()
        if owner is None or not _is_our_mark(owner):
            return self.peek()
        # A power cut may have emptied the lock file, which is never synced.
        return owner.startswith(OWNER) or self._disk.is_folder(self.checkpoints)

    def peek(self) -> bool:
        """Return whether there are checkpoint files, valid or not. Nothing is created or locked.

        Raises
        ------
        ConfigError, DiskError
            If the directory cannot be read.
        """
        with self._refusing():
            return any(step_of(name) is not None for name in self._names(self.checkpoints))

    def holds_other_history(self) -> bool:
        """Return whether there is a history of a model that cannot be resumed.

        Raises
        ------
        ConfigError, DiskError
            If the history cannot be read.
        """
        with self._refusing(), suppress(FileNotFoundError):
            header, _, lines = next(self._disk.chunks(self.file("history")), b"").partition(b"\n")
            # Only the history of a network has the column `step`. After a power cut the file may be empty or zeros.
            return header.startswith(b"rows,") and b",step," not in header and bool(lines)
        return False

    def clear(self) -> None:
        """Remove the checkpoints, also unfinished ones, and the log files. Other files stay.

        Raises
        ------
        RuntimeError
            If the directory is not locked.
        DiskError
            If a file cannot be removed.
        """
        if self._lock is None:
            raise RuntimeError(f"run directory {self.path} must be locked before it is cleared")
        try:
            found = self._names(self.checkpoints)
            names = [name for name in found if step_of(name) is not None or is_temporary(name)]
            # The history last: after a kill, checkpoints without a history are refused, so nothing resumes half.
            for name in names:
                self._disk.unlink(self.checkpoints / name)
            self._disk.fsync_folder(self.checkpoints)
            found = self._names(self.path)
            journals = [path for path in self._run_files if path.name in found]
            for path in journals:
                self._disk.unlink(path)
            if journals:
                self._disk.fsync_folder(self.path)
        except OSError as error:
            raise DiskError(f"cannot clear run directory {self.path}: {_reason(error)}") from error

    def __enter__(self) -> Self:
        """Create the directory if it is missing, and lock it.

        Raises
        ------
        LockedError
            If another process, or this process, has locked it already.
        ConfigError
            If the directory cannot be used: it is not writable, or a link or foreign file has one of our names.
        DiskError
            If the disk fails.
        """
        try:
            with self._refusing():
                self._enter()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    def _enter(self) -> None:
        make_folder(self._disk, self.path)
        self._refuse_links()
        for path in self._run_files:
            if not self.is_ours and path.name in self._names(self.path):
                raise ConfigError(f"{path} was not written by stream-bp; choose another run directory")
        self._take_lock()
        # After the lock, so that the folder of another job is not touched.
        make_folder(self._disk, self.checkpoints)
        # A process may have died after it created a name and before it synced the folder.
        self._disk.fsync_folder(self.path)

    def _refuse_links(self) -> None:
        for path in (self.lock_path, self.checkpoints, *self._run_files):
            # Writing through a link could change files outside of the directory.
            if self._disk.is_link(path):
                raise ConfigError(f"{path} is a symbolic link, which could redirect a write; replace it by its target")

    def _take_lock(self) -> None:
        self._lock = fd = self._disk.open_lock(self.lock_path)
        owner = self._owner()
        if not self._disk.try_lock(fd):
            raise LockedError(
                f"run directory {self.path} is in use by {owner or 'another process'}; wait for it, stop it, or "
                "choose another directory"
            )
        if owner is not None and not _is_our_mark(owner):
            raise ConfigError(f"{self.lock_path} was not written by stream-bp; choose another run directory")
        # The text is for people only: the kernel holds the lock.
        self._disk.truncate(fd, 0)
        self._disk.write(fd, f"{OWNER}, process {os.getpid()}\n".encode())

    def _owner(self) -> str | None:
        """Return the first line of the lock file; ``None`` if there is no file."""
        try:
            # A power cut may leave zeros.
            return self._disk.read(self.lock_path)[:80].strip(b"\0").decode(errors="replace").partition("\n")[0]
        except FileNotFoundError:
            return None

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._disk.listdir(folder)
        except FileNotFoundError:
            return []

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn an OSError into one line: another directory helps, or the disk must be fixed."""
        try:
            yield
        except LockedError:
            raise
        except OSError as error:
            kind = ConfigError if error.errno in MISPLACED else DiskError
            raise kind(
                f"cannot use {self.path} as a run directory: {_reason(error)}; choose another, or fix it"
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            fd, self._lock = self._lock, None
            # The kernel frees the lock even if it reports an error, and the content of the file is not needed.
            with suppress(OSError):
                self._disk.close(fd)


def _is_our_mark(owner: str) -> bool:
    """Return whether a lock file is ours. It is never synced, so a power cut may leave only its first bytes."""
    return owner[: len(OWNER)] == OWNER[: len(owner)]


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
