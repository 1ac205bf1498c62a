"""Saves, verifies and rotates checkpoint files.

:mod:`stream_bp.persistence.snapshot` specifies the bytes of a file. This module knows names and the order of writing.

The protocol
------------
Encode the copy → write a temporary file in the same folder → fsync it → rename it → fsync the folder → *acknowledged* →
remove the oldest. Power may fail between any two steps. An acknowledged file is there afterwards, and a file with the
name of a checkpoint is complete. A failed fsync is never retried: the kernel may have dropped the pages that it could
not write, and a second call would report success.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream_bp.errors import CheckpointError, ConfigError, DiskError
from stream_bp.persistence.filesystem import FileSystem, make_folder
from stream_bp.persistence.snapshot import Snapshot, decode, encode, refuse_foreign

__all__ = [
    "Checkpointer",
    "LoadedCheckpoint",
    "Snapshot",
    "decode",
    "encode",
    "is_temporary",
    "load",
    "save",
    "step_of",
]

FILE_NAME = re.compile(r"step-([0-9]{12}|[1-9][0-9]{12,18})\.safetensors")
TEMPORARY_NAME = re.compile(r"\.step-[0-9]{12,19}\.tmp-[0-9]+")


@dataclass(frozen=True, eq=False)
class LoadedCheckpoint:
    """A snapshot read from a file.

    Parameters
    ----------
    snapshot
        The content of the file.
    path
        The file.
    rejected
        Newer files that are not valid, each with a one-line reason that names it.
    """

    snapshot: Snapshot
    path: Path
    rejected: tuple[tuple[Path, str], ...] = ()


class Checkpointer:
    """The checkpoint files of one folder. Only one process at a time may write them.

    Parameters
    ----------
    folder
        The folder. The first :meth:`save` creates it.
    keep
        How many of the newest valid files to keep, at least 1. More than one guards against a medium that loses bits.
    disk
        Reads and writes the files.

    Raises
    ------
    ConfigError
        If ``keep`` is less than 1.

    Attributes
    ----------
    n_bytes
        Size of the last saved file.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3, disk: FileSystem | None = None) -> None:
        self.n_bytes = 0
        if keep < 1:
            raise ConfigError(f"cannot keep {keep} checkpoints; expected at least 1")
        self.folder = Path(folder)
        self.keep = keep
        self._disk = disk or FileSystem()
        self._is_valid: dict[str, bool] = {}  # by name, of files that were read or written here

    def save(self, snapshot: Snapshot) -> Path:
        """Save a snapshot. After the return a power cut cannot undo it.

        Parameters
        ----------
        snapshot
            The snapshot. It replaces an earlier file of the same step.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        CheckpointError
            If the snapshot cannot be encoded. A DiskError if the file cannot be written. Earlier checkpoints stay
            intact.
        """
        data = encode(snapshot)
        path = self.folder / f"step-{snapshot.step:012d}.safetensors"
        try:
            make_folder(self._disk, self.folder)
            names = self._disk.listdir(self.folder)
            # This process is the only writer, so temporary files are from a process that died.
            self._remove(name for name in names if is_temporary(name))
            _write(self._disk, path, data)
        except OSError as error:
            raise DiskError(
                f"cannot save the checkpoint to {path}: {error.strerror}; earlier checkpoints are intact; fix the "
                "cause, then run the same command to resume"
            ) from error
        self._is_valid[path.name], self.n_bytes = True, len(data)
        self._rotate(names, path, snapshot.step)
        return path

    def newest(self) -> LoadedCheckpoint | None:
        """Read the valid file with the highest step.

        Returns
        -------
        Loaded or None
            None if the folder holds no checkpoint file or does not exist.

        Raises
        ------
        CheckpointError
            If there are checkpoint files, and none is valid: a silent new start would lose the job. A DiskError if
            the files cannot be read.
        """
        rejected: list[tuple[Path, CheckpointError]] = []
        # Not by time: clocks may be set back, and copies have new times.
        for _, name in sorted(self._steps(), reverse=True):
            path = self.folder / name
            try:
                snapshot = self._read(name)
            except CheckpointError as error:
                rejected.append((path, error))
            else:
                return LoadedCheckpoint(snapshot, path, tuple((other, str(error)) for other, error in rejected))
        if rejected:
            # After a read error the files may still be valid, so this is an error of the disk.
            kind = DiskError if any(isinstance(error, DiskError) for _, error in rejected) else CheckpointError
            reasons = "; ".join(str(error) for _, error in rejected)
            raise kind(f"no valid checkpoint in {self.folder}; restore one, or start over with --restart: {reasons}")
        return None

    def _steps(self) -> list[tuple[int, str]]:
        try:
            names = self._disk.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DiskError(f"cannot list the checkpoints in {self.folder}: {error.strerror}") from error
        return [(step, name) for name in names if (step := step_of(name)) is not None]

    def _rotate(self, names: Iterable[str], saved: Path, step: int) -> None:
        # Files of later steps stay. After a resume from an older file they are damaged ones. If they counted among
        # the newest, valid files would be removed.
        older = {found: name for name in names if (found := step_of(name)) is not None and found < step}
        n_valid = 1
        try:
            for found in sorted(older, reverse=True):
                if n_valid == self.keep:
                    self._remove([older[found]])
                elif self._look_at(older[found]):
                    n_valid += 1
        except OSError as error:
            raise DiskError(
                f"saved {saved}, but cannot remove an older checkpoint: {error.strerror}; make the folder "
                "writable, or the disk will fill up"
            ) from error

    def _look_at(self, name: str) -> bool:
        """Return whether a file is valid. Each is read at most once; files that were written here are not read."""
        if name not in self._is_valid:
            with suppress(CheckpointError):
                self._read(name)
        return self._is_valid[name]

    def _read(self, name: str) -> Snapshot:
        """Read a file, and remember whether it was valid."""
        self._is_valid[name] = False
        snapshot = _read(self._disk, self.folder / name)
        self._is_valid[name] = True
        return snapshot

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                self._disk.unlink(self.folder / name)
            self._is_valid.pop(name, None)


