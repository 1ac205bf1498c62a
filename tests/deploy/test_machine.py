"""A machine that systemd runs: the unit as it stands, with all that it forbids, and a job that learns under it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY
from tests.deploy.machines import Image, Machine, ask, booted
from tests.deploy.watched import write_rows

pytestmark = pytest.mark.image

UNIT = "stream-bp@job.service"


def machine_path(tree: Path, path: str) -> Path:
    """Return a place in the machine, whose folder is there."""
    place = tree / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(scope="module")
def machine(image: Image) -> Iterator[Machine]:
    """Install what the runbook says to install, and start the machine; it waits a second in place of a minute."""
    tree = image.tree
    shutil.copytree(image.root / "opt/stream-bp", tree / "opt/stream-bp", symlinks=True)
    systemd = DEPLOY / "systemd"
    shutil.copy(systemd / "stream-bp.sysusers.conf", machine_path(tree, "usr/lib/sysusers.d/stream-bp.conf"))
    shutil.copy(systemd / "stream-bp@.service", tree / "etc/systemd/system")
    machine_path(tree, f"etc/systemd/system/{UNIT}.d/soon.conf").write_text("[Service]\nRestartSec=1s\n")
    write_rows(machine_path(tree, "srv/rows/0.csv"))
    text = (DEPLOY / "job.toml").read_text().replace("/incoming/*.parquet", "/srv/rows/*.csv")
    text += 'batch-size = 1\nignore = "value"\nnumeric = "x"\n'
    machine_path(tree, "etc/stream-bp/job.toml").write_text(text)
    machine_path(tree, "etc/stream-bp/wrong.toml").write_text(text.replace("follow = true", "folow = true"))
    with booted(tree) as running:
        running.run("systemd-sysusers")
        assert running.run("id", "--user", "--name", "stream-bp") == "stream-bp"
        yield running


def learned(machine: Machine) -> str:
    """Wait until the job has learned what is there, and return the number of its process, out here."""
    machine.until(UNIT, "ActiveState", "active")
    for _ in range(600):
        if "stream_bp_source_idle 1.0\n" in ask(machine.process, "/metrics"):
            return machine.shown(UNIT, "MainPID")
    raise AssertionError(machine.run("journalctl", "--no-pager", "--unit", UNIT))


def test_a_job_learns_under_all_that_the_unit_forbids(machine: Machine) -> None:
    """It is ready, compiles, saves where its state is kept, and has neither privileges nor another's user."""
    machine.run("systemctl", "enable", "--now", UNIT)
    number = learned(machine)
    assert ask(machine.process, "/readyz").strip() == "ready"
    assert "compiled" in machine.run("journalctl", "--no-pager", "--unit", UNIT)
    assert "step-" in machine.run("ls", "/var/lib/stream-bp/job/run/checkpoints")
    assert machine.run("ls", "/var/cache/stream-bp/job/numba")
    status = machine.run("cat", f"/proc/{number}/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert machine.run("stat", "--format=%U %a", "/var/lib/stream-bp/job/run") == "stream-bp 750"


def test_a_job_that_is_killed_is_started_again(machine: Machine) -> None:
    """It goes on with another process, once the unit has waited."""
    machine.run("systemctl", "enable", "--now", UNIT)
    number = learned(machine)
    machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    machine.until(UNIT, "NRestarts", "1")
    assert learned(machine) != number
    assert "resuming after" in machine.run("journalctl", "--no-pager", "--unit", UNIT)


def test_a_job_that_is_stopped_is_no_failure(machine: Machine) -> None:
    """It ends with 143 after a last checkpoint, and systemd calls that a success."""
    machine.run("systemctl", "enable", "--now", UNIT)
    learned(machine)
    machine.run("systemctl", "stop", UNIT)
    shown = [machine.shown(UNIT, name) for name in ("ExecMainStatus", "Result", "ActiveState")]
    assert shown == ["143", "success", "inactive"]
    assert "SIGTERM" in machine.run("journalctl", "--no-pager", "--unit", UNIT)


def test_wrong_settings_are_not_tried_again(machine: Machine) -> None:
    """The job ends with 2, and the unit stays as it failed."""
    wrong = UNIT.replace("job", "wrong")
    machine.run("systemctl", "start", wrong)
    machine.until(wrong, "ActiveState", "failed")
    assert machine.shown(wrong, "ExecMainStatus") == "2"
    assert machine.shown(wrong, "NRestarts") == "0"
    assert "folow" in machine.run("journalctl", "--no-pager", "--unit", wrong)
