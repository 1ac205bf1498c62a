"""The estimators beyond River's own checks: features that come and go, odd values and labels, the job's own bits."""

import copy
import gc
import itertools
import pickle
from collections.abc import Hashable, Sequence
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from river import base, datasets, evaluate, metrics

from connectors import open_source
from stream_bp.config.job import SINGLE_ROWS, JobConfig
from stream_bp.errors import ConfigError, DataError, DivergenceError
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.river import MLPClassifier, MLPRegressor

Row = dict[Hashable, Any]


def rows(n: int = 400, seed: int = 0) -> list[tuple[Row, str]]:
    """Rows with numbers, a boolean, a category that grows, missing values, and a third class half-way."""
    random = np.random.default_rng(seed)
    found: list[tuple[Row, str]] = []
    for i in range(n):
        x, y = random.normal(size=2).tolist()
        row: Row = {"x": x if random.random() > 0.05 or not i else None, "y": y, "flag": bool(random.random() > 0.5)}
        row["kind"] = f"k{random.integers(0, 2 + i // 100)}"
        found.append((row, "far" if i > n // 2 and x > 1 else "up" if x + y > 0 else "down"))
    return found


def numbers(n: int = 300) -> list[tuple[Row, float]]:
    """Rows of two numbers and a value."""
    random = np.random.default_rng(1)
    return [({"a": a, "b": b}, 3 * a - b * b + 50) for a, b in random.normal(size=(n, 2)).tolist()]


def table(stream: Sequence[tuple[Row, Any]]) -> pa.Table:
    """Return rows as a source of a job, the target as ``target``."""
    return pa.Table.from_pylist([{**x, "target": y} for x, y in stream])


def job_of(model: Any, stream: Sequence[tuple[Row, Any]], batch_size: int = 1) -> Summary:
    """Run a job with the settings of an estimator."""
    return Job(open_source(table(stream)), target="target", batch_size=batch_size, **model._get_params()).run()


def theta(model: Any) -> np.ndarray:
    """Return a copy of the weights."""
    weights: np.ndarray = model._model.learner.theta.copy()
    return weights


# The job's own bits


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_learn_one_is_a_job_of_one_row_at_a_time(optimizer: str, dtype: Any, backend: str) -> None:
    """The same rows end in the same θ, to the last bit, whether each was predicted before it was learned or not."""
    settings: dict[str, Any] = {"hidden_layers": (8, 4), "optimizer": optimizer, "dtype": dtype, "backend": backend}
    summary = job_of(MLPClassifier(**settings), rows())
    for is_predicted in (True, False):
        model = MLPClassifier(**settings)
        for x, y in rows():
            if is_predicted:
                model.predict_one(x)
            model.learn_one(x, y)
        assert model._model is not None
        assert model._model.learner.weights_sha256 == summary.weights_sha256
        assert model._model.learner.diagnostics.report() == summary.layers


def test_a_regression_is_a_job_of_one_row_at_a_time() -> None:
    """The same for values: θ, and the prequential score."""
    model, metric = MLPRegressor(hidden_layers=(8,)), metrics.MAE()
    summary = job_of(model, numbers())
    (x, y), *rest = numbers()
    model.learn_one(x, y)  # before the first target a job scores nothing
    evaluate.progressive_val_score(rest, model, metric)
    assert model._model is not None
    assert model._model.learner.weights_sha256 == summary.weights_sha256
    assert metric.get() == pytest.approx(summary.metrics["mae"], rel=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_wide_layers_end_in_the_bits_of_a_job(make: Any, backend: str) -> None:
    """Where the BLAS would take several threads for a row, or a frame, it takes one, as for a job."""
    random = np.random.default_rng(2)
    x = random.normal(size=(64, 40))
    y = (x[:, 0] > 0).tolist() if make is MLPClassifier else x[:, 0].tolist()
    stream: list[tuple[Row, Any]] = [
        ({f"x{i}": v for i, v in enumerate(row)}, t) for row, t in zip(x.tolist(), y, strict=True)
    ]
    settings: dict[str, Any] = {"hidden_layers": (256, 256), "backend": backend}
    for b in (1, 32):
        summary, model = job_of(make(**settings), stream, b), make(**settings)
        for start in range(0, len(stream), b):
            part = stream[start : start + b]
            if b == 1:
                model.predict_one(part[0][0])
                model.learn_one(*part[0])
            else:
                model.learn_many(pd.DataFrame([row for row, _ in part]), pd.Series([t for _, t in part]))
        assert model._model.learner.weights_sha256 == summary.weights_sha256


def test_the_prequential_score_is_that_of_the_job() -> None:
    """River's evaluation of the estimator and the job's own agree on every prediction."""
    stream: list[tuple[Row, str]] = [({name: x[name] for name in ("x", "y")}, y) for x, y in rows()]
    summary = job_of(MLPClassifier(hidden_layers=(8,)), stream)
    metric = evaluate.progressive_val_score(stream, MLPClassifier(hidden_layers=(8,)), metrics.Accuracy())
    assert metric.get() == summary.metrics["accuracy"]


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("b", [1, 7, 50])
def test_learn_many_is_a_job_of_that_batch_size(b: int, backend: Any) -> None:
    """Frames of b rows end in the θ of a job with minibatches of b rows."""
    stream = rows()
    model = MLPClassifier(hidden_layers=(8,), backend=backend)
    summary = job_of(model, stream, b)
    for start in range(0, len(stream), b):
        part = stream[start : start + b]
        model.learn_many(pd.DataFrame([x for x, _ in part]), pd.Series([y for _, y in part]))
    assert model._model is not None
    assert model._model.learner.weights_sha256 == summary.weights_sha256


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_frames_of_one_row_are_rows(make: type) -> None:
    """learn_many of single rows is learn_one, to the last bit: what the one exempt check of River asks for."""
    stream: Any = rows() if make is MLPClassifier else numbers()
    one, many = make(hidden_layers=(8,)), make(hidden_layers=(8,))
    for x, y in stream:
        one.learn_one(x, y)
        many.learn_many(pd.DataFrame([x]), pd.Series([y]))
    assert theta(one).tobytes() == theta(many).tobytes()


def test_a_row_is_propagated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was predicted is not computed again by learning it; a row that was not, or has changed, is."""
    model = MLPClassifier()
    for x, y in rows(50):
        model.learn_one(x, y)
    assert model._model is not None
    learner, calls = model._model.learner, []
    propagate = learner.propagate

    def counted(X: np.ndarray) -> np.ndarray:
        calls.append(1)
        return propagate(X)

    monkeypatch.setattr(learner, "propagate", counted)
    row: Row = {"x": 0.5, "y": 1.0, "flag": True, "kind": "k0"}
    model.predict_one(row)
    model.predict_proba_one(dict(row))
    model.learn_one(row, "up")
    assert len(calls) == 1
    model.predict_one(row)
    row["x"] = -0.5
    model.learn_one(row, "up")
    assert len(calls) == 3


# Features that come and go


def test_weights_of_a_feature_are_decided_by_its_name() -> None:
    """Columns of W⁽¹⁾ are the same in whatever order features are listed, and whenever they came."""
    early, late, other = MLPClassifier(), MLPClassifier(), MLPClassifier()
    early.learn_one({"a": 1.0, "b": 2.0}, True)
    late.learn_one({"b": 2.0, "a": 1.0}, True)
    other.learn_one({"c": 1.0, "b": 3.0}, True)
    other.learn_one({"a": 1.0}, True)
    columns = {}
    for name, model in (("early", early), ("late", late), ("other", other)):
        assert model._model is not None
        order = [column.name for column in model._model.encoder.numeric]
        columns[name] = model._model.learner.W[0][:, order.index("a")]
    assert np.array_equal(columns["early"], columns["late"])
    assert np.array_equal(columns["early"], columns["other"])
    assert columns["early"].any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_feature_that_appears_disturbs_nothing(optimizer: str) -> None:
    """What was predicted of old rows is predicted still; the optimiser's slots keep their place."""
    model = MLPRegressor(optimizer=optimizer, hidden_layers=(4,))
    for x, y in numbers():
        model.learn_one(x, y)
    query: Row = {"a": 0.3, "b": -0.2}
    before, slots = model.predict_one(query), model._model.learner.state_dict().arrays["optimizer"]  # type: ignore[union-attr]
    model._with_columns(model._dicts.new_columns({"new": 1.0, "word": "red"}), 4)
    assert model.predict_one(query) == before
    assert model._model is not None
    grown = model._model.learner.state_dict().arrays["optimizer"]
    assert sorted(grown[grown != 0]) == sorted(slots[slots != 0])
    model.learn_one({**query, "new": 2.0, "word": "red"}, 50.0)
    assert model._model.learner.n_inputs == 4
    assert [column.name for column in model._model.encoder.features] == ["a", "b", "new", "word"]


def test_what_is_away_is_missing() -> None:
    """No such key, None and NaN are one: the mean of a number, no category."""
    model = MLPClassifier()
    for x, y in rows():
        model.learn_one(x, y)
    x = {"x": 0.5, "y": 1.0, "flag": True, "kind": "k0"}
    away = [model.predict_proba_one({**x, name: none}) for name in ("x", "kind") for none in (None,)]
    gone = [model.predict_proba_one({key: x[key] for key in x if key != name}) for name in ("x", "kind")]
    assert away == gone
    assert model.predict_proba_one({**x, "x": np.nan}) == gone[0] == model.predict_proba_one({**x, "x": np.inf})
    assert model.predict_proba_one({**x, "kind": ""}) == gone[1] == model.predict_proba_one({**x, "kind": "never met"})
    assert gone[0] != gone[1] != model.predict_proba_one(x)
    assert model.predict_proba_one({**x, "never met": 3.0}) == model.predict_proba_one(x)


def test_features_that_change_with_every_row_end_well() -> None:
    """A thousand rows of random subsets of features, with returns, growing words and missing values, are learned."""
    random = np.random.default_rng(5)
    model, metric = MLPClassifier(), metrics.Accuracy()
    for _ in range(1_000):
        x: Row = {i: float(v) for i, v in enumerate(random.normal(size=30)) if random.random() < 0.2}
        x.update({("word", i): f"w{random.integers(5)}" for i in range(5) if random.random() < 0.2})
        x[0] = float(random.normal())
        y = bool(x[0] > 0)
        prediction = model.predict_one(x)
        if prediction is not None:
            metric.update(y, prediction)
        model.learn_one(x, y)
    assert metric.get() > 0.8


# Values


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (True, 1.0),
        (np.True_, 1.0),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3.0),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
    ],
)
def test_numbers_of_any_kind(value: Any, same: float) -> None:
    """Booleans and numbers of other libraries are the number they are equal to."""
    models = [MLPRegressor(), MLPRegressor()]
    for model, x in zip(models, (value, same), strict=True):
        for a in (x, 2.0, x, -1.0):
            model.learn_one({"a": a}, float(a) + 1)
    assert theta(models[0]).tobytes() == theta(models[1]).tobytes()


