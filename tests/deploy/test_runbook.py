"""What the runbook says to do does what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_bp import errors
from stream_bp.cli.exit_codes import exit_codes
from tests.deploy.files import DEPLOY, ROOT
from tests.deploy.watched import write_rows

RUNBOOK = (DEPLOY / "README.md").read_text()
JOB = (
    "--target=label",
    "--ignore=value",
    "--numeric=x",
    "--batch-size=8",
    "--hidden-layers=4",
    "--checkpoint-every=50",
)


def stream_bp(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "stream_bp", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def learn(source: Path, run_dir: Path, *more: str, **environment: str) -> dict[str, Any]:
    """Follow a folder to its end, and return the summary."""
    follow = ["--follow", "--idle-timeout=0.5s", "--on-bad-row=quarantine", "--backend=numpy", "--json"]
    done = stream_bp("train", source, *JOB, *follow, f"--run-dir={run_dir}", *more, **environment)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def journals(run_dir: Path) -> dict[str, bytes]:
    """Return the bytes of the journals."""
    journals = [path for path in sorted(run_dir.glob("*.csv")) if path.name != "timeline.csv"]  # that tells times
    return {path.name: path.read_bytes() for path in journals}


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """Return a folder in which rows have landed, in two files."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    for seed in range(2):
        write_rows(folder / f"{seed}.csv", 2_000, seed)
    return folder


