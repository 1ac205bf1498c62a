"""The learner: predict, compute gradients, apply them and learn, one minibatch at a time.

The forward pass of a learning step precedes its update. So its output is the test-then-train prediction of those rows.
:meth:`Learner.learn` returns it, and scoring needs no second pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_bp._arrays import DType, Floats, Mask
from stream_bp.errors import ConfigError, DivergenceError
from stream_bp.nn.backend import UpdateConfig
from stream_bp.nn.learner_state import LearnerState
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.scaler import NextRow

__all__ = ["Learner", "StepOutput"]

_WIDEST = 1024  # columns that predict() propagates at once: this limits the memory of its buffers


@dataclass(frozen=True, slots=True)
class StepOutput:
    """Predictions and losses of one call of :meth:`Learner.learn`, from before its updates.

    Attributes
    ----------
    output
        ŷ, shape (T, n_K, b): probabilities, or values.
    loss
        L of every row, shape (T, b). It is 0 where the row had no target.
    count
        Rows that had a target, shape (T,).
    """

    output: Floats
    loss: Floats
    count: Floats


class Learner(LearnerState):
    """A feedforward network that learns by backpropagation, one minibatch at a time.

    Parameters
    ----------
    inputs
        Names of the inputs, shape (n_0,), or their number.
    n_outputs
        n_K. It may be 0 until the first class appears.
    hidden_layers
        Units of the hidden layers. ``()`` gives a (generalised) linear model.
    activation
        ψ of every hidden layer: one of :data:`~stream_bp.nn.ACTIVATIONS`.
    output
        g with its loss: one of :data:`~stream_bp.nn.LOSSES`.
    optimizer
        One of :data:`~stream_bp.nn.OPTIMIZERS`.
    learning_rate
        η, > 0. ``None`` takes the optimiser's default. With most optimisers it is smaller for squared error.
    lr_schedule, decay_steps, warmup_steps
        See :mod:`stream_bp.nn.schedules`.
    clip_norm
        Largest Euclidean norm of the mean gradient, over all layers. ``None`` does not clip.
    weight_decay
        λ. Every step also multiplies the weights, but not the biases, by 1 - η λ.
    fan_in
        Inputs that are active at once. Give it where that is not their number, as with one-hot categories.
    dtype
        ``float32`` or ``float64``, for θ and for every product.
    backend
        ``numpy``, or ``compiled``, which needs Numba. The latter is faster in small minibatches; its last bits differ.
    seed
        Seed of the initial weights.

    Raises
    ------
    ConfigError
        If a setting is out of its range.

    Examples
    --------
    >>> learner = Learner(inputs=2, n_outputs=2, hidden_layers=(8,), learning_rate=0.5, seed=1)
    >>> X = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])   # samples are columns
    >>> Y = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])   # exclusive or, one-hot
    >>> for _ in range(500):
    ...     learned = learner.learn(X, Y)
    >>> learner.predict(X).argmax(axis=0).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self,
        inputs: int | Sequence[str],
        n_outputs: int,
        *,
        hidden_layers: Sequence[int] = (64,),
        activation: str = "relu",
        output: str = "softmax",
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        lr_schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        fan_in: int | None = None,
        dtype: DType = "float32",
        backend: str = "numpy",
        seed: int = 0,
    ) -> None:
        rule = UpdateConfig.of(
            activation=activation,
            output=output,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=(lr_schedule, decay_steps, warmup_steps),
            clip_norm=clip_norm,
            weight_decay=weight_decay,
        )
        if any(units < 1 for units in hidden_layers):
            raise ConfigError(f"hidden_layers: expected at least 1 unit in each layer, found {list(hidden_layers)}")
        self._loss = LOSSES[output]
        names = [f"x{i}" for i in range(inputs)] if isinstance(inputs, int) else list(inputs)
        super().__init__(
            names, (*hidden_layers, n_outputs), rule, fan_in=fan_in, dtype=dtype, backend=backend, seed=seed
        )

    def predict(self, X: npt.ArrayLike) -> Floats:
        """Return ŷ without learning.

        Parameters
        ----------
        X
            Shape (n_0, n), samples as columns.

        Returns
        -------
        Floats
            Shape (n_K, n), of the learner's dtype.
        """
        X = np.asarray(X)
        n = X.shape[1]
        output = np.empty((self.n_outputs, n), self._dtype)
        if not output.size:
            return output
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, n, _WIDEST):
                output[:, start : start + _WIDEST] = self._backend.predict(X[:, start : start + _WIDEST])
        return output

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ of one minibatch, and keep what :meth:`learn_propagated` needs.

        Parameters
        ----------
        X
            Shape (n_0, b), samples as columns.

        Returns
        -------
        Floats
            Shape (n_K, b). It is the learner's own buffer: the next minibatch of this width overwrites it.
        """
        self._is_propagated = True
        return self._backend.propagate(X)

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale one row as if it came next, then propagate it as :meth:`propagate` does.

        Parameters
        ----------
        x
            Shape (n_0, 1), float64, NaN where missing.
        row
            The buffers of the scaler.

        Returns
        -------
        Floats
            Shape (n_K, 1). It is the learner's own buffer: the next minibatch of this width overwrites it.
        """
        self._is_propagated = True
        return self._backend.propagate_row(x, row)

    def learn_propagated(self, Y: Floats, weights: Floats | None = None) -> None:
        """Learn the minibatch that :meth:`propagate` last received.

        Parameters
        ----------
        Y
            Targets, shape (n_K, b), none missing.
        weights
            Factor of the loss of each row, shape (1, b). ``None`` means 1.

        Raises
        ------
        RuntimeError
            If no minibatch was propagated since θ last changed.
        """
        if not self._is_propagated:
            raise RuntimeError("no minibatch was propagated since the weights changed; call propagate first")
        self._backend.learn_propagated(Y, weights, self.step)
        self.rows += Y.shape[1]
        self.step += 1
        self._is_propagated = False

    def learn(self, X: npt.ArrayLike, Y: npt.ArrayLike, weights: Floats | Mask | None = None) -> StepOutput:
        """Predict, then learn, one minibatch or several in turn.

        A minibatch without any target changes nothing and is not a step.

        Parameters
        ----------
        X
            Inputs, shape (n_0, b) or (T, n_0, b): T minibatches of b rows, samples as columns.
        Y
            Targets, shape (n_K, b) or (T, n_K, b): one-hot, 0/1 labels, or values.
        weights
            1 where a target is present, 0 where it is missing. It has the shape of ``Y``, or one row for all outputs.
            ``None`` means that all are present.

        Returns
        -------
        StepOutput
            Predictions and losses from before each update.

        Raises
        ------
        DivergenceError
            If a loss or a weight is no longer finite. Do not use the learner after that.
        """
        X, Y = np.asarray(X), np.asarray(Y)
        if X.ndim == 2:
            X, Y = X[None], Y[None]
            weights = None if weights is None else weights[None]
        n_minibatches, _, b = X.shape
        # Before the first class there is nothing to learn, but the rows count.
        if not self.n_outputs:
            self.rows += n_minibatches * b
            return StepOutput(np.empty((n_minibatches, 0, b)), np.zeros((n_minibatches, b)), np.zeros(n_minibatches))
        Y = Y.astype(self._dtype, copy=False)
        logits = np.empty((n_minibatches, self.n_outputs, b), self._dtype)
        output = np.empty_like(logits)
        masks = None if weights is None else weights.astype(self._dtype, copy=False)
        count = np.full(n_minibatches, float(b)) if weights is None else weights.any(axis=1).sum(axis=1, dtype=float)
        first_step, self._is_propagated = self.step, False
        # No warnings here: diverged training is one error below.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.step = self._backend.learn(X, Y, masks, count, step=self.step, a=logits, y_hat=output)
            terms = self._loss.terms(logits, Y)
            loss = (terms if weights is None else np.where(weights > 0, terms, 0)).sum(axis=1, dtype=np.float64)
        _refuse_divergence(loss, self.theta, first_step, self.rows, self.step - 1)
        self.rows += n_minibatches * b
        return StepOutput(output, loss, count)

    def gradient(self, X: Floats, Y: Floats, weights: Floats | Mask | None = None) -> int:
        """Write the gradient *sum* of one minibatch to ``grad``, and return its number of rows.

        Parameters
        ----------
        X, Y, weights
            As for :meth:`learn`, of shape (n_0, b) and (n_K, b).

        Returns
        -------
        int
            Rows with a target. Several workers can add their sums and their counts, then call :meth:`apply` once.
        """
        self.propagate(X)
        mask = None if weights is None else weights.astype(self._dtype, copy=False)
        self._backend.backward(Y.astype(self._dtype, copy=False), mask, self.step)
        return X.shape[1] if weights is None else int(weights.any(axis=0).sum())

    def apply(self, count: float) -> None:
        """Take one optimiser step with the gradient sum in ``grad`` (eq. 9, 31).

        Parameters
        ----------
        count
            Rows in the sum, > 0.

        Notes
        -----
        ``grad`` is overwritten.
        """
        self._backend.apply(count, self.step)
        self.step += 1
        self._is_propagated = False


def _refuse_divergence(loss: Floats, theta: Floats, first_step: int, first_row: int, last_step: int) -> None:
    """Raise a DivergenceError if a loss (T, b) or a weight is not finite. The message names the step and the row."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        step, row = first_step + int(bad[0]) // loss.shape[1], first_row + int(bad[0])
        raise DivergenceError.of(f"the loss is not finite at step {step}, row {row}")
    if not np.isfinite(theta).all():
        row = first_row + loss.size - 1
        raise DivergenceError.of(f"a weight is not finite after step {last_step}, row {row}")