@pytest.mark.parametrize("value", [10**400, 1e300, -np.inf, pd.NA, pd.NaT, None])
def test_what_no_number_can_be_is_missing(value: Any) -> None:
    """Beyond ±1e100, and what pandas writes for nothing, is taken as missing and does no harm."""
    model = MLPRegressor()
    for x, y in numbers(50):
        model.learn_one(x, y)
    assert model.predict_one({"a": value, "b": 1.0}) == model.predict_one({"b": 1.0})
    model.learn_one({"a": value, "b": 1.0}, 3.0)
    assert np.isfinite(theta(model)).all()


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ({"x": [1.0], "y": 1.0}, "feature 'x' is a list; expected a number, a boolean, a string or None"),
        ({"x": np.zeros(3), "y": 1.0}, "feature 'x' is a ndarray"),
        ({"x": "red"}, "feature 'x' had numbers so far, and now a word, 'red'"),
        ({"kind": 3.0}, "feature 'kind' had words so far, and now a number, 3.0"),
        ({"new": b"bytes"}, "feature 'new' is a bytes"),
        ({"x": 1.0, "kind": "new", "late": object()}, "feature 'late' is a object"),
    ],
)
def test_a_value_that_is_none_is_refused_and_changes_nothing(x: Row, said: str) -> None:
    """One line names the feature; the estimator is what it was."""
    model = MLPClassifier()
    for row, label in rows(100):
        model.learn_one(row, label)
    before = pickle.dumps(model)
    for y in ("up", "a new label"):
        with pytest.raises(DataError, match=said) as caught:
            model.learn_one(x, y)
        assert "\n" not in str(caught.value)
    assert pickle.dumps(model) == before


