"""Evaluation agrees with River fed row by row, and does not notice how rows are cut into minibatches."""

from collections import Counter
from itertools import pairwise
from statistics import mean
from typing import Any, Literal

import numpy as np
import pytest
import river.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_bp.metrics import prequential as module
from stream_bp.metrics.prequential import PrequentialEvaluator

Chunk = tuple[NDArray[Any], NDArray[Any]]  # truth (n,), predictions (n_classes, n) or (n,)
Values = dict[str, float | None]
river_metrics: Any = river.metrics  # River ships untyped functions
SEEDS = st.integers(0, 2**32 - 1)
WINDOW = 50


def approx(expected: Values) -> Any:
    """Compare within the rounding of sums made in another order."""
    return {
        name: None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9) for name, value in expected.items()
    }


def labels(rng: np.random.Generator, n_rows: int, n_classes: int) -> NDArray[np.int64]:
    """Draw codes in order of first appearance: sticky, drifting, with classes that turn up late, some rows missing."""
    codes: list[int] = []
    for row in range(n_rows):
        n_seen = max(codes, default=-1) + 1
        if n_seen == 0 or (n_seen < n_classes and rng.random() < 3 * n_classes / n_rows):
            codes.append(n_seen)
        elif rng.random() < 0.4:
            codes.append(codes[-1])
        else:
            codes.append(int(n_seen * rng.random() ** (1 + 2 * row / n_rows)))
    return np.where(rng.random(n_rows) < 0.05, -1, np.array(codes))


def probabilities(rng: np.random.Generator, n_classes: int, n_rows: int) -> NDArray[np.float32]:
    """Draw columns that sum to 1 only nearly, many with ties, zeros and ones, a few that predict nothing."""
    p = rng.dirichlet(np.full(max(n_classes, 1), 0.7), n_rows).T.astype(np.float32)[:n_classes]
    p = np.where(rng.random(n_rows) < 0.3, np.round(4 * p) / 4, p)
    return np.where(rng.random(n_rows) < 0.05, np.nan, p).astype(np.float32)


def classified_stream(seed: int, n_classes: int, n_rows: int = 300) -> list[Chunk]:
    """Draw chunks of the sizes 1 to 60; the learner knows the classes of the chunks before."""
    rng = np.random.default_rng(seed)
    y = labels(rng, n_rows, n_classes)
    cuts = [0, *np.cumsum(rng.integers(1, 60, n_rows)).tolist()]
    chunks = [y[start:stop] for start, stop in pairwise(cuts) if start < n_rows]
    n_known = np.maximum.accumulate([-1, *(int(chunk.max()) for chunk in chunks)]) + 1
    return [(chunk, probabilities(rng, n, len(chunk))) for chunk, n in zip(chunks, n_known.tolist(), strict=False)]


def measured_stream(seed: int, n_rows: int = 300) -> list[Chunk]:
    """Draw targets far from zero that drift, in chunks of the sizes 1 to 60, some missing; predictions near them."""
    rng = np.random.default_rng(seed)
    y = 10.0 ** rng.integers(-3, 5) * (rng.normal(size=n_rows).cumsum() + 5.0)
    prediction = (y + rng.normal(scale=np.abs(y).mean(), size=n_rows)).astype(rng.choice(["f4", "f8"]))
    y[rng.random(n_rows) < 0.05] = np.nan
    cuts = np.cumsum(rng.integers(1, 60, n_rows))
    chunks = zip(np.split(y, cuts), np.split(prediction, cuts), strict=True)
    return [(truth, prediction) for truth, prediction in chunks if len(truth)]


def any_stream(
    seed: int, n_classes: int, n_rows: int = 300
) -> tuple[Literal["classification", "regression"], list[Chunk]]:
    """Draw a stream of classes, or of numbers where there are 0 classes."""
    if n_classes:
        return "classification", classified_stream(seed, n_classes, n_rows)
    return "regression", measured_stream(seed, n_rows)


def fed(evaluation: PrequentialEvaluator, chunks: list[Chunk]) -> PrequentialEvaluator:
    """Update a one-target evaluation with every chunk."""
    for y, prediction in chunks:
        evaluation.update(y[None], [prediction])
    return evaluation