def section(title: str) -> str:
    """Return the text of a section."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##+ |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def test_rolling_back_goes_on_from_an_earlier_checkpoint(incoming: Path, tmp_path: Path) -> None:
    """With the newest checkpoints moved away and the journals left alone, it learns the same to the same bits."""
    run_dir = tmp_path / "run"
    first = learn(incoming, run_dir)
    kept = journals(run_dir)
    assert {"history.csv", "quarantine.csv", "decisions.csv"} <= kept.keys()
    checkpoints = sorted((run_dir / "checkpoints").iterdir())
    aside = tmp_path / "aside"
    aside.mkdir()
    for path in checkpoints[1:]:
        shutil.move(path, aside)
    done = stream_bp("inspect", "--json", checkpoints[0])
    assert json.loads(done.stdout)["rows"] < first["rows"]
    again = learn(incoming, run_dir)
    assert again["weights_sha256"] == first["weights_sha256"]
    assert journals(run_dir) == kept
    assert (run_dir / "checkpoints" / checkpoints[-1].name).read_bytes() == (aside / checkpoints[-1].name).read_bytes()


def test_rolling_back_learns_other_rows_where_the_source_was_mended(incoming: Path, tmp_path: Path) -> None:
    """A mended file is refused, and learned once the decisions are moved away; one that was read, never."""
    run_dir = tmp_path / "run"
    whole = learn(incoming, tmp_path / "whole")
    learn(incoming, run_dir, "--max-rows=1800")
    shutil.copytree(run_dir, tmp_path / "other")
    write_rows(incoming / "1.csv", 2_000, seed=7)
    follow = ("--follow", "--on-bad-row=quarantine")
    done = stream_bp("train", incoming, *JOB, *follow, f"--run-dir={run_dir}")
    assert done.returncode == 1
    assert "1.csv: the next file is gone or changed" in done.stderr
    (run_dir / "decisions.csv").rename(tmp_path / "decisions.csv")
    mended = learn(incoming, run_dir)
    assert mended["rows"] == whole["rows"] == 4_000
    assert mended["weights_sha256"] != whole["weights_sha256"]
    (incoming / "0.csv").write_text((incoming / "0.csv").read_text().replace(",up,", ",dn,"))
    (tmp_path / "other/decisions.csv").unlink()
    done = stream_bp("train", incoming, *JOB, *follow, f"--run-dir={tmp_path / 'other'}")
    assert done.returncode == 1
    assert "0.csv" in done.stderr


def test_moving_keeps_the_bits(incoming: Path, tmp_path: Path) -> None:
    """A copied run directory goes on beside copied rows, at the same path and under another one."""
    whole = learn(incoming, tmp_path / "whole")
    learn(incoming, tmp_path / "run", "--max-rows=2400")
    for name in ("moved", "elsewhere-run"):
        shutil.copytree(tmp_path / "run", tmp_path / name)
    shutil.copytree(incoming, tmp_path / "elsewhere")
    shutil.rmtree(incoming)
    shutil.copytree(tmp_path / "elsewhere", incoming)
    assert learn(incoming, tmp_path / "moved")["weights_sha256"] == whole["weights_sha256"]
    assert learn(tmp_path / "elsewhere", tmp_path / "elsewhere-run")["weights_sha256"] == whole["weights_sha256"]


def test_another_processor_is_refused_once(incoming: Path, tmp_path: Path) -> None:
    """It ends with 3 and names what differs; with the flag it goes on, and from then on without it."""
    run_dir = tmp_path / "run"
    here, there = {"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "Nehalem"}
    learn(incoming, run_dir, "--max-rows=1600", **here)
    done = stream_bp("resume", run_dir, **there)
    if done.returncode == 0:
        pytest.skip("this BLAS has one kernel")
    assert done.returncode == errors.NumericsError.exit_code
    assert "blas.0.architecture was 'Haswell' and is 'Nehalem'" in done.stderr
    assert "was learned under other numerics" in section("Move to another machine")
    learn(incoming, run_dir, "--max-rows=2400", "--allow-inexact-resume", **there)
    learn(incoming, run_dir, **there)
    assert json.loads(stream_bp("inspect", "--json", run_dir).stdout)["numerics_changes"][0]["rows"] == 1600


def test_settings_that_are_not_the_job_may_be_changed(incoming: Path, tmp_path: Path) -> None:
    """Those that the runbook names may be, those that it names as another job are refused with 3."""
    run_dir = tmp_path / "run"
    learn(incoming, run_dir, "--max-rows=800")
    done = stream_bp(
        "train", incoming, *JOB, "--follow", "--on-bad-row=quarantine", "--batch-size=9", "--run-dir", run_dir
    )
    assert done.returncode == errors.CheckpointError.exit_code
    assert "batch_size is 9 here and 8 there" in done.stderr
    assert (
        learn(incoming, run_dir, "--checkpoint-every=1s", "--keep-checkpoints=7", "--on-bad-row=skip")["rows"] == 4_000
    )


def test_the_job_that_ends_learns_what_came_since(incoming: Path, tmp_path: Path) -> None:
    """As the CronJob does it: started again after its end, it goes on with a file that landed meanwhile."""
    assert learn(incoming, tmp_path / "run")["rows"] == 4_000
    write_rows(incoming / "2.csv", 800, seed=2)
    assert learn(incoming, tmp_path / "run")["rows"] == 4_800


def test_every_exit_code_has_a_line() -> None:
    """The table tells all that errors and signals end with, and no other but that of a kill."""
    rows = re.findall(r"^\| ([\d, ]+) \|", section("Exit codes"), re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == {*exit_codes(), 137}


def test_every_link_and_every_file_is_there() -> None:
    """Anchors are those of sections; what is named as a file of the folder is one; every target of make is one."""
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", RUNBOOK, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", RUNBOOK)) <= anchors
    for line in re.findall(r"^\| (`.*?) \|", RUNBOOK, re.MULTILINE):
        for name in re.findall(r"`([^`]*)`", line):
            assert (DEPLOY / name).exists(), name
    for name in re.findall(r"(?<![\w/])deploy/[\w./@-]+\w", RUNBOOK):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", RUNBOOK)) <= targets


def test_no_file_holds_a_secret_or_a_moving_tag() -> None:
    """Passwords come from outside; every image has a tag that names a release."""
    images = 0
    for path in DEPLOY.rglob("*"):
        if not path.is_file() or path.suffix == ".lock":
            continue
        text = path.read_text()
        assert "latest" not in re.findall(r":(\w+)\b", text), path
        for line in text.splitlines():
            secret = re.search(r"(?i)\b\w*(?:password|secret|token|api_?key)\w*\s*[:=]\s*(\S+)", line)
            if secret and path.suffix != ".md":
                assert secret[1].startswith(("${", "false", "…")), f"{path}: {line}"
        for image in re.findall(r"^\s+image: (\S+)|^ARG PYTHON_IMAGE=(\S+)", text, re.MULTILINE):
            name = "".join(image)
            images += 1
            is_pinned = re.search(r":v?\d+\.\d+\.\d+", name)
            # A cluster's images are named by the kustomization.
            assert is_pinned or path.parent.parent.name == "kubernetes", f"{path}: {name}"
    assert images >= 6
    for path in DEPLOY.glob("kubernetes/*/kustomization.yaml"):
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", tag) for tag in re.findall(r"newTag: (\S+)", path.read_text()))
