"""The durable, verified, rotated files that hold a job's snapshots.

The bytes of a file are specified in :mod:`stream_bp.persistence.snapshot`; this module knows names and the
order of writing.

The protocol
------------
Encode (the copy) → write a temporary file in the same folder → fsync it → rename → fsync the folder → *acknowledged* →
remove the oldest. Power may fail between any two of these: a file that was acknowledged is there afterwards, and a
file with a checkpoint's name is whole. A failed fsync is never tried again: the kernel may have dropped the very pages
that it could not write, and a second call would report success.
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
        What the file holds.
    path
        The file.
    rejected
        Newer files that were not valid, each with a one-line reason that names it.
    """

    snapshot: Snapshot
    path: Path
    rejected: tuple[tuple[Path, str], ...] = ()


class Checkpointer:
    """The checkpoint files of one folder, of which one process at a time may write.

    Parameters
    ----------
    folder
        Where the files are; created by the first :meth:`save`.
    keep
        How many of the newest valid files to keep, at least 1. More than one guards against a medium that loses bits.
    disk
        How to reach the files.

    Raises
    ------
    ConfigError
        If ``keep`` is less than 1.

    Attributes
    ----------
    n_bytes
        Size of the file that was saved last.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3, disk: FileSystem | None = None) -> None:
        self.n_bytes = 0
        if keep < 1:
            raise ConfigError(f"cannot keep {keep} checkpoints; expected at least 1")
        self.folder = Path(folder)
        self.keep = keep
        self._disk = disk or FileSystem()
        self._is_valid: dict[str, bool] = {}  # by name, once a file was looked at or written here

    def save(self, snapshot: Snapshot) -> Path:
        """Save a snapshot; once this returns, a power cut cannot undo it.

        Parameters
        ----------
        snapshot
            What to save. An earlier file of the same step is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        CheckpointError
            If the snapshot cannot be encoded; a DiskError if the file cannot be written. Earlier checkpoints are left
            as they were.
        """
        data = encode(snapshot)
        path = self.folder / f"step-{snapshot.step:012d}.safetensors"
        try:
            make_folder(self._disk, self.folder)
            names = self._disk.listdir(self.folder)
            # A process that died has left them; this one is the only writer.
            self._remove(name for name in names if is_temporary(name))
            _write(self._disk, path, data)
        except OSError as error:
            raise DiskError(
                f"cannot save the checkpoint to {path}: {error.strerror}; earlier checkpoints are intact: once that is "
                "mended, the same command goes on"
            ) from error
        self._is_valid[path.name], self.n_bytes = True, len(data)
        self._rotate(names, path, snapshot.step)
        return path

    def newest(self) -> LoadedCheckpoint | None:
        """Read the valid file of the highest step.

        Returns
        -------
        Loaded or None
            None if the folder holds no checkpoint file or does not exist.

        Raises
        ------
        CheckpointError
            If there are checkpoint files and none is valid: to start afresh in silence would lose a job. A DiskError
            if the disk does not even let them be read.
        """
        rejected: list[tuple[Path, CheckpointError]] = []
        # Not by time: clocks are set back, and copies have new times.
        for _, name in sorted(self._steps(), reverse=True):
            path = self.folder / name
            try:
                snapshot = self._read(name)
            except CheckpointError as error:
                rejected.append((path, error))
            else:
                return LoadedCheckpoint(snapshot, path, tuple((other, str(error)) for other, error in rejected))
        if rejected:
            # A disk that does not answer says nothing about the files on it.
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
        # Files of later steps are left alone: after a resume from an older file they are what was rejected, and
        # counting them among the newest would push out valid ones.
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
                f"saved {saved}, but cannot remove an older checkpoint beside it: {error.strerror}; make the folder "
                "writable, or the disk will fill up"
            ) from error

    def _look_at(self, name: str) -> bool:
        """Tell whether a file is valid; each is read once at most, and those that were written here never."""
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
    """Save a snapshot outside a job, under any name, as durably as a job does.

    Parameters
    ----------
    snapshot
        What to save.
    path
        The file; its folder exists. A file of this name is replaced in one step.
    disk
        How to reach the file.

    Raises
    ------
    CheckpointError
        If the snapshot cannot be encoded; a DiskError if the file cannot be written.
    """
    data = encode(snapshot)
    try:
        _write(disk or FileSystem(), Path(path), data)
    except OSError as error:
        raise DiskError(f"cannot save {path}: {error.strerror}") from error


def load(path: str | Path, *, disk: FileSystem | None = None) -> LoadedCheckpoint:
    """Read a checkpoint for use outside its job.

    Parameters
    ----------
    path
        A checkpoint file under any name, a run directory, or its folder of checkpoints.
    disk
        How to reach the files.

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
    """Return the step in the name of a checkpoint file, or None if it is no such name.

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
    """Tell whether a name is that of a half-written checkpoint, which only a process that died leaves behind."""
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
        # A table or a film given by mistake is not read whole to find that out.
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
