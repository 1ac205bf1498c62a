"""The few tests that an installed wheel must pass: they use nothing of the tree."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("stream-bp"))

pytestmark = pytest.mark.smoke


def write_rows(path: Path, n: int = 400) -> None:
    """Write a CSV file whose label is the sign of x - y."""
    lines = ["x,y,kind,label"]
    lines += [f"{i % 7},{i % 5},{'ab'[i % 2]},{'yes' if i % 7 > i % 5 else 'no'}" for i in range(n)]
    path.write_text("\n".join(lines) + "\n")


def run(*arguments: str, cwd: Path) -> str:
    """Run the installed command and return its standard output."""
    return subprocess.run([COMMAND, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_every_command_works_from_the_console(tmp_path: Path) -> None:
    """Train, resume, predict, evaluate, inspect, compare and report, on a file made here."""
    write_rows(tmp_path / "rows.csv")
    train = ["train", "rows.csv", "--target", "label", "--batch-size", "4", "--run-dir", "run", "--json"]
    summary = json.loads(run(*train, cwd=tmp_path))
    assert summary["rows"] == 400
    again = json.loads(run("resume", "run", "--json", cwd=tmp_path))
    assert again["weights_sha256"] == summary["weights_sha256"]
    run("predict", "run", "rows.csv", "--output", "p.csv", cwd=tmp_path)
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 401
    assert json.loads(run("evaluate", "run", "rows.csv", "--json", cwd=tmp_path))["metrics"]["accuracy"] > 0.8
    assert json.loads(run("inspect", "run", "--json", cwd=tmp_path))["rows"] == 400
    run("report", "run", cwd=tmp_path)
    assert "stream-bp report" in (tmp_path / "report.html").read_text()[:1024]
    compared = json.loads(
        run("compare", "rows.csv", "--target", "label", "--models", "mlp,arf", "--json", cwd=tmp_path)
    )
    assert [score["rows"] for score in compared["scores"]] == [400, 400]
    assert "⠤2⠤ arf" in run("compare", "rows.csv", "--target", "label", "--models", "mlp,arf", cwd=tmp_path)


def test_the_wheel_is_complete() -> None:
    """Both packages are typed, the contract of sources and the pages are there, the version is the package's own."""
    files = {str(file) for file in importlib.metadata.files("stream-bp") or ()}
    version = subprocess.run([COMMAND, "--version"], check=True, capture_output=True, text=True).stdout
    assert version == f"stream-bp {importlib.metadata.version('stream-bp')}\n"
    expected = {"stream_bp/py.typed", "connectors/py.typed", "connectors/testing.py"}
    expected |= {f"stream_bp/report/templates/report.{kind}" for kind in ("html", "js", "css")}
    expected |= {"stream_bp/docs/index.md", "stream_bp/docs/reference/checkpoint.md"}
    assert expected <= files or any("editable" in file for file in files)
