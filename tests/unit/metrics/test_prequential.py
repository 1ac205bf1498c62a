"""Evaluation at its edges: no rows, one class, no prediction, missing targets, windows, damaged states."""

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.metrics.classification import log_loss_terms
from stream_bp.metrics.prequential import BLOCK_ROWS, PrequentialEvaluator

CLASSIFICATION_NAMES = [
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "kappa",
    "kappa_temporal",
    "log_loss",
    "roc_auc",
]


def codes(*values: int) -> NDArray[np.int64]:
    """Return one target's labels, shape (1, n)."""
    return np.array([values], np.int64)


def classified(y: NDArray[np.int64], p: list[list[float]], window: int = 1000) -> PrequentialEvaluator:
    """Return a one-target evaluation that has seen one minibatch."""
    evaluation = PrequentialEvaluator("classification", window=window)
    evaluation.update(y, [np.array(p, np.float32).reshape(len(p), y.shape[1])])
    return evaluation


def measured(y: list[float], prediction: list[float], window: int = 1000) -> PrequentialEvaluator:
    """Return a one-target evaluation that has seen one minibatch."""
    evaluation = PrequentialEvaluator("regression", window=window)
    evaluation.update(np.array([y]), np.array([prediction]))
    return evaluation


def test_before_the_first_row_everything_is_none() -> None:
    """No metric is made up where there is nothing to measure, and the keys and their order are fixed."""
    evaluation = PrequentialEvaluator("classification")
    assert list(evaluation.metrics()) == list(evaluation.rolling()) == CLASSIFICATION_NAMES
    reports = [evaluation.metrics(), evaluation.rolling(), *evaluation.baselines().values()]
    reports += [
        *PrequentialEvaluator("regression").baselines(rolling=True).values(),
        PrequentialEvaluator("regression").metrics(),
    ]
    assert all(value is None for report in reports for value in report.values())


def test_a_small_stream_by_hand() -> None:
    """Four rows of two classes give the numbers of pencil and paper."""
    evaluation = classified(codes(0, 0, 1, 1), [[0.8, 0.4, 0.1, 0.6], [0.2, 0.6, 0.9, 0.4]])
    metrics = evaluation.metrics()
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == metrics["macro_f1"] == 0.5
    assert metrics["kappa"] == 0.0
    assert metrics["kappa_temporal"] == pytest.approx(1 - (2 / 4) / (1 / 3))
    assert {type(value) for value in metrics.values()} == {float}
    assert metrics["log_loss"] == pytest.approx(-sum(math.log(p) for p in (0.8, 0.4, 0.9, 0.4)) / 4, rel=1e-6)
    assert metrics["roc_auc"] == 0.75
    assert evaluation.baselines()["no_change"]["accuracy"] == pytest.approx(2 / 3)
    assert evaluation.baselines()["prior"]["accuracy"] == pytest.approx(1 / 3)


def test_equal_probabilities_predict_the_lowest_code() -> None:
    """A tie is decided the same way every time."""
    assert classified(codes(0, 1), [[0.5, 0.5], [0.5, 0.5]]).metrics()["accuracy"] == 0.5


def test_majority_ties_go_to_the_lowest_code() -> None:
    """After one row of each class the majority is the first class, until the other leads."""
    evaluation = classified(codes(0, 1, 1, 1, 0, 0, 0), [[1.0] * 7, [0.0] * 7])
    # said before each row: nothing, 0, 0 (1:1), 1, 1, 1, 0 (3:3)
    assert evaluation.baselines()["prior"]["accuracy"] == pytest.approx(2 / 6)


def test_no_known_class_predicts_nothing_and_is_not_scored() -> None:
    """Before any class is known there is nothing to score, as in River."""
    evaluation = PrequentialEvaluator("classification")
    evaluation.update(codes(0, 0), [np.empty((0, 2))])
    assert evaluation.n_rows == 2
    assert not any(evaluation.metrics().values())


def test_a_nan_column_predicts_nothing_and_is_not_scored() -> None:
    """NaN is not taken for the largest probability, nor let into the log loss."""
    metrics = classified(codes(0, 0), [[1.0, math.nan], [0.0, math.nan]]).metrics()
    assert metrics["accuracy"] == 1.0
    assert metrics["log_loss"] == pytest.approx(0.0, abs=1e-12)