def test_a_feature_that_was_boolean_may_become_a_number() -> None:
    """Its column is then one of numbers, for the command line too; before that, and of a frame, one of booleans."""
    for is_frame in (False, True):
        model = MLPClassifier()
        for i, value in enumerate((True, False, True, 2.5)):
            if i == 3:
                assert [column.kind for column in model._encoder.features] == ["bool"]
                model.predict_one({"f": value})
            if is_frame:
                model.learn_many(pd.DataFrame({"f": [value]}), pd.Series([i % 2]))
            else:
                model.learn_one({"f": value}, i % 2)
        assert [column.kind for column in model._encoder.features] == ["number"]
        assert model.predict_proba_one({"f": 2.5}) != model.predict_proba_one({"f": 1.0})


def test_without_scaling_what_the_dtype_cannot_hold_is_missing() -> None:
    """A value that would be infinite as float32 is taken as missing, and harms no weight."""
    model = MLPRegressor(scale_features=False, dtype="float32")
    for x, y in numbers(20):
        model.learn_one(x, y)
    model.learn_one({"a": 1e60, "b": 1.0}, 3.0)
    assert np.isfinite(theta(model)).all()
    assert model.predict_one({"a": 1e60, "b": 1.0}) == model.predict_one({"b": 1.0})


def test_a_word_is_no_value() -> None:
    """A target that is a string is refused, whatever it says."""
    with pytest.raises(DataError, match=r"target: expected a number or None, found '3\.5', a str"):
        MLPRegressor().learn_one({"a": 1.0}, "3.5")  # type: ignore[arg-type]


