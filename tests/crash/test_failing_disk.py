"""No space, no inodes, errors of the medium, too many files, short writes: at every operation of a job."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connectors import open_source
from stream_bp.errors import CheckpointError, ConfigError, DiskError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.persistence.filesystem import FileSystem
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, comparable, look_often
from tests.crash.test_power_cut import RUN_DIR, ends
from tests.simulated_disk import Inode, SimulatedDisk

FAILURES = "failing disk"
REFUSED = DiskError.exit_code
ERRNOS = {
    name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "ENFILE", "EACCES", "ENOMEM")
}


@dataclass
class SickDisk(SimulatedDisk):
    """A disk that fails at one call, or from one call on; it notes which file a failed fsync was asked for."""

    is_lasting: bool = False
    failed_fsyncs: list[Inode] = field(default_factory=list)
    n_retried: int = 0

    def _call(self, name: str) -> None:
        if self.is_lasting and self.fired:
            self.calls.append(name)
            # A new one each time, as the system's are: an exception that is raised again makes a circle of causes.
            raise OSError(*self.failure.args)
        super()._call(name)

    def fsync(self, fd: int) -> None:
        """Note a failure, and a second try on the same file."""
        inode = self.open_files[fd]
        self.n_retried += any(inode is failed for failed in self.failed_fsyncs)
        try:
            super().fsync(fd)
        except OSError:
            self.failed_fsyncs.append(inode)
            raise


class Heard(Observer):
    """Keeps what is told of a job that goes on."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_message(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class Ward:
    """A job on a disk that will fail, and its undisturbed end."""

    def __init__(self, folder: Path, *, is_resumed: bool, name: str = "csv") -> None:
        self.configuration, self.is_resumed = CONFIGURATIONS[name], is_resumed
        self.paths = self.configuration.write(folder, 64)
        disk = self.prepared()
        disk.calls.clear()
        self.run(disk)
        self.operations, self.whole = list(disk.calls), ends(disk)

    def prepared(self) -> SickDisk:
        """Return a disk on which the job has not begun, or was stopped half-way."""
        disk = SickDisk()
        if self.is_resumed:
            Job(open_source(*self.paths), self.configuration.config(RUN_DIR, max_minibatches=4), disk=disk).run()
        return disk

    def run(self, disk: SickDisk, observer: Observer | None = None) -> None:
        """Run the job."""
        Job(open_source(*self.paths), self.configuration.config(RUN_DIR), disk=disk, observer=observer).run()


def error_of(ward: Ward, disk: SickDisk, heard: Heard) -> CheckpointError | ConfigError | None:
    """Run the job and return what it was ended by; an error of another kind goes through."""
    try:
        ward.run(disk, heard)
    except (CheckpointError, ConfigError) as error:
        return error
    return None


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("is_resumed", [False, True], ids=["new", "resumed"])
@pytest.mark.parametrize("name", ["csv", "predictions"])
def test_any_failure_at_any_operation(
    tmp_path: Path,
    campaign: Campaign,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    is_resumed: bool,
    is_lasting: bool,
) -> None:
    """One line tells it, nothing stays open, what was saved stands: the job then goes on to the same bytes."""
    look_often(16, monkeypatch.setattr)
    ward = Ward(tmp_path, is_resumed=is_resumed, name=name)
    points = [(at, code) for at in range(1, len(ward.operations) + 1) for code in ERRNOS]
    points = campaign.random.sample(points, campaign.size(30, len(points)))
    n_told = 0
    for at, code in points:
        disk = ward.prepared()
        disk.is_lasting = is_lasting
        disk.arm(at, OSError(ERRNOS[code], os.strerror(ERRNOS[code])))
        heard = Heard()
        told = error_of(ward, disk, heard)
        noted = [line for line in heard.lines if "timeline.csv" in line]
        assert len(noted) <= 1
        n_told += told is None and len(noted)  # a failure there ends no job
        if told is not None:
            n_told += 1
            assert "\n" not in str(told)
            assert os.strerror(ERRNOS[code]) in str(told)
            assert str(RUN_DIR) in str(told)
            assert told.exit_code == REFUSED or (code == "EACCES" and isinstance(told, ConfigError)), told
        assert disk.fired == ward.operations[at - 1], "the failure did not come"
        assert not disk.open_files
        assert not disk.n_retried, "a failed fsync was tried again on the same file"
        disk.is_lasting = False
        disk.arm(0, OSError())
        ward.run(disk)
        assert ends(disk) == ward.whole
        assert not [path for path in disk.names if ".tmp" in path.name]
    assert n_told > len(points) * 0.8
    campaign.tell(FAILURES, points=len(points), told=n_told, divergent=0)


