"""The learner: θ, the optimiser's state and the buffers; predict, gradient, apply, learn.

The forward pass of a learning step is made before its update, so its output is the test-then-train prediction of
those rows: :meth:`Learner.learn` returns it, and scoring costs nothing more.
"""

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from stream_bp._arrays import DType, Floats, Mask
from stream_bp.choices import why_not_compiled
from stream_bp.errors import CheckpointError, ConfigError, DivergenceError
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.backend import BACKENDS, Engine, Rule
from stream_bp.nn.gradient_stats import Diagnostics
from stream_bp.nn.layout import Network, initial_columns, initial_theta
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.nn.scaler import NextRow
from stream_bp.nn.schedules import SCHEDULES, Schedule

__all__ = ["Learned", "Learner"]

_WIDEST = 1024  # columns that predict() propagates at once


@dataclass(frozen=True, slots=True)
class Learned:
    """What one call of :meth:`Learner.learn` found, row by row, before it learned them.

    Attributes
    ----------
    output
        ŷ, shape (T, n_K, b): probabilities, or values.
    loss
        L of every row, shape (T, b); 0 where the row had no target.
    count
        Rows that had a target, shape (T,).
    """

    output: Floats
    loss: Floats
    count: Floats


class Learner:
    """A feedforward network that learns by backpropagation, one minibatch at a time.

    Parameters
    ----------
    inputs
        Names of the inputs, shape (n_0,), or their number.
    n_outputs
        n_K. It may be 0 until the first class is met.
    hidden
        Units of the hidden layers; ``()`` gives a (generalised) linear model.
    activation
        ``relu``, ``sigmoid``, ``tanh`` or ``identity``: ψ of every hidden layer.
    output
        ``softmax``, ``sigmoid`` or ``identity``: g, and with it the loss.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adagrad``, ``rmsprop`` or ``adam``.
    learning_rate
        η, > 0; ``None`` takes the optimiser's default, which for most is shorter for squared error.
    schedule, decay_steps, warmup_steps
        See :mod:`stream_bp.nn.schedules`.
    clip_norm
        Largest Euclidean norm of the mean gradient, over all layers; ``None`` does not clip.
    weight_decay
        λ: every step also multiplies the weights (never the biases) by 1 - η λ.
    fan_in
        How many inputs are active at once, where that is not their number (one-hot categories).
    dtype
        ``float32`` or ``float64``: of θ and of every product.
    engine
        ``numpy``, or ``compiled``, which needs Numba: faster in small minibatches, in other bits.
    seed
        Seed of the start of θ.

    Raises
    ------
    ConfigError
        If a setting is out of its range.

    Examples
    --------
    >>> learner = Learner(inputs=2, n_outputs=2, hidden=(8,), learning_rate=0.5, seed=1)
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
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        output: str = "softmax",
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        fan_in: int | None = None,
        dtype: DType = "float32",
        engine: str = "numpy",
        seed: int = 0,
    ) -> None:
        names = [f"x{i}" for i in range(inputs)] if isinstance(inputs, int) else list(inputs)
        self._psi = ACTIVATIONS.pick(activation)
        self._loss = LOSSES.pick(output)
        self._optimizer = rule = OPTIMIZERS.pick(optimizer)
        SCHEDULES.pick(schedule)
        chosen = {"activation": activation, "output": output, "optimizer": optimizer, "schedule": schedule}
        if engine == "compiled" and (reason := why_not_compiled(**chosen)):
            raise ConfigError(reason)
        BACKENDS.pick(engine)
        if dtype not in get_args(DType):
            raise ConfigError(f"dtype: expected one of {', '.join(get_args(DType))}, found {dtype!r}")
        if any(units < 1 for units in hidden):
            raise ConfigError(f"hidden: every hidden layer needs at least 1 unit, found {list(hidden)}")
        default = rule.default_learning_rate_of_values if output == "identity" else rule.default_learning_rate
        rate = default if learning_rate is None else learning_rate
        if not 0 < rate < np.inf:
            raise ConfigError(f"learning_rate: expected a positive number, found {rate}")
        eta = Schedule(schedule, rate, decay_steps, warmup_steps)
        self._rule = Rule(activation, output, optimizer, eta, clip_norm, weight_decay)
        self._engine_name = engine
        self._fan_in = len(names) if fan_in is None else fan_in
        self._seed = seed
        self._dtype = np.dtype(dtype)
        self.step = 0
        self.rows = 0
        self.network = Network((len(names), *hidden, n_outputs))
        self.diagnostics = Diagnostics(len(self.network.shapes))
        theta = initial_theta(
            self.network, names, gain=self._psi.gain, fan_in=self._fan_in, seed=seed, dtype=self._dtype
        )
        self._lay_out(theta, np.zeros((self._optimizer.n_slots, theta.size), self._dtype))

    def _lay_out(self, theta: Floats, slots: Floats) -> None:
        """Take θ and the optimiser's slots, and derive every view and the engine from them."""
        self.theta = theta
        self.grad = np.zeros_like(theta)
        self._slots = np.vstack([slots, np.zeros_like(theta)])  # the last row is the optimiser's work room
        self.W = self.network.views(theta)
        make = BACKENDS[self._engine_name]
        self._engine: Engine = make(
            self.network, self._rule, self.diagnostics, theta=theta, grad=self.grad, slots=self._slots
        )
        self._is_propagated = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is derived from θ: a copied view would be a view of nothing."""
        derived = ("W", "_engine", "_is_propagated", "grad")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lay_out(self.theta, self._slots[:-1])

    @property
    def learning_rate(self) -> float:
        """η⁽ᵗ⁾ of the next step."""
        return self._rule.schedule(self.step)

    @property
    def n_outputs(self) -> int:
        """n_K."""
        return self.network.layer_sizes[-1]

    @property
    def n_inputs(self) -> int:
        """n_0."""
        return self.network.layer_sizes[0]

    @property
    def theta_sha256(self) -> str:
        """SHA-256 of θ's bytes (little-endian), hexadecimal: two learners with the same digest predict the same."""
        return hashlib.sha256(self.theta.astype(self._dtype.newbyteorder("<")).tobytes()).hexdigest()

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
                output[:, start : start + _WIDEST] = self._engine.predict(X[:, start : start + _WIDEST])
        return output

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ of one minibatch, and keep what :meth:`learn_propagated` needs to learn it.

        Parameters
        ----------
        X
            Shape (n_0, b), samples as columns.

        Returns
        -------
        Floats
            Shape (n_K, b): the learner's own buffer, valid until the next minibatch of this width.
        """
        self._is_propagated = True
        return self._engine.propagate(X)

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale one row as if it came next, and do with it as :meth:`propagate` does.

        Parameters
        ----------
        x
            Shape (n_0, 1), float64, NaN where missing.
        row
            The room of the scaler.

        Returns
        -------
        Floats
            Shape (n_K, 1): the learner's own buffer, valid until the next minibatch of this width.
        """
        self._is_propagated = True
        return self._engine.propagate_row(x, row)

    def learn_propagated(self, Y: Floats, weights: Floats | None = None) -> None:
        """Learn the minibatch that :meth:`propagate` was last given, which is the one it was given since θ changed.

        Parameters
        ----------
        Y
            Targets, shape (n_K, b), none missing.
        weights
            What the loss of each row is multiplied by, shape (1, b); ``None`` if by 1.

        Raises
        ------
        RuntimeError
            If there is no such minibatch.
        """
        if not self._is_propagated:
            raise RuntimeError("there is no minibatch that was propagated since the weights changed")
        self._engine.learn_propagated(Y, weights, self.step)
        self.rows += Y.shape[1]
        self.step += 1
        self._is_propagated = False

    def learn(self, X: npt.ArrayLike, Y: npt.ArrayLike, weights: Floats | Mask | None = None) -> Learned:
        """Predict, then learn, one minibatch or several in turn.

        Parameters
        ----------
        X
            Inputs, shape (n_0, b) or (T, n_0, b): T minibatches of b rows, samples as columns.
        Y
            Targets, shape (n_K, b) or (T, n_K, b): one-hot, 0/1 labels, or values.
        weights
            1 for a target that is present, 0 for one that is missing, shape of ``Y``, or with one row for all outputs
            together; ``None`` if all are present.
            A minibatch without any target changes nothing and is not a step.

        Returns
        -------
        Learned
            Predictions and losses from before each update.

        Raises
        ------
        DivergenceError
            If a loss or a weight is no longer finite. The learner is then of no further use.
        """
        X, Y = np.asarray(X), np.asarray(Y)
        if X.ndim == 2:
            X, Y = X[None], Y[None]
            weights = None if weights is None else weights[None]
        n_minibatches, _, b = X.shape
        if not self.n_outputs:
            self.rows += n_minibatches * b
            return Learned(np.empty((n_minibatches, 0, b)), np.zeros((n_minibatches, b)), np.zeros(n_minibatches))
        Y = Y.astype(self._dtype, copy=False)
        logits = np.empty((n_minibatches, self.n_outputs, b), self._dtype)
        output = np.empty_like(logits)
        masks = None if weights is None else weights.astype(self._dtype, copy=False)
        count = np.full(n_minibatches, float(b)) if weights is None else weights.any(axis=1).sum(axis=1, dtype=float)
        first_step, self._is_propagated = self.step, False
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.step = self._engine.learn(X, Y, masks, count, step=self.step, a=logits, y_hat=output)
            terms = self._loss.terms(logits, Y)
            loss = (terms if weights is None else np.where(weights > 0, terms, 0)).sum(axis=1, dtype=np.float64)
        self._refuse_divergence(loss, first_step)
        self.rows += n_minibatches * b
        return Learned(output, loss, count)

    def gradient(self, X: Floats, Y: Floats, weights: Floats | Mask | None = None) -> int:
        """Put the gradient *sum* of one minibatch into ``grad``, and return how many rows it sums over.

        Parameters
        ----------
        X, Y, weights
            As for :meth:`learn`, of shape (n_0, b) and (n_K, b).

        Returns
        -------
        int
            Rows with a target. Several workers can add their sums and their counts, then :meth:`apply` once.
        """
        self.propagate(X)
        mask = None if weights is None else weights.astype(self._dtype, copy=False)
        self._engine.backward(Y.astype(self._dtype, copy=False), mask, self.step)
        return X.shape[1] if weights is None else int(weights.any(axis=0).sum())

    def apply(self, count: float) -> None:
        """Take one optimiser step with the gradient sum in ``grad`` (eq. 9, 31).

        Parameters
        ----------
        count
            Rows that the sum is over, > 0.

        Notes
        -----
        ``grad`` is overwritten.
        """
        self._engine.apply(count, self.step)
        self.step += 1
        self._is_propagated = False

    def grow(self, inputs: Sequence[str] = (), n_outputs: int = 0, *, at: int | None = None) -> None:
        """Add inputs (columns of W⁽¹⁾) and outputs (rows of W⁽ᴷ⁾), to θ and to every optimiser slot.

        Parameters
        ----------
        inputs
            Names of the new inputs.
        n_outputs
            How many outputs to add, after the old ones; their weights start at zero.
        at
            The place of the first new input among the old ones; after them if it is not given.

        Notes
        -----
        What was learned is not disturbed: with the new inputs at 0, the old outputs' a⁽ᴷ⁾ stay as they were.
        """
        n_in, *hidden, n_out = self.network.layer_sizes
        at = n_in if at is None else at
        grown = Network((n_in + len(inputs), *hidden, n_out + n_outputs))
        theta = self.network.regrow(self.theta, grown, at)
        slots = [self.network.regrow(slot, grown, at) for slot in self._slots[:-1]]
        if inputs and hidden:
            columns = initial_columns(inputs, hidden[0], gain=self._psi.gain, fan_in=self._fan_in, seed=self._seed)
            grown.views(theta)[0][:, at : at + len(inputs)] = columns
        self.network = grown
        self._lay_out(theta, np.array(slots, self._dtype).reshape(len(slots), theta.size))

    def boost(self) -> None:
        """Let the learning rate be higher for a while (:data:`~stream_bp.nn.schedules.BOOST`)."""
        self._rule = replace(self._rule, schedule=replace(self._rule.schedule, boosted=self.step))
        self._lay_out(self.theta, self._slots[:-1])

    def reset_optimizer(self) -> None:
        """Let the optimiser begin anew, with empty slots; the schedule goes on."""
        self._rule = replace(self._rule, restarted=self.step)
        self._lay_out(self.theta, np.zeros_like(self._slots[:-1]))

    def reset_head(self) -> None:
        """Let the output layer begin anew, at zero, and the optimiser with it; the layers below stay as they are."""
        self.W[-1][:] = 0
        self.reset_optimizer()

    def tensors(self) -> dict[str, Floats]:
        """Return copies of W⁽¹⁾ … W⁽ᴷ⁾ as ``W1`` … and of the optimiser's slots as ``optimizer``."""
        named = {f"W{layer}": W.copy() for layer, W in enumerate(self.W, start=1)}
        return {**named, "optimizer": self._slots[:-1].copy()}

    def state(self) -> dict[str, Any]:
        """Return the rest of what :meth:`restore` needs, JSON-able."""
        rule = self._rule
        since = {"boosted": rule.schedule.boosted, "restarted": rule.restarted}
        return {"step": self.step, "rows": self.rows, **since, "diagnostics": self.diagnostics.state()}

    def restore(self, tensors: dict[str, Floats], state: dict[str, Any]) -> None:
        """Go on from :meth:`tensors` and :meth:`state` of a learner with the same settings.

        Raises
        ------
        CheckpointError
            If the arrays do not have the shapes and the type of this learner.
        """
        expected = {f"W{layer}": shape for layer, shape in enumerate(self.network.shapes, start=1)}
        for name, shape in {**expected, "optimizer": (self._optimizer.n_slots, self.theta.size)}.items():
            array = tensors.get(name)
            if array is None or array.shape != shape or array.dtype != self._dtype:
                found = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise CheckpointError(f"{name}: expected {self._dtype} {shape}, found {found}")
        theta = np.concatenate([tensors[name].ravel() for name in expected])
        if not np.isfinite(theta).all():
            raise CheckpointError("a weight is not finite; no job saves such a checkpoint")
        self.step, self.rows = (operator.index(state[name]) for name in ("step", "rows"))
        # Release 0.1.0 had no reactions to drift.
        boosted, restarted = operator.index(state.get("boosted", -1)), operator.index(state.get("restarted", 0))
        if not 0 <= restarted <= self.step < 2**63 or not 0 <= self.rows < 2**63 or not -1 <= boosted <= self.step:
            raise CheckpointError("the learner has a number of steps, or of rows, that no job comes to")
        schedule = replace(self._rule.schedule, boosted=boosted)
        self._rule = replace(self._rule, schedule=schedule, restarted=restarted)
        self._lay_out(theta, tensors["optimizer"])
        self.diagnostics.restore(state["diagnostics"])

    def _refuse_divergence(self, loss: Floats, first_step: int) -> None:
        way_out = "the learner blew up: lower the learning rate, or bound the gradient with clip_norm"
        bad = np.flatnonzero(~np.isfinite(loss))
        if bad.size:
            step, row = first_step + int(bad[0]) // loss.shape[1], self.rows + int(bad[0])
            raise DivergenceError(f"the loss is not finite at step {step}, row {row}; {way_out}")
        if not np.isfinite(self.theta).all():
            step, row = self.step - 1, self.rows + loss.size - 1
            raise DivergenceError(f"a weight is not finite after step {step}, row {row}; {way_out}")
