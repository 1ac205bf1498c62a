"""What a learner asks of what computes."""

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
    """How a network computes and learns, by the names of the command line.

    Attributes
    ----------
    activation, output, optimizer
        ψ, g with its loss, and the update.
    schedule
        Step t → η⁽ᵗ⁾.
    clip_norm
        Largest norm of the mean gradient, or ``None``.
    weight_decay
        λ.
    restarted
        The step at which the optimiser began with empty slots.
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
        """Return a rule whose names and rate were checked.

        Parameters
        ----------
        activation, output, optimizer, clip_norm, weight_decay
            As they are kept.
        learning_rate
            η, > 0; ``None`` takes the optimiser's default for the loss.
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
        default = rule.default_learning_rate_of_values if output == "identity" else rule.default_learning_rate
        rate = default if learning_rate is None else learning_rate
        if not 0 < rate < math.inf:
            raise ConfigError(f"learning_rate: expected a positive number, found {rate}")
        name, decay_steps, warmup_steps = schedule
        return cls(
            activation, output, optimizer, Schedule(name, rate, decay_steps, warmup_steps), clip_norm, weight_decay
        )


class Backend(Protocol):
    """What a learner asks for. The arrays are of the learner's dtype, samples are columns."""

    def predict(self, X: Floats) -> Floats:
        """Return ŷ (n_K, n) of rows (n_0, n); no room is kept for their number."""

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ (n_K, b) of a minibatch, in room that the next one of this width takes; what is between is kept."""

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale a row x (n_0, 1), float64, as if it came next, and return its ŷ (n_K, 1), as :meth:`propagate` does."""

    def backward(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Write the gradient sum of the minibatch that was propagated last, given its targets (n_K, b)."""

    def apply(self, count: float, step: int) -> None:
        """Change θ by the gradient sum over so many rows."""

    def learn_propagated(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Learn the minibatch that was propagated last, all of whose targets (n_K, b) are there."""

    def learn(
        self, X: Floats, Y: Floats, masks: Floats | None, counts: Floats, *, step: int, a: Floats, y_hat: Floats
    ) -> int:
        """Predict, then learn, T minibatches in turn; one without a target is no step.

        Parameters
        ----------
        X, Y
            (T, n_0, b), (T, n_K, b).
        masks, counts
            What δ is multiplied by, (T, n_K or 1, b) or ``None``; rows with a target, (T,).
        step
            t of the first.
        a, y_hat
            Receive a⁽ᴷ⁾ and ŷ from before each update, (T, n_K, b).

        Returns
        -------
        int
            t after the last.
        """


BACKENDS: Choices[Callable[..., Backend]] = choices.BACKENDS
"""The backends by name. The compiled one imports Numba when it is asked for."""
