"""What an estimator saves opens in the command line and in an estimator, and so does what a job saves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp import inference
from stream_bp.errors import CheckpointError, DiskError
from stream_bp.job.job import Job
from stream_bp.persistence.checkpoints import load, save
from stream_bp.river import MLPClassifier, MLPRegressor
from tests.unit.river.test_estimators import numbers, rows, table, theta


def trained(make: Any = MLPClassifier, n: int = 200, **settings: Any) -> Any:
    """Return an estimator that has learned some rows."""
    model = make(**settings)
    for x, y in (rows() if make is MLPClassifier else numbers())[:n]:
        model.learn_one(x, y)
    return model


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_saved_estimator_goes_on_to_the_same_bits(tmp_path: Path, make: Any, optimizer: str) -> None:
    """It comes back with its settings, predicts the same, and ends in the same θ as the one that was never saved."""
    stream: Any = rows() if make is MLPClassifier else numbers()
    model = trained(
        make, optimizer=optimizer, hidden_layers=(6, 5), lr_schedule="inverse-sqrt", weight_decay=0.001, seed=3
    )
    model.save(tmp_path / "model.safetensors")
    twin = make.load(tmp_path / "model.safetensors")
    assert repr(twin) == repr(model)
    for x, y in stream[200:]:
        assert twin.predict_one(x) == model.predict_one(x)
        twin.learn_one(x, y)
        model.learn_one(x, y)
    late = {**stream[0][0], "late": 1.0, "late word": "w"}
    for estimator in (model, twin):
        estimator.learn_one(late, stream[0][1])
    assert theta(twin).tobytes() == theta(model).tobytes()
    for estimator, name in ((model, "a"), (twin, "b")):
        estimator.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_job_opens_as_an_estimator_and_goes_on_the_same(tmp_path: Path) -> None:
    """An estimator opened from a job's run directory ends in the θ of the job that went on."""
    stream = rows()
    settings: dict[str, Any] = {"target": "target", "batch_size": 1, "hidden_layers": (8,), "optimizer": "adam"}
    part = Job(open_source(table(stream)), run_dir=str(tmp_path / "run"), max_minibatches=250, **settings)
    part.run()
    whole = Job(open_source(table(stream)), **settings).run()
    model = MLPClassifier.load(tmp_path / "run")
    assert (model.hidden_layers, model.optimizer, model.dtype) == ((8,), "adam", "float32")
    for x, y in stream[250:]:
        model.predict_one(x)
        model.learn_one(x, y)
    assert model._model is not None
    assert model._model.learner.weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_job_predicts_as_the_estimator_does(tmp_path: Path, output: str) -> None:
    """The command line's predictions from a run directory are those of the estimator that is opened from it."""
    stream = [(x, y == "up") for x, y in rows()]
    pq.write_table(table(stream), tmp_path / "rows.parquet")
    settings: dict[str, Any] = {
        "target": "target",
        "output": output,
        "dtype": "float64",
        "run_dir": str(tmp_path / "run"),
    }
    Job(open_source(tmp_path / "rows.parquet"), **settings).run()
    inference.predict(load(tmp_path / "run"), open_source(tmp_path / "rows.parquet"), tmp_path / "predictions.parquet")
    told = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    model = MLPClassifier.load(tmp_path / "run")
    for (x, _), row in zip(stream, told, strict=True):
        assert model.predict_one(x) == row["target"]
        assert model.predict_proba_one(x)[True] == pytest.approx(
            row["target=true" if "target=true" in row else "target=True"]
        )


def test_the_command_line_opens_what_an_estimator_saved(tmp_path: Path) -> None:
    """Predict, evaluate and inspect take the file; resume says in one line that there is no job to go on with."""
    model = trained(n=400)
    model.save(tmp_path / "model.safetensors", target="label")
    frame = pa.Table.from_pylist([{**x, "label": y} for x, y in rows()])
    pacsv.write_csv(frame, tmp_path / "rows.csv")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "stream_bp", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)

    assert run("predict", "model.safetensors", "rows.csv", "-o", "p.parquet").returncode == 0
    told = pq.read_table(tmp_path / "p.parquet").to_pylist()
    assert [row["label"] for row in told] == [model.predict_one(x) for x, _ in rows()]
    scored = json.loads(run("evaluate", "model.safetensors", "rows.csv", "--json").stdout)
    hits = [model.predict_one(x) == y for x, y in rows()]
    assert scored["metrics"]["accuracy"] == pytest.approx(sum(hits) / len(hits))
    inspected = run("inspect", "model.safetensors")
    assert inspected.returncode == 0
    assert "400 rows, step 400; a model without a job" in inspected.stdout
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "run" / "checkpoints" / "step-000000000400.safetensors")
    refused = run("resume", "run")
    assert refused.returncode == 3
    assert refused.stderr.startswith("stream-bp: the checkpoint holds a model without a job")
    assert refused.stderr.count("\n") == 1


