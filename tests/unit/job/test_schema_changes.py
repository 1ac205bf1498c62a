"""Columns that are reordered, added, gone or retyped from file to file, in sources with and without an end."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import ConnectorError, Follow, RowError, SchemaError, open_source
from connectors.files import intervals
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.persistence.checkpoints import load


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing take long."""
    for name, value in {"LOOK_S": 0.02, "LIST_S": 0.02, "QUIET_S": 0.05}.items():
        monkeypatch.setattr(intervals, name, value)


def table(start: int, n: int, *names: str) -> pa.Table:
    """Return rows with some of the columns x, z, word, when, odd and, first or last, the label."""
    i = np.arange(start, start + n)
    columns: dict[str, Any] = {
        "x": np.sin(i),
        "z": (i % 2) * 1.0,
        "word": [f"w{v % 3}" for v in i.tolist()],
        "odd": [b"\0"] * n,
        "label": ["ab"[v % 2] for v in i.tolist()],
    }
    return pa.table({name: columns[name] for name in names})


def write(folder: Path, kind: str, *parts: pa.Table) -> Path:
    """Write files, one for each table."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        path = folder / f"{len(list(folder.iterdir())):02}.{kind}"
        if kind == "parquet":
            pq.write_table(part, path)
        else:
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(part.schema.names)
                writer.writerows(zip(*(column.to_pylist() for column in part.columns), strict=True))
    return folder


def run(folder: Path, run_dir: Path | None = None, *, follows: bool = False, **settings: Any) -> Summary:
    """Learn a folder."""
    usual: dict[str, Any] = {
        "target": "label",
        "batch_size": 8,
        "hidden_layers": [6],
        "checkpoint_every": "1",
        **settings,
    }
    usual |= {"follow": True, "idle_timeout": "0.5s"} if follows else {}
    config = JobConfig.of({**usual, "run_dir": None if run_dir is None else str(run_dir)})
    follow = Follow(idle_timeout_s=0.5) if follows else None
    return Job(open_source(folder, **config.source_settings, follow=follow), config).run()


def events(run_dir: Path) -> list[tuple[int, str, str]]:
    """Return what was told: the row, the event, the column, or all of them in their new order."""
    with (run_dir / "events.csv").open(newline="") as file:
        return [(int(row["row"]), row["event"], row["subject"] or row["after"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_change_is_told_and_learned_past(tmp_path: Path, kind: str, follows: bool) -> None:
    """Another order, a column more, one that is missing: each is an event, and none ends the job."""
    folder = write(
        tmp_path / "in",
        kind,
        table(0, 20, "x", "word", "label"),
        table(20, 20, "label", "word", "x"),
        table(40, 20, "x", "z", "word", "label"),
        table(60, 20, "x", "label"),
        table(80, 20, "x", "word", "label"),
    )
    summary = run(folder, tmp_path / "run", follows=follows)
    assert summary.rows == 100
    assert events(tmp_path / "run") == [
        (20, "columns_reordered", "label, word, x"),
        (40, "columns_ignored", "z"),
        (60, "columns_missing", "word"),
        (60, "columns_gone", "z"),
        (80, "columns_back", "word"),
    ]
    assert summary.quality["missing"] == {"word": 20}


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_new_columns_can_be_learned(tmp_path: Path, kind: str, follows: bool) -> None:
    """They join at the border before the file that brings them; resumed from before it, a job comes to the same."""
    parts = [table(0, 403, "x", "label"), table(403, 400, "x", "z", "word", "odd", "label")]
    if kind == "csv":
        parts[1] = parts[1].drop_columns(["odd"])
    folder = write(tmp_path / "in", kind, *parts)
    settings: dict[str, Any] = {"new_columns": "learn", "optimizer": "adam", "follows": follows}
    settings["keep_checkpoints"] = 1_000
    summary = run(folder, tmp_path / "run", **settings)
    assert summary.rows == 803
    assert summary.model == "layers 7-6-2", "x and z, three words, and an input for each that was missing at first"
    assert (summary.rolling["accuracy"] or 0) > 0.6
    told = events(tmp_path / "run")
    assert told[:2] == [(403, "columns_learned", "z"), (403, "columns_learned", "word")]
    assert [event for _, event, _ in told[1:]] == [
        "columns_learned",
        *(["columns_ignored"] if kind == "parquet" else []),
    ]
    history = (tmp_path / "run" / "history.csv").read_bytes()
    for path in sorted((tmp_path / "run" / "checkpoints").iterdir())[20:]:
        path.unlink()
    assert load(tmp_path / "run").snapshot.state["rows"] < 403
    again = run(folder, tmp_path / "run", **settings)
    assert (again.weights_sha256, again.metrics, again.quality) == (
        summary.weights_sha256,
        summary.metrics,
        summary.quality,
    )
    assert events(tmp_path / "run") == told
    assert (tmp_path / "run" / "history.csv").read_bytes() == history
    finished = run(folder, tmp_path / "run", **settings)
    assert finished.weights_sha256 == summary.weights_sha256
    blind = run(folder, **{**settings, "new_columns": "ignore"})
    assert blind.model == "layers 1-6-2"


@pytest.mark.parametrize("follows", [False, True])
def test_files_may_disagree_on_what_is_left_out(tmp_path: Path, follows: bool) -> None:
    """On a column that is learned from they may not, and the error says how to leave it out."""
    folder = write(tmp_path / "in", "parquet", table(0, 40, "x", "word", "label"))
    write(folder, "parquet", pa.table({"word": [1.5] * 40, **{n: table(40, 40, n)[n] for n in ("x", "label")}}))
    with pytest.raises(SchemaError, match=r"'word' is double here, but string in .*leave it out with --ignore"):
        run(folder, follows=follows)
    assert run(folder, ignore=["word"], follows=follows).rows == 80
    with pytest.raises(SchemaError, match="'word' is double here, but string"):
        run(
            folder,
            tmp_path / "run",
            ignore=["word"],
            passthrough_columns=["word"],
            predictions_dir=str(tmp_path / "out"),
        )


def test_a_new_column_can_be_left_out(tmp_path: Path) -> None:
    """By a name that the first file does not have; where nothing new is learned, such a name is a mistake."""
    folder = write(tmp_path / "in", "csv", table(0, 40, "x", "label"), table(40, 40, "x", "z", "word", "label"))
    summary = run(folder, tmp_path / "run", new_columns="learn", ignore=["z"])
    assert summary.rows == 80
    assert (40, "columns_learned", "word") in events(tmp_path / "run")
    assert list(summary.quality["missing"]) == []
    with pytest.raises(ConfigError, match="ignored column 'z' is not in the source"):
        run(folder, ignore=["z"])


def test_a_job_that_learned_new_columns_resumes_and_predicts(tmp_path: Path) -> None:
    """After the border, too, at every checkpoint."""
    folder = write(tmp_path / "in", "csv", table(0, 21, "x", "label"), table(21, 30, "x", "word", "label"))
    settings: dict[str, Any] = {"new_columns": "learn", "keep_checkpoints": 1_000}
    whole = run(folder, tmp_path / "run", **settings)
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    for last in reversed(checkpoints[:-1]):
        for path in sorted((tmp_path / "run" / "checkpoints").iterdir()):
            if path.name > last.name:
                path.unlink()
        assert run(folder, tmp_path / "run", **settings).weights_sha256 == whole.weights_sha256


def test_what_is_retyped_is_refused(tmp_path: Path) -> None:
    """Numbers that become words, in a source that ends before anything is learned, else at the file."""
    words = table(20, 20, "label").append_column("x", pa.array(["many"] * 20))
    folder = write(tmp_path / "in", "parquet", table(0, 20, "x", "label"), words)
    with pytest.raises(SchemaError, match=r"01\.parquet: column 'x' is string here, but double"):
        run(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConnectorError, match=r"01\.parquet.*'x'"):
        run(write(tmp_path / "in2", "parquet", table(0, 20, "x", "label"), words), tmp_path / "run", follows=True)
    moments = table(20, 20, "label").append_column("x", pa.array([0] * 20, pa.timestamp("s")))
    (folder / "01.parquet").unlink()
    source = open_source(folder, follow=Follow(idle_timeout_s=0.5))
    pq.write_table(moments, folder / "01.parquet")
    config = JobConfig.of({"target": "label", "follow": True, "idle_timeout": "0.5s"})
    with pytest.raises(SchemaError, match=r"01\.parquet: column 'x' is timestamp\[.*\] here, expected double"):
        Job(source, config).run()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Where none of the columns is there, it is not a file of this stream."""
    folder = write(tmp_path / "in", "csv", table(0, 20, "x", "label"), table(20, 20, "z", "word"))
    with pytest.raises(SchemaError, match=r"01\.csv: expected some of the columns x, label, found z, word"):
        run(folder)


