"""The places where River's users put a model: one executed example of each."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from river import (
    bandit,
    compose,
    datasets,
    drift,
    ensemble,
    evaluate,
    feature_extraction,
    imblearn,
    metrics,
    model_selection,
    multiclass,
    multioutput,
    preprocessing,
    stream,
    utils,
)

from stream_bp.river import MLPClassifier, MLPRegressor


def accuracy(model: Any, dataset: Any = None, **settings: Any) -> float:
    """Return the prequential accuracy on a stream; half of Phishing if none is given."""
    stream = dataset if dataset is not None else datasets.Phishing().take(600)
    return float(evaluate.progressive_val_score(stream, model, metrics.Accuracy(), **settings).get())


def test_a_pipeline() -> None:
    """Behind a scaler, with ``|``; the scaling inside is switched off."""
    model = preprocessing.StandardScaler() | MLPClassifier(scale_features=False)
    assert accuracy(model) > 0.8


def test_a_pipeline_by_name_with_new_parameters() -> None:
    """``compose.Pipeline`` and ``clone(new_params)``: settings reach the network."""
    model = compose.Pipeline(("scale", preprocessing.MinMaxScaler()), ("net", MLPClassifier()))
    changed = model.clone({"net": {"hidden_layers": (5,), "learning_rate": 0.1}})
    assert changed["net"].hidden_layers == (5,)
    assert changed["net"].learning_rate == 0.1
    assert accuracy(changed) > 0.75


def test_a_union_of_features() -> None:
    """With ``+``: numbers of one kind beside words of another."""
    numbers = compose.Select("temp") | preprocessing.StandardScaler()
    model = numbers + (compose.Select("clouds") | feature_extraction.PolynomialExtender()) | MLPRegressor()
    for i in range(200):
        x = {"temp": i % 30, "clouds": i % 7, "wind": 1}
        model.predict_one(x)
        model.learn_one(x, 3.0 * (i % 30))
    assert model["MLPRegressor"]._model.learner.n_inputs > 2
    assert abs(model.predict_one({"temp": 15, "clouds": 1, "wind": 1}) - 45) < 20


def test_words_beside_numbers_need_no_pipeline() -> None:
    """Strings, booleans and numbers as they come."""
    model, metric = MLPClassifier(), metrics.Accuracy()
    for i in range(300):
        x = {"city": ["Rome", "Oslo", "Lima"][i % 3], "open": i % 2 == 0, "n": i % 5}
        y = i % 3 == 1
        if (prediction := model.predict_one(x)) is not None:
            metric.update(y, prediction)
        model.learn_one(x, y)
    assert metric.get() > 0.9


@pytest.mark.parametrize("delay", [20, lambda x, y: dt.timedelta(hours=3)])
def test_delayed_labels(delay: Any) -> None:
    """With ``moment`` and ``delay`` many rows are predicted before the first of them is learned."""
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = [
        ({**x, "at": begin + dt.timedelta(minutes=10 * i)}, y) for i, (x, y) in enumerate(datasets.Phishing().take(600))
    ]
    model = compose.Discard("at") | MLPClassifier()
    moment = "at" if callable(delay) else None
    steps = list(
        evaluate.iter_progressive_val_score(rows, model, metrics.Accuracy(), moment=moment, delay=delay, step=100)
    )
    assert [step["Step"] for step in steps] == [100, 200, 300, 400, 500, 600]
    assert steps[-1]["Accuracy"].get() > 0.75


@pytest.mark.parametrize(
    "model",
    [
        ensemble.BaggingClassifier(MLPClassifier(hidden_layers=(8,)), n_models=3, seed=1),
        ensemble.ADWINBoostingClassifier(MLPClassifier(hidden_layers=(8,)), n_models=3, seed=1),
        ensemble.VotingClassifier([MLPClassifier(), MLPClassifier(hidden_layers=())]),
        ensemble.StackingClassifier(
            [MLPClassifier(), MLPClassifier(hidden_layers=())], meta_classifier=MLPClassifier(hidden_layers=(4,))
        ),
        drift.DriftRetrainingClassifier(MLPClassifier()),
        multiclass.OneVsRestClassifier(MLPClassifier(hidden_layers=(8,))),
        model_selection.BanditClassifier(
            [MLPClassifier(), MLPClassifier(hidden_layers=())],
            metric=metrics.Accuracy(),
            policy=bandit.EpsilonGreedy(epsilon=0.1, decay=0.001, seed=1),
        ),
        imblearn.RandomOverSampler(MLPClassifier(), desired_dist={True: 0.5, False: 0.5}, seed=1),
        imblearn.HardSamplingClassifier(MLPClassifier(), size=20, p=0.2, seed=1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_inside_another_model(model: Any) -> None:
    """Ensembles, selection, resampling and drift wrappers take it as they take River's own."""
    assert accuracy(model) > 0.75


