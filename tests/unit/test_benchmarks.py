"""The measurements of speed still run; what they find is nobody's test."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import contenders, reactions, rows


def test_the_table_is_printed_and_written(tmp_path: Path) -> None:
    """One experiment, quickly: medians, what is aimed at, and all of it as JSON."""
    path = tmp_path / "figures.json"
    options = ["--quick", "--only", "a help text", "--json", str(path)]
    command = [sys.executable, "-m", "tests.benchmarks.speed", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "stream-bp --help" in done.stdout
    written = json.loads(path.read_text())
    [aim] = written["aims"]
    assert aim["median"] > 0
    assert written["machine"]["numpy"]


@pytest.mark.parametrize(("batch_size", "backend"), [(64, "numpy"), (1, "compiled")])
def test_jobs_and_learners_are_measured_on_the_same_rows(tmp_path: Path, batch_size: int, backend: str) -> None:
    """Both read the file that was written, to its end."""
    path = tmp_path / "rows.parquet"
    rows.write_parquet(path, 3000, row_group=1000)
    job = contenders.CONTENDERS["job"](path=str(path), batch_size=batch_size, backend=backend)
    assert job["accuracy"] > 0.6
    assert contenders.CONTENDERS["learner"](path=str(path), batch_size=batch_size, backend=backend)["rows/s"] > 0


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer is left out by the name of its package; ours and River's never are."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = {name: contenders.missing(name) for name in contenders.CONTENDERS}
    assert {name: package for name, package in found.items() if package is not None} == {
        "pytorch": "torch",
        "pytorch_steps": "torch",
        "sklearn": "sklearn",
        "sklearn_steps": "sklearn",
        "vowpal_wabbit": "vowpalwabbit",
    }


def test_reactions_to_drift_are_measured() -> None:
    """Around a change of rules accuracy falls, and each reaction gives figures."""
    source = reactions.stream(20_000)
    for how in reactions.REACTIONS:
        figures = reactions.accuracies(source, 20_000, on_drift=how)
        assert figures["before"] > figures["next tenth"] + 0.1