def test_an_unseen_class_is_an_error_left_out_of_the_log_loss() -> None:
    """A class the learner could not know costs accuracy and recall, not an infinite loss."""
    metrics = classified(codes(0, 2), [[0.5, 0.5], [0.5, 0.5]]).metrics()
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == 0.5
    assert metrics["log_loss"] == pytest.approx(math.log(2))


def test_a_probability_of_zero_costs_what_river_says() -> None:
    """The clip at 1e-15 keeps the log loss finite."""
    assert classified(codes(0, 1), [[0.0, 1.0], [1.0, 0.0]]).metrics()["log_loss"] == -math.log(1e-15)


def test_one_class_has_no_curve_and_no_kappa() -> None:
    """With one class the curve is undefined and agreement by chance is complete."""
    metrics = classified(codes(0, 0, 0), [[1.0, 1.0, 1.0]]).metrics()
    assert (metrics["accuracy"], metrics["kappa"], metrics["roc_auc"]) == (1.0, 0.0, None)


def test_a_third_class_ends_the_curve_for_good() -> None:
    """The area is reported while there are two classes, and None from the third on, window included."""
    evaluation = classified(codes(0, 1), [[0.9, 0.1], [0.1, 0.9]], window=2)
    assert evaluation.metrics()["roc_auc"] == 1.0
    evaluation.update(codes(2, 0, 0, 1), [np.array([[0.9, 0.9, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9]])])
    assert evaluation.metrics()["roc_auc"] is None
    assert evaluation.rolling()["roc_auc"] is None


def test_temporal_kappa_is_none_where_the_last_label_is_never_wrong() -> None:
    """A window of one label cannot be improved on."""
    evaluation = classified(codes(1, 0, 0, 0), [[1.0] * 4, [0.0] * 4], window=2)
    assert evaluation.rolling()["kappa_temporal"] is None
    assert evaluation.metrics()["kappa_temporal"] == pytest.approx(1 - (1 / 4) / (1 / 3))


def test_missing_labels_are_not_scored() -> None:
    """A row without its label changes nothing but the number of rows seen; the last label reaches across it."""
    evaluation = classified(codes(0, -1, 0, -1), [[1.0, math.nan, 1.0, 0.0]])
    assert evaluation.n_rows == 4
    assert evaluation.metrics()["accuracy"] == 1.0
    assert evaluation.baselines()["no_change"]["accuracy"] == 1.0


def test_missing_numbers_are_not_scored() -> None:
    """The same for a regression's NaN."""
    evaluation = measured([1.0, math.nan, 3.0], [0.0, 9.0, 3.0])
    assert evaluation.n_rows == 3
    assert evaluation.metrics()["mae"] == 0.5
    assert evaluation.baselines()["no_change"]["mae"] == 1.0
    assert evaluation.baselines()["mean"]["mae"] == 1.0  # 2 for the second value, nothing for the first


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 7])
def test_the_window_holds_the_last_rows(n_rows: int) -> None:
    """A window of three sees the last three errors, before it is full, when it is, and after it turned over."""
    y = list(range(1, n_rows + 1))
    evaluation = measured([float(value) for value in y], [0.0] * n_rows, window=3)
    assert evaluation.rolling()["mae"] == pytest.approx(np.mean(y[-3:]))
    assert evaluation.metrics()["mae"] == pytest.approx(np.mean(y))


def test_a_window_of_one_row() -> None:
    """The smallest window reports the last row alone, with R² as River has it for one row."""
    evaluation = measured([1.0, 2.0, 5.0], [0.0, 0.0, 4.0], window=1)
    assert evaluation.rolling() == {"mae": 1.0, "rmse": 1.0, "r2": 0.0}


@pytest.mark.parametrize("n_rows", [BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5])
def test_more_rows_than_a_block(n_rows: int) -> None:
    """Rows are neither lost nor counted twice where blocks meet."""
    evaluation = PrequentialEvaluator("classification", window=10)
    y = np.arange(n_rows) % 3
    evaluation.update(y[None], [np.eye(3)[:, y]])
    arrays = evaluation.state_dict().arrays
    assert arrays["confusion.0"].sum(axis=(1, 2)).tolist() == [n_rows] * 3
    assert evaluation.metrics()["accuracy"] == 1.0
    assert evaluation.baselines()["no_change"]["accuracy"] == 0.0


