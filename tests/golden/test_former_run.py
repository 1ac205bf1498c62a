"""A run directory with the file names and columns of release 0.2.0 is resumed, and reported, as it is.

``runs/0.2.0`` was written before the columns of the history and of the events had their present names.
"""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import open_source
from stream_bp.errors import CheckpointError
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.persistence.run_files import former_column
from stream_bp.report.run import read_record

KEPT = Path(__file__).parent / "runs" / "0.2.0"
SETTINGS: dict[str, Any] = {"target": "label", "batch_size": 8, "hidden_layers": [4], "keep_checkpoints": 1}


def table() -> pa.Table:
    """Return the rows that the kept run learned 5,000 of; ``x`` moves at row 3,000, and back at row 5,000."""
    n = np.arange(8000)
    u = (n * np.uint64(2654435761) % np.uint64(2**32)) / 2**32
    v = (n * np.uint64(40503) % np.uint64(65521)) / 65521
    x = np.where((n < 3000) | (n >= 5000), u, u + 3.0)
    label = np.where((u > 0.5) ^ (n >= 3000), "up", "down")
    return pa.table({"x": x, "y": v, "label": label.tolist()})


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return a copy of the kept run directory."""
    return Path(shutil.copytree(KEPT, tmp_path / "run"))


def resume(run_dir: Path) -> Summary:
    """Resume the kept run; this machine need not compute the same bits as the one that began it."""
    return Job(open_source(table()), run_dir=str(run_dir), allow_inexact_resume=True, **SETTINGS).run()


def lines(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file by the names of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_resumed_and_its_files_keep_their_names(run_dir: Path, tmp_path: Path) -> None:
    """The lines that were there stay; those that follow have the same columns."""
    kept = {name: (KEPT / name).read_bytes() for name in ("history.csv", "events.csv", "drift.csv")}
    assert resume(run_dir).rows == 8000
    for name, before in kept.items():
        assert (run_dir / name).read_bytes().startswith(before)
    assert not (run_dir / "feature_drift.csv").exists()
    history = lines(run_dir / "history.csv")
    assert [line["rows"] for line in history[-2:]] == ["7000", "8000"]
    assert all(0 < float(line["windowed_accuracy"]) <= 1 for line in history)
    events = [(line["event"], line["detail"]) for line in lines(run_dir / "events.csv")]
    assert [event for event, _ in events] == ["feature_drift", "error_drift"]
    assert re.fullmatch(r"error 0\.\d+ → 0\.\d+", events[1][1])
    fresh = Job(open_source(table()), run_dir=str(tmp_path / "new"), **SETTINGS)
    fresh.run()
    names = lines(tmp_path / "new" / "history.csv")[0]
    assert [former_column(name) for name in names] == list(history[0])


def test_it_is_reported_under_the_present_names(run_dir: Path) -> None:
    """The report finds the columns, and what each event says."""
    record = read_record(run_dir)
    assert np.isfinite(record.history.numbers("rolling_accuracy")).all()
    assert np.isfinite(record.history.numbers("no_change_accuracy")).all()
    assert record.event_details == [line["detail"] for line in lines(KEPT / "events.csv")]
    assert len(record.drift.rows) == len(lines(KEPT / "drift.csv"))


def test_a_file_of_the_user_with_the_former_name_is_left_alone(tmp_path: Path) -> None:
    """Only a file with our columns is taken for ours."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "drift.csv").write_text("mine\n1\n")
    Job(open_source(table()), run_dir=str(tmp_path / "run"), **SETTINGS).run()
    Job(open_source(table()), run_dir=str(tmp_path / "run"), restart=True, **SETTINGS).run()
    assert (tmp_path / "run" / "drift.csv").read_text() == "mine\n1\n"
    assert (tmp_path / "run" / "feature_drift.csv").exists()


def test_a_history_of_other_columns_is_refused(run_dir: Path) -> None:
    """The control: a column that has another name is neither of the present ones nor of the former ones."""
    path = run_dir / "history.csv"
    path.write_bytes(path.read_bytes().replace(b"windowed_accuracy", b"windowed_exactness", 1))
    with pytest.raises(CheckpointError, match=r"log file .*history\.csv"):
        resume(run_dir)
