"""Checkpoint files: every bit vouched for, every malformation one error, the newest valid one found, failing disks."""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from stream_bp.arrays import Array
from stream_bp.checkpoint import Checkpointer, Snapshot, decode, encode, load
from stream_bp.disk import Disk
from stream_bp.errors import CheckpointError
from stream_bp.history import History
from stream_bp.run_directory import RunDirectory


def tiny(step: int = 3) -> Snapshot:
    """Return a small snapshot with arrays of several types and a state with awkward text."""
    tensors: dict[str, Array] = {
        "W1": np.arange(6, dtype=np.float32).reshape(2, 3),
        "counts": np.array([1, 2], np.int64),
        "none": np.empty((0, 3)),
        "turned": np.arange(12.0).reshape(3, 4).T,
    }
    return Snapshot(step, tensors, {"sha256": "0" * 64, "text": '"é\\', "x": 0.1, "deep": [{"a": None}]})


def test_a_snapshot_comes_back_as_it_was() -> None:
    """Arrays, also those that are not contiguous, and the state survive."""
    back = decode(encode(tiny()))
    assert back.step == 3
    assert back.state == tiny().state
    assert {name: array.tolist() for name, array in back.tensors.items()} == {
        name: array.tolist() for name, array in tiny().tensors.items()
    }
    assert {array.dtype.str for array in back.tensors.values()} == {"<f4", "<i8", "<f8"}


def test_any_framework_can_open_it(tmp_path: Path) -> None:
    """Safetensors alone reads the weight matrices from the file."""
    path = Checkpointer(tmp_path).save(tiny())
    assert safetensors.numpy.load_file(path)["W1"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_no_flipped_bit_is_accepted() -> None:
    """Each bit of a file, flipped, makes it invalid; the file itself is the control."""
    data = encode(tiny())
    decode(data)
    for place in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CheckpointError):
            decode(bytes(damaged))


def test_no_other_length_is_accepted() -> None:
    """Every truncation, and a byte more, is refused."""
    data = encode(tiny())
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            decode(data[:length])
    with pytest.raises(CheckpointError):
        decode(data + b"\0")


