"""Predict and learn one row at a time, without computing anything twice.

A row that is predicted and then learned is propagated once. The intermediate results stay in the buffers of learner and
scaler until the weights change. The bits are those of minibatches of one row.
"""

from collections.abc import Sequence

import numpy as np

from stream_bp._arrays import Floats
from stream_bp.errors import DivergenceError
from stream_bp.models.mlp import MLPModel
from stream_bp.nn.reproducibility import single_thread

__all__ = ["SingleRowLearner"]

# From so many parameters on, the BLAS may use a second thread for a row, and its bits would differ from a job's.
_WIDE = 5_000


class SingleRowLearner:
    """Predict a row, then learn it.

    Parameters
    ----------
    model
        The model that predicts and learns. Make a new object after it has grown, or has learned in another way.
    """

    def __init__(self, model: MLPModel) -> None:
        self._model = model
        self._learner = model.learner
        if model.learner.theta.size >= _WIDE:
            self.propagate = single_thread()(self.propagate)  # type: ignore[method-assign]
            self._learn = single_thread()(self._learn)  # type: ignore[method-assign]
        self._row = model.scaler.next_row
        has_numbers_alone = model.learner.n_inputs == model.scaler.n and not model.encoder.categorical
        self._is_plain = model.scale_features and has_numbers_alone and model.learner.n_outputs > 0
        self._Y = np.zeros((model.learner.n_outputs, 1), model.learner.theta.dtype)
        self._code = 0
        self._unit = (0.0, 1.0)
        self._is_regression = model.encoder.task == "regression"
        if self._is_regression and model.scale_target:
            moments = model.target_scaler.moments()
            self._unit = float(moments.mean[0, -1]), float(moments.deviation[0, -1])

    def propagate(self, numbers: Floats, codes: Sequence[int]) -> list[float]:
        """Predict a row.

        Parameters
        ----------
        numbers
            Shape (n_numbers, 1), NaN where missing.
        codes
            For each column of categories its code, -1 where missing.

        Returns
        -------
        list of float
            ŷ: a probability of each class (of the second, under a sigmoid), or the value in the target's own unit.
            Empty before the first class is known.

        Raises
        ------
        DivergenceError
            If the prediction is not finite.
        """
        if self._is_plain:
            output: list[float] = self._learner.propagate_row(numbers, self._row)[:, 0].tolist()
        else:
            scaled = self._model.preview(numbers)
            missing = self._model.encoder.missing_in(numbers, [np.array([code == -1]) for code in codes])
            gaps = None if missing is None else missing[:, None]
            X = self._model.inputs.assemble(scaled[None], [np.array([[code]]) for code in codes], gaps)[0]
            if not self._learner.n_outputs:
                return []
            output = self._learner.propagate(X)[:, 0].tolist()
        # One output is enough: after a softmax, all are NaN if one is.
        if not -np.inf < output[0] < np.inf:
            raise DivergenceError.of(f"the prediction is not finite after step {self._learner.step}")
        if self._is_regression:
            mean, deviation = self._unit
            return [mean + output[0] * deviation]
        return output

    def learn_class(self, code: int, weight: float = 1.0) -> None:
        """Learn the row that :meth:`propagate` last received.

        Parameters
        ----------
        code
            Code of its class.
        weight
            Factor of its loss.
        """
        if self._model.output == "sigmoid":
            self._Y[0] = code == 1
        elif code != self._code or not self._Y[code]:
            self._Y[self._code] = 0
            self._Y[code] = 1
            self._code = code
        self._learn(weight)

    def learn_value(self, value: float, weight: float = 1.0) -> None:
        """Learn the row that :meth:`propagate` last received. ``value`` is in the target's own unit."""
        scaler, target = self._model.target_scaler, np.array([[value]])
        scaled = scaler.preview(target)
        scaler.accept()
        if self._model.scale_target:
            self._unit = scaler.accepted_unit()
        self._Y[:] = scaled if self._model.scale_target else target
        self._learn(weight)

    def pass_by(self) -> None:
        """Count the row that :meth:`propagate` last received in the scaling. It has no target."""
        if self._model.scale_features:
            self._model.scaler.accept()
        self._learner.rows += 1

    def _learn(self, weight: float) -> None:
        if self._model.scale_features:
            self._model.scaler.accept()
        weights = None if weight == 1.0 else np.array([[weight]], self._Y.dtype)
        self._learner.learn_propagated(self._Y, weights)