def cut(chunks: list[Chunk], rng: np.random.Generator) -> list[Chunk]:
    """Cut every chunk anew, at any number of places."""
    pieces: list[Chunk] = []
    for y, prediction in chunks:
        cuts = np.sort(rng.integers(0, len(y) + 1, rng.integers(0, len(y) + 1)))
        pieces += zip(np.split(y, cuts), np.split(prediction, cuts, axis=-1), strict=True)
    return pieces


def snapshot(evaluation: PrequentialEvaluator) -> tuple[dict[str, tuple[Any, bytes]], dict[str, Any]]:
    """Return the whole state in comparable bytes."""
    state = evaluation.state_dict()
    arrays, rest = state.arrays, state.values
    return {name: (array.shape, array.tobytes()) for name, array in arrays.items()}, rest


# The reference: River's metrics, one row at a time, and baselines in plain Python


def classified_rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Return each scored row with what it takes to feed River, and what the baselines said."""
    rows: list[dict[str, Any]] = []
    seen: Counter[int] = Counter()
    for y, p in chunks:
        for column, code in enumerate(y.tolist()):
            if code < 0:
                continue
            known = {} if np.isnan(p[:, column]).any() else dict(enumerate(p[:, column].tolist()))
            rows.append(
                {
                    "y": code,
                    "known": known,
                    "model": max(known, key=lambda c: known[c]) if known else None,
                    "no_change": rows[-1]["y"] if rows else None,
                    "prior": min(seen, key=lambda c: (-seen[c], c)) if seen else None,
                }
            )
            seen[code] += 1
    return rows


def river_labels(rows: list[dict[str, Any]], predictor: str) -> Values:
    """Return the metrics that need labels alone."""
    found = {
        "accuracy": river_metrics.Accuracy(),
        "balanced_accuracy": river_metrics.BalancedAccuracy(),
        "macro_f1": river_metrics.MacroF1(),
        "kappa": river_metrics.CohenKappa(),
    }
    for row in rows:
        for metric in found.values():
            if row[predictor] is not None:
                metric.update(row["y"], row[predictor])
    is_scored = any(row[predictor] is not None for row in rows)
    return {name: metric.get() if is_scored else None for name, metric in found.items()}


def river_classified(rows: list[dict[str, Any]], n_classes: int) -> Values:
    """Return every metric of a classifier."""
    cross_entropy, roc_auc = river_metrics.CrossEntropy(), river_metrics.ROCAUC(n_thresholds=200)
    n_log_loss = 0
    for row in rows:
        if row["known"]:
            roc_auc.update(row["y"] == 1, row["known"].get(1, 0.0))
        if row["y"] in row["known"]:
            cross_entropy.update(row["y"], row["known"])
            n_log_loss += 1
    wrong = [row["y"] != row["model"] for row in rows if row["model"] is not None]
    wrong_last = [row["y"] != row["no_change"] for row in rows if row["no_change"] is not None]
    is_binary = n_classes == 2 and {row["y"] for row in rows if row["known"]} == {0, 1}
    return {
        **river_labels(rows, "model"),
        "kappa_temporal": 1 - mean(wrong) / mean(wrong_last) if wrong and any(wrong_last) else None,
        "log_loss": cross_entropy.get() if n_log_loss else None,
        "roc_auc": roc_auc.get() if is_binary else None,
    }


def river_measured(pairs: list[tuple[float, float]]) -> Values:
    """Return every metric of a regressor."""
    found = {"mae": river_metrics.MAE(), "rmse": river_metrics.RMSE(), "r2": river_metrics.R2()}
    for y, prediction in pairs:
        for metric in found.values():
            metric.update(y, prediction)
    return {name: metric.get() for name, metric in found.items()}


@settings(derandomize=True, deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 7))
def test_classification_agrees_with_river(seed: int, n_classes: int) -> None:
    """Each metric and baseline is River's, over all rows and over the window."""
    chunks = classified_stream(seed, n_classes)
    evaluation = fed(PrequentialEvaluator("classification", window=WINDOW), chunks)
    rows = classified_rows(chunks)
    n_seen = 1 + max(row["y"] for row in rows)
    for rolling, scored in ((False, rows), (True, rows[-WINDOW:])):
        found = evaluation.rolling() if rolling else evaluation.metrics()
        assert found == approx(river_classified(scored, n_seen))
        for name, values in evaluation.baselines(rolling=rolling).items():
            assert values == approx(river_labels(scored, name))


