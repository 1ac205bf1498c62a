"""Predictions for rows as they come, by a network that does not learn: what they are, and what is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp.errors import CheckpointError, DataError
from stream_bp.inference import evaluate, following, inspect, predict
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.models.frozen import FrozenModel
from stream_bp.models.restore import model_state
from stream_bp.persistence.checkpoints import load
from tests.crash.jobs import rows
from tests.unit.cli.test_app import run
from tests.unit.job.test_prediction_writer import read

LABEL: dict[str, Any] = {"target": "label", "ignore": ["value", "n"], "hidden_layers": (4,), "batch_size": 8}
VALUE: dict[str, Any] = {**LABEL, "target": "value", "ignore": ["label", "n"]}


def learn(place: Path, table: pa.Table, **settings: Any) -> Path:
    """Learn rows, and return the run directory."""
    Job(open_source(table), run_dir=str(place / "learned"), **{**LABEL, **settings}).run()
    return place / "learned"


def ask(place: Path, table: pa.Table, **settings: Any) -> Summary:
    """Predict rows by a job, into a folder beside its run directory; of what is in memory nothing more comes."""
    folders = {"run_dir": str(place / "asked"), "predictions_dir": str(place / "predictions"), "checkpoint_every": "20"}
    frozen = load(place / "learned")
    config = following(frozen, {**folders, "follow": False, **settings})
    return Job(open_source(table), config, frozen=frozen).run()


@pytest.mark.parametrize("task", [LABEL, VALUE], ids=["classes", "values"])
@pytest.mark.parametrize("missing", ["impute", "skip"])
def test_they_are_those_of_predict_and_the_score_is_that_of_evaluate(
    tmp_path: Path, task: dict[str, Any], missing: str
) -> None:
    """Row by row and class by class; new categories, gaps and classes among them; θ stays."""
    table, target = rows(1_500), task["target"]
    loaded = load(learn(tmp_path, table.slice(0, 400), **task, missing=missing))
    summary = ask(tmp_path, table, passthrough_columns=["n"])
    predict(loaded, open_source(table), tmp_path / "p.parquet")
    expected, found = pq.read_table(tmp_path / "p.parquet"), read(tmp_path)
    assert found["n"].to_pylist() == list(range(1_500))
    assert found[target].to_pylist() == table[target].to_pylist()
    assert found[f"{target}:predicted"].null_count == 0
    if target == "label":
        assert found["label:predicted"].to_pylist() == expected["label"].to_pylist()
        for name in ("label=up", "label=down"):
            np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-5)
        assert "label=far" not in found.schema.names
    else:
        np.testing.assert_allclose(found["value:predicted"].to_numpy(), expected["value"].to_numpy(), rtol=1e-5)
    scored = evaluate(loaded, open_source(table))["metrics"]
    assert summary.metrics == {name: value and pytest.approx(value, rel=1e-4) for name, value in scored.items()}
    assert (
        summary.weights_sha256
        == inspect(loaded)["weights_sha256"]
        == inspect(load(tmp_path / "asked"))["weights_sha256"]
    )


def test_the_target_may_be_absent(tmp_path: Path) -> None:
    """Then there is no truth, and the same is predicted; rows with it are not gone on with in the same place."""
    table = rows(600)
    learn(tmp_path, table)
    ask(tmp_path, table)
    with_truth = read(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "learned").rename(other / "learned")
    summary = ask(other, table.drop_columns(["label"]), max_minibatches=30)
    assert summary.rows == 240
    ask(other, table.drop_columns(["label"]))
    found = read(other)
    assert found["label"].null_count == 600
    assert found.drop_columns(["label"]).equals(with_truth.drop_columns(["label"]))
    with pytest.raises(CheckpointError, match="only one of the runs in this run directory has the target"):
        ask(other, table)


def test_classes_that_the_network_does_not_know_are_the_same_after_a_stop(tmp_path: Path) -> None:
    """Their truths and their scores do not depend on where a job was stopped."""
    table = rows(1_500)
    learn(tmp_path, table.slice(0, 300))
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "learned").symlink_to(tmp_path / "learned")
    whole = ask(tmp_path / "whole", table)
    for stop in (10, 70, 100, None):
        stopped = ask(tmp_path, table, max_minibatches=stop)
    assert stopped.metrics == whole.metrics
    assert stopped.baselines == whole.baselines
    assert read(tmp_path).equals(read(tmp_path / "whole"))
    history = [(place / "asked" / "history.csv").read_bytes() for place in (tmp_path, tmp_path / "whole")]
    assert history[0] == history[1]


KNOWN = ["down", "up", "far"]


@pytest.mark.parametrize("labels", [KNOWN, "down", [KNOWN[::-1]], [[*KNOWN, 3]], [[*KNOWN, "up"]], [KNOWN[:2]], None])
def test_a_forged_checkpoint_is_refused(tmp_path: Path, labels: Any) -> None:
    """What it claims of classes is looked at before it is used."""
    learn(tmp_path, rows(200))
    ask(tmp_path, rows(200))
    snapshot = load(tmp_path / "asked").snapshot
    assert snapshot.state["model"]["frozen"]["labels"] == [KNOWN]
    snapshot.state["model"]["frozen"]["labels"] = labels
    with pytest.raises(CheckpointError):
        FrozenModel(load(tmp_path / "learned").snapshot, ["label"]).load_state_dict(model_state(snapshot))


def test_another_network_is_refused(tmp_path: Path) -> None:
    """One that learned more, or others' rows, does not go on with predictions that were begun."""
    table = rows(900)
    learn(tmp_path, table, max_minibatches=50)
    ask(tmp_path, table, max_minibatches=30)
    learn(tmp_path, table, max_minibatches=60)
    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "predictions").iterdir())
    with pytest.raises(CheckpointError, match="predictions of another checkpoint, or of this one before it learned"):
        ask(tmp_path, table)
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "predictions").iterdir()) == before


