"""All of one job's files, and the lock that gives them one writer.

::

    RUN_DIR/
      lock                                  held by the kernel while a job runs; free again when it dies
      history.csv                           the metrics along the stream
      checkpoints/step-000000001200.safetensors
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_bp.checkpoint import Checkpointer
from stream_bp.disk import Disk
from stream_bp.errors import CheckpointError, LockedError

__all__ = ["RunDirectory"]


class RunDirectory:
    """A run directory. As a context manager it is created, and locked against other writers.

    Parameters
    ----------
    path
        The folder.
    keep
        Checkpoints to keep.
    disk
        The way to the disk.
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 3, disk: Disk | None = None) -> None:
        self.path = Path(path)
        self._disk = disk or Disk()
        self.checkpointer = Checkpointer(self.path / "checkpoints", keep=keep, disk=self._disk)
        self._lock: int | None = None

    @property
    def history_path(self) -> Path:
        """The CSV file of metrics."""
        return self.path / "history.csv"

    def __enter__(self) -> Self:
        """Create the folder and take the lock.

        Raises
        ------
        LockedError
            If another process has it.
        CheckpointError
            If the folder cannot be made or written.
        """
        try:
            self._disk.make_folder(self.path)
            self._refuse_links()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CheckpointError(f"cannot write to {self.path}: {error.strerror or error}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            self.__exit__(None, None, None)
            raise LockedError(
                f"{self.path} is in use by another job (process {owner}); stop it, or choose another --run-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the lock. The file stays: removing it would let two jobs lock two files of one name."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Remove checkpoints and history, and nothing else that the folder may hold."""
        self.checkpointer.clear()
        self._disk.remove(self.history_path)

    def _refuse_links(self) -> None:
        """Nothing is written through a link that somebody planted."""
        for path in (self.path / "lock", self.path / "checkpoints", self.history_path):
            if path.is_symlink():
                raise CheckpointError(
                    f"{path} is a symbolic link; a run directory holds its own files: remove the link"
                )
