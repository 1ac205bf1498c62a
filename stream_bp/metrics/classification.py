"""Metrics of a classifier: those of labels, the log loss, and the area under the ROC curve.

A row is stored as six float64 numbers, described in :mod:`stream_bp.metrics.confusion`. One array holds many rows.

The metrics are those of River (https://riverml.xyz), but computed from counts. So a minibatch costs a few NumPy calls,
and a report a few more. A job starts without River, which would import SciPy.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_bp._arrays import running_sum
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError
from stream_bp.metrics.confusion import (
    BASELINES,
    FEW,
    NO_CHANGE,
    P_POSITIVE,
    P_TRUE,
    PREDICTED,
    PREDICTORS,
    PRIOR,
    TRUE,
    ConfusionCounts,
    highest_code,
)

__all__ = ["PREDICTED", "TRUE", "ClassificationMetrics", "log_loss_terms"]  # fields of a row, too: a report reads them

SMALLEST_PROBABILITY = 1e-15  # probabilities are clipped to [1e-15, 1 - 1e-15] before the logarithm, as River does
N_THRESHOLDS = 200  # of the ROC curve; River's default of 10 is coarse
# River's thresholds to the last bit: a score that equals one must fall on the same side as in River.
THRESHOLDS = np.array([i / (N_THRESHOLDS - 1) for i in range(N_THRESHOLDS)])
THRESHOLDS[0] -= 1e-7
THRESHOLDS[-1] += 1e-7


class ClassificationMetrics:
    r"""Metrics of a classifier, from running counts over the scored rows of one target.

    With :math:`n` rows, :math:`k_{ij}` of them of class :math:`i` and predicted as :math:`j`, row sums
    :math:`k_{i\cdot}` and column sums :math:`k_{\cdot j}`, over the rows that have a prediction:

    - ``accuracy`` :math:`= \sum_i k_{ii} / n`.
    - ``balanced_accuracy``: the mean of the recalls :math:`k_{ii} / k_{i\cdot}` over the classes with rows.
    - ``macro_f1``: the mean of :math:`2 p_i r_i / (p_i + r_i)` over all classes that occurred or were predicted.
      Precision is :math:`p_i = k_{ii} / k_{\cdot i}`, recall :math:`r_i = k_{ii} / k_{i\cdot}`. Undefined terms are 0.
    - ``kappa`` (Cohen) :math:`= (p_o - p_e) / (1 - p_e)`, with the accuracy :math:`p_o` and
      :math:`p_e = \sum_i k_{i\cdot} k_{\cdot i} / n^2`. It is 0 where :math:`p_e = 1`.
    - ``kappa_temporal`` :math:`= 1 - (1 - \mathrm{accuracy}) / (1 - \mathrm{accuracy\ of\ no\_change})`. It is None
      where ``no_change`` makes no error.
    - ``log_loss``: the mean of :math:`-\ln p`. Here :math:`p` is the probability of the true class, clipped to
      [1e-15, 1 - 1e-15]. Rows count if they have a prediction and the learner knew their class.
    - ``roc_auc``: the area under the ROC curve of the probability of class 1, for exactly two classes. Trapezoids lie
      between 200 thresholds, evenly spaced over [0, 1]. A class not known yet has probability 0. None otherwise.

    All are None before the first row. There are two baselines. ``no_change`` predicts the class of the previous scored
    row. ``prior`` predicts the most frequent class of all earlier rows, and the lowest code among equals. Neither
    predicts the very first row. As in River, a row without a prediction is not scored.

    Parameters
    ----------
    n_classes
        Number of classes of the stream, if the caller knows it. A window of rows may show fewer.

    Notes
    -----
    Memory grows with the square of n_classes, as in :class:`~stream_bp.metrics.confusion.ConfusionCounts`.
    """

    N_FIELDS = 6

    def __init__(self, n_classes: int = 0) -> None:
        self.n_rows = 0
        self._counts = ConfusionCounts(n_classes)
        self._histogram = np.zeros((2, N_THRESHOLDS + 1), np.int64)  # true code, number of thresholds below the score
        self._log_loss_sum = 0.0
        self._n_log_loss = 0
        self._last_label = -1

    @property
    def n_classes(self) -> int:
        """Number of classes known so far."""
        return self._counts.n_classes

    # From a minibatch to rows

    @staticmethod
    def check(y: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Refuse arrays that are not one minibatch of codes and class probabilities.

        Parameters
        ----------
        y
            Class codes, shape (n,).
        prediction
            Probabilities, shape (n_classes, n).

        Raises
        ------
        ValueError
            If the shapes disagree, or the codes are not integers.
        """
        if y.dtype.kind != "i":
            raise ValueError(f"y: expected class codes as signed integers, -1 where missing, found {y.dtype}")
        if prediction.ndim != 2 or prediction.shape[1] != len(y):
            raise ValueError(f"predictions: expected shape (n_classes, {len(y)}), found {prediction.shape}")

    @staticmethod
    def present(y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows have a label.

        Parameters
        ----------
        y
            Class codes, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        return y >= 0

    @staticmethod
    def score(y: NDArray[Any], prediction: NDArray[Any], out: NDArray[np.float64]) -> None:
        """Write the fields of each row that its own prediction decides. :meth:`fill_baselines` writes the others.

        The predicted class is the most probable one, and the lowest code among equals. It is -1 where a probability is
        NaN.

        Parameters
        ----------
        y
            Class codes, none missing, shape (n,).
        prediction
            Probabilities of the classes known to the learner, shape (n_classes, n).
        out
            The rows, shape (6, n), overwritten.
        """
        n_known, n_rows = prediction.shape
        out[TRUE] = y
        if not n_known:
            out[PREDICTED], out[P_TRUE], out[P_POSITIVE] = -1.0, np.nan, 0.0
            return
        out[PREDICTED] = highest_code(prediction)
        out[P_POSITIVE] = prediction[1] if n_known > 1 else 0.0
        if n_known <= FEW:
            out[P_TRUE] = sum(p * (y == code) for code, p in enumerate(prediction))
        else:
            out[P_TRUE] = prediction[np.minimum(y, n_known - 1), np.arange(n_rows)]
        if y.max() >= n_known:
            out[P_TRUE, y >= n_known] = np.nan
        nothing = np.isnan(prediction.max(axis=0))
        if nothing.any():
            for field, value in ((PREDICTED, -1.0), (P_TRUE, np.nan), (P_POSITIVE, 0.0)):
                out[field, nothing] = value

    @staticmethod
    def write_errors(rows: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Write the error of each row, shape (6, n): 1 where the predicted class is not the true one, else 0."""
        np.not_equal(rows[PREDICTED], rows[TRUE], out=out, casting="unsafe")

    def fill_baselines(self, rows: NDArray[np.float64]) -> None:
        """Write the predictions of the baselines for the rows that come next.

        Parameters
        ----------
        rows
            Shape (6, n). The last two fields are overwritten.
        """
        true = rows[TRUE].astype(np.int64)
        self._counts.grow(int(true.max()) + 1)
        rows[NO_CHANGE, 0] = self._last_label
        rows[NO_CHANGE, 1:] = true[:-1]
        rows[PRIOR] = self._counts.majority_before(true)

    # Counting

    def add(self, rows: NDArray[np.float64]) -> None:
        """Count complete rows.

        Parameters
        ----------
        rows
            Shape (6, n), n ≥ 1.
        """
        self._counts.grow(int(max(rows[field].max() for field in (TRUE, *PREDICTORS))) + 1)
        self.n_rows += rows.shape[1]
        self._last_label = int(rows[TRUE, -1])
        self._counts.add(rows)
        self._add_log_loss(rows[P_TRUE])
        true, score, is_predicted = rows[TRUE], rows[P_POSITIVE], rows[PREDICTED] >= 0
        if not is_predicted.all():
            true, score = true[is_predicted], score[is_predicted]
        self._add_scores(true, score)

    def could_have_counted(self, rows: NDArray[np.float64]) -> bool:
        """Return whether rows (6, n), complete or zero, may be among those counted: known codes, scores up to 1."""
        codes = rows[[TRUE, *PREDICTORS]]
        are_codes = (codes >= -1) & (codes < self.n_classes) & (codes == np.floor(codes))
        scores = rows[P_POSITIVE]
        return bool(are_codes.all() and (rows[TRUE] >= 0).all() and ((scores >= 0) & (scores <= 1)).all())

    def _add_log_loss(self, p_true: NDArray[np.float64]) -> None:
        """Add −ln p of each p that is not NaN."""
        terms = log_loss_terms(p_true)
        self._n_log_loss += len(terms)
        self._log_loss_sum = running_sum(self._log_loss_sum, terms)

    def _add_scores(self, true: NDArray[np.float64], score: NDArray[np.float64]) -> None:
        """Count each score between its thresholds. Clear the counts when a third class appears."""
        if self.n_classes > 2:
            self._histogram[:] = 0
            return
        place = true * (N_THRESHOLDS + 1) + _thresholds_below(score)
        self._histogram += np.bincount(place.astype(np.intp), minlength=self._histogram.size).reshape(
            self._histogram.shape
        )

    # Reporting

    def fresh(self) -> Self:
        """Return empty metrics of the same stream, to count a window with."""
        return type(self)(self.n_classes)

    def metrics(self) -> dict[str, float | None]:
        """Return every metric, in the order of the class docstring."""
        return {
            **self._counts.label_metrics(0),
            "kappa_temporal": self._counts.kappa_temporal(),
            "log_loss": self._log_loss_sum / self._n_log_loss if self._n_log_loss else None,
            "roc_auc": self._roc_auc(),
        }

    def baselines(self) -> dict[str, dict[str, float | None]]:
        """Return, by baseline, the metrics that need labels only: the first four."""
        return {name: self._counts.label_metrics(predictor) for name, predictor in BASELINES.items()}

    def _roc_auc(self) -> float | None:
        n_negatives, n_positives = self._histogram.sum(axis=1).tolist()
        if self.n_classes != 2 or not n_negatives or not n_positives:
            return None
        # A score is called positive at threshold i if it lies above it, that is, above more than i thresholds.
        n_above = self._histogram[:, ::-1].cumsum(axis=1)[:, -2::-1]
        return float(np.trapezoid(n_above[1, ::-1] / n_positives, n_above[0, ::-1] / n_negatives))

    # Saving and restoring

    def state_dict(self) -> StateDict:
        """Return all counts. They are a function of the rows alone."""
        running = np.array([self._log_loss_sum, self._n_log_loss, self._last_label], np.float64)
        arrays = {"confusion": self._counts.matrices(), "histogram": self._histogram.copy(), "running": running}
        return StateDict(arrays)

    @classmethod
    def from_state_dict(cls, state: StateDict) -> Self:
        """Return the saved metrics. The arrays have the right dtype and number of axes.

        Raises
        ------
        CheckpointError
            If shapes or counts contradict each other.
        """
        arrays = state.arrays
        confusion, histogram, running = arrays["confusion"], arrays["histogram"], arrays["running"]
        n_classes = confusion.shape[1]
        if confusion.shape != (len(PREDICTORS), n_classes, n_classes + 1):
            raise CheckpointError(f"confusion: expected shape (3, n_classes, n_classes + 1), found {confusion.shape}")
        tally = cls(n_classes)
        if histogram.shape != tally._histogram.shape or running.shape != (3,):
            found = f"{histogram.shape} and {running.shape}"
            raise CheckpointError(f"histogram, running: expected shapes (2, 201) and (3,), found {found}")
        support = confusion.sum(axis=2)
        if confusion.min(initial=0) < 0 or (support != support[0]).any():
            raise CheckpointError("confusion: the matrices of the learner and its baselines count different rows")
        tally.n_rows = int(support[0].sum())
        if not (0 <= running[1] <= tally.n_rows and -1 <= running[2] < n_classes):
            raise CheckpointError(f"running: {running} is impossible after {tally.n_rows} rows of {n_classes} classes")
        tally._counts, tally._histogram = ConfusionCounts.of(confusion), histogram.copy()
        tally._log_loss_sum = float(running[0])
        tally._n_log_loss, tally._last_label = int(running[1]), int(running[2])
        return tally


def log_loss_terms(p_true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return −ln p of every p that is not NaN, with p clipped to [1e-15, 1 − 1e-15].

    Parameters
    ----------
    p_true
        Probability of the true class, NaN where there was none, shape (n,).

    Returns
    -------
    NDArray[np.float64]
        Negated natural logarithms, shape (at most n,).
    """
    is_nothing = np.isnan(p_true)
    p = p_true[~is_nothing] if is_nothing.any() else p_true
    return -np.log(np.clip(p, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY))


def _thresholds_below(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many thresholds are < each score (n,), as River compares. Only a score near one needs a look-up."""
    place = score * (N_THRESHOLDS - 1)
    n_below = np.ceil(place)
    is_near = np.abs(place - np.rint(place)) < 1e-9
    if is_near.any():
        n_below[is_near] = np.searchsorted(THRESHOLDS, score[is_near])
    return n_below