@settings(derandomize=True, deadline=None, max_examples=10)
@given(SEEDS)
def test_scores_on_a_threshold_fall_on_river_s_side(seed: int) -> None:
    """The area under the curve is River's when scores equal thresholds, lie a bit beside them, or are 0 and 1."""
    rng = np.random.default_rng(seed)
    thresholds = np.array([i / 199 for i in range(200)])
    score = np.nextafter(rng.choice(thresholds, 300), rng.choice([-1.0, 0.5, 2.0], 300)).clip(0.0, 1.0)
    score = np.where(rng.random(300) < 0.7, rng.choice(thresholds, 300), score)
    y = np.array([0, 1, *(rng.random(298) < score[2:])], np.int64)
    chunks = [(y, np.stack((1.0 - score, score)))]
    evaluation = fed(PrequentialEvaluator("classification"), chunks)
    assert evaluation.metrics()["roc_auc"] == approx(river_classified(classified_rows(chunks), 2))["roc_auc"]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(SEEDS)
def test_regression_agrees_with_river(seed: int) -> None:
    """Each metric and baseline is River's, over all rows and over the window."""
    chunks = measured_stream(seed)
    evaluation = fed(PrequentialEvaluator("regression", window=WINDOW), chunks)
    model = [pair for y, p in chunks for pair in zip(y.tolist(), p.tolist(), strict=True) if pair[0] == pair[0]]
    y = [truth for truth, _ in model]
    last_value = list(zip(y, [*y[:1], *y], strict=False))
    mean = list(zip(y, [*y[:1], *(np.cumsum(y) / np.arange(1, len(y) + 1)).tolist()], strict=False))
    for rolling, tail in ((False, slice(None)), (True, slice(-WINDOW, None))):
        found = evaluation.rolling() if rolling else evaluation.metrics()
        assert found == approx(river_measured(model[tail]))
        baselines = evaluation.baselines(rolling=rolling)
        assert baselines["no_change"] == approx(river_measured(last_value[tail]))
        assert baselines["mean"] == approx(river_measured(mean[tail]))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(SEEDS, st.integers(0, 6), st.sampled_from([1, 7, 50, 1000]), st.sampled_from([1, 5, 64]))
def test_no_bit_depends_on_the_partition(seed: int, n_classes: int, window: int, block_rows: int) -> None:
    """The same rows, cut, counted in other blocks and looked at in between, leave the same bytes."""
    rng = np.random.default_rng(seed)
    task, chunks = any_stream(seed, n_classes)
    whole = fed(PrequentialEvaluator(task, window=window), chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block_rows)
        pieces = PrequentialEvaluator(task, window=window)
        for chunk in cut(chunks, rng):
            fed(pieces, [chunk])
            if rng.random() < 0.1:
                pieces.rolling()
    assert snapshot(pieces) == snapshot(whole)
    assert pieces.rolling() == whole.rolling()
    assert pieces.metrics() == whole.metrics()


@settings(derandomize=True, deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 6), st.floats(0.0, 1.0))
def test_a_resumed_run_ends_with_the_same_bytes(seed: int, n_classes: int, where: float) -> None:
    """Restoring anywhere and going on equals never having stopped."""
    task, chunks = any_stream(seed, n_classes)
    stop = int(where * len(chunks))
    through = fed(PrequentialEvaluator(task, window=WINDOW), chunks)
    stopped = fed(PrequentialEvaluator(task, window=WINDOW), chunks[:stop])
    resumed = fed(PrequentialEvaluator.from_state_dict(stopped.state_dict()), chunks[stop:])
    assert snapshot(resumed) == snapshot(through)
    assert resumed.baselines(rolling=True) == through.baselines(rolling=True)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(SEEDS, st.integers(0, 5))
def test_a_window_not_yet_full_is_the_whole_stream(seed: int, n_classes: int) -> None:
    """Up to ``window`` rows, rolling and cumulative reports are the same to the last bit."""
    task, chunks = any_stream(seed, n_classes, 60)
    evaluation = fed(PrequentialEvaluator(task, window=60), chunks)
    assert evaluation.rolling() == evaluation.metrics()
    assert evaluation.baselines(rolling=True) == evaluation.baselines()
