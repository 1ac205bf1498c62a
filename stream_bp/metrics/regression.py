"""Metrics of a regressor: mean absolute error, root mean squared error and R².

A row is stored as four float64 numbers, in the order of the constants below. All are in the unit of the target.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError

__all__ = ["RegressionMetrics"]

TRUE, PREDICTED, NO_CHANGE, MEAN = range(4)
BASELINES = {"no_change": 1, "mean": 2}  # name → place among the predictors, of which the learner is number 0


class RegressionMetrics:
    r"""Metrics of a regressor, from running sums over the scored rows of one target.

    With :math:`n` rows of target :math:`y` and prediction :math:`\hat y`:

    - ``mae`` :math:`= \sum |y - \hat y| / n`, in the unit of the target.
    - ``rmse`` :math:`= \sqrt{\sum (y - \hat y)^2 / n}`, in the unit of the target.
    - ``r2`` :math:`= 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`, with the mean :math:`\bar y` of these :math:`n`
      rows. As in River, it is 0 where the denominator is 0 or there is one row.

    All are None before the first row. There are two baselines. ``no_change`` predicts the target of the previous scored
    row, ``mean`` the mean of all earlier rows. The very first row has no prediction, and adds no error to either.

    Notes
    -----
    The total sum of squares is Welford's: :math:`\sum_t (y_t - \bar y_{t-1})(y_t - \bar y_t)`. Its terms are never
    negative, so nothing cancels however far the target lies from 0. The means come from sums of :math:`y - y_0`, for
    the same reason. A sum beyond 1.8e308 makes its metric None.
    """

    N_FIELDS = 4

    def __init__(self) -> None:
        self.n_rows = 0
        self._shift = 0.0  # the first target
        self._last = 0.0
        self._deviation = 0.0  # Σ (y - shift)
        self._total_squares = 0.0
        self._errors = np.zeros((2, 3))  # Σ |e|, Σ e² by predictor

    # From a minibatch to rows

    @staticmethod
    def check(y: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Refuse arrays that are not one minibatch of numbers.

        Parameters
        ----------
        y
            Targets, NaN where missing, shape (n,).
        prediction
            Predictions, shape (n,).

        Raises
        ------
        ValueError
            If the shapes disagree, a prediction is not finite, or a target is infinite.
        """
        if prediction.shape != y.shape:
            raise ValueError(f"predictions: expected shape {y.shape}, found {prediction.shape}")
        if not np.isfinite(prediction).all():
            raise ValueError("a prediction is NaN or infinite: it cannot be scored")
        if np.isinf(y).any():
            raise ValueError("a target is infinite: it cannot be scored; NaN marks a missing one")

    @staticmethod
    def present(y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows have a target.

        Parameters
        ----------
        y
            Targets, NaN where missing, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        is_present: NDArray[np.bool_] = ~np.isnan(y)
        return is_present

    @staticmethod
    def score(y: NDArray[Any], prediction: NDArray[Any], out: NDArray[np.float64]) -> None:
        """Write the fields of each row that its own prediction decides. :meth:`fill_baselines` writes the others.

        Parameters
        ----------
        y
            Targets, none missing, shape (n,).
        prediction
            Predictions, shape (n,).
        out
            The rows, shape (4, n), overwritten.
        """
        out[TRUE] = y
        out[PREDICTED] = prediction

    @staticmethod
    def write_errors(rows: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Write the error of each row, shape (4, n): the distance of its prediction from its target."""
        np.abs(np.subtract(rows[PREDICTED], rows[TRUE], out=out), out=out)

    def fill_baselines(self, rows: NDArray[np.float64]) -> None:
        """Write the predictions of the baselines for the rows that come next.

        Parameters
        ----------
        rows
            Shape (4, n). The last two fields are overwritten.
        """
        y = rows[TRUE]
        rows[NO_CHANGE, 0] = self._last if self.n_rows else y[0]
        rows[NO_CHANGE, 1:] = y[:-1]
        rows[MEAN] = self._means(y)[0][:-1]
        if not self.n_rows:
            rows[MEAN, 0] = y[0]

    # Counting

    def add(self, rows: NDArray[np.float64]) -> None:
        """Count complete rows.

        Every sum grows strictly one row after the other. ``np.sum`` adds in pairs, so its last bits depend on the cut
        into minibatches. ``np.add.accumulate`` adds from left to right, and starts from the sum so far.

        Parameters
        ----------
        rows
            Shape (4, n), n ≥ 1.
        """
        y = rows[TRUE]
        means, self._deviation = self._means(y)
        with np.errstate(over="ignore", invalid="ignore"):  # a sum out of range is reported as None
            error = np.abs(rows[PREDICTED:] - y)
            squares = (y - means[:-1]) * (y - means[1:])
            terms = np.concatenate((error, error * error, squares[None]))
            so_far = np.append(self._errors, self._total_squares)[:, None]
            sums = np.add.accumulate(np.concatenate((so_far, terms), axis=1), axis=1)[:, -1]
        self._errors, self._total_squares = sums[:-1].reshape(2, 3), float(sums[-1])
        self._shift = self._shift if self.n_rows else float(y[0])
        self._last = float(y[-1])
        self.n_rows += len(y)

    def _means(self, y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return the mean of all rows, before and after each of y, shape (n + 1,), and the new Σ (y - shift)."""
        shift = self._shift if self.n_rows else float(y[0])
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.add.accumulate(np.concatenate(([self._deviation], y - shift)))
            # Before the first row the count is 0. The mean has no use there, and 0 / 1 avoids 0 / 0.
            count = np.maximum(np.arange(self.n_rows, self.n_rows + len(y) + 1), 1)
            return shift + deviation / count, float(deviation[-1])

    # Reporting

    def could_have_counted(self, rows: NDArray[np.float64]) -> bool:
        """Return whether rows may be among those counted: all values are finite."""
        return not np.isinf(rows).any()

    def fresh(self) -> Self:
        """Return empty metrics, to count a window with."""
        return type(self)()

    def metrics(self) -> dict[str, float | None]:
        """Return every metric, in the order of the class docstring."""
        return self._error_metrics(0)

    def baselines(self) -> dict[str, dict[str, float | None]]:
        """Return the same metrics, by baseline."""
        return {name: self._error_metrics(predictor) for name, predictor in BASELINES.items()}

    def _error_metrics(self, predictor: int) -> dict[str, float | None]:
        if not self.n_rows:
            return dict.fromkeys(("mae", "rmse", "r2"))
        absolute, squared = self._errors[:, predictor].tolist()
        is_r2_defined = self.n_rows > 1 and self._total_squares > 0.0
        return {
            "mae": absolute / self.n_rows,
            "rmse": (squared / self.n_rows) ** 0.5,
            "r2": 1.0 - squared / self._total_squares if is_r2_defined else 0.0,
        }

    # Saving and restoring

    def state_dict(self) -> StateDict:
        """Return all sums. They are a function of the rows alone."""
        running = [self.n_rows, self._shift, self._last, self._deviation, self._total_squares]
        return StateDict({"errors": self._errors.copy(), "running": np.array(running, np.float64)})

    @classmethod
    def from_state_dict(cls, state: StateDict) -> Self:
        """Return the saved metrics. The arrays have the right dtype and number of axes.

        Raises
        ------
        CheckpointError
            If a shape or the number of rows is impossible.
        """
        errors, running = state.arrays["errors"], state.arrays["running"]
        if errors.shape != (2, 3) or running.shape != (5,):
            found = f"{errors.shape} and {running.shape}"
            raise CheckpointError(f"errors, running: expected shapes (2, 3) and (5,), found {found}")
        if not (running[0] >= 0 and float(running[0]).is_integer()):
            raise CheckpointError(f"running: expected a number of rows, found {running[0]}")
        tally = cls()
        tally.n_rows = int(running[0])
        tally._shift, tally._last, tally._deviation, tally._total_squares = running[1:].tolist()
        tally._errors = errors.copy()
        return tally