@pytest.mark.parametrize(
    "model",
    [
        ensemble.BaggingRegressor(MLPRegressor(hidden_layers=(8,)), n_models=3, seed=1),
        preprocessing.TargetStandardScaler(ensemble.EWARegressor([MLPRegressor(), MLPRegressor(hidden_layers=())])),
        model_selection.BanditRegressor(
            [MLPRegressor(), MLPRegressor(hidden_layers=())],
            metric=metrics.MAE(),
            policy=bandit.EpsilonGreedy(epsilon=0.1, decay=0.001, seed=1),
        ),
        model_selection.SuccessiveHalvingRegressor(
            utils.expand_param_grid(MLPRegressor(), {"learning_rate": [0.001, 0.01, 0.1]}),
            metric=metrics.MAE(),
            budget=400,
        ),
        preprocessing.TargetStandardScaler(MLPRegressor(scale_target=False)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_inside_another_regressor(model: Any) -> None:
    """The same for values: better than predicting the mean."""
    metric = evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    assert metric.get() < 1.5


def test_several_outputs() -> None:
    """Chains of ``multioutput``, for labels and for values."""
    chain = multioutput.ClassifierChain(MLPClassifier(hidden_layers=(4,)))
    values = multioutput.RegressorChain(MLPRegressor(hidden_layers=(16,)), order=["a", "b"])
    for i in range(1_000):
        x = {"x": i % 7, "z": i % 3}
        chain.learn_one(x, {"high": i % 7 > 3, "three": i % 3 == 0})
        values.learn_one(x, {"a": 2.0 * (i % 7), "b": 1.0 * (i % 3)})
    assert chain.predict_one({"x": 5, "z": 1}) == {"high": True, "three": False}
    predicted = values.predict_one({"x": 6, "z": 0})
    assert predicted["a"] == pytest.approx(12, abs=3)
    assert predicted["b"] == pytest.approx(0, abs=0.7)


def test_debug_one() -> None:
    """A pipeline tells what becomes of a row, the network's answer last."""
    model = preprocessing.StandardScaler() | MLPClassifier()
    for x, y in datasets.Phishing().take(50):
        model.learn_one(x, y)
    told = model.debug_one(x)
    assert "1. StandardScaler" in told
    assert "2. MLPClassifier" in told
    assert "True: " in told


def test_frames_through_a_pipeline() -> None:
    """``learn_many``, ``predict_many`` and ``predict_proba_many`` of a pipeline, on frames of pandas."""
    rows = list(datasets.Phishing())
    X, y = pd.DataFrame([x for x, _ in rows]), pd.Series([label for _, label in rows], name="phishing")
    model = preprocessing.StandardScaler() | MLPClassifier(scale_features=False)
    for start in range(0, 1_000, 10):
        model.learn_many(X[start : start + 10], y[start : start + 10])
    rest = X[1_000:]
    assert (model.predict_many(rest) == y[1_000:]).mean() > 0.8
    assert model.predict_proba_many(rest).sum(axis=1).to_numpy() == pytest.approx(1)
    assert model.predict_many(rest).name == "phishing"


def test_arrays_as_a_stream() -> None:
    """``stream.iter_array`` calls features by numbers."""
    i = np.arange(200)
    model = MLPClassifier()
    for x, y in stream.iter_array(np.stack([i % 5, i % 2], axis=1).astype(float), i % 2):
        model.learn_one(x, y)
    assert model.predict_one({0: 1.0, 1: 1.0}) == 1