def test_names_that_are_no_strings_come_back(tmp_path: Path) -> None:
    """Features called by numbers, as River's generators do, are called so again."""
    model = MLPRegressor(hidden_layers=(4,))
    for a, b in ((1.0, 2.0), (3.0, -1.0), (0.5, 0.5)):
        model.learn_one({0: a, 1: b, True if a < 0 else 2: 1.0}, a + b)
    model.save(tmp_path / "model")
    twin = MLPRegressor.load(tmp_path / "model")
    assert twin.predict_one({0: 1.0, 1: 2.0}) == model.predict_one({0: 1.0, 1: 2.0}) != twin.predict_one({"0": 1.0})


@pytest.mark.parametrize(
    ("features", "label", "said"),
    [
        ({("a", 1): 1.0}, "x", r"the name of feature \('a', 1\) is a tuple"),
        ({"1": 1.0, 1: 2.0}, "x", "two columns would have the same name"),
        ({"target": 1.0}, "x", "two columns would have the same name"),
        ({"a": 1.0}, (1, 2), "found labels of types tuple"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path: Path, features: Any, label: Any, said: str) -> None:
    """In one line, and no file is left."""
    model = MLPClassifier()
    model.learn_one(features, label)
    with pytest.raises(CheckpointError, match=said):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [(2**63, 1), ("\ud800", "x"), (1, 2**60 + 1, 2.5)])
def test_labels_that_no_column_can_hold_are_not_saved(tmp_path: Path, labels: Any) -> None:
    """They would be learned and predicted, but the command line could not write them."""
    model = MLPClassifier()
    for i, label in enumerate(labels):
        model.learn_one({"a": float(i)}, label)
    with pytest.raises(CheckpointError, match="the labels cannot be written as a column") as caught:
        model.save(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


FORGED: dict[str, Any] = {
    "steps below 0": lambda snapshot: snapshot.state["model"]["learner"].update(step=-3),
    "half a step": lambda snapshot: snapshot.state["model"]["learner"].update(step=2.5),
    "more steps than there is time": lambda snapshot: snapshot.state["model"]["learner"].update(step=10**400),
    "a warm-up without end": lambda snapshot: snapshot.state["config"].update(warmup_steps=10**400),
    "a count below 0": lambda snapshot: snapshot.tensors["scaler.count"].fill(-1),
    "an infinite total": lambda snapshot: snapshot.tensors["scaler.total"].fill(float("inf")),
    "an infinite first value": lambda snapshot: snapshot.tensors["scaler.shift"].fill(float("inf")),
    "a name too many": lambda snapshot: snapshot.state["names"].append("more"),
    "no version": lambda snapshot: snapshot.state.pop("version"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_when_it_is_opened(tmp_path: Path, name: str) -> None:
    """In one line, not at the first row."""
    trained().save(tmp_path / "model")
    snapshot = load(tmp_path / "model").snapshot
    FORGED[name](snapshot)
    save(snapshot, tmp_path / "forged")
    with pytest.raises(CheckpointError) as caught:
        MLPClassifier.load(tmp_path / "forged")
    assert "\n" not in str(caught.value)


def test_nothing_learned_is_nothing_to_save(tmp_path: Path) -> None:
    """An estimator that has learned nothing says so; a folder that is not there is an error of the disk."""
    with pytest.raises(CheckpointError, match="nothing was learned yet"):
        MLPClassifier().save(tmp_path / "model")
    with pytest.raises(DiskError, match="cannot save"):
        trained(n=1).save(tmp_path / "nowhere" / "model")


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    """A regression is no classifier, and two targets are not one."""
    trained(MLPRegressor, 10).save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="expected a classification of one target, found a regression of target"):
        MLPClassifier.load(tmp_path / "model")
    two = table([({**x, "other": 1.5 * y}, y) for x, y in numbers()])
    Job(open_source(two), target=["target", "other"], run_dir=str(tmp_path / "run")).run()
    with pytest.raises(
        CheckpointError, match="expected a regression of one target, found a regression of target, other"
    ):
        MLPRegressor.load(tmp_path / "run")


def test_a_network_that_blew_up_does_not_replace_a_good_file(tmp_path: Path) -> None:
    """What no load would open is not saved: the file from before stays."""
    path, model = tmp_path / "model.safetensors", trained()
    model.save(path)
    before = path.read_bytes()
    model._model.learner.theta[0] = float("nan")
    with pytest.raises(CheckpointError, match="a weight is not finite"):
        model.save(path)
    assert path.read_bytes() == before


def test_names_of_numpy_are_those_of_python(tmp_path: Path) -> None:
    """Features called by the elements of an array can be saved, and are found again by names of either kind."""
    model = MLPClassifier()
    model.learn_one(dict(zip(np.array(["a", "b"]), [1.0, 2.0], strict=True)), True)
    model.learn_one({**dict(zip(np.arange(2), [1.0, 2.0], strict=True)), "a": 3.0}, False)
    model.save(tmp_path / "model.safetensors")
    twin = MLPClassifier.load(tmp_path / "model.safetensors")
    assert [type(column.name) for column in twin._encoder.features] == [str, str, int, int]
    assert twin.predict_proba_one({"a": 3.0, 0: 1.0}) == model.predict_proba_one({np.str_("a"): 3.0, np.int64(0): 1.0})


def forged(tmp_path: Path, change: Any, base: Path) -> Path:
    """Return a copy of a checkpoint whose content was changed, under a digest that fits."""
    snapshot = load(base).snapshot
    change(snapshot.state, snapshot.tensors)
    save(snapshot, tmp_path / "forged.safetensors")
    return tmp_path / "forged.safetensors"


def cut_outputs(state: Any, tensors: Any, output: str, labels: list[str]) -> None:
    """Let a checkpoint of a softmax have one output alone."""
    state["model"].update(output=output, labels=[labels])
    n_left = tensors["W1"].size + tensors["W2"].shape[1]
    tensors.update(W2=tensors["W2"][:1], optimizer=tensors["optimizer"][:, :n_left])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, t: cut_outputs(s, t, "sigmoid", ["p", "q", "r"]), "distinguishes two classes"),
        (lambda s, t: cut_outputs(s, t, "identity", ["p", "q"]), "does not fit a classification"),
        (lambda s, t: rename(s, ["1", "1.0"], [1, 1.0]), "two features have the same name"),
        (lambda s, t: rename(s, ["x", "x"], ["x", "x"]), "two features have the same name"),
    ],
)
def test_a_forged_estimator_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    """Outputs, labels and names that do not belong together are refused when a file is opened, not when it is used."""
    model = MLPClassifier(hidden_layers=(4,))
    for i in range(10):
        model.learn_one({"a": float(i), "b": 1.0}, "pq"[i % 2])
    model.save(tmp_path / "model.safetensors")
    MLPClassifier.load(forged(tmp_path, lambda s, t: None, tmp_path / "model.safetensors"))
    path = forged(tmp_path, change, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=said):
        MLPClassifier.load(path)


def rename(state: Any, columns: list[str], names: list[Any]) -> None:
    """Let the columns of a checkpoint be called otherwise."""
    state["names"] = names
    for column, name in zip(state["model"]["columns"]["features"], columns, strict=True):
        column["name"] = name


def test_a_sigmoid_that_met_no_class_predicts_nothing(tmp_path: Path) -> None:
    """The first checkpoint of a job with a sigmoid opens, and predicts None for rows and for frames."""
    settings: dict[str, Any] = {"target": "target", "output": "sigmoid", "checkpoint_every": "100"}
    Job(open_source(table([({"a": i % 3}, i % 3 > 1) for i in range(30)])), run_dir=str(tmp_path), **settings).run()
    model = MLPClassifier.load(tmp_path / "checkpoints" / "step-000000000000.safetensors")
    assert model.predict_one({"a": 1.0}) is None
    assert model.predict_many(pd.DataFrame({"a": [1.0, 2.0]})).tolist() == [None, None]
