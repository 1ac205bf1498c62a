"""What was predicted before it was learned: what the parts hold, when they are there, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, ConfigError, DiskError
from stream_bp.inference import predict
from stream_bp.job import prediction_writer
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.persistence.checkpoints import load
from stream_bp.persistence.filesystem import FileSystem
from tests.crash.jobs import rows

USUAL: dict[str, Any] = {
    "target": "label",
    "ignore": ["value"],
    "hidden_layers": (4,),
    "batch_size": 8,
    "backend": "numpy",
}
VALUES: dict[str, Any] = {**USUAL, "target": "value", "ignore": ["label"]}


def run(place: Path, table: pa.Table, **settings: Any) -> Summary:
    """Learn rows, with predictions in a folder beside the run directory."""
    folders = {"run_dir": str(place / "run"), "predictions_dir": str(place / "predictions")}
    return Job(open_source(table), JobConfig.of({**USUAL, **folders, "checkpoint_every": "20", **settings})).run()


def read(place: Path) -> pa.Table:
    """Return what the parts hold, in the order of their names; the rows are numbered from 0."""
    parts = [pq.read_table(path) for path in sorted((place / "predictions").glob("*.parquet"))]
    whole = pa.concat_tables(parts, promote_options="default")
    assert whole["row"].to_pylist() == list(range(len(whole)))
    return whole


def names(place: Path) -> list[str]:
    """Return the names in the folder."""
    return sorted(path.name for path in (place / "predictions").iterdir())


def test_what_was_predicted_is_what_was_scored(tmp_path: Path) -> None:
    """The accuracy of the parts is the summary's, over the rows that were scored; each row is there, with its truth."""
    table = rows(2_000)
    summary = run(tmp_path, table)
    found = read(tmp_path)
    assert found["label"].to_pylist() == table["label"].to_pylist()
    pairs = zip(found["label"].to_pylist(), found["label:predicted"].to_pylist(), strict=True)
    scored = [true == said for true, said in pairs if true is not None and said is not None]
    assert np.mean(scored) == pytest.approx(summary.metrics["accuracy"], abs=1e-12)
    assert set(found["epoch"].to_pylist()) == {0}
    # A row without a target is predicted.
    assert found.filter(pc.and_(pc.is_null(found["label"]), pc.greater(found["row"], 20)))["label=up"].null_count == 0


def test_they_are_the_same_without_a_look_at_the_parts(tmp_path: Path) -> None:
    """What is learned is what a job without predictions learns."""
    table = rows(500)
    plain = Job(open_source(table), JobConfig.of(USUAL)).run()
    assert run(tmp_path, table, passthrough_columns=["value", "x"]).weights_sha256 == plain.weights_sha256


def test_each_prediction_is_that_of_a_loop_by_hand(tmp_path: Path) -> None:
    """A model that is asked, then taught, minibatch by minibatch, says the same."""
    table = rows(400)
    run(tmp_path, table)
    from stream_bp.models.mlp import new_model
    from stream_bp.planning.plan import plan

    config = JobConfig.of(USUAL)
    model = new_model(config, plan(open_source(table), config))
    prepare = model.preparation(8)
    said: dict[str, list[float]] = {"up": [], "down": [], "far": []}
    for start in range(0, len(table), 8):
        (records,) = (
            table.slice(start, 8)
            .select(model.encoder.columns.schema.names)
            .cast(model.encoder.columns.schema)
            .combine_chunks()
            .to_batches()
        )
        prepared = prepare(records)
        for outcome in model.learn(prepared, 0, len(prepared)):
            columns = dict(zip(model.encoder.labels[0].values, outcome.predictions[0], strict=False))
            for label, column in said.items():
                column.extend(columns.get(label, np.full(outcome.y.shape[1], np.nan)).tolist())
    found = read(tmp_path)
    for label, column in said.items():
        np.testing.assert_array_equal(found[f"label={label}"].fill_null(np.nan).to_numpy(), column)


def test_a_class_that_comes_late_begins_another_part(tmp_path: Path) -> None:
    """Before it is known its column is not there; a part has those of the classes known, which add to 1."""
    table = rows(900)
    run(tmp_path, table, checkpoint_every="1h")
    schemas = [pq.read_schema(tmp_path / "predictions" / name).names for name in names(tmp_path)]
    assert [sum("=" in column for column in schema) for schema in schemas] == [0, 2, 3]
    found = read(tmp_path)
    first = table["label"].to_pylist().index("far")
    known = first - first % 8 + 8
    assert found["label=far"].is_valid().to_pylist() == [row >= known for row in range(900)]
    assert found["label:predicted"].null_count == 8
    columns = [found[f"label={label}"].fill_null(0.0).to_numpy() for label in ("up", "down", "far")]
    np.testing.assert_allclose(np.sum(columns, axis=0)[8:], 1, atol=1e-6)