# Labels


@pytest.mark.parametrize("label", [("a", 1), frozenset({1}), b"x", 1.5, None.__class__, Decimal(1), "", 10**30])
def test_labels_of_any_hashable_type(label: Hashable) -> None:
    """A label comes back as it was given."""
    model = MLPClassifier()
    for x, _ in rows(60):
        model.learn_one(x, label if x["flag"] else "other")
    answers = {x["flag"]: model.predict_one(x) for x, _ in rows(60)}
    assert answers == {True: label, False: "other"}
    assert set(model.predict_proba_one(rows(1)[0][0])) == {label, "other"}


def test_labels_of_numpy_are_those_of_python() -> None:
    """np.bool_, np.int64 and np.str_ are one class with what they equal, and come back as Python's own."""
    model = MLPClassifier()
    for x, _ in rows(60):
        model.learn_one(x, np.bool_(x["flag"]) if x["y"] > 0 else x["flag"])
    shares = model.predict_proba_one(rows(1)[0][0])
    assert {type(label) for label in shares} == {bool}
    assert len(shares) == 2


@pytest.mark.parametrize("y", [[1], {"a": 1}])
def test_a_label_that_cannot_be_hashed_is_refused(y: Any) -> None:
    """In one line that names its type."""
    with pytest.raises(DataError, match="label: expected a hashable value, found"):
        MLPClassifier().learn_one({"a": 1.0}, y)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("y", [None, np.nan])