def test_a_missing_target_is_predicted_and_not_learned(tmp_path: Path) -> None:
    """A whole file without it counts row by row."""
    folder = write(tmp_path / "in", "csv", table(0, 40, "x", "label"), table(40, 20, "x"))
    summary = run(folder)
    assert summary.rows == 60
    assert summary.quality["rows_without_target"] == {"label": 20}


def test_features_that_are_named_exclude_new_ones() -> None:
    """Either the columns are named, or they come."""
    with pytest.raises(ConfigError, match="new_columns"):
        JobConfig.of({"target": "y", "features": ["x"], "new_columns": "learn"})


def test_a_bad_row_at_a_change_is_kept_once(tmp_path: Path) -> None:
    """What lies at the border of files with other columns is passed by in its order."""
    folder = write(tmp_path / "in", "csv", table(0, 19, "x", "label"), table(19, 30, "x", "z", "label"))
    first, second = sorted(folder.iterdir())
    first.write_text(first.read_text() + "1\n")
    second.write_text(
        second.read_text().replace("x,z,label\r\n", "x,z,label\n2\n").replace("x,z,label\n", "x,z,label\n3\n", 1)
    )
    settings: dict[str, Any] = {"new_columns": "learn", "on_bad_row": "quarantine"}
    summary = run(folder, tmp_path / "run", **settings)
    assert summary.quality["bad_rows"] == {"fields": 2}
    with (tmp_path / "run" / "quarantine.csv").open(newline="") as file:
        assert [row["content"].strip() for row in csv.DictReader(file)] == ["1", "3"]
    with pytest.raises(RowError):
        run(folder)


@pytest.mark.parametrize("follows", [False, True])
def test_a_damaged_file_changes_no_columns(tmp_path: Path, follows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of its columns: it is a bad row, and no event."""
    monkeypatch.setattr(intervals, "WHOLE_S", 0.1)
    folder = write(tmp_path / "rows", "parquet", *(table(50 * i, 50, "x", "label") for i in range(3)))
    path = folder / "01.parquet"
    path.write_bytes(path.read_bytes()[:-8])
    summary = run(folder, tmp_path / "run", follows=follows, on_bad_row="skip")
    assert (summary.rows, summary.quality["bad_rows"]) == (100, {"damage": 1})
    assert not (tmp_path / "run" / "events.csv").exists()