def save(snapshot: Snapshot, path: str | Path, *, disk: FileSystem | None = None) -> None:
    """Save a snapshot outside of a job, under any name, as durably as a job does.

    Parameters
    ----------
    snapshot
        The snapshot.
    path
        The file. Its folder must exist. An existing file is replaced in one step.
    disk
        Reads and writes the file.

    Raises
    ------
    CheckpointError
        If the snapshot cannot be encoded. A DiskError if the file cannot be written.
    """
    data = encode(snapshot)
    try:
        _write(disk or FileSystem(), Path(path), data)
    except OSError as error:
        raise DiskError(f"cannot save {path}: {error.strerror}") from error


def load(path: str | Path, *, disk: FileSystem | None = None) -> LoadedCheckpoint:
    """Read a checkpoint for use outside of its job.

    Parameters
    ----------
    path
        A checkpoint file under any name, a run directory, or its folder of checkpoints.
    disk
        Reads the files.

    Returns
    -------
    Loaded
        The file, or the newest valid one.

    Raises
    ------
    CheckpointError
        If there is no valid checkpoint.
    """
    disk, path = disk or FileSystem(), Path(path)
    if not disk.is_folder(path):
        return LoadedCheckpoint(_read(disk, path), path)
    inner = path / "checkpoints"
    loaded = Checkpointer(inner if disk.is_folder(inner) else path, disk=disk).newest()
    if loaded is None:
        raise CheckpointError(f"no checkpoint in {path}; expected a file such as step-000000000100.safetensors")
    return loaded


def step_of(name: str) -> int | None:
    """Return the step in the name of a checkpoint file; ``None`` for other names.

    Examples
    --------
    >>> step_of("step-000000001200.safetensors")
    1200
    >>> step_of("model.safetensors") is None
    True
    """
    match = FILE_NAME.fullmatch(name)
    return int(match[1]) if match else None


def is_temporary(name: str) -> bool:
    """Return whether a name is that of an unfinished checkpoint, left by a process that died."""
    return TEMPORARY_NAME.fullmatch(name) is not None


def _write(disk: FileSystem, path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.stem}.tmp-{os.getpid()}")
    fd = disk.open_new(temporary)
    try:
        try:
            disk.write(fd, data)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            disk.unlink(temporary)
        raise
    disk.fsync_folder(path.parent)


def _read(disk: FileSystem, path: Path) -> Snapshot:
    try:
        chunks = disk.chunks(path)
        head = next(chunks, b"")
        # A large file that is not a checkpoint is refused by its first bytes, without reading all of it.
        refuse_foreign(head, path)
        data = b"".join([head, *chunks])
    except FileNotFoundError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}") from error
    except OSError as error:
        raise DiskError(f"cannot read checkpoint {path}: {error.strerror}") from error
    snapshot = decode(data, path)
    if step_of(path.name) not in {None, snapshot.step}:
        raise CheckpointError(f"checkpoint {path} is of step {snapshot.step}, not of the step in its name")
    return snapshot
