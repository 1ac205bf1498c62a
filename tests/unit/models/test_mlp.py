"""The model: what it says of a row that comes next, columns that are added, numbers that are not scaled."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import open_source
from stream_bp.job.job import Job
from stream_bp.models.mlp import MLPModel
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column

SETTINGS: dict[str, Any] = {"hidden_layers": (5,), "dtype": "float64"}


def batch(n: int = 120) -> pa.RecordBatch:
    """Return rows of two numbers, a word, a label and a value; some are missing."""
    random = np.random.default_rng(3)
    x, y = random.normal(size=(2, n))
    x[random.random(n) < 0.1] = np.nan
    words = [f"w{i % 3}" if i % 11 else None for i in range(n)]
    labels = ["a" if v > 0 else "b" for v in y]
    return pa.RecordBatch.from_pydict({"x": x, "y": y, "word": words, "label": labels, "value": 20 + 3 * y})


def model_of(target: str, output: str, **settings: Any) -> tuple[MLPModel, Encoded]:
    """Return an untrained model and the rows, encoded."""
    task: Any = "classification" if target == "label" else "regression"
    ignore = ["value"] if target == "label" else ["label"]
    encoder = Encoder(ColumnPlan.of(batch().schema, [target], task, ignore=ignore))
    model = MLPModel(encoder, output, **{**SETTINGS, **settings})
    return model, encoder.encode(batch().select(encoder.columns.schema.names))


def row(rows: Encoded, i: int) -> Encoded:
    """Return one of the rows."""
    missing = None if rows.missing is None else rows.missing[:, i : i + 1]
    codes = [codes[i : i + 1] for codes in rows.categories]
    return Encoded(rows.numbers[:, i : i + 1], codes, rows.y[:, i : i + 1], missing)


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize(("target", "output"), [("label", "softmax"), ("label", "sigmoid"), ("value", "identity")])
def test_a_prediction_is_what_is_said_of_the_row_that_comes_next(target: str, output: str, is_scaled: bool) -> None:
    """predict() says of a row what learn() scores it by, and changes nothing."""
    model, rows = model_of(target, output, scale_features=is_scaled, scale_target=is_scaled)
    prepared = model.preparation(1).prepare(rows)
    for _ in model.learn(prepared, 0, 40):
        pass
    for i in range(40, len(rows)):
        told = model.predict(row(rows, i))
        [outcome] = model.learn(prepared, i, i + 1)
        for before, scored in zip(told, outcome.predictions, strict=True):
            np.testing.assert_allclose(before, scored, rtol=1e-12)


def test_rows_are_predicted_each_for_itself() -> None:
    """What is said of a row does not depend on the rows it is predicted with."""
    model, rows = model_of("label", "softmax")
    for _ in model.learn(model.preparation(8).prepare(rows), 0, 40):
        pass
    [together] = model.predict(rows)
    for i in range(0, len(rows), 17):
        [alone] = model.predict(row(rows, i))
        np.testing.assert_allclose(together[:, i : i + 1], alone, rtol=1e-12)


def test_added_columns_leave_the_others_in_their_place() -> None:
    """With words already among the inputs, a new number goes before them, and nothing that was learned moves."""
    model, rows = model_of("label", "softmax")
    for _ in model.learn(model.preparation(4).prepare(rows), 0, 100):
        pass
    [before] = model.predict(rows)
    inputs = model.learner.n_inputs
    model.add_columns([Column("late", "number"), Column("late word", "string")])
    assert model.learner.n_inputs == inputs + 1
    numbers = np.vstack([rows.numbers, np.full((1, len(rows)), np.nan)])
    assert rows.missing is not None
    missing = np.vstack([rows.missing, np.ones((2, len(rows)), bool)])
    wider = Encoded(numbers, [*rows.categories, np.full(len(rows), -1)], rows.y, missing)
    np.testing.assert_allclose(model.predict(wider)[0], before, rtol=1e-12)
    twin = MLPModel.from_state_dict(model.state_dict(), **{**SETTINGS, "scale_features": True, "scale_target": True})
    assert twin.predict(wider)[0].tobytes() == model.predict(wider)[0].tobytes()
    assert twin.fan_in == model.fan_in == 3


def test_a_job_without_scaling_takes_numbers_as_they_are() -> None:
    """Standardised beforehand or by the job, a stream is learned alike; as it is, it is another job."""
    random = np.random.default_rng(0)
    x = random.normal(size=4_000)
    labels = ["up" if v > 0 else "down" for v in x]
    accuracy = {}
    unscaled: dict[str, Any] = {"scale_features": False}
    for name, column, settings in (
        ("scaled", 100 * x + 7, dict[str, Any]()),
        ("as they are", x, unscaled),
        ("not scaled", 100 * x + 700, unscaled),
    ):
        source = open_source(pa.table({"x": column, "label": labels}))
        accuracy[name] = Job(source, target="label", batch_size=1, **settings).run().metrics["accuracy"]
    assert accuracy["scaled"] == pytest.approx(accuracy["as they are"], abs=0.01)
    assert (accuracy["not scaled"] or 0) < (accuracy["scaled"] or 0) - 0.02