def test_values_are_predicted_once_there_is_a_unit(tmp_path: Path) -> None:
    """The error of the parts is the summary's; before the first value, given or not, nothing was predicted."""
    table = rows(600)
    values = table["value"].to_pylist()
    values[:20] = [None] * 20
    values[300] = None
    table = table.set_column(table.schema.get_field_index("value"), "value", pa.array(values))
    summary = run(tmp_path, table, **VALUES)
    found = read(tmp_path)
    assert found["value"].to_pylist() == values
    said = found["value:predicted"]
    assert said.is_null().to_pylist() == [row < 24 for row in range(600)]
    error = pc.mean(pc.abs(pc.subtract(said, found["value"]))).as_py()
    assert error == pytest.approx(summary.metrics["mae"], rel=1e-12)


def test_several_targets(tmp_path: Path) -> None:
    """Each has its truth and its prediction."""
    run(tmp_path, rows(200), **{**VALUES, "target": ["value", "x"]})
    assert read(tmp_path).schema.names == ["row", "epoch", "value", "value:predicted", "x", "x:predicted"]


@pytest.mark.parametrize("task", [USUAL, VALUES], ids=["classes", "values"])
def test_a_row_that_is_skipped_has_no_prediction(tmp_path: Path, task: dict[str, Any]) -> None:
    """Where a feature is missing and such rows are skipped, everything but the numbers of the row is null."""
    table = rows(400)
    run(tmp_path, table, **{**task, "missing": "drop-row", "passthrough_columns": ["n"]})
    found = read(tmp_path)
    is_gap = np.isnan(table["x"].to_numpy())
    assert is_gap.any()
    gaps = found.filter(pa.array(is_gap)).drop_columns(["row", "epoch", "n"])
    assert all(column.null_count == len(gaps) for column in gaps.columns)
    said = found.filter(pa.array(~is_gap & (np.arange(400) >= 8)))[f"{task['target']}:predicted"]
    assert said.null_count == 0
    assert found["n"].to_pylist() == list(range(400))


def test_columns_are_kept_in_their_own_types(tmp_path: Path) -> None:
    """They need not be features, nor be anything that could be one; a feature has the type that it is learned in."""
    table = rows(300).append_column("tags", pa.array([[str(i)] for i in range(300)]))
    table = table.append_column("day", pa.array(range(300), pa.int32()).cast(pa.date32()))
    run(tmp_path, table, ignore=["value", "tags", "day", "n"], passthrough_columns=["day", "tags", "n", "kind", "x"])
    found = read(tmp_path)
    assert found.schema.names[:8] == ["row", "epoch", "day", "tags", "n", "kind", "x", "label"]
    for name in ("day", "tags", "n", "kind"):
        assert found[name].type == table[name].type
        assert found[name].to_pylist() == table[name].to_pylist()


@pytest.mark.parametrize("window", [None, 50])
def test_epochs_and_shuffles(tmp_path: Path, window: int | None) -> None:
    """Each pass has every row, in the order in which it was learned; what is kept goes with its row."""
    table = rows(200)
    run(tmp_path, table, epochs=2, shuffle_window=window, passthrough_columns=["n", "value"])
    found = read(tmp_path)
    assert found["epoch"].to_pylist() == [0] * 200 + [1] * 200
    order = found["n"].cast("int64").to_pylist()
    assert sorted(order[:200]) == sorted(order[200:]) == list(range(200))
    assert (order[:200] != list(range(200))) == (window is not None)
    for name in ("label", "value"):
        assert found[name].to_pylist() == [table[name].to_pylist()[n] for n in order]


