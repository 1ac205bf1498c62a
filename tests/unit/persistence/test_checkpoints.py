"""The durable files: names, rotation, the choice of the newest, and what failing disks leave behind."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.persistence.checkpoints import Checkpointer, Snapshot, decode, encode, load
from tests.simulated_disk import SimulatedDisk

FOLDER = Path("/runs/job/checkpoints")


def snapshot_of(step: int) -> Snapshot:
    """Return a small snapshot that differs from step to step."""
    return Snapshot(step, {"theta": np.full(3, step, np.float32)}, {"epoch": 0})


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_is_what_was_saved_last(tmp_path: Path) -> None:
    """What was saved last comes back, from the folder, the run directory and the file alike."""
    checkpointer = Checkpointer(tmp_path / "checkpoints")
    checkpointer.save(snapshot_of(1))
    path = checkpointer.save(snapshot_of(2))
    assert path.name == "step-000000000002.safetensors"
    for place in (tmp_path, tmp_path / "checkpoints", path):
        loaded = load(place)
        assert (loaded.path, loaded.snapshot.step, loaded.rejected) == (path, 2, ())
        np.testing.assert_array_equal(loaded.snapshot.tensors["theta"], np.full(3, 2, np.float32))


@pytest.mark.parametrize("keep", [1, 3])
def test_rotation_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    """Exactly the newest `keep` files remain, and foreign files are left alone."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / "step-1.safetensors").touch()
    checkpointer = Checkpointer(tmp_path, keep=keep)
    for step in range(6):
        checkpointer.save(snapshot_of(step))
    newest = [f"step-{step:012d}.safetensors" for step in range(6 - keep, 6)]
    assert names(tmp_path) == sorted(["notes.txt", "step-1.safetensors", *newest])


def test_rotation_does_not_count_a_rejected_later_file(tmp_path: Path) -> None:
    """A damaged file of a later step neither pushes out a valid checkpoint nor is removed unasked."""
    (tmp_path / "step-000000000009.safetensors").write_bytes(b"damaged")
    checkpointer = Checkpointer(tmp_path, keep=2)
    for step in (3, 4, 5):
        checkpointer.save(snapshot_of(step))
    assert names(tmp_path) == [f"step-{step:012d}.safetensors" for step in (4, 5, 9)]
    loaded = checkpointer.newest()
    assert loaded is not None
    assert loaded.snapshot.step == 5


def test_keep_must_be_positive(tmp_path: Path) -> None:
    """Keeping nothing is refused before anything is written."""
    with pytest.raises(ConfigError, match="at least 1"):
        Checkpointer(tmp_path, keep=0)


def test_a_step_saved_again_replaces_its_file(tmp_path: Path) -> None:
    """Saving a step twice leaves one file, with the later content."""
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(snapshot_of(1))
    path = checkpointer.save(Snapshot(1, {}, {"epoch": 5}))
    assert names(tmp_path) == [path.name]
    assert load(path).snapshot.state == {"epoch": 5}


def test_a_damaged_newest_file_is_reported_and_passed_over(tmp_path: Path) -> None:
    """The newest valid file wins, and each newer one is told with its reason."""
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(snapshot_of(1))
    damaged = checkpointer.save(snapshot_of(2))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    loaded = checkpointer.newest()
    assert loaded is not None
    assert loaded.snapshot.step == 1
    [(path, reason)] = loaded.rejected
    assert path == damaged
    assert "is damaged" in reason
    assert str(damaged) in reason


def test_no_valid_file_is_an_error(tmp_path: Path) -> None:
    """Where files exist and none is valid, every one is named and nothing starts afresh."""
    checkpointer = Checkpointer(tmp_path)
    for step in (1, 2):
        checkpointer.save(snapshot_of(step)).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no valid checkpoint.*0002\.safe.*0001\.safe"):
        checkpointer.newest()


def test_no_file_is_no_error_for_a_new_job(tmp_path: Path) -> None:
    """An absent folder and an empty one both hold no checkpoint; asked for by name, that is an error."""
    assert Checkpointer(tmp_path / "absent").newest() is None
    assert Checkpointer(tmp_path).newest() is None
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        load(tmp_path / "absent")


