"""Killed at every operation on the disk, at every system call, and at random moments in chains."""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from stream_bp.job.prediction_writer import PredictionWriter
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.prediction_parts import PartsMark, PredictionParts
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, comparable, forked, is_ahead, remove, run_job

KILLS = "SIGKILL at every operation"
N_ROWS = 240
SURE = {"fsync", "rename", "write", "openat", "ftruncate"}  # calls that every job makes
OPERATIONS = [name for name in vars(FileSystem) if not name.startswith("_")]


class KillingDisk(FileSystem):
    """The real disk, whose process is killed before its n-th operation, or half through it if that is a write.

    Parameters
    ----------
    at
        The operation, from 1; 0 for none.
    is_halfway
        Whether a write has taken half of its data.
    log
        A file that gets the name of each operation.
    """

    def __init__(self, at: int = 0, is_halfway: bool = False, log: Path | None = None) -> None:
        self.at, self.is_halfway, self.log, self.n_calls = at, is_halfway, log, 0

    def note(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Count an operation, and kill if it is the one."""
        self.n_calls += 1
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{name}\n")
        if self.n_calls == self.at:
            if self.is_halfway and name == "write":  # threads may have come in another order than the first time
                fd, data = arguments
                os.write(fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)


def _noted(name: str) -> Callable[..., Any]:
    operation = getattr(FileSystem, name)

    def call(self: KillingDisk, *arguments: Any) -> Any:
        self.note(name, arguments)
        return operation(self, *arguments)

    return call


for _name in OPERATIONS:
    setattr(KillingDisk, _name, _noted(_name))


class KeepingTail(KillingDisk):
    """The control: the rows of a history that no checkpoint vouches for are not cut off."""

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut nothing."""


def publish_at_once(*job: Any) -> None:
    """Run a job, wrongly: its predictions are given their names before the checkpoint that covers them."""
    sync = PredictionWriter.sync

    def sync_and_publish(predictions: PredictionWriter, mark: PartsMark) -> None:
        sync(predictions, mark)
        predictions.publish(mark)

    setattr(PredictionWriter, "sync", sync_and_publish)  # noqa: B010
    run_job(*job)


def forget_the_pending(*job: Any) -> None:
    """Run a job, wrongly: it does not know of parts that its checkpoint covers, and that have no name yet."""
    mend = PredictionParts.mend
    setattr(PredictionParts, "mend", lambda parts, mark: mend(parts, PartsMark(rows=mark["rows"], pending=[])))  # noqa: B010
    run_job(*job)


class Bed:
    """A configuration with its files, its undisturbed end, and the ends of disturbed runs."""

    def __init__(self, folder: Path, name: str, job: Callable[..., None] = run_job) -> None:
        self.job = job
        self.configuration, self.run_dir = CONFIGURATIONS[name], folder / "killed"
        self.paths = self.configuration.write(folder, N_ROWS)
        log = folder / "operations"
        assert self.run(folder / "whole", KillingDisk(log=log)) == 0
        self.whole = comparable(folder / "whole")
        self.operations = log.read_text().split()
        began = time.monotonic()
        assert not self.is_divergent(), "two undisturbed runs differ"
        self.seconds = time.monotonic() - began

    def start(self, run_dir: Path, disk: FileSystem | None = None, gate: Connection | None = None) -> ForkServerProcess:
        """Start the job in a process of its own."""
        return forked(self.job, self.paths, self.configuration.config(run_dir), disk, gate)

    def run(self, run_dir: Path, disk: FileSystem | None = None) -> int | None:
        """Run the job in a process of its own and return how it ended."""
        process = self.start(run_dir, disk)
        process.join()
        return process.exitcode

    def is_divergent(self, disk: FileSystem | None = None) -> bool:
        """Let the killed job go on to its end, and tell whether that differs; the next one begins anew."""
        assert self.run(self.run_dir, disk) == 0, "it does not go on"
        found = comparable(self.run_dir)
        remove(self.run_dir)
        return found != self.whole


def kill_at_operations(bed: Bed, campaign: Campaign, *, few: int) -> list[tuple[int, str, bool]]:
    """Kill a job before each operation, and half through each write, or at a few of these; return where it diverges."""
    points = [(at, False) for at in range(1, len(bed.operations) + 1)]
    points += [(at, True) for at, operation in enumerate(bed.operations, start=1) if operation == "write"]
    assert len(points) > 150
    points = campaign.random.sample(points, campaign.size(few, len(points)))
    divergent = []
    for at, is_halfway in points:
        assert bed.run(bed.run_dir, KillingDisk(at, is_halfway)) == -signal.SIGKILL, "the kill did not fire"
        if is_ahead(bed.run_dir) or bed.is_divergent():
            divergent.append((at, bed.operations[at - 1], is_halfway))
    campaign.tell(KILLS, configurations=1, points_on_disk=len(points), divergent=len(divergent))
    return divergent


def kill_in_chains(bed: Bed, campaign: Campaign, *, few: int) -> int:
    """Kill a job again and again, at any moment from its start on; return how many chains end in other bytes."""
    n_kills = n_chains = n_divergent = 0
    while n_kills < campaign.size(few, 110):
        while True:
            process = bed.start(bed.run_dir)
            process.join(campaign.random.uniform(0, bed.seconds))
            process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            n_kills += 1
        n_chains += 1
        n_divergent += bed.is_divergent()
    campaign.tell("SIGKILL at random moments, in chains", kills=n_kills, chains=n_chains, divergent=n_divergent)
    return n_divergent


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_kill_at_any_operation_on_the_disk(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """Killed before each operation, and half through each write, a job ends in the same bytes."""
    bed = Bed(tmp_path, name)
    assert kill_at_operations(bed, campaign, few=3) == []


def test_kills_show_a_history_that_is_not_cut(tmp_path: Path, campaign: Campaign) -> None:
    """The control: where a resume does not cut off what no checkpoint vouches for, kills show it."""
    bed = Bed(tmp_path, "parquet")
    # Killed where lines of the history are on the medium and the checkpoint that vouches for them is not yet begun; the
    # first such checkpoint has none before it to resume from.
    synced = ["write", "fsync", "is_folder", "listdir"]
    ahead = [at for at in range(len(synced), len(bed.operations)) if bed.operations[at - len(synced) : at] == synced]
    assert len(ahead) > 3
    for at in ahead[1:]:
        assert bed.run(bed.run_dir, KillingDisk(at + 1)) == -signal.SIGKILL
        assert bed.is_divergent(KeepingTail()), "the control was not caught"
    campaign.tell(KILLS, caught_in_a_wrong_protocol=len(ahead) - 1)


def test_kills_show_predictions_that_no_checkpoint_covers(tmp_path: Path, campaign: Campaign) -> None:
    """The control: where a part has its name before its checkpoint is acknowledged, a kill between both shows it."""
    bed = Bed(tmp_path, "predictions", publish_at_once)
    named = ["rename", "fsync_folder", "is_folder", "listdir"]  # a part, and then a checkpoint that is begun
    ahead = [at for at in range(len(named), len(bed.operations)) if bed.operations[at - len(named) : at] == named]
    assert len(ahead) > 20
    for at in campaign.random.sample(ahead, campaign.size(3, len(ahead))):
        assert bed.run(bed.run_dir, KillingDisk(at + 1)) == -signal.SIGKILL
        assert is_ahead(bed.run_dir), "the control was not caught"
        remove(bed.run_dir)
    campaign.tell(KILLS, caught_in_a_wrong_protocol=campaign.size(3, len(ahead)))


def test_kills_show_predictions_that_are_forgotten(tmp_path: Path, campaign: Campaign) -> None:
    """The control: where a resume does not name what its checkpoint covers, a kill before the renaming shows it."""
    bed = Bed(tmp_path, "predictions", forget_the_pending)
    # A checkpoint is renamed once it was closed; a part is closed long before.
    pairs = itertools.pairwise(bed.operations)
    renames = [at for at, (before, now) in enumerate(pairs, start=1) if now == "rename" and before != "close"]
    del renames[-1]  # behind the last part there is none to show the gap
    assert len(renames) > 20
    for at in campaign.random.sample(renames, campaign.size(3, len(renames))):
        assert bed.run(bed.run_dir, KillingDisk(at + 1)) == -signal.SIGKILL
        assert not is_ahead(bed.run_dir)
        with pytest.raises(AssertionError, match="a row is missing"):
            bed.is_divergent()
        remove(bed.run_dir)
    campaign.tell(KILLS, caught_in_a_wrong_protocol=campaign.size(3, len(renames)))


def traced(process: ForkServerProcess, *arguments: str) -> subprocess.Popen[bytes]:
    """Attach strace to a process that waits at its gate."""
    tracer = subprocess.Popen(["strace", "-f", "-qq", *arguments, "-p", str(process.pid)], stderr=subprocess.DEVNULL)
    while "TracerPid:\t0\n" in Path(f"/proc/{process.pid}/status").read_text():
        assert tracer.poll() is None, "strace could not attach"
        time.sleep(0.001)
    return tracer


def run_traced(bed: Bed, run_dir: Path, *arguments: str) -> int | None:
    """Run a job under strace and return how it ended."""
    gate, inside = multiprocessing.Pipe()
    process = bed.start(run_dir, gate=inside)
    with traced(process, *arguments) as tracer:
        gate.send(None)
        process.join()
        tracer.wait()
    return process.exitcode


def can_trace() -> bool:
    """Tell whether strace is here and may attach to a process of ours."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-e", "trace=none", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_kill_at_any_system_call(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """Killed at the n-th call of each kind, in whichever thread, a job ends in the same bytes."""
    bed = Bed(tmp_path, name)
    log = tmp_path / "calls"
    assert run_traced(bed, bed.run_dir, "-o", str(log)) == 0
    assert not bed.is_divergent()
    # strace counts each kind of call in each thread.
    found = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE))
    calls: dict[str, int] = {}
    for (_, call), n in found.items():
        calls[call] = max(calls.get(call, 0), n)
    assert calls.keys() >= SURE
    if bed.configuration.settings.get("follow"):  # how often it looks is not known
        calls = {call: n for call, n in calls.items() if call in SURE}
    points = [(call, at) for call, n in calls.items() for at in range(1, n + 1)]
    # How often threads wait for each other differs from run to run: for a call that did not come another is taken.
    wanted = campaign.size(2, min(150, sum(calls[call] for call in SURE)))
    n_fired, divergent = 0, []
    for call, at in campaign.random.sample(points, len(points)):
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}", "-o", os.devnull]
        ended = run_traced(bed, bed.run_dir, *inject)
        assert ended in {0, -signal.SIGKILL}
        if bed.is_divergent():
            divergent.append((call, at))
        n_fired += ended != 0
        if n_fired == wanted:
            break
    assert divergent == []
    assert n_fired == wanted
    campaign.tell(KILLS, points_at_system_calls=n_fired)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_chains_of_kills_at_random_moments(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """Killed again and again, at any moment from its start on, a job ends in the same bytes."""
    bed = Bed(tmp_path, name)
    assert kill_in_chains(bed, campaign, few=3) == 0