def test_rows_are_written_while_they_are_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded: with little room the same rows go to the disk before a checkpoint asks for them."""
    run(tmp_path / "whole", rows(900), checkpoint_every="1h")
    monkeypatch.setattr(prediction_writer, "VALUES", 500)
    run(tmp_path / "streamed", rows(900), checkpoint_every="1h")
    assert read(tmp_path / "streamed").equals(read(tmp_path / "whole"))
    last = names(tmp_path / "streamed")[-1]
    groups = pq.ParquetFile(tmp_path / "streamed" / "predictions" / last).metadata
    assert groups.num_row_groups > 3
    assert all(groups.row_group(i).num_rows < 300 for i in range(groups.num_row_groups))


def test_a_full_disk_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk below Arrow arrives as ours; the same job then goes on to the same parts."""
    run(tmp_path / "whole", rows(900))
    monkeypatch.setattr(prediction_writer, "VALUES", 500)
    monkeypatch.setattr(prediction_writer, "_BYTES", 500)
    write, failing = FileSystem.write, [0]

    def fail(disk: FileSystem, fd: int, data: bytes) -> None:
        failing[0] -= Path(f"/proc/self/fd/{fd}").readlink().name != "timeline.csv"  # which ends no job
        if failing[0] == 0:
            raise OSError(28, os.strerror(28))
        write(disk, fd, data)

    monkeypatch.setattr(FileSystem, "write", fail)
    told = []
    for at in range(3, 12):
        failing[0] = at
        with pytest.raises(DiskError) as error:
            run(tmp_path, rows(900))
        told.append(str(error.value))
    assert all("No space left on device" in line and "\n" not in line for line in told)
    assert any("cannot write predictions" in line for line in told)
    run(tmp_path, rows(900))
    assert read(tmp_path).equals(read(tmp_path / "whole"))
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_an_older_checkpoint_takes_back_what_lies_behind_it(tmp_path: Path) -> None:
    """Where the newest checkpoint is damaged, its rows are learned, and written, again."""
    run(tmp_path, rows(700))
    whole = read(tmp_path)
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    summary = run(tmp_path, rows(700))
    assert "step-000000000080" in str(summary.resumed_from)
    assert read(tmp_path).equals(whole)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    """A job does not go on over a gap, nor beside rows that are there twice."""
    run(tmp_path, rows(700), max_rows=400)
    folder = tmp_path / "predictions"
    part = folder / "part-000000000008-000000000160.parquet"
    part.rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=rf"{part.name} .*is missing"):
        run(tmp_path, rows(700))
    (tmp_path / "away").rename(part)
    (folder / "part-000000000200-000000000240.parquet").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"part-000000000200-000000000240\.parquet .*has rows"):
        run(tmp_path, rows(700))
    (folder / "part-000000000200-000000000240.parquet").unlink()
    (folder / "part-000000000320-000000000400.parquet").unlink()
    with pytest.raises(CheckpointError, match=r"part-000000000320-000000000400\.parquet .*is missing"):
        run(tmp_path, rows(700))


def test_fresh_removes_what_is_ours(tmp_path: Path) -> None:
    """Parts and what is half-written go; notes stay; somebody's tables are refused, and nothing is touched then."""
    run(tmp_path, rows(300))
    folder = tmp_path / "predictions"
    (folder / ".part-000000009999.tmp").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    run(tmp_path / "other", rows(300), predictions_dir=str(tmp_path / "elsewhere"))
    before = names(tmp_path)
    for fresh in (False, True):
        (folder / "mine.parquet").write_bytes(b"")
        with pytest.raises(ConfigError, match="was not written by stream-bp"):
            start(tmp_path, restart=fresh, run_dir=str(tmp_path / "new"))
        (folder / "mine.parquet").unlink()
        assert names(tmp_path) == before
    with pytest.raises(ConfigError, match="belongs to another job"):
        start(tmp_path, run_dir=str(tmp_path / "new"))
    start(tmp_path, restart=True, max_rows=40)
    assert names(tmp_path) == [
        "notes.txt",
        "part-000000000000-000000000008.parquet",
        "part-000000000008-000000000040.parquet",
    ]


def start(place: Path, *, restart: bool = False, **settings: Any) -> Summary:
    """Start a job, over if it is told so."""
    folders = {"run_dir": str(place / "run"), "predictions_dir": str(place / "predictions")}
    return Job(open_source(rows(300)), JobConfig.of({**USUAL, **folders, **settings}), restart=restart).run()