class Denying(SickDisk):
    """The control: a disk that keeps a failed write to itself."""

    def write(self, fd: int, data: bytes) -> None:
        """Say that all is well."""
        try:
            super().write(fd, data)
        except OSError:
            self.n_denied = getattr(self, "n_denied", 0) + 1


def test_a_failure_that_is_not_told_is_seen(tmp_path: Path, campaign: Campaign) -> None:
    """The control: where a failed write is swallowed, the newest checkpoint is found to be damaged."""
    ward = Ward(tmp_path, is_resumed=False)
    last = max(at for at, operation in enumerate(ward.operations, start=1) if operation == "write")
    disk = Denying()
    for at in range(last, 0, -1):
        if ward.operations[at - 1] == "write" and ward.operations[at - 2] == "open_new":
            disk.arm(at, OSError(errno.EIO, os.strerror(errno.EIO)))
            break
    ward.run(disk)
    assert disk.fired == "write"
    assert ends(disk) != ward.whole
    campaign.tell(FAILURES, swallowed_writes_caught=1)


@pytest.mark.parametrize("n_taken", [1, 7, 1000])
def test_short_writes_are_finished(tmp_path: Path, n_taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes a few bytes at a time gets them all; one that then has no space is told."""
    write, n_calls = os.write, 0

    def short(fd: int, data: bytes) -> int:
        nonlocal n_calls
        n_calls += 1
        return write(fd, bytes(data)[:n_taken])

    configuration = CONFIGURATIONS["csv"]
    paths = configuration.write(tmp_path, 40)
    Job(open_source(*paths), configuration.config(tmp_path / "whole")).run()
    monkeypatch.setattr(os, "write", short)
    Job(open_source(*paths), configuration.config(tmp_path / "short")).run()
    assert n_calls > 10
    assert comparable(tmp_path / "short") == comparable(tmp_path / "whole")

    def full(fd: int, data: bytes) -> int:
        if len(data) < 500:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, bytes(data)[:100])

    monkeypatch.setattr(os, "write", full)
    disk = FileSystem()
    fd = disk.open_new(tmp_path / "full")
    with pytest.raises(OSError, match="No space"):
        disk.write(fd, bytes(1000))
    disk.close(fd)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small file system in memory, or skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def command_line(source: str, run_dir: Path) -> list[str]:
    """Return a job whose checkpoints take some 10 KiB each."""
    settings = ["--target", "label", "--hidden-layers", "40", "--checkpoint-every", "2", "--json"]
    return [sys.executable, "-m", "stream_bp", "train", source, *settings, "--run-dir", str(run_dir)]


REAL = {
    "no space": ("size=40k", "remount,size=10m"),
    "no inodes": ("size=10m,nr_inodes=6", "remount,nr_inodes=100"),
    "read-only": ("size=10m,ro", "remount,rw"),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_disk_that_refuses(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """The command line ends with one line and its exit code; once there is room it goes on to the same bytes."""
    options, mended = REAL[name]
    (source,) = CONFIGURATIONS["csv"].write(tmp_path, 400)
    subprocess.run(command_line(source, tmp_path / "whole"), check=True, capture_output=True)
    with mounted(tmp_path / "disk", options) as disk:
        failed = subprocess.run(command_line(source, disk / "run"), check=False, capture_output=True, text=True)
        assert failed.returncode == REFUSED, failed.stderr
        assert failed.stderr.splitlines()[-1].startswith("stream-bp: ")
        assert "Traceback" not in failed.stderr
        subprocess.run(["mount", "-o", mended, str(disk)], check=True)
        subprocess.run(command_line(source, disk / "run"), check=True, capture_output=True)
        assert comparable(disk / "run") == comparable(tmp_path / "whole")
    campaign.tell(FAILURES, real_file_systems=1)


def test_too_large_a_file(tmp_path: Path, campaign: Campaign) -> None:
    """A limit on the size of files, which cuts a write short, is told like any other failure."""
    (source,) = CONFIGURATIONS["csv"].write(tmp_path, 400)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    found = subprocess.run(
        command_line(source, tmp_path / "run"), check=False, capture_output=True, text=True, preexec_fn=limit
    )
    assert found.returncode == REFUSED, found.stderr
    assert "File too large" in found.stderr
    assert "Traceback" not in found.stderr
    campaign.tell(FAILURES, real_file_systems=1)
