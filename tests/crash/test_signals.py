"""Asked politely to stop, at any moment: a last checkpoint, the right exit code, and the same end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_bp.persistence.checkpoints import load
from tests.conftest import Campaign
from tests.crash.jobs import comparable, forked, newest_step, rows, run_command, single_rows, write_csv

SIGNALS = "signals"
N_ROWS = 6_000
KINDS: dict[str, list[int]] = {
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGHUP": [signal.SIGHUP],
    "SIGTERM twice": [signal.SIGTERM, signal.SIGTERM],
    "SIGTERM and SIGHUP": [signal.SIGTERM, signal.SIGHUP],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of rows."""
    path = tmp_path_factory.mktemp("signals") / "rows.csv"
    write_csv(rows(N_ROWS), path)
    return path


def arguments(source: Path, run_dir: Path) -> list[str]:
    """Return a job that saves nothing in between: what is found at a stop was saved because of it."""
    return single_rows(source, run_dir, "--hidden-layers", "4", "--checkpoint-every", "1h")


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[bytes, ...], float]:
    """Return the undisturbed end, and the seconds it takes."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    for _ in range(2):  # the first one also starts what forks
        shutil.rmtree(run_dir, ignore_errors=True)
        began = time.monotonic()
        process = forked(run_command, arguments(source, run_dir))
        process.join()
        assert process.exitcode == 0
    return comparable(run_dir), time.monotonic() - began


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_at_any_moment(
    source: Path, whole: tuple[tuple[bytes, ...], float], tmp_path: Path, kind: str, campaign: Campaign
) -> None:
    """The minibatch in hand is finished and saved; the exit code tells the signal; the job then ends the same."""
    numbers = KINDS[kind]
    codes = {128 + number for number in numbers}
    n_moments, n_stopped = campaign.size(6, 60), 0
    for moment in range(n_moments * 5):
        if moment >= n_moments and n_stopped:
            break
        run_dir, out = tmp_path / str(moment), tmp_path / f"{moment}.json"
        process = forked(run_command, [*arguments(source, run_dir), "--json"], False, out)
        time.sleep(campaign.random.uniform(0.005, whole[1]))
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid or 0, number)
        process.join()
        # Before a handler stands (in the fork itself) the system ends the process; after the job there is none to stop.
        said = out.with_suffix(".stderr")
        assert process.exitcode in {*codes, 0, *(-number for number in numbers)}, said.read_text()
        if process.exitcode in codes and out.stat().st_size:
            n_stopped += 1
            saved = load(run_dir).snapshot.state
            assert f'"minibatches": {newest_step(run_dir)}' in out.read_text(), "a minibatch was learned and not saved"
            assert saved["rows"] == saved["minibatches"] == newest_step(run_dir)
            assert saved["stop_reason"] is None or saved["rows"] == N_ROWS
        again = forked(run_command, arguments(source, run_dir))
        again.join()
        assert again.exitcode == 0
        assert comparable(run_dir) == whole[0]
    assert n_stopped > 0, "no signal met the job at work"
    campaign.tell(SIGNALS, moments=moment, stopped_at_work=n_stopped, divergent=0)


def test_a_signal_that_is_not_heeded_saves_nothing(tmp_path: Path, campaign: Campaign) -> None:
    """The control: a kill, which cannot be heeded, leaves no checkpoint of the last minibatch."""
    # Ten times the rows: the job must not come to its end before it is killed, however fast the machine.
    write_csv(rows(10 * N_ROWS), tmp_path / "rows.csv")
    process = forked(run_command, arguments(tmp_path / "rows.csv", tmp_path / "run"))
    while newest_step(tmp_path / "run") < 0:
        time.sleep(0.001)
    time.sleep(0.1)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert newest_step(tmp_path / "run") == 0
    campaign.tell(SIGNALS, unheeded_caught=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_job_that_waits_for_its_first_rows_can_be_stopped(tmp_path: Path, number: int) -> None:
    """Whatever listens for files meanwhile does not swallow the signal."""
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-m", "stream_bp", "train", "data", "--target", "label", "--follow"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"following" in process.stderr.readline()
        time.sleep(0.5)  # it has begun to wait, in whatever it waits
        assert process.poll() is None
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
    assert process.returncode == 128 + number


def test_what_is_ignored_stays_ignored(source: Path, tmp_path: Path) -> None:
    """Under nohup a job goes on when its terminal is closed."""
    command = ["nohup", sys.executable, "-m", "stream_bp", *arguments(source, tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while newest_step(tmp_path / "run") < 0:
            time.sleep(0.005)
        process.send_signal(signal.SIGHUP)
        assert process.wait() == 0


def test_a_signal_after_the_end_changes_nothing() -> None:
    """Once the command line has come to its end, no signal breaks into the exit, or takes its code."""
    code = """
import os, signal, sys
from stream_bp import __main__
sys.argv = ["stream-bp", "--version"]
try:
    __main__.main()
except SystemExit as end:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(os.getpid(), number)
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")


def can_unshare() -> bool:
    """Tell whether a process may be made the first of a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="unshare is not installed, or may not make a namespace")
@pytest.mark.parametrize("is_early", [True, False], ids=["at its start", "at work"])
def test_as_process_1_of_a_container(source: Path, tmp_path: Path, is_early: bool, campaign: Campaign) -> None:
    """As process 1, for which the system does nothing by default, SIGTERM is heeded, at the start as at work."""
    big = tmp_path / "rows.csv"
    write_csv(rows(10 * N_ROWS), big)
    command = ["unshare", "--pid", "--fork", sys.executable, "-m", "stream_bp", *arguments(big, tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text().split():
            time.sleep(0.001)
        inner = int(children.read_text().split()[0])
        while not is_ready(inner) if is_early else newest_step(tmp_path / "run") < 0:
            time.sleep(0.001)
        time.sleep(0 if is_early else 0.3)
        os.kill(inner, signal.SIGTERM)
        _, said = process.communicate()
        assert process.returncode == 143, said
    assert is_early or newest_step(tmp_path / "run") > 0
    campaign.tell(SIGNALS, as_process_1=1)


def is_ready(pid: int) -> bool:
    """Tell whether a process catches SIGTERM."""
    caught = Path(f"/proc/{pid}/status").read_text().split("SigCgt:")[1].split()[0]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