def test_a_missing_target_is_not_learned(make: Any, y: Any) -> None:
    """Its features are taken in, as by a job; no weight changes, before the first target or after it."""
    model = make()
    model.learn_one({"a": 1.0}, y)
    assert model.predict_one({"a": 1.0}) in {None, 0.0}
    for a in range(20):
        model.learn_one({"a": float(a)}, a % 2)
    before = theta(model)
    model.learn_one({"a": 5.0}, y)
    assert np.array_equal(theta(model), before)
    assert model._model.scaler.state_dict().arrays["count"].tolist() == [22]
    assert model._model.learner.rows == 22
    assert model._model.learner.step == 20


def test_a_class_that_is_met_late_is_learned() -> None:
    """After a hundred thousand rows of two classes a third one gets its output, and is told apart soon."""
    model, random = MLPClassifier(hidden_layers=(4,), dtype="float32"), np.random.default_rng(0)
    x = random.normal(size=(100_000, 2))
    frame, labels = pd.DataFrame(x, columns=["a", "b"]), pd.Series(np.where(x[:, 0] > 0, "one", "two"))
    for start in range(0, len(x), 50):
        model.learn_many(frame[start : start + 50], labels[start : start + 50])
    for a, b in random.normal(size=(2_000, 2)).tolist():
        model.learn_one({"a": a, "b": b}, "three" if b > 0 else "one" if a > 0 else "two")
    assert model.predict_one({"a": 0.0, "b": 2.0}) == "three"
    assert model.predict_one({"a": 2.0, "b": -2.0}) == "one"


def test_too_many_classes_are_refused() -> None:
    """A target with a class for every row is an identifier: the class beyond the bound is refused, again and again."""
    model = MLPClassifier(hidden_layers=())
    frame = pd.DataFrame({"a": np.arange(1_000.0)})
    model.learn_many(frame, pd.Series(range(1_000)))
    before = theta(model)
    for _ in range(2):
        with pytest.raises(DataError, match="more than 1000 classes"):
            model.learn_one({"a": 0.5}, "one too many")
        with pytest.raises(DataError, match="more than 1000 classes"):
            model.learn_many(frame[:2], pd.Series(["one too many", "and another"]))
    model.learn_one({"a": 0.5}, 3)
    assert not np.array_equal(theta(model), before)
    assert len(model.predict_proba_one({"a": 0.5})) == 1_000


def test_before_anything_is_learned() -> None:
    """There is no class to predict, and a value of 0; frames say so too, with the index they came with."""
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 9])
    assert MLPClassifier().predict_proba_one({"a": 1.0}) == {}
    assert MLPClassifier().predict_one({"a": 1.0}) is None
    assert MLPRegressor().predict_one({"a": 1.0}) == 0.0
    assert MLPClassifier().predict_many(frame).tolist() == [None, None]
    assert MLPClassifier().predict_many(frame).index.tolist() == [7, 9]
    assert MLPRegressor().predict_many(frame).tolist() == [0.0, 0.0]
    assert len(MLPClassifier().predict_proba_many(frame).columns) == 0


# Frames


def test_frames_agree_with_rows() -> None:
    """predict_many and predict_proba_many say what the row-wise methods say, index and name of the target included."""
    model = MLPClassifier()
    frame = pd.DataFrame([x for x, _ in rows()], index=range(1_000, 1_400))
    model.learn_many(frame, pd.Series([y for _, y in rows()], name="label"))
    shares, best = model.predict_proba_many(frame), model.predict_many(frame)
    assert best.name == "label"
    assert best.index.tolist() == shares.index.tolist() == frame.index.tolist()
    for i, (x, _) in enumerate(rows()):
        assert shares.iloc[i].to_dict() == pytest.approx(model.predict_proba_one(x), rel=1e-9)
        assert best.iloc[i] == model.predict_one(x)