def signed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Forge a file whose digest is right."""
    text = json.dumps(header, separators=(",", ":")).encode()
    data = bytearray(len(text).to_bytes(8, "little") + text + body)
    start = bytes(data).index(b'\\"sha256\\":\\"') + len(b'\\"sha256\\":\\"')
    data[start : start + 64] = b"0" * 64
    data[start : start + 64] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def forged(**changes: Any) -> dict[str, Any]:
    """Return a header with a metadata value that was changed."""
    content = {"format": 1, "sha256": "0" * 64, "state": {}, "step": 1, **changes}
    return {"__metadata__": {"stream_bp": json.dumps(content, sort_keys=True, separators=(",", ":"))}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 40, "not a safetensors file"),
        (safetensors.numpy.save({"a": np.zeros(3)}), "not a checkpoint of stream-bp"),
        (signed(forged(format=2)), "format 2; this release of stream-bp reads format 1"),
        (signed(forged(step=-1)), "malformed"),
        (signed(forged(step=True)), "malformed"),
        (signed(forged(state=[])), "malformed"),
        (
            signed({**forged(), "a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
            "malformed",
        ),
        (signed({**forged(), "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"1234"), "malformed"),
        (signed({**forged(), "a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, b"1234"), "malformed"),
    ],
)
def test_every_malformation_is_one_error(data: bytes, words: str) -> None:
    """What is no checkpoint, or a forged one, is a CheckpointError of one line."""
    with pytest.raises(CheckpointError, match=words) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def test_the_newest_valid_file_wins_and_rejected_ones_are_told(tmp_path: Path) -> None:
    """A damaged newest file is passed over by name; if none is valid, that is an error, not a fresh start."""
    checkpointer = Checkpointer(tmp_path, keep=2)
    assert checkpointer.newest() is None
    for step in (1, 2, 3):
        checkpointer.save(tiny(step))
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["step-000000000002.safetensors", "step-000000000003.safetensors"]
    files[-1].write_bytes(b"rubbish")
    loaded = checkpointer.newest()
    assert loaded is not None
    assert loaded.snapshot.step == 2
    assert len(loaded.rejected) == 1
    assert files[-1].name in loaded.rejected[0]
    files[0].rename(tmp_path / "step-000000000009.safetensors")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is valid.*was renamed"):
        checkpointer.newest()


def test_load_takes_a_file_or_a_run_directory(tmp_path: Path) -> None:
    """Both lead to the same snapshot; a folder without one is refused."""
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load(tmp_path)
    path = Checkpointer(tmp_path / "checkpoints").save(tiny())
    assert load(path).snapshot.step == load(tmp_path).snapshot.step == 3


class FailingDisk(Disk):
    """A disk whose n-th operation fails."""

    def __init__(self, fails_at: int, number: int) -> None:
        self.left, self.number, self.has_fired = fails_at, number, False

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.has_fired = True
            raise OSError(self.number, "injected")

    def create(self, path: Path, data: bytes) -> None:
        """Fail half-way: part of the file is there."""
        try:
            self._count()
        except OSError:
            path.write_bytes(data[: len(data) // 2])
            raise
        super().create(path, data)

    def write_at(self, path: Path, offset: int, data: bytes) -> None:
        """Fail half-way."""
        try:
            self._count()
        except OSError:
            super().write_at(path, offset, data[: len(data) // 2])
            raise
        super().write_at(path, offset, data)

    def rename(self, source: Path, target: Path) -> None:
        """Fail before."""
        self._count()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        """Fail instead."""
        self._count()
        super().sync_folder(path)

    def remove(self, path: Path) -> None:
        """Fail before."""
        self._count()
        super().remove(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("fails_at", range(1, 5))
def test_a_failing_disk_leaves_the_checkpoint_before_intact(tmp_path: Path, fails_at: int, number: int) -> None:
    """Whichever operation of a save fails, it is one error, and a valid checkpoint is found afterwards."""
    Checkpointer(tmp_path, keep=1).save(tiny(1))
    disk = FailingDisk(fails_at, number)
    with pytest.raises(CheckpointError, match="injected; the checkpoints before it are intact"):
        Checkpointer(tmp_path, keep=1, disk=disk).save(tiny(2))
    assert disk.has_fired
    loaded = Checkpointer(tmp_path).newest()
    assert loaded is not None
    assert loaded.snapshot.step in {1, 2}
    Checkpointer(tmp_path, keep=1).save(tiny(3))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000003.safetensors"]


def test_a_protocol_without_a_rename_is_caught(tmp_path: Path) -> None:
    """The control: writing over the only checkpoint loses it when the disk fails half-way."""
    path = Checkpointer(tmp_path, keep=1).save(tiny(1))
    disk = FailingDisk(1, errno.ENOSPC)
    with pytest.raises(OSError, match="injected"):
        disk.write_at(path, 0, encode(tiny(1)))
    with pytest.raises(CheckpointError, match="is valid"):
        Checkpointer(tmp_path).newest()


def test_a_history_goes_on_from_its_mark(tmp_path: Path) -> None:
    """What was written after the mark is cut off; a changed beginning is refused."""
    path = tmp_path / "history.csv"
    history = History(path)
    history.append({"rows": 1, "x": 0.1, "word": 'a,"b"'})
    mark = history.sync()
    history.append({"rows": 2, "x": None, "word": "c"})
    history.sync()
    again = History(path, mark=mark)
    again.append({"rows": 3, "x": 1e-300, "word": ""})
    again.sync()
    assert path.read_text() == 'rows,x,word\n1,0.1,"a,""b"""\n3,1e-300,\n'
    with pytest.raises(ValueError, match="columns are"):
        again.append({"rows": 4})
    path.write_text("rows,x,word\n1,0.2,\n")
    with pytest.raises(CheckpointError, match="was changed"):
        History(path, mark=mark)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot read"):
        History(path, mark=mark)


@pytest.mark.parametrize("name", ["lock", "checkpoints", "history.csv"])
def test_nothing_is_written_through_a_planted_link(tmp_path: Path, name: str) -> None:
    """A symbolic link in the place of a file of ours is refused."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"), RunDirectory(tmp_path / "run"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_clear_leaves_what_is_not_ours(tmp_path: Path) -> None:
    """--fresh removes checkpoints and history, nothing else."""
    with RunDirectory(tmp_path) as directory:
        directory.checkpointer.save(tiny())
        directory.history_path.write_text("rows\n")
        (tmp_path / "notes.txt").write_text("mine")
        directory.clear()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "lock", "notes.txt"]
