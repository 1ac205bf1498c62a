"""Prequential evaluation: every row is scored before it is learned from.

Each metric is told over all rows so far and over the last ``window`` of them, and beside it what two baselines reach
that need no learning at all: on some streams repeating the last label is right 9999 times in 10,000, and an accuracy
means little until one knows.

How it stays cheap and exact: :meth:`Evaluation.update` only notes what the metrics need of each row; the rows are
counted a block at a time. Nothing grows with the stream, and everything is a function of the rows alone, to the last
bit, however they were cut into minibatches and wherever a run was stopped and resumed. One assumption is NumPy's: that
an element of ``np.log`` does not depend on its place in the array, which holds for its scalar and vector loops alike.

The metrics themselves are defined in :mod:`stream_bp.metrics.classification` and :mod:`stream_bp.metrics.regression`.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from stream_bp._arrays import Floats
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.metrics.classification import ClassificationMetrics
from stream_bp.metrics.regression import RegressionMetrics

__all__ = ["PrequentialEvaluator"]

Metrics = dict[str, float | None]

# Rows noted before they are counted: enough that the cost of counting is per row, not per call, and still small
# enough for the second-level cache.
BLOCK_ROWS = 4096


class PrequentialEvaluator:
    """Score predictions over a stream, for one target or several of the same kind.

    Parameters
    ----------
    task
        What the targets are: classes or numbers.
    n_targets
        Number of targets.
    window
        Number of most recent scored rows that :meth:`rolling` looks at.

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> evaluation = PrequentialEvaluator("regression", window=2)
    >>> errors = evaluation.update(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 2.0, 3.0]]))
    >>> evaluation.rolling()["mae"], evaluation.baselines(rolling=True)["no_change"]["mae"]
    (0.0, 1.0)
    """

    def __init__(
        self, task: Literal["classification", "regression"], n_targets: int = 1, *, window: int = 1000
    ) -> None:
        if task not in TALLIES:
            raise ConfigError(f"task is {task!r}, expected one of {', '.join(TALLIES)}")
        if n_targets < 1 or window < 1:
            raise ConfigError(f"n_targets is {n_targets} and window {window}: both are at least 1")
        self.task = task
        self.window = window
        self._n_rows = 0
        self._scorecards = [_Scorecard(TALLIES[task](), window) for _ in range(n_targets)]

    @property
    def n_rows(self) -> int:
        """Number of rows given to :meth:`update`, those with a missing target included."""
        return self._n_rows

    def update(self, y: NDArray[Any], predictions: Sequence[NDArray[Any]] | NDArray[Any]) -> Floats:
        """Score one minibatch, of any number of rows.

        Parameters
        ----------
        y
            The truth, shape (n_targets, n). Classification: int64 codes in order of first appearance, -1 where
            missing. Regression: float64 in the unit of the target, NaN where missing. Missing rows are not scored.
        predictions
            What the learner said before it learned these rows, float32 or float64. Classification: per target the
            probabilities of the classes it knew, shape (n_classes, n); a column with a NaN predicts nothing, and a
            row of a class not yet known is an error without a log loss. Regression: shape (n_targets, n), finite.

        Returns
        -------
        Floats
            The error of each row, shape (n,), NaN where it was not scored: 0 or 1 of a class, the distance of a
            value; of several targets the mean.

        Raises
        ------
        ValueError
            If a shape or type is wrong or a number of the regression is not finite; then nothing was counted.

        Notes
        -----
        The arrays are read, not kept. Memory beyond them is constant.
        """
        if y.ndim != 2 or not len(y) == len(predictions) == len(self._scorecards):
            raise ValueError(
                f"y has shape {y.shape} and there are predictions of {len(predictions)} targets: "
                f"expected ({len(self._scorecards)}, n) and {len(self._scorecards)}"
            )
        for scorecard, truth, prediction in zip(self._scorecards, y, predictions, strict=True):
            scorecard.tally.check(truth, prediction)
        errors = np.empty(y.shape)
        for scorecard, truth, prediction, error in zip(self._scorecards, y, predictions, errors, strict=True):
            scorecard.update(truth, prediction, error)
        self._n_rows += y.shape[1]
        if len(errors) == 1:
            only: Floats = errors[0]
            return only
        with np.errstate(invalid="ignore"):
            mean: Floats = np.nansum(errors, axis=0) / (~np.isnan(errors)).sum(axis=0)
            return mean

    def metrics(self) -> Metrics:
        """Return every metric over all rows so far.

        Returns
        -------
        dict[str, float | None]
            By metric, always in the same order, the unweighted mean over the targets where it has a value; None
            where no target has one.

        Notes
        -----
        A report costs some 0.05 ms for two classes and 3 ms for a thousand.
        """
        return _mean(self.by_target())

    def rolling(self) -> Metrics:
        """Return the metrics of :meth:`metrics` over the last ``window`` scored rows of each target.

        Returns
        -------
        dict[str, float | None]
            As :meth:`metrics`.
        """
        return _mean(self.by_target(rolling=True))

    def by_target(self, *, rolling: bool = False) -> list[Metrics]:
        """Return the metrics of each target.

        Parameters
        ----------
        rolling
            Whether to look at the window only.

        Returns
        -------
        list[dict[str, float | None]]
            One dictionary per target, in the order of the definition; None where a metric is undefined or not finite.
        """
        return [_finite(scorecard.counted(rolling=rolling).metrics()) for scorecard in self._scorecards]

    def baselines(self, *, rolling: bool = False) -> dict[str, Metrics]:
        """Return what is reached without learning, mean over the targets.

        Parameters
        ----------
        rolling
            Whether to look at the window only; the baselines themselves always see all rows before the one they
            predict.

        Returns
        -------
        dict[str, dict[str, float | None]]
            By baseline: ``no_change`` and ``prior``, or ``no_change`` and ``mean``.
        """
        by_target = [scorecard.counted(rolling=rolling).baselines() for scorecard in self._scorecards]
        return {name: _mean([_finite(target[name]) for target in by_target]) for name in by_target[0]}

    def state_dict(self) -> StateDict:
        """Return everything that later reports depend on; arrays are named like ``confusion.0``, by target."""
        arrays = {
            f"{name}.{number}": array
            for number, scorecard in enumerate(self._scorecards)
            for name, array in scorecard.state_dict().arrays.items()
        }
        rest = {
            "task": self.task,
            "n_targets": len(self._scorecards),
            "window": self.window,
            "n_rows": self._n_rows,
        }
        return StateDict(arrays, rest)

    @classmethod
    def from_state_dict(cls, state: StateDict) -> Self:
        """Return the evaluator that was saved; its arrays are copies.

        Raises
        ------
        CheckpointError
            If anything is missing, of a wrong type or shape, or contradicts the rest.
        """
        arrays, rest = state.arrays, state.values
        try:
            _refuse_misfits(arrays, operator.index(rest["n_targets"]), rest["window"])
            evaluation = cls(rest["task"], rest["n_targets"], window=rest["window"])
            evaluation._n_rows = operator.index(rest["n_rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the evaluation's settings cannot be restored: {error!r}") from error
        for number, scorecard in enumerate(evaluation._scorecards):
            like = scorecard.state_dict().arrays
            scorecard.load_state_dict(StateDict(_arrays_of(number, arrays, like=like)))
            if scorecard.tally.n_rows > evaluation.n_rows:
                raise CheckpointError(
                    f"target {number}: {scorecard.tally.n_rows} rows scored of {evaluation.n_rows} rows seen"
                )
        return evaluation


class _Tally(Protocol):
    """What :class:`ClassificationMetrics` and :class:`RegressionMetrics` have in common; they document it."""

    N_FIELDS: int
    n_rows: int

    @staticmethod
    def check(y: NDArray[Any], prediction: NDArray[Any]) -> None: ...
    @staticmethod
    def present(y: NDArray[Any]) -> NDArray[np.bool_]: ...
    @staticmethod
    def score(y: NDArray[Any], prediction: NDArray[Any], out: NDArray[np.float64]) -> None: ...
    @staticmethod
    def write_errors(rows: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...
    def fill_baselines(self, rows: NDArray[np.float64]) -> None: ...
    def add(self, rows: NDArray[np.float64]) -> None: ...
    def could_have_counted(self, rows: NDArray[np.float64]) -> bool: ...
    def fresh(self) -> Self: ...
    def metrics(self) -> Metrics: ...
    def baselines(self) -> dict[str, Metrics]: ...
    def state_dict(self) -> StateDict: ...
    @classmethod
    def from_state_dict(cls, state: StateDict) -> Self: ...


TALLIES: dict[str, type[_Tally]] = {"classification": ClassificationMetrics, "regression": RegressionMetrics}


class _Scorecard:
    """One target: rows noted, then counted in the tally and kept in the ring of the last ``window`` rows.

    Row number i of the target (missing ones not numbered) sits in slot i mod window of the ring. No caller sees the
    difference between noted and counted rows: whatever reads the tally or the ring counts first.
    """

    def __init__(self, tally: _Tally, window: int) -> None:
        self.tally = tally
        self._noted = np.empty((tally.N_FIELDS, BLOCK_ROWS))
        self._n_noted = 0
        self._ring = np.zeros((tally.N_FIELDS, window))

    def update(self, y: NDArray[Any], prediction: NDArray[Any], errors: NDArray[np.float64]) -> None:
        """Note the rows whose target is present, counting whenever a block is full; write the error of each."""
        present = self.tally.present(y)
        if not present.all():
            errors[:] = np.nan
            found = np.empty(np.count_nonzero(present))
            self.update(y[present], prediction[..., present], found)
            errors[present] = found
            return
        start = 0
        while start < len(y):
            n = min(len(y) - start, BLOCK_ROWS - self._n_noted)
            note = self._noted[:, self._n_noted : self._n_noted + n]
            self.tally.score(y[start : start + n], prediction[..., start : start + n], note)
            self.tally.write_errors(note, errors[start : start + n])
            start += n
            self._n_noted += n
            if self._n_noted == BLOCK_ROWS:
                self._count()

    def _count(self) -> None:
        """Count the noted rows, if any."""
        if not self._n_noted:
            return
        rows = self._noted[:, : self._n_noted]
        self._n_noted = 0
        self.tally.fill_baselines(rows)
        self.tally.add(rows)
        window = self._ring.shape[1]
        latest = rows[:, -window:]
        slots = np.arange(self.tally.n_rows - latest.shape[1], self.tally.n_rows) % window
        self._ring[:, slots] = latest

    def counted(self, *, rolling: bool) -> _Tally:
        """Return the tally of all rows, or a new one of the rows in the window, oldest first."""
        self._count()
        if not rolling or not self.tally.n_rows:
            return self.tally
        n_rows, window = self.tally.n_rows, self._ring.shape[1]
        recent = self.tally.fresh()
        recent.add(self._ring[:, np.arange(max(n_rows - window, 0), n_rows) % window])
        return recent

    def state_dict(self) -> StateDict:
        """Return the tally's arrays and the ring."""
        self._count()
        return StateDict({**self.tally.state_dict().arrays, "ring": self._ring.copy()})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state; CheckpointError if it does not fit."""
        arrays = state.arrays
        if arrays["ring"].shape != self._ring.shape:
            raise CheckpointError(f"ring has shape {arrays['ring'].shape}, expected {self._ring.shape}")
        self._ring = arrays["ring"].copy()
        self.tally = self.tally.from_state_dict(state)
        if self.tally.n_rows and not self.tally.could_have_counted(self._ring):
            raise CheckpointError("ring holds rows that cannot have been scored")


def _refuse_misfits(arrays: Mapping[str, NDArray[Any]], n_targets: int, window: int) -> None:
    """Refuse rings that are not of the size that the rest claims, before one of that size is made."""
    for number in range(n_targets):
        ring = arrays.get(f"ring.{number}")
        if ring is None or not ring.size or ring.shape[1:] != (window,):
            raise ValueError(f"ring.{number} is missing, or not of {window} rows")


def _arrays_of(
    number: int, arrays: Mapping[str, NDArray[Any]], *, like: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Pick one target's arrays, of the types and numbers of axes of ``like``."""
    found = {}
    for name, pattern in like.items():
        array = arrays.get(f"{name}.{number}")
        if array is None or array.dtype != pattern.dtype or array.ndim != pattern.ndim:
            what = "nothing" if array is None else f"{array.dtype} with {array.ndim} axes"
            raise CheckpointError(f"{name}.{number}: found {what}, expected {pattern.dtype} with {pattern.ndim} axes")
        found[name] = array
    return found


def _finite(metrics: Metrics) -> Metrics:
    """Replace NaN and infinity, which JSON cannot hold, by None."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}


def _mean(by_target: list[Metrics]) -> Metrics:
    """Average each metric over the targets where it has a value."""
    means: Metrics = {}
    for name in by_target[0]:
        values = [value for target in by_target if (value := target[name]) is not None]
        means[name] = math.fsum(values) / len(values) if values else None
    return means