def test_a_constant_target_has_no_r2() -> None:
    """Without variance R² is 0, as River has it, and the mean is a perfect baseline."""
    evaluation = measured([7.1] * 5, [7.1] * 5)
    assert evaluation.metrics() == {"mae": 0.0, "rmse": 0.0, "r2": 0.0}
    assert evaluation.baselines()["mean"]["mae"] == pytest.approx(0.0)


def test_r2_survives_a_target_far_from_zero() -> None:
    """Nothing cancels when the spread is a billionth of the level."""
    y = 1e9 + np.random.default_rng(0).normal(size=2000)
    evaluation = measured(y.tolist(), (y + 0.5).tolist())
    assert evaluation.metrics()["r2"] == pytest.approx(1 - 2000 * 0.25 / (2000 * y.var()), rel=1e-6)


def test_overflow_is_reported_as_none() -> None:
    """Squares out of range are not a number JSON could hold, and raise no warning."""
    metrics = measured([0.0, 1.0], [1e200, 0.0]).metrics()
    assert (metrics["mae"], metrics["rmse"], metrics["r2"]) == (5e199, None, None)


def test_several_targets_are_averaged_where_defined() -> None:
    """The mean is over the targets that have a value, and each target can be told apart."""
    evaluation = PrequentialEvaluator("classification", 2)
    y = np.array([[0, 1], [0, 0]])
    evaluation.update(y, [np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.1, 1.0], [0.9, 0.0]])])
    assert [target["accuracy"] for target in evaluation.by_target()] == [1.0, 0.5]
    assert [target["roc_auc"] for target in evaluation.by_target(rolling=True)] == [1.0, None]
    assert evaluation.metrics()["accuracy"] == 0.75
    assert evaluation.metrics()["roc_auc"] == 1.0
    assert evaluation.baselines()["prior"]["accuracy"] == 0.5


def test_many_late_classes_keep_their_counts() -> None:
    """The confusion matrix grows class by class without losing a count."""
    evaluation = PrequentialEvaluator("classification")
    for code in range(40):
        evaluation.update(codes(code, code), [np.eye(40)[:, [code, code]]])
        evaluation.metrics()
    arrays = evaluation.state_dict().arrays
    assert np.array_equal(arrays["confusion.0"][0], 2 * np.eye(40, 41, 1, dtype=np.int64))


def test_log_loss_terms_do_not_depend_on_their_place() -> None:
    """What exactness assumes of NumPy: the logarithm of an element is the same wherever it stands."""
    p = np.random.default_rng(1).random(1003)
    alone = np.concatenate([log_loss_terms(p[i : i + 1]) for i in range(len(p))])
    shifted = np.concatenate((log_loss_terms(p[:3]), log_loss_terms(p[3:])))
    assert log_loss_terms(p).tobytes() == alone.tobytes() == shifted.tobytes()


@pytest.mark.parametrize(("settings", "window"), [(("ranking", 1), 1), (("regression", 0), 1), (("regression", 1), 0)])
def test_impossible_settings_are_refused(settings: tuple[Any, int], window: int) -> None:
    """A setting out of range is refused at once."""
    with pytest.raises(ConfigError):
        PrequentialEvaluator(*settings, window=window)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (np.array([0, 1]), [np.ones((2, 2))], "shape"),
        (codes(0, 1), [np.ones((2, 3))], "expected"),
        (codes(0, 1), [], "targets"),
        (np.array([[0.0, 1.0]]), [np.ones((2, 2))], "signed integers"),
    ],
)
def test_wrong_classification_input_is_refused(y: NDArray[Any], p: list[NDArray[Any]], message: str) -> None:
    """A minibatch of a wrong shape or type is refused in words."""
    with pytest.raises(ValueError, match=message):
        PrequentialEvaluator("classification").update(y, p)


