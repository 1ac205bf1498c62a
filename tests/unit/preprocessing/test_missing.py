"""What is missing or impossible: the four policies, what they count, and that nothing of it does harm."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import open_source
from stream_bp.errors import MissingValueError
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.persistence.checkpoints import load
from stream_bp.river import MLPClassifier

N = 600


def table(n: int = N) -> pa.Table:
    """Return rows in which a missing number, and a missing word, tell the label; and a column without any value."""
    random = np.random.default_rng(0)
    gap = random.random(n) < 0.5
    x = np.where(gap, np.nan, random.normal(size=n))
    x[5], x[6] = np.inf, 1e200
    return pa.table(
        {
            "x": x,
            "y": random.normal(size=n),
            "word": pa.array([None if g else "w" for g in gap]),
            "nothing": pa.array([None] * n, pa.float64()),
            "same": np.ones(n),
            "label": pa.array([None if i % 50 == 49 else "no" if g else "yes" for i, g in enumerate(gap)]),
        }
    )


def run(rows: pa.Table, **settings: Any) -> Summary:
    """Learn rows."""
    return Job(open_source(rows), **{"target": "label", "batch_size": 4, "hidden_layers": (8,), **settings}).run()


def test_what_is_missing_is_told_apart_by_an_input() -> None:
    """Imputed, a gap is an input of its own, which comes with the first gap; as the mean it cannot be seen."""
    told = run(table(), ignore=["word"], missing="mean-indicator", batch_size=1)
    assert told.model == "layers 6-8-2", "four numbers, and an input for each of the two that were ever missing"
    assert (told.rolling["accuracy"] or 0) > 0.9
    blind = run(table(), ignore=["word"], missing="mean", batch_size=1)
    assert blind.model == "layers 4-8-2"
    assert (blind.rolling["accuracy"] or 0) < 0.7
    assert run(table(), features=["word", "y"]).model == "layers 3-8-2"


def test_every_gap_is_counted_by_column() -> None:
    """Null, NaN, infinite and beyond the range count as missing; so do words; a missing target counts for itself."""
    quality = run(table()).quality
    rows = table()
    gaps = int(np.count_nonzero(~(np.abs(rows["x"].to_numpy()) <= 1e100)))
    assert quality["missing"] == {"x": gaps, "word": rows["word"].null_count, "nothing": N}
    assert quality["rows_without_target"] == {"label": N // 50}
    assert quality["skipped"] == 0


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_a_number_that_is_none_is_no_category(kind: pa.DataType) -> None:
    """Numbers read as categories are missing where they are as numbers; and 0 is one of them, not two."""
    numbers = [math.nan, 1.0, math.inf, 0.0, None, 2.0]
    rows = pa.table({"x": pa.array(numbers * 20).cast(kind), "label": ["a", "b"] * 60})
    summary = run(rows, categorical=["x"])
    assert summary.quality["missing"] == {"x": 60}
    assert summary.model == "layers 4-8-2", "three numbers, and an input for what is missing"
    with pytest.raises(MissingValueError, match="'x'"):
        run(rows, categorical=["x"], missing="error")


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_there_is_one_zero(kind: pa.DataType) -> None:
    """A label of -0.0 is the class 0, and as a category -0.0 is that of 0.0."""
    zeros = pa.array([-0.0, 1.0, 0.0, 1.0] * 50, kind)
    labels = run(pa.table({"x": pa.array(range(200)), "label": zeros}), task="classification")
    assert labels.quality["rows_without_target"] == {}
    assert labels.model == "layers 1-8-2"
    assert run(pa.table({"x": zeros, "label": ["a", "b"] * 100}), categorical=["x"]).model == "layers 2-8-2"


def test_wild_values_are_cut_off_and_counted() -> None:
    """Beyond eight deviations a value counts as clipped, under the name of its column, and throws nothing."""
    rows = table().drop_columns(["x", "word", "nothing"])
    y = rows["y"].to_numpy().copy()
    y[[300, 451]] = 1e9, -1e30
    wild = rows.set_column(0, "y", pa.array(y))
    summary = run(wild)
    assert summary.quality["clipped_values"] == {"y": 2}
    assert summary.quality["missing"] == {}
    assert run(rows).quality["clipped_values"] == {}


def test_a_row_that_is_skipped_leaves_no_trace_but_its_count() -> None:
    """It is not learned, scored, or taken into a mean, its words and its label are not met; its place stays empty."""
    random = np.random.default_rng(1)
    full = pa.table({"x": random.normal(size=N), "word": ["w"] * N, "label": ["a", "b", "b"] * (N // 3)})
    x, words, labels = full["x"].to_pylist(), full["word"].to_pylist(), full["label"].to_pylist()
    for i in range(0, N, 7):
        x[i], words[i], labels[i] = (None, "strange", "c") if i % 2 else (1e6, None, "c")
    holes = pa.table({"x": x, "word": words, "label": labels})
    summary = run(holes, missing="drop-row", batch_size=1)
    n_skipped = len(range(0, N, 7))
    assert summary.quality["skipped"] == n_skipped
    assert summary.quality["missing"] == {"x": n_skipped // 2, "word": n_skipped - n_skipped // 2}
    assert summary.quality["rows_without_target"] == {}
    kept = full.filter(pa.array([i % 7 != 0 for i in range(N)]))
    clean = run(kept, batch_size=1)
    assert summary.model == clean.model == "layers 2-8-2"
    assert summary.weights_sha256 == clean.weights_sha256
    assert summary.metrics == clean.metrics
    assert summary.rows == clean.rows + n_skipped


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_an_error_ends_the_job_before_the_row(tmp_path: Path, batch_size: int) -> None:
    """The row and the column are named, and every whole minibatch before it is learned and saved."""
    rows = pa.table({"x": [1.0] * 333 + [None, 2.0], "label": ["a", "b"] * 167 + ["a"]})
    with pytest.raises(MissingValueError, match="row 333: column 'x' has no value") as caught:
        run(rows, missing="error", batch_size=batch_size, run_dir=str(tmp_path / "run"))
    assert "\n" not in str(caught.value)
    assert load(tmp_path / "run").snapshot.state["rows"] == 333 - 333 % batch_size


def test_a_missing_target_is_no_error() -> None:
    """It is predicted, not learned, and counted, whatever the policy for features is."""
    rows = table().select(["y", "same", "label"])
    for policy in ("impute", "skip", "error"):
        summary = run(rows, missing=policy)
        assert summary.quality["rows_without_target"] == {"label": N // 50}, policy
        assert summary.rows == N


def test_columns_without_a_value_or_of_one_value_do_no_harm() -> None:
    """What tells nothing changes nothing: it stands at 0, which moves no weight."""
    rows = table()
    summary = run(rows, features=["y", "nothing", "same"], missing="mean")
    assert summary.metrics["accuracy"] is not None
    only = run(rows, features=["nothing", "same"], missing="mean")
    assert only.metrics["accuracy"] is not None


@pytest.mark.parametrize("missing", ["mean", "impute"])
def test_an_estimator_learns_gaps_as_a_job_does(missing: str) -> None:
    """Row by row, with or without inputs for what is missing, the weights are those of a job."""
    rows = table().drop_columns(["nothing"])
    settings: Any = {"hidden_layers": (8,), "seed": 3, "missing": missing, "dtype": "float64", "backend": "numpy"}
    settings |= {"activation": "relu", "optimizer": "sgd", "clip_norm": None}
    first = {"x": 0.5, "y": 0.1, "word": "w", "same": 1.0, "label": "yes"}
    rows = pa.concat_tables([pa.Table.from_pylist([first], rows.schema), rows])
    summary = Job(open_source(rows), target="label", batch_size=1, **settings).run()
    model = MLPClassifier(**settings)
    for row in rows.to_pylist():
        label = row.pop("label")
        model.predict_one(row)
        if label is not None:
            model.learn_one(row, label)
        else:
            model.learn_one(row, None)
    assert model._model is not None
    assert model._model.learner.weights_sha256 == summary.weights_sha256


def test_the_row_is_named_in_a_shuffle_too() -> None:
    """Where rows are learned in a drawn order, the number is still that of the stream."""
    rows = pa.table({"x": [1.0] * 123 + [None] + [2.0] * 300, "label": ["a", "b"] * 212})
    with pytest.raises(MissingValueError, match="row 123: column 'x'"):
        run(rows, missing="error", shuffle_window=400)