def test_a_network_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    """Before the first class there is nothing to predict, and nothing is begun."""
    config = {**LABEL, "run_dir": str(tmp_path / "learned"), "missing": "error"}
    with pytest.raises(DataError):
        Job(open_source(rows(400)), **config).run()
    first = min((tmp_path / "learned" / "checkpoints").iterdir())
    for path in set((tmp_path / "learned" / "checkpoints").iterdir()) - {first}:
        path.unlink()
    assert load(tmp_path / "learned").snapshot.state["rows"] == 0
    with pytest.raises(DataError, match="nothing can be predicted yet"):
        ask(tmp_path, rows(100))
    assert not (tmp_path / "asked").exists()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with a run directory, rows that it learned, and the same without the target, in a folder."""
    pacsv.write_csv(rows(500), tmp_path / "rows.csv")
    (tmp_path / "new").mkdir()
    pacsv.write_csv(rows(500).drop_columns(["label"]), tmp_path / "new" / "a.csv")
    train = ["train", "rows.csv", "--target", "label", "--ignore", "n", "--run-dir", "run", "--batch-size", "8"]
    assert run(*train, cwd=tmp_path).returncode == 0
    return tmp_path


FOLLOW = ["--follow", "--output", "out", "--run-dir", "asked", "--passthrough-columns", "n", "--idle-timeout", "0.5s"]


def test_from_the_command_line_and_on_with_what_came(place: Path) -> None:
    """A file that lands later is predicted by the same command; each row is there once; bad ones are counted."""
    done = run("predict", "run", "new", *FOLLOW, "--on-bad-row", "skip", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == f"500 predictions in {place / 'out'}"
    text = (place / "new" / "a.csv").read_text()
    (place / "new" / "b.csv").write_text(text + "1,2\n")
    again = run("predict", "run", "new", *FOLLOW, "--on-bad-row", "skip", cwd=place)
    said = [f"1,000 predictions in {place / 'out'}", "bad rows (not learned): fields 1"]
    assert again.stderr.splitlines()[-2:] == said
    parts = [pq.read_table(path) for path in sorted((place / "out").glob("part-*"))]
    found = pa.concat_tables(parts, promote_options="default")
    assert found["row"].to_pylist() == list(range(1_000))
    assert found["n"].to_pylist() == [str(n) for n in range(500)] * 2
    assert found["label:predicted"].slice(0, 500).to_pylist() == found["label:predicted"].slice(500).to_pylist()
    # Its checkpoints hold the network, and no job that learns.
    for command in (["resume", "asked"], ["train", "rows.csv", "--target", "label", "--run-dir", "asked"]):
        refused = run(*command, cwd=place)
        assert refused.returncode == 3
        assert "is of a job that predicts, expected one that learns" in refused.stderr
    for model in ("run", "asked"):
        assert run("predict", model, "rows.csv", "--output", f"{model}.csv", cwd=place).returncode == 0
    assert (place / "run.csv").read_bytes() == (place / "asked.csv").read_bytes()
    assert run("inspect", "asked", cwd=place).returncode == 0


def test_too_many_bad_rows_end_it_and_it_starts_over(place: Path) -> None:
    """With a limit it ends behind the whole minibatches before; --restart removes the predictions and starts over."""
    text = (place / "new" / "a.csv").read_text()
    (place / "new" / "b.csv").write_text(text + "1,2\n")
    ended = run("predict", "run", "new", *FOLLOW, "--on-bad-row", "skip", "--max-bad-rows", "0", cwd=place)
    assert ended.returncode == 1
    assert "b.csv, row 1000" in ended.stderr
    (place / "new" / "b.csv").write_text(text)
    again = run("predict", "run", "new", *FOLLOW, "--restart", cwd=place)
    assert again.returncode == 0, again.stderr
    rows = [pq.read_table(path, columns=["row"]) for path in sorted((place / "out").glob("part-*"))]
    assert pa.concat_tables(rows)["row"].to_pylist() == list(range(1_000))


def test_what_comes_from_a_pipe_is_kept_in_a_spool(place: Path) -> None:
    """With --spool a job goes on from what an earlier one read of a pipe: each row is predicted once."""
    rows = (place / "new" / "a.csv").read_bytes()
    for text in (rows, rows):
        command = [sys.executable, "-m", "stream_bp", "predict", "run", "-", *FOLLOW, "--spool", "spool"]
        done = subprocess.run(command, cwd=place, input=text, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"standard input is read once" not in done.stderr
    found = [pq.read_table(path, columns=["row", "n"]) for path in sorted((place / "out").glob("part-*"))]
    assert pa.concat_tables(found)["n"].to_pylist() == [str(n) for n in range(500)] * 2


WRONG = {
    "no run directory": (["new", "--follow", "--output", "out"], 2, "--follow needs --run-dir"),
    "no following": (["rows.csv", "--output", "p.csv", "--run-dir", "asked"], 2, "--run-dir needs --follow"),
    "nothing to start over": (["rows.csv", "--output", "p.csv", "--restart"], 2, "--restart needs --follow"),
    "a wrong order": (["new", *FOLLOW, "--follow-order", "size"], 2, "--follow-order: expected one of name, time"),
    "that of the job": (
        ["new", "--follow", "--output", "out", "--run-dir", "run", "--idle-timeout", "0.5s"],
        3,
        "is of a job that learns, expected one that predicts",
    ),
    "in the source": (["new", *FOLLOW, "--output", "new/out"], 2, "is in"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_one_line(place: Path, name: str) -> None:
    """Nothing is begun."""
    arguments, code, words = WRONG[name]
    done = run("predict", "run", *arguments, cwd=place)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert not (place / "asked").exists()
    assert not (place / "out").exists()


def test_it_waits_for_rows_until_it_is_stopped(place: Path) -> None:
    """SIGTERM ends it after a last checkpoint; what it had predicted is there."""
    command = [sys.executable, "-m", "stream_bp", "predict", "run", "new", *FOLLOW[:-2], "--linger", "0.2s"]
    with subprocess.Popen([*command, "--checkpoint-every", "0.2s"], cwd=place, stderr=subprocess.DEVNULL) as job:
        while sum(pq.read_metadata(path).num_rows for path in (place / "out").glob("part-*")) < 500:
            assert job.poll() is None
        job.terminate()
    assert job.returncode == 143
