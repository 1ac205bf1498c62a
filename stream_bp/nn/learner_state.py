"""The state of a learner between two minibatches: θ, the optimiser's slots, and the step.

A checkpoint of the network holds exactly this. The views, the gradient and the backend are derived from it. They are
made anew whenever θ becomes another array.
"""

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from stream_bp._arrays import DType, Floats
from stream_bp._state import StateDict
from stream_bp.choices import why_not_compiled
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.backend import BACKENDS, Backend, UpdateConfig
from stream_bp.nn.gradient_stats import GradientStats
from stream_bp.nn.layout import ParameterLayout, initial_columns, initial_theta
from stream_bp.nn.optimizers import OPTIMIZERS

__all__ = ["LearnerState"]


class LearnerState:
    """The state of a :class:`~stream_bp.nn.learner.Learner`, and all changes to it except learning.

    Parameters
    ----------
    inputs
        Names of the inputs, shape (n_0,).
    sizes
        n_1 … n_K.
    rule
        How the network computes and learns.
    fan_in, dtype, backend, seed
        As for :class:`~stream_bp.nn.learner.Learner`.

    Attributes
    ----------
    step, rows
        t of the next step, and the number of learned rows.
    theta, grad
        θ and the buffer for its gradient, each (n_parameters,).
    W : list of Floats
        W⁽¹⁾ … W⁽ᴷ⁾, views of θ, each (n_l, n_{l-1}+1).
    network
        The layer sizes.
    diagnostics
        Running sizes of δ and of the gradient.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        sizes: Sequence[int],
        rule: UpdateConfig,
        *,
        fan_in: int | None,
        dtype: DType,
        backend: str,
        seed: int,
    ) -> None:
        if dtype not in get_args(DType):
            raise ConfigError(f"dtype: expected one of {', '.join(get_args(DType))}, found {dtype!r}")
        chosen = {name: getattr(rule, name) for name in ("activation", "output", "optimizer")}
        if backend == "compiled" and (reason := why_not_compiled(**chosen, lr_schedule=rule.schedule.name)):
            raise ConfigError(reason)
        BACKENDS.pick(backend)
        self._rule, self._backend_name = rule, backend
        self._psi, self._optimizer = ACTIVATIONS[rule.activation], OPTIMIZERS[rule.optimizer]
        self._fan_in = len(inputs) if fan_in is None else fan_in
        self._seed = seed
        self._dtype = np.dtype(dtype)
        self.step = 0
        self.rows = 0
        self.network = ParameterLayout((len(inputs), *sizes))
        self.diagnostics = GradientStats(len(self.network.shapes))
        theta = initial_theta(
            self.network, inputs, gain=self._psi.gain, fan_in=self._fan_in, seed=seed, dtype=self._dtype
        )
        self._lay_out(theta, np.zeros((self._optimizer.n_slots, theta.size), self._dtype))

    def _lay_out(self, theta: Floats, slots: Floats) -> None:
        """Take θ and the optimiser's slots. Derive every view and the backend from them."""
        self.theta = theta
        # Allocated with θ: a step then allocates nothing that grows with the network.
        self.grad = np.zeros_like(theta)
        self._slots = np.vstack([slots, np.zeros_like(theta)])  # the last row is the optimiser's work room
        self.W = self.network.views(theta)
        make = BACKENDS[self._backend_name]
        self._backend: Backend = make(
            self.network, self._rule, self.diagnostics, theta=theta, grad=self.grad, slots=self._slots
        )
        self._is_propagated = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is derived from θ. A copied view would not be a view of the copied θ."""
        derived = ("W", "_backend", "_is_propagated", "grad")
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
    def weights_sha256(self) -> str:
        """SHA-256 of θ's bytes (little-endian), hexadecimal. The same digest and layers give the same predictions."""
        return hashlib.sha256(self.theta.astype(self._dtype.newbyteorder("<")).tobytes()).hexdigest()

    def grow(self, inputs: Sequence[str] = (), n_outputs: int = 0, *, at: int | None = None) -> None:
        """Add inputs (columns of W⁽¹⁾) and outputs (rows of W⁽ᴷ⁾), to θ and to every optimiser slot.

        Parameters
        ----------
        inputs
            Names of the new inputs.
        n_outputs
            Number of outputs to add, after the old ones. Their weights start at zero.
        at
            The place of the first new input among the old ones. Default: after them.

        Notes
        -----
        The old outputs' a⁽ᴷ⁾ do not change as long as the new inputs are 0.
        """
        n_in, *hidden, n_out = self.network.layer_sizes
        at = n_in if at is None else at
        grown = ParameterLayout((n_in + len(inputs), *hidden, n_out + n_outputs))
        theta = self.network.regrow(self.theta, grown, at)
        slots = [self.network.regrow(slot, grown, at) for slot in self._slots[:-1]]
        if inputs and hidden:
            columns = initial_columns(inputs, hidden[0], gain=self._psi.gain, fan_in=self._fan_in, seed=self._seed)
            grown.views(theta)[0][:, at : at + len(inputs)] = columns
        self.network = grown
        self._lay_out(theta, np.array(slots, self._dtype).reshape(len(slots), theta.size))

    def boost_learning_rate(self) -> None:
        """Raise the learning rate for a while (:data:`~stream_bp.nn.schedules.BOOST`)."""
        self._rule = replace(self._rule, schedule=replace(self._rule.schedule, boosted=self.step))
        self._lay_out(self.theta, self._slots[:-1])

    def reset_optimizer(self) -> None:
        """Restart the optimiser with empty slots. The schedule continues."""
        self._rule = replace(self._rule, restarted=self.step)
        self._lay_out(self.theta, np.zeros_like(self._slots[:-1]))

    def reset_head(self) -> None:
        """Set the output layer to zero and restart the optimiser. The layers below keep their weights."""
        self.W[-1][:] = 0
        self.reset_optimizer()

    def state_dict(self) -> StateDict:
        """Return W⁽¹⁾ … W⁽ᴷ⁾ as ``W1`` …, the optimiser's slots as ``optimizer``, and the counters."""
        rule = self._rule
        arrays = {f"W{layer}": W.copy() for layer, W in enumerate(self.W, start=1)}
        arrays["optimizer"] = self._slots[:-1].copy()
        since = {"boosted": rule.schedule.boosted, "restarted": rule.restarted}
        state = StateDict(arrays, {"step": self.step, "rows": self.rows, **since})
        state.nest("diagnostics", self.diagnostics.state_dict())
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state of a learner with the same settings.

        Raises
        ------
        CheckpointError
            If the arrays do not have the shapes and the dtype of this learner.
        """
        expected = {f"W{layer}": shape for layer, shape in enumerate(self.network.shapes, start=1)}
        weights = [state.array(name, shape, self._dtype) for name, shape in expected.items()]
        slots = state.array("optimizer", (self._optimizer.n_slots, self.theta.size), self._dtype)
        theta = np.concatenate([W.ravel() for W in weights])
        if not np.isfinite(theta).all():
            raise CheckpointError("a weight is not finite: the checkpoint is invalid")
        self.step, self.rows = (operator.index(state.values[name]) for name in ("step", "rows"))
        # Release 0.1.0 had no reactions to drift.
        boosted = operator.index(state.values.get("boosted", -1))
        restarted = operator.index(state.values.get("restarted", 0))
        if not 0 <= restarted <= self.step < 2**63 or not 0 <= self.rows < 2**63 or not -1 <= boosted <= self.step:
            raise CheckpointError("the learner's number of steps or rows is out of range: the checkpoint is invalid")
        schedule = replace(self._rule.schedule, boosted=boosted)
        self._rule = replace(self._rule, schedule=schedule, restarted=restarted)
        self._lay_out(theta, slots)
        self.diagnostics.load_state_dict(state.nested("diagnostics"))
