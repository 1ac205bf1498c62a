"""The checkpoint: one file with everything a job needs to go on, written to survive, checked before it is used.

The file is a safetensors file, which any framework can open::

    8 bytes   length of the header, little-endian
    header    JSON: {"__metadata__": {"stream_bp": "…"}, "W1": {"dtype": …, "shape": …, "data_offsets": …}, …}
    data      the arrays, one after the other, without a gap

The one metadata value (one, because their order is not fixed) is JSON again, with sorted keys::

    {"format": 1, "sha256": "…64 hexadecimal digits…", "state": {…}, "step": 1200}

``sha256`` is the digest of the whole file with these 64 digits written as zeros: no bit of the file can change
unseen. Arrays ``W1 … WK`` are the weight matrices, shape (n_l, n_{l-1}+1), last column the bias; the other arrays and
``state`` belong to whoever saved them. Nothing in the file is executed or unpickled, and no name in it becomes a path.

It is written as copy → temporary file → fsync → rename → fsync of the folder → acknowledged → older ones removed. The
newest *valid* file wins; a damaged one is reported, and where all are damaged nothing starts afresh in silence.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from stream_bp.arrays import Array
from stream_bp.disk import Disk
from stream_bp.errors import CheckpointError

__all__ = ["FORMAT", "Checkpointer", "Loaded", "Snapshot", "decode", "encode", "load"]

FORMAT = 1
"""Version of the format, written and read."""

_KEY = "stream_bp"
_ZEROS = "0" * 64
_NAME = re.compile(r"step-(\d{12,18})\.safetensors")
_TEMPORARY = re.compile(r"\.step-\d+\.safetensors\.\d+\.tmp")
_DIGEST = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a checkpoint holds.

    Attributes
    ----------
    step
        Orders the checkpoints of one job.
    tensors
        Arrays by name.
    state
        The rest, JSON-able.
    """

    step: int
    tensors: dict[str, Array]
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot that was read, and what was passed over to find it.

    Attributes
    ----------
    snapshot
        Its content.
    path
        Its file.
    rejected
        For each newer file that is not valid, why.
    """

    snapshot: Snapshot
    path: Path
    rejected: tuple[str, ...] = ()


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of a checkpoint file. The same snapshot gives the same bytes, in any process."""
    content = {"format": FORMAT, "sha256": _ZEROS, "state": snapshot.state, "step": snapshot.step}
    metadata = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # The writer saves an array that is not contiguous wrong, and says nothing.
    tensors = {name: np.ascontiguousarray(array) for name, array in snapshot.tensors.items()}
    data = bytearray(safetensors.numpy.save(tensors, {_KEY: metadata}))
    start, stop = _digest_span(bytes(data[: 8 + int.from_bytes(data[:8], "little")]))
    data[start:stop] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def decode(data: bytes) -> Snapshot:
    """Read the bytes of a checkpoint file.

    Raises
    ------
    CheckpointError
        If they are not a checkpoint, of another version, or damaged in any bit.

    Notes
    -----
    The cheapest checks come first, and nothing is interpreted before the digest has vouched for all of it. Memory is
    bounded by the size of the file.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(len(data) - 8, _LONGEST_HEADER):
        raise CheckpointError("it is damaged, cut off, or not a safetensors file")
    header = data[: 8 + length]
    if b'"__metadata__":{"stream_bp":' not in header:
        raise CheckpointError("it is not a checkpoint of stream-bp")
    start, stop = _digest_span(header)
    digest = hashlib.sha256(data[:start])
    digest.update(_ZEROS.encode())
    digest.update(memoryview(data)[stop:])
    if digest.hexdigest().encode() != data[start:stop]:
        raise CheckpointError("it is damaged: its content does not match its digest")
    return _interpret(data, length)


def _digest_span(header: bytes) -> tuple[int, int]:
    """Return where the 64 digits stand: the first match, for the keys are sorted and ``state`` comes later."""
    found = _DIGEST.search(header)
    if found is None:
        raise CheckpointError("it is damaged: it has no digest")
    return found.span(1)


def _interpret(data: bytes, length: int) -> Snapshot:
    """Read a file whose digest is right; a forged one may still say anything."""
    try:
        content = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
        version = content["format"]
        if version != FORMAT:
            raise CheckpointError(f"it has format {version!r}; this release of stream-bp reads format {FORMAT}")
        step, state = content["step"], content["state"]
        if not isinstance(step, int) or isinstance(step, bool) or step < 0 or not isinstance(state, dict):
            raise CheckpointError("it is malformed: step or state is not of its type")
        return Snapshot(step, safetensors.numpy.load(data), state)
    except (KeyError, TypeError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"it is malformed: {type(error).__name__}: {error}") from None


class Checkpointer:
    """The checkpoints of one job, in one folder.

    Parameters
    ----------
    folder
        Where they are; created at the first save.
    keep
        How many to keep.
    disk
        The way to the disk.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 3, disk: Disk | None = None) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self._disk = disk or Disk()

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint. When this returns, it survives a power cut.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        CheckpointError
            If the disk refuses. The checkpoints that were there are intact.
        """
        path = self.folder / f"step-{snapshot.step:012d}.safetensors"
        temporary = self.folder / f".{path.name}.{os.getpid()}.tmp"
        try:
            self._disk.make_folder(self.folder)
            self._remove_leftovers()
            self._disk.create(temporary, encode(snapshot))
            self._disk.rename(temporary, path)
            self._disk.sync_folder(self.folder)
            self._rotate(path)
        except OSError as error:
            raise CheckpointError(
                f"cannot save {path}: {error.strerror or error}; the checkpoints before it are intact"
            ) from error
        return path

    def newest(self) -> Loaded | None:
        """Return the newest valid checkpoint, or None where there is no file at all.

        Raises
        ------
        CheckpointError
            If there are files and none is valid.
        """
        rejected: list[str] = []
        for path in reversed(self._files()):
            try:
                return Loaded(self._read(path), path, tuple(rejected))
            except CheckpointError as error:
                rejected.append(str(error))
        if rejected:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is valid ({'; '.join(rejected)}); "
                "put a copy back, or start over with --fresh"
            )
        return None

    def clear(self) -> None:
        """Remove every checkpoint, valid or not."""
        for path in self._files():
            self._disk.remove(path)
        self._remove_leftovers()

    def _files(self) -> list[Path]:
        """Return the files named as checkpoints, oldest first."""
        return [self.folder / name for name in self._disk.names(self.folder) if _NAME.fullmatch(name)]

    def _read(self, path: Path) -> Snapshot:
        snapshot = _read(path, self._disk)
        named = _NAME.fullmatch(path.name)
        if named and int(named[1]) != snapshot.step:
            raise CheckpointError(f"{path} holds step {snapshot.step}: it was renamed")
        return snapshot

    def _rotate(self, newest: Path) -> None:
        """Remove the oldest checkpoints, and those that claim to be newer than the one just written."""
        files = self._files()
        behind = files[: files.index(newest) + 1]
        for path in [*behind[: -self.keep], *files[len(behind) :]]:
            self._disk.remove(path)

    def _remove_leftovers(self) -> None:
        """Remove what a killed writer left; the run directory has one writer, so nobody is at work on it."""
        for name in self._disk.names(self.folder):
            if _TEMPORARY.fullmatch(name):
                self._disk.remove(self.folder / name)


def load(path: str | os.PathLike[str], disk: Disk | None = None) -> Loaded:
    """Read a checkpoint file, or the newest valid one of a run directory.

    Raises
    ------
    CheckpointError
        If there is none, or it is not valid.
    """
    place, disk = Path(path), disk or Disk()
    if not place.is_dir():
        return Loaded(_read(place, disk), place)
    folder = place / "checkpoints" if (place / "checkpoints").is_dir() else place
    loaded = Checkpointer(folder, disk=disk).newest()
    if loaded is None:
        raise CheckpointError(f"{place} holds no checkpoint; give a checkpoint file or a run directory")
    return loaded


def _read(path: Path, disk: Disk) -> Snapshot:
    try:
        return decode(disk.read(path))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