@pytest.mark.parametrize(("y", "prediction"), [(1.0, math.nan), (1.0, math.inf), (math.inf, 1.0)])
def test_a_refused_minibatch_counts_nothing(y: float, prediction: float) -> None:
    """A number that is not finite is refused before any target is counted."""
    evaluation = PrequentialEvaluator("regression", 2)
    with pytest.raises(ValueError, match="cannot be scored"):
        evaluation.update(np.array([[1.0], [y]]), np.array([[1.0], [prediction]]))
    assert evaluation.n_rows == 0
    assert evaluation.metrics()["mae"] is None


def test_the_state_is_ready_for_a_file() -> None:
    """Arrays are contiguous copies with plain names, and the rest goes through JSON."""
    evaluation = classified(codes(0, 1), [[0.9, 0.1], [0.1, 0.9]])
    state = evaluation.state_dict()
    arrays, rest = state.arrays, state.values
    assert sorted(arrays) == ["confusion.0", "histogram.0", "ring.0", "running.0"]
    assert all(array.flags.c_contiguous and array.flags.owndata for array in arrays.values())
    before = evaluation.metrics(), evaluation.rolling()
    for array in arrays.values():
        array[:] = 0
    assert (evaluation.metrics(), evaluation.rolling()) == before
    assert json.loads(json.dumps(rest, allow_nan=False)) == rest


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_damaged_array_is_refused(task: str) -> None:
    """Each array that is gone, of another type or of another shape is a checkpoint error."""
    evaluation = classified(codes(0, 1), [[1.0, 1.0]]) if task == "classification" else measured([1.0], [0.0])
    state = evaluation.state_dict()
    arrays, rest = state.arrays, state.values
    for name, array in arrays.items():
        others = {other: value for other, value in arrays.items() if other != name}
        for damaged in (others, {**others, name: array.astype(np.float32)}, {**others, name: array[:-1]}):
            with pytest.raises(CheckpointError):
                PrequentialEvaluator.from_state_dict(StateDict(damaged, rest))


@pytest.mark.parametrize(
    "change", [{"task": "ranking"}, {"n_targets": "1"}, {"window": 7}, {"n_rows": 1}, {"n_rows": 2.5}, {"n_rows": None}]
)
def test_damaged_settings_are_refused(change: dict[str, Any]) -> None:
    """Settings that are impossible or do not fit the arrays are a checkpoint error."""
    state = classified(codes(0, 1), [[1.0, 1.0]]).state_dict()
    arrays, rest = state.arrays, state.values
    with pytest.raises(CheckpointError):
        PrequentialEvaluator.from_state_dict(StateDict(arrays, {**rest, **change}))


def test_a_missing_setting_is_refused() -> None:
    """A state without one of its settings is a checkpoint error."""
    state = measured([1.0], [0.0]).state_dict()
    arrays, rest = state.arrays, state.values
    for name in rest:
        with pytest.raises(CheckpointError):
            PrequentialEvaluator.from_state_dict(
                StateDict(arrays, {key: value for key, value in rest.items() if key != name})
            )


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("confusion.0", ..., -1),
        ("confusion.0", (1, 0, 0), 9),
        ("running.0", 2, 5.0),
        ("running.0", 2, math.nan),
        ("running.0", 1, math.nan),
    ],
)
def test_contradicting_counts_are_refused(name: str, place: Any, value: float) -> None:
    """Counts that no stream could have left are a checkpoint error."""
    state = classified(codes(0, 1), [[1.0, 1.0]]).state_dict()
    arrays, rest = state.arrays, state.values
    arrays[name][place] = value
    with pytest.raises(CheckpointError):
        PrequentialEvaluator.from_state_dict(StateDict(arrays, rest))


@pytest.mark.parametrize("n_rows", [-1.0, 0.5, math.nan, math.inf])
def test_an_impossible_number_of_rows_is_refused(n_rows: float) -> None:
    """A regression's state counts rows in whole numbers."""
    state = measured([1.0], [0.0]).state_dict()
    arrays, rest = state.arrays, state.values
    arrays["running.0"][0] = n_rows
    with pytest.raises(CheckpointError):
        PrequentialEvaluator.from_state_dict(StateDict(arrays, rest))
