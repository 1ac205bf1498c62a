"""The interface between a learner and the backend that computes for it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from stream_bp import choices
from stream_bp._arrays import Floats
from stream_bp.choices import Choices
from stream_bp.errors import ConfigError
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.nn.scaler import NextRow
from stream_bp.nn.schedules import SCHEDULES, Schedule

__all__ = ["BACKENDS", "Backend", "UpdateConfig"]


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """How a network computes and learns. Names are those of the command line.

    Attributes
    ----------
    activation, output, optimizer
        Names of ψ, of g with its loss, and of the update.
    schedule
        Step t → η⁽ᵗ⁾.
    clip_norm
        Largest norm of the mean gradient, or ``None``.
    weight_decay
        λ.
    restarted
        The step at which the optimiser last started with empty slots.
    """

    activation: str
    output: str
    optimizer: str
    schedule: Schedule
    clip_norm: float | None
    weight_decay: float
    restarted: int = 0

    @classmethod
    def of(
        cls,
        *,
        activation: str,
        output: str,
        optimizer: str,
        learning_rate: float | None,
        schedule: tuple[str, int, int],
        clip_norm: float | None,
        weight_decay: float,
    ) -> Self:
        """Check the settings and return the configuration.

        Parameters
        ----------
        activation, output, optimizer, clip_norm, weight_decay
            The attributes of the same name.
        learning_rate
            η, > 0. ``None`` takes the optimiser's default for the loss.
        schedule
            Its name, ``decay_steps`` and ``warmup_steps``.

        Raises
        ------
        ConfigError
            If a name is not registered, or the rate is not positive.
        """
        ACTIVATIONS.pick(activation)
        LOSSES.pick(output)
        rule = OPTIMIZERS.pick(optimizer)
        SCHEDULES.pick(schedule[0])
        # Squared error curves more than the cross-entropies, so it has its own default (see nn.optimizers.SGD).
        default = rule.default_learning_rate_of_values if output == "identity" else rule.default_learning_rate
        rate = default if learning_rate is None else learning_rate
        if not 0 < rate < math.inf:
            raise ConfigError(f"learning_rate: expected a positive number, found {rate}")
        name, decay_steps, warmup_steps = schedule
        return cls(
            activation, output, optimizer, Schedule(name, rate, decay_steps, warmup_steps), clip_norm, weight_decay
        )


class Backend(Protocol):
    """The computations that a learner needs. Arrays have the learner's dtype, and samples are columns."""

    def predict(self, X: Floats) -> Floats:
        """Return ŷ (n_K, n) of rows (n_0, n). No buffers are kept for their number."""

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ (n_K, b) of a minibatch, and keep the intermediate values.

        The result is a buffer. The next minibatch of the same width overwrites it.
        """

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale a row x (n_0, 1), float64, as if it came next, and propagate it.

        Returns ŷ (n_K, 1), as :meth:`propagate` does.
        """

    def backward(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Write the gradient sum of the minibatch that was propagated last, given its targets (n_K, b)."""

    def apply(self, count: float, step: int) -> None:
        """Change θ by the gradient sum over ``count`` rows."""

    def learn_propagated(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Learn the minibatch that was propagated last. None of its targets (n_K, b) is missing."""

    def learn(
        self, X: Floats, Y: Floats, masks: Floats | None, counts: Floats, *, step: int, a: Floats, y_hat: Floats
    ) -> int:
        """Predict, then learn, T minibatches in turn. A minibatch without a target is not a step.

        Parameters
        ----------
        X, Y
            Inputs (T, n_0, b) and targets (T, n_K, b).
        masks
            Factors of δ, (T, n_K or 1, b), or ``None``.
        counts
            Rows with a target, (T,).
        step
            t of the first minibatch.
        a, y_hat
            Receive a⁽ᴷ⁾ and ŷ from before each update, (T, n_K, b).

        Returns
        -------
        int
            t after the last minibatch.
        """


BACKENDS: Choices[Callable[..., Backend]] = choices.BACKENDS
"""Backends by name. Numba is imported when ``compiled`` is first used."""
