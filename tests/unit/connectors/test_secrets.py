"""A canary in addresses, in the environment and in settings must appear nowhere."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import open_source
from stream_bp import Job
from stream_bp.monitoring.endpoint import Metrics
from tests.stores import S3, s3_server
from tests.unit.connectors.stores.test_stores import as_csv, learnable

CANARY = "canary5ecret"
ENVIRONMENT = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "AKIACANARY",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "GOOGLE_APPLICATION_CREDENTIALS": f"/nowhere/{CANARY}.json",
    "DATABASE_URL": f"postgres://user:{CANARY}@db",
}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Run a server that has the rows."""
    with s3_server() as authority:
        S3(authority, "bucket").put("a.csv", as_csv(learnable()))
        yield authority


def address(host: str, name: str = "a.csv") -> str:
    """Return an address with a password and a signature."""
    return f"http://user:{CANARY}@{host}/bucket/{name}?X-Amz-Signature={CANARY}"


def say(*arguments: str, cwd: Path, succeeds: bool = True) -> str:
    """Run the command line, and return all its output."""
    command = [sys.executable, "-m", "stream_bp", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT)
    assert (done.returncode == 0) == succeeds, done.stderr
    return done.stdout + done.stderr


def holders(folder: Path) -> set[str]:
    """Return the names of files that hold the canary, in their content or their path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if CANARY.encode() in path.read_bytes() or CANARY in str(path)}


def test_the_canary_comes_out_nowhere(host: str, tmp_path: Path) -> None:
    """It is in no log, result, error, traceback, journal, checkpoint, prediction or report."""
    place = address(host)
    (tmp_path / "job.toml").write_text(f'source = "{place}"\ntarget = "label"\nrun-dir = "run"\nlog-format = "json"\n')
    said = say("train", "--config", "job.toml", "--max-rows", "500", "--predictions-dir", "beside", cwd=tmp_path)
    said += say("train", "--config", "job.toml", "--predictions-dir", "beside", "--json", cwd=tmp_path)
    said += say("resume", "run", cwd=tmp_path, succeeds=False)  # the address has to be given again
    said += say("inspect", "run", cwd=tmp_path) + say("inspect", "run", "--json", cwd=tmp_path)
    said += say("evaluate", "run", place, cwd=tmp_path)
    said += say("predict", "run", place, "-o", "predicted.csv", cwd=tmp_path)
    said += say("compare", place, "--target", "label", "--models", "mlp", "--max-rows", "200", cwd=tmp_path)
    said += say("report", "run", "-o", "report.html", cwd=tmp_path)
    said += say("--debug", "train", address(host, "none.csv"), "--target", "label", cwd=tmp_path, succeeds=False)
    said += say("train", place, "--target", "nothing", "--log-format", "json", cwd=tmp_path, succeeds=False)
    assert host in said  # places are shown
    assert CANARY not in said
    assert holders(tmp_path) == {"job.toml"}  # written by hand: the control of the search
    assert len([*tmp_path.rglob("*")]) > 10


def test_the_canary_is_in_no_metric(host: str, tmp_path: Path) -> None:
    """Metrics contain figures and column names."""
    with Metrics(0) as metrics:
        Job(open_source(address(host)), target="label", run_dir=str(tmp_path / "run"), observer=metrics).run()
        with urllib.request.urlopen(metrics.url, timeout=10) as answer:
            text = answer.read().decode()
    assert "stream_bp_rows_total" in text
    assert CANARY not in text
