"""Two jobs on one run directory: exactly one runs, whatever the other one is doing."""

import csv
import os
import signal
import time
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.conftest import Campaign
from tests.crash.jobs import comparable, forked, newest_step, rows, run_command, single_rows, write_csv

RACES = "two jobs on one run directory"
LOCKED = 5


class Arena:
    """A source, its undisturbed end, and jobs that are started on one run directory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, folder / "rows.csv"
        write_csv(rows(4_000), self.source)
        process = self.start(folder / "whole")
        process.join()
        assert process.exitcode == 0
        self.whole = comparable(folder / "whole")

    def start(self, run_dir: Path) -> ForkServerProcess:
        """Start the command line in a process of its own."""
        arguments = single_rows(self.source, run_dir, "--hidden-layers", "4", "--checkpoint-every", "500")
        return forked(run_command, arguments)

    def finish(self, run_dir: Path) -> None:
        """Let a job run to its end, which must be that of the undisturbed one."""
        process = self.start(run_dir)
        process.join()
        assert process.exitcode == 0
        assert comparable(run_dir) == self.whole


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Return an arena."""
    return Arena(tmp_path_factory.mktemp("arena"))


def listing(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return everything in a folder, with inode, size and time."""
    stats = [(str(path), path.lstat()) for path in sorted(folder.rglob("*"))]
    return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def one_after_the_other(run_dir: Path) -> bool:
    """Tell whether two jobs came to their ends, the second of which began when the first was over."""
    with (run_dir / "timeline.csv").open(newline="") as file:
        events = [line["event"] for line in csv.DictReader(file) if line["event"] in {"start", "end"}]
    return events[-4:] == ["start", "end"] * 2


def wait_for_checkpoint(process: ForkServerProcess, run_dir: Path) -> None:
    """Wait until a job has saved its first checkpoint, and hence holds the lock."""
    while newest_step(run_dir) < 0:
        assert process.is_alive()
        time.sleep(0.001)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "used"])
def test_of_two_that_start_together_one_runs(arena: Arena, tmp_path: Path, is_new: bool, campaign: Campaign) -> None:
    """Of two processes that start at the same moment one is refused, and the other ends as if it had been alone."""
    n_races, n_run = campaign.size(3, 50), 0
    for race in range(10 * n_races):
        run_dir = tmp_path / str(race)
        if not is_new:
            first = arena.start(run_dir)
            wait_for_checkpoint(first, run_dir)
            first.kill()
            first.join()
        pair = [arena.start(run_dir), arena.start(run_dir)]
        wait([process.sentinel for process in pair])
        for process in pair:
            process.join()
        assert comparable(run_dir) == arena.whole
        if one_after_the_other(run_dir):  # the machine was busy: one was over before the other began
            continue
        assert sorted(process.exitcode or 0 for process in pair) == [0, LOCKED]
        n_run += 1
        if n_run == n_races:
            break
    assert n_run == n_races
    campaign.tell(RACES, races=n_races)


def test_a_stopped_holder_holds_and_a_killed_one_does_not(arena: Arena, tmp_path: Path, campaign: Campaign) -> None:
    """While the holder is stopped another job is refused and touches nothing; once it is killed another goes on."""
    n_races, slowest = campaign.size(3, 100), 0.0
    for race in range(n_races):
        run_dir = tmp_path / str(race)
        holder = arena.start(run_dir)
        wait_for_checkpoint(holder, run_dir)
        signal_process(holder, signal.SIGSTOP)
        before = listing(run_dir)
        began = time.monotonic()
        other = arena.start(run_dir)
        other.join()
        slowest = max(slowest, time.monotonic() - began)
        assert other.exitcode == LOCKED
        assert listing(run_dir) == before, "the refused job touched something"
        holder.kill()
        holder.join()
        assert holder.exitcode == -signal.SIGKILL, "the holder was over before the race began"
        arena.finish(run_dir)
    campaign.tell(RACES, races=n_races)
    print(f"the slowest refusal took {slowest * 1000:.0f} ms after the imports")  # noqa: T201


def test_without_the_lock_both_run(arena: Arena, tmp_path: Path, campaign: Campaign) -> None:
    """The control: where locks are granted to everybody, nobody is refused."""
    arguments = single_rows(arena.source, tmp_path / "run")
    first = forked(run_command, arguments)
    wait_for_checkpoint(first, tmp_path / "run")
    first.kill()
    first.join()
    pair = [forked(run_command, arguments, True) for _ in range(2)]
    for process in pair:
        process.join()
    assert LOCKED not in [process.exitcode for process in pair]
    campaign.tell(RACES, missing_locks_caught=1)


def signal_process(process: ForkServerProcess, number: int) -> None:
    """Send a signal, and where it stops the process wait until it is stopped."""
    assert process.pid is not None
    os.kill(process.pid, number)
    while number == signal.SIGSTOP and "State:\tT" not in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.001)