def test_predictions_begin_with_the_job(tmp_path: Path) -> None:
    """A job may go on without them, or keep what it kept; neither they nor other columns can be had from the middle."""
    start(tmp_path, max_rows=80, passthrough_columns=["n"])
    with pytest.raises(CheckpointError, match=r"keeps other columns \(n\)"):
        start(tmp_path, max_rows=160)
    start(tmp_path, max_rows=160, predictions_dir=None)
    with pytest.raises(CheckpointError, match="ran without --predictions-dir"):
        start(tmp_path, passthrough_columns=["n"])
    assert len(read(tmp_path)) == 80


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no run directory": ({"run_dir": None}, "set --run-dir"),
    "columns of nothing": (
        {"predictions_dir": None, "passthrough_columns": ["n"]},
        "needs predictions_dir, the folder",
    ),
    "a column that is not there": ({"passthrough_columns": ["valu"]}, "passthrough column 'valu' is not in the source"),
    "a target": ({"passthrough_columns": ["label"]}, "passthrough column 'label' is a target"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(tmp_path: Path, name: str) -> None:
    """One line, before anything is on the disk."""
    settings, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said):
        start(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["row", "label:predicted", "label=up"])
def test_names_that_would_be_there_twice_are_refused(tmp_path: Path, name: str) -> None:
    """Also that of a class that may come."""
    table = rows(100).rename_columns(["n", "x", "y", "kind", "label", name])
    with pytest.raises(ConfigError, match=f"column '{name}' would be there twice"):
        run(tmp_path, table, ignore=[name], passthrough_columns=[name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["data", "data/predictions"])
@pytest.mark.parametrize("source", ["data", "data/*.parquet", "data/rows.parquet"])
def test_a_folder_that_is_read_is_refused(tmp_path: Path, source: str, place: str) -> None:
    """Parts must not become rows."""
    (tmp_path / "data").mkdir()
    pq.write_table(rows(100), tmp_path / "data" / "rows.parquet")
    config = {**USUAL, "run_dir": str(tmp_path / "run"), "predictions_dir": str(tmp_path / place)}
    where = str(tmp_path / source)
    if place == "data" or source == "data":
        with pytest.raises(ConfigError, match="is read from"):
            Job(open_source(where), JobConfig.of({**config, "source": [where]}))
    else:
        Job(open_source(where), JobConfig.of({**config, "source": [where]}))


def test_a_model_of_river_is_refused(tmp_path: Path) -> None:
    """It has no checkpoint that a part could appear with."""
    from river import linear_model

    folders = {"run_dir": str(tmp_path / "run"), "predictions_dir": str(tmp_path / "predictions")}
    config = JobConfig.of({"target": "label", **folders})
    with pytest.raises(ConfigError, match="a model of River"):
        Job(open_source(rows(100)), config, model=linear_model.LogisticRegression())


def test_the_command_line(tmp_path: Path) -> None:
    """Relative places are kept as absolute ones, so that another folder can resume; predict copies columns too."""
    pacsv.write_csv(rows(400), tmp_path / "rows.csv")

    def call(*arguments: str, cwd: Path = tmp_path) -> None:
        command = [sys.executable, "-m", "stream_bp", *arguments]
        done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    kept = ["--passthrough-columns", "n", "--passthrough-columns", "value"]
    settings = ["--target", "label", "--ignore", "value", "--max-rows", "160", "--batch-size", "8"]
    call("train", "rows.csv", *settings, "--run-dir", "run", "--predictions-dir", "predictions", *kept)
    (tmp_path / "elsewhere").mkdir()
    assert load(tmp_path / "run").snapshot.state["config"]["predictions_dir"] == str(tmp_path / "predictions")
    call("resume", "../run", cwd=tmp_path / "elsewhere")
    assert read(tmp_path)["n"].to_pylist() == [str(n) for n in range(160)]
    call("predict", "run", "rows.csv", "-o", "new.parquet", *kept)
    answer = pq.read_table(tmp_path / "new.parquet")
    assert answer.schema.names[:3] == ["n", "value", "label"]
    assert answer["n"].to_pylist() == [str(n) for n in range(400)]
    assert len(answer) == 400


def test_predict_refuses_a_column_that_it_predicts(tmp_path: Path) -> None:
    """The truth cannot be copied under the name of the prediction."""
    start(tmp_path)
    loaded = load(tmp_path / "run")
    with pytest.raises(ConfigError, match="is a target"):
        predict(loaded, open_source(rows(10)), tmp_path / "new.csv", ["label"])
    table = rows(10).append_column("label=up", pa.array([0.5] * 10))
    with pytest.raises(ConfigError, match="column 'label=up' has the name of a predicted column"):
        predict(loaded, open_source(table), tmp_path / "new.csv", ["label=up"])
    assert not (tmp_path / "new.csv").exists()