def test_frames_of_arrow() -> None:
    """A table of pyarrow is learned like one of pandas, and answered by one of pyarrow."""
    stream = rows()
    by_pandas, by_arrow = MLPClassifier(), MLPClassifier()
    labels = [y for _, y in stream]
    by_pandas.learn_many(pd.DataFrame([x for x, _ in stream]), pd.Series(labels))
    arrow = pa.Table.from_pylist([x for x, _ in stream])
    by_arrow.learn_many(arrow, pa.chunked_array([labels]))
    assert theta(by_pandas).tobytes() == theta(by_arrow).tobytes()
    assert isinstance(by_arrow.predict_proba_many(arrow), pa.Table)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_an_empty_frame_changes_nothing(make: Any) -> None:
    """Nothing is learned of no rows, and nothing predicted."""
    model, empty = make(), pd.DataFrame({"a": pd.Series([], dtype=float)})
    model.learn_many(empty, pd.Series([], dtype=float))
    model.learn_one({"a": 1.0}, 1)
    before = pickle.dumps(model)
    model.learn_many(empty, pd.Series([], dtype=float))
    assert model.predict_many(empty).tolist() == []
    assert theta(model).tobytes() == theta(pickle.loads(before)).tobytes()  # noqa: S301


def test_a_frame_with_words_among_numbers_is_refused() -> None:
    """By the feature's name, before anything is changed."""
    model = MLPClassifier()
    model.learn_one({"a": 1.0}, True)
    before = pickle.dumps(model)
    frame = pd.DataFrame({"a": [1.0, 2.0], "late": [1.0, 2.0], "b": [1, "x"]})
    with pytest.raises(DataError, match="feature 'b' has words and numbers in one frame"):
        model.learn_many(frame, pd.Series([True, False]))
    assert pickle.dumps(model) == before


# Settings, copies, memory


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation": "rleu"}, "activation: expected one of .* did you mean 'relu'"),
        ({"hidden_layers": (0,)}, "hidden_layers: "),
        ({"learning_rate": 0.0}, "learning_rate: "),
        ({"seed": -1}, "seed: "),
        ({"dtype": "float16"}, "dtype: "),
    ],
)
def test_a_wrong_setting_is_refused_at_once(settings: dict[str, Any], said: str) -> None:
    """In one line, when the estimator is made."""
    for make in (MLPClassifier, MLPRegressor):
        with pytest.raises(ConfigError, match=said):
            make(**settings)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_the_defaults_are_those_of_the_command_line(make: Any) -> None:
    """Where the estimators differ from a job it is in what suits single rows, and ``compare`` has the same."""
    ours = {**make()._get_params(), "hidden_layers": make().hidden_layers}
    usual = {name: JobConfig.model_fields[name].default for name in ours}
    assert {name: ours[name] for name in ours if ours[name] != usual[name]} == {
        **SINGLE_ROWS,
        "dtype": "float64",
        "missing": "mean",
    }


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_a_copy_goes_on_by_itself(copy_of: Any) -> None:
    """A copy learns what the original would have, and leaves it alone."""
    model = MLPClassifier()
    for x, y in rows(200):
        model.learn_one(x, y)
    model.predict_one(rows()[200][0])
    twin = copy_of(model)
    before = theta(model)
    for x, y in rows()[200:]:
        twin.learn_one(x, y)
    assert np.array_equal(theta(model), before)
    for x, y in rows()[200:]:
        model.learn_one(x, y)
    assert theta(model).tobytes() == theta(twin).tobytes()


def test_a_weight_multiplies_the_step() -> None:
    """A row of weight 2 moves the weights twice as far; one of weight 0 not at all."""
    moved = []
    for weight in (0.0, 1.0, 2.0):
        model = MLPRegressor(optimizer="sgd", clip_norm=None)
        for x, y in numbers(20):
            model.learn_one(x, y)
        before = theta(model)
        model.learn_one({"a": 0.5, "b": 0.5}, 55.0, w=weight)
        moved.append(theta(model) - before)
    assert not moved[0].any()
    np.testing.assert_allclose(moved[2], 2 * moved[1], rtol=1e-9)


