"""The run directory: one writer, nothing foreign touched, no link followed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream_bp.errors import CheckpointError, ConfigError, LockedError
from stream_bp.persistence.checkpoints import Checkpointer, Snapshot
from stream_bp.persistence.journal import AppendLog
from stream_bp.persistence.run_directory import RunDirectory
from tests.simulated_disk import SimulatedDisk

HOLDER = """
import sys
from stream_bp.persistence.run_directory import RunDirectory
with RunDirectory(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def leave_files(run: RunDirectory) -> None:
    """Leave behind what a job leaves."""
    Checkpointer(run.checkpoints).save(Snapshot(1, {}, {}))
    (run.checkpoints / ".step-000000000002.tmp-1").touch()
    with AppendLog(run.file("history"), ["step"]) as history:
        history.sync()


def test_entering_creates_the_directory_and_its_parents(tmp_path: Path) -> None:
    """A run directory comes into being where nothing was, and says whose it is."""
    with RunDirectory(tmp_path / "runs" / "first") as run:
        assert run.checkpoints.is_dir()
        assert (run.path / "lock").read_text() == f"stream-bp, process {os.getpid()}\n"
        assert run.is_ours
    with RunDirectory(run.path):
        pass


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Within one process as well, a locked directory tells who holds it."""
    with (
        RunDirectory(tmp_path),
        pytest.raises(LockedError, match=f"{tmp_path} is in use by stream-bp, process {os.getpid()}"),
        RunDirectory(tmp_path),
    ):
        pass
    with RunDirectory(tmp_path):
        pass


def test_the_lock_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    """Another process's lock holds while it lives, and ends with it however it dies."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid}"), RunDirectory(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with RunDirectory(tmp_path) as run:
        assert run.is_ours


def test_a_refused_writer_changes_nothing(tmp_path: Path) -> None:
    """Who does not get the lock does not write its number into it, nor any folder."""
    with RunDirectory(tmp_path) as run:
        run.checkpoints.rmdir()
        before = (tmp_path / "lock").read_bytes()
        with pytest.raises(LockedError), RunDirectory(tmp_path):
            pass
        assert (tmp_path / "lock").read_bytes() == before
        assert not run.checkpoints.exists()


def test_peek_creates_nothing(tmp_path: Path) -> None:
    """Asking whether a directory holds checkpoints leaves no trace and needs no lock."""
    run = RunDirectory(tmp_path / "run")
    assert not run.peek()
    assert not run.is_ours
    assert not run.path.exists()
    with run:
        assert not RunDirectory(run.path).peek()
        leave_files(run)
        assert RunDirectory(run.path).peek()


def test_clear_removes_our_files_only(tmp_path: Path) -> None:
    """Checkpoints, half-written ones and the history go; the lock and everything foreign stay."""
    foreign = [tmp_path / "notes.txt", tmp_path / "checkpoints" / "model.safetensors"]
    foreign[1].parent.mkdir()
    for path in foreign:
        path.touch()
    with RunDirectory(tmp_path) as run:
        leave_files(run)
        run.clear()
        assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([*foreign, tmp_path / "lock"])
        assert not run.peek()
        run.clear()


def test_clear_needs_the_lock(tmp_path: Path) -> None:
    """Another job's files cannot be cleared from under it."""
    with RunDirectory(tmp_path) as run:
        leave_files(run)
    with pytest.raises(RuntimeError, match="locked"):
        run.clear()
    assert run.peek()


@pytest.mark.parametrize("name", ["lock", "checkpoints", "history.csv"])
def test_a_planted_link_is_refused(tmp_path: Path, name: str) -> None:
    """A link under one of our names is refused, and what it leads to is not touched."""
    (tmp_path / "elsewhere").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / name).symlink_to(tmp_path / "elsewhere" / "target")
    with pytest.raises(ConfigError, match=f"{name} is a symbolic link"), RunDirectory(run):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["lock", "history.csv"])
def test_a_foreign_file_under_our_name_is_refused(tmp_path: Path, name: str) -> None:
    """A file that another program wrote under one of our names is left as it was."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(ConfigError, match="was not written by stream-bp"), RunDirectory(tmp_path):
        pass
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("left", [b"", b"\0" * 30])
def test_a_lock_that_a_power_cut_emptied_is_ours(tmp_path: Path, left: bytes) -> None:
    """The lock file is never synced: empty, or filled with zeros, it does not keep a job from going on."""
    (tmp_path / "lock").write_bytes(left)
    with RunDirectory(tmp_path) as run:
        assert run.is_ours


def test_a_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    """A path that is a file is a wrong setting, told in one line, whether peeked at or entered."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        RunDirectory(path).peek()
    with pytest.raises(ConfigError, match="Not a directory"), RunDirectory(path):
        pass


def test_an_odd_lock_is_refused(tmp_path: Path) -> None:
    """A named pipe or a folder in place of the lock is an error at once."""
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(ConfigError, match="Not a regular file"), RunDirectory(tmp_path):
        pass


def enter_and_clear(disk: SimulatedDisk) -> None:
    """Use a run directory from its making to its clearing."""
    with RunDirectory("/runs/job", disk) as run:
        Checkpointer(run.checkpoints, disk=disk).save(Snapshot(1, {}, {}))
        with AppendLog(run.file("history"), ["step"], disk) as history:
            history.sync()
        run.clear()


def calls_of_a_run() -> list[tuple[int, str]]:
    """Return the calls that a run directory's life makes, from 1."""
    disk = SimulatedDisk()
    enter_and_clear(disk)
    return list(enumerate(disk.calls, start=1))


@pytest.mark.parametrize(("call", "name"), calls_of_a_run())
def test_every_failure_of_the_disk_is_one_line(call: int, name: str) -> None:
    """Whichever call fails, the error is one of ours, of one line, and no file stays open."""
    disk = SimulatedDisk()
    disk.arm(call, OSError(errno.EIO, os.strerror(errno.EIO)))
    if (call, name) == calls_of_a_run()[-1]:
        enter_and_clear(disk)  # the closing of the lock: there is nothing left to lose
    else:
        with pytest.raises((ConfigError, CheckpointError), match="Input/output error") as caught:
            enter_and_clear(disk)
        assert "\n" not in str(caught.value)
    assert disk.fired == name
    assert not disk.open_files


def test_the_names_of_a_new_run_survive_a_power_cut() -> None:
    """Once a run directory is entered, its folders are on the medium."""
    disk = SimulatedDisk()
    with RunDirectory("/runs/job", disk) as run:
        left = disk.after_power_cut(names_kept=False, content_kept=False)
    assert left.is_folder(run.checkpoints)