def test_a_file_under_the_name_of_another_step_is_rejected(tmp_path: Path) -> None:
    """A renamed checkpoint cannot pass for a newer one; under a free name it can be read."""
    path = Checkpointer(tmp_path).save(snapshot_of(1))
    renamed = path.rename(tmp_path / "step-000000000007.safetensors")
    with pytest.raises(CheckpointError, match="is of step 1, not"):
        load(renamed)
    assert load(renamed.rename(tmp_path / "best.safetensors")).snapshot.step == 1


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """A pipe with a checkpoint's name is an error at once."""
    os.mkfifo(tmp_path / "step-000000000007.safetensors")
    with pytest.raises(CheckpointError, match="Not a regular file"):
        Checkpointer(tmp_path).newest()


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A link under the checkpoint's name leads no write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "step-000000000001.safetensors").symlink_to(victim)
    (folder / f".step-000000000001.tmp-{os.getpid()}").symlink_to(victim)
    path = Checkpointer(folder).save(snapshot_of(1))
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_half_written_files_of_dead_writers_are_removed(tmp_path: Path) -> None:
    """A save removes what killed processes left, even one that had our process number."""
    for pid in (1, os.getpid()):
        (tmp_path / f".step-000000000001.tmp-{pid}").touch()
    path = Checkpointer(tmp_path).save(snapshot_of(1))
    assert names(tmp_path) == [path.name]


def test_a_step_of_more_than_twelve_digits(tmp_path: Path) -> None:
    """Names go on in order beyond their padding."""
    checkpointer = Checkpointer(tmp_path, keep=1)
    checkpointer.save(snapshot_of(10**12 - 1))
    path = checkpointer.save(snapshot_of(10**12))
    assert names(tmp_path) == [path.name]
    assert load(tmp_path).snapshot.step == 10**12


def faults_of_a_save() -> list[tuple[int, str]]:
    """Return the calls that the third save makes, from 1."""
    disk = SimulatedDisk()
    checkpointer = Checkpointer(FOLDER, keep=2, disk=disk)
    for step in (1, 2, 3):
        disk.calls.clear()
        checkpointer.save(snapshot_of(step))
    return list(enumerate(disk.calls, start=1))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize(("call", "name"), faults_of_a_save())
def test_a_failing_disk_leaves_earlier_checkpoints_intact(call: int, name: str, number: int) -> None:
    """Whichever call fails, one line tells it, the previous checkpoint is valid, and nothing half-written remains."""
    disk = SimulatedDisk()
    checkpointer = Checkpointer(FOLDER, keep=2, disk=disk)
    for step in (1, 2):
        checkpointer.save(snapshot_of(step))
    disk.arm(call, OSError(number, os.strerror(number)))
    with pytest.raises(CheckpointError, match=os.strerror(number)) as caught:
        checkpointer.save(snapshot_of(3))
    assert disk.fired == name
    assert "\n" not in str(caught.value)
    assert disk.calls.count("fsync") <= 1, "a failed fsync was tried again"
    assert not disk.open_files
    assert not [path for path in disk.names if ".tmp-" in path.name]
    loaded = checkpointer.newest()
    assert loaded is not None
    assert loaded.rejected == ()
    assert loaded.snapshot.step == (3 if name in {"unlink", "fsync_folder"} else 2)


def test_the_wrong_step_is_refused_before_the_disk_is_touched(tmp_path: Path) -> None:
    """A snapshot that cannot be encoded leaves no trace."""
    folder = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match="step -1"):
        Checkpointer(folder).save(snapshot_of(-1))
    assert not folder.exists()


def test_a_saved_file_is_its_encoding(tmp_path: Path) -> None:
    """The file holds exactly what `encode` gives, and no other process may change it unseen."""
    path = Checkpointer(tmp_path).save(snapshot_of(1))
    data = path.read_bytes()
    assert data == encode(snapshot_of(1))
    assert decode(data, path).step == 1