def test_divergence_is_told() -> None:
    """Diverged training is an error, instead of a prediction that is not a number."""
    model = MLPRegressor(optimizer="sgd", clip_norm=None, learning_rate=1e30)
    (x, y), *rest = numbers(10)
    with np.errstate(all="ignore"):
        for x, y in rest:
            with suppress(DivergenceError):
                model.learn_one(x, y)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="training diverged: the prediction"):
        model.predict_one(x)


def memory_growth(model: base.Classifier) -> float:
    """Return how many bytes a row adds, between two looks at a model that has met everything it will meet."""
    stream = itertools.cycle(datasets.Phishing())
    sizes = []
    for n in (1_500, 3_000):
        for x, y in itertools.islice(stream, n):
            model.predict_one(x)
            model.learn_one(dict(x), y)
        gc.collect()
        sizes.append(model._raw_memory_usage)
    return (sizes[1] - sizes[0]) / 3_000


class Hoarder(base.Classifier):
    """A model that keeps every row: River's own check of memory lets it pass."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def learn_one(self, x: Any, y: Any) -> None:
        """Keep a row."""
        self.rows.append((dict(x), y))

    def predict_one(self, x: Any, **kwargs: Any) -> Any:
        """Say what the last row was."""
        return self.rows[-1][1] if self.rows else None


def test_memory_does_not_grow_with_the_rows() -> None:
    """Three thousand more rows add nothing; the control, which keeps them, is caught, though River lets it pass."""
    from river.checks import common

    assert memory_growth(MLPClassifier()) < 0.5
    assert memory_growth(MLPClassifier(optimizer="adam", hidden_layers=(16, 16))) < 0.5
    common.check_bounded_memory_growth(Hoarder(), datasets.Phishing().take(2_000))
    assert memory_growth(Hoarder()) > 50


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_frame_that_is_predicted_between_changes_nothing(make: type) -> None:
    """A frame of one row, predicted between the prediction of another row and its learning, is not taken in."""
    models: list[Any] = [make(), make()]
    for model in models:
        for x, y in numbers(50):
            model.learn_one(x, y > 50)
    x = {"a": 0.5, "b": 0.25}
    models[0].predict_one(x)
    models[0].predict_many(pd.DataFrame([{"a": -900.0, "b": 700.0}]))
    for model in models:
        model.learn_one(x, True)
    scaled = [model._model.scaler.state_dict().arrays for model in models]
    assert all(np.array_equal(scaled[0][name], scaled[1][name]) for name in scaled[0])


@pytest.mark.parametrize("is_predicted", [True, False])
def test_a_clone_with_attributes_goes_on_the_same(is_predicted: bool) -> None:
    """What a clone with attributes learns, new words and classes among it, is what its original learns."""
    model = MLPClassifier(hidden_layers=(8,))
    for x, y in rows()[:100]:
        model.learn_one(x, y)
    if is_predicted:
        model.predict_one(rows()[100][0])
    clone = model.clone(include_attributes=True)
    before = theta(model).tobytes()
    for x, y in rows()[100:]:
        clone.learn_one(x, y)
    assert theta(model).tobytes() == before
    for x, y in rows()[100:]:
        model.learn_one(x, y)
    assert theta(model).tobytes() == theta(clone).tobytes()


def test_frames_whose_columns_are_numbered() -> None:
    """A frame made of an array, whose columns are called 0, 1, is learned as dicts with such keys are."""
    one, many = MLPRegressor(), MLPRegressor()
    for x, y in numbers(50):
        one.learn_one({0: x["a"], 1: x["b"]}, y)
        many.learn_many(pd.DataFrame(np.array([[x["a"], x["b"]]])), pd.Series([y]))
    assert theta(one).tobytes() == theta(many).tobytes()
    assert many.predict_many(pd.DataFrame([[0.5, 0.25]])).tolist() == [one.predict_one({0: 0.5, 1: 0.25})]


def test_numbers_where_words_were_are_refused_in_frames_too() -> None:
    """A column of numbers for a feature of words is refused; one with nothing in it is missing."""
    model = MLPClassifier()
    model.learn_many(pd.DataFrame({"kind": ["x", "y"]}), pd.Series([1, 0]))
    for call in (model.predict_many, lambda X: model.learn_many(X, pd.Series([1, 0]))):
        with pytest.raises(DataError, match="feature 'kind' had words so far, and now a number"):
            call(pd.DataFrame({"kind": [np.nan, 1.0]}))
        call(pd.DataFrame({"kind": [np.nan, np.nan]}))


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_frame_with_other_targets_is_refused_and_changes_nothing(make: type, n: int) -> None:
    """Targets that are not as many as the rows are refused in one line, before columns and words are taken in."""
    model: Any = make()
    model.learn_many(pd.DataFrame({"a": [1.0, 2.0, 3.0]}), pd.Series([1, 0, 1]))
    before = pickle.dumps(model)
    with pytest.raises(DataError, match=f"X has 3 rows, but y has {n} targets"):
        model.learn_many(pd.DataFrame({"a": [1.0, 2.0, 3.0], "word": ["p", "q", "r"]}), pd.Series([1] * n))
    assert pickle.dumps(model) == before


def test_a_frame_with_a_label_that_is_none_changes_nothing() -> None:
    """A label that is not hashable is refused before columns and words are taken in."""
    model = MLPClassifier()
    model.learn_many(pd.DataFrame({"a": [1.0, 2.0]}), pd.Series([1, 0]))
    before = pickle.dumps(model)
    with pytest.raises(DataError, match="label: expected a hashable value, found"):
        model.learn_many(pd.DataFrame({"a": [1.0, 2.0], "word": ["p", "q"]}), pd.Series([[1], [2]]))
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e300, "heavy", None, [1.0, 2.0]])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_weight_that_is_none_is_refused_and_changes_nothing(make: type, weight: Any) -> None:
    """A weight that is no number, or none that a network survives, is refused in one line."""
    model: Any = make(dtype="float32")
    for x, y in numbers(20):
        model.learn_one(x, y > 50)
    before = pickle.dumps(model)
    with pytest.raises(DataError, match=r"weight: expected a number within"):
        model.learn_one({"a": 1.0, "new": 2.0}, True, w=weight)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("is_frame", [True, False])
def test_a_class_too_many_changes_nothing(is_frame: bool) -> None:
    """A row of one class more than there is room for leaves neither its new column nor its new word behind."""
    model = MLPClassifier(hidden_layers=(2,))
    n = 1_000
    model.learn_many(pd.DataFrame({"a": np.arange(n) / n, "word": ["p"] * n}), pd.Series(range(n)))
    before, x = pickle.dumps(model), {"a": 1.0, "word": "q", "new": 2.0}
    call, *row = (
        (model.learn_many, pd.DataFrame([x]), pd.Series(["excess"])) if is_frame else (model.learn_one, x, "excess")
    )
    with pytest.raises(DataError, match="more than 1000 classes"):
        call(*row)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("label", [np.datetime64("2020-01-01T00:00:00.000000001"), np.timedelta64(5, "ns")])
def test_times_of_numpy_are_labels_of_their_own(label: Hashable) -> None:
    """A time in nanoseconds, which NumPy would make an integer, comes back as it was given."""
    model = MLPClassifier()
    model.learn_one({"a": 1.0}, label)
    model.learn_one({"a": 1.0}, label)
    assert list(model.predict_proba_one({"a": 1.0})) == [label]
    assert type(model.predict_one({"a": 1.0})) is type(label)


@pytest.mark.parametrize("x", [{"\ud800": 1.0}, {"word": "\ud800"}])
def test_names_and_words_need_not_be_utf8(x: Row) -> None:
    """What Python makes of bytes that are no text is a name, or a word, like another."""
    model = MLPClassifier()
    for row, y in ((x, True), ({"word": "u"}, False), (x, True)):
        model.learn_one(row, y)
        model.predict_one(row)
    assert np.isfinite(theta(model)).all()
