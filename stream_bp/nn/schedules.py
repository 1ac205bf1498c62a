"""Schedules: step t → learning rate η⁽ᵗ⁾ (eq. 9).

| name         | η⁽ᵗ⁾ / η                                                                |
|--------------|-------------------------------------------------------------------------|
| constant     | 1                                                                       |
| inverse-time | 1 / (1 + t/d)                                                           |
| inverse-sqrt | 1 / √(1 + t/d)                                                          |
| cosine       | ½ (1 + cos(π min(t/d, 1))), at least 0.01: a stream continues after d   |

Here d is ``decay_steps``. A schedule ``warmup-NAME`` first climbs linearly to η, over ``warmup_steps`` steps. From
there it follows NAME. A *boost* at step t₀ multiplies the rate by 1 + (:data:`BOOST` - 1) (1 - (t - t₀) /
:data:`BOOST_STEPS`) until it has faded. So η⁽ᵗ⁾ is a function of t and t₀.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from stream_bp import choices
from stream_bp.choices import Schedules

__all__ = ["BOOST", "BOOST_STEPS", "SCHEDULES", "Schedule", "constant", "cosine", "inverse_sqrt", "inverse_time"]

BOOST, BOOST_STEPS = 4.0, 1_000
"""The first factor of a boost, and the number of steps until it has faded."""

SCHEDULES: Schedules[Callable[[float], float]] = choices.SCHEDULES
"""Decays by name. :meth:`~stream_bp.choices.Schedules.register` adds one, and its ``warmup-`` form."""

_FLOOR = 0.01  # a stream continues after the decay, and the network must still learn


def constant(u: float) -> float:
    """Return 1 at any u = t/d."""
    return 1.0


def inverse_time(u: float) -> float:
    """Return 1 / (1 + u), u = t/d."""
    return 1 / (1 + u)


def inverse_sqrt(u: float) -> float:
    """Return 1 / √(1 + u), u = t/d."""
    return 1 / math.sqrt(1 + u)


def cosine(u: float) -> float:
    """Return half a cosine wave down to 0.01, u = t/d."""
    return max(_FLOOR, (1 + math.cos(math.pi * min(u, 1))) / 2)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning rate for each step.

    Parameters
    ----------
    name
        One of :data:`SCHEDULES`.
    learning_rate
        η, the rate at step 0, or after the warm-up.
    decay_steps
        d, in steps.
    warmup_steps
        Length of the climb, in steps. Only ``warmup-`` schedules use it.
    boosted
        The step of the last boost, or -1.

    Examples
    --------
    >>> rate = Schedule("warmup-inverse-time", 0.1, decay_steps=100, warmup_steps=4)
    >>> [rate(t) for t in (0, 3, 4, 104)]
    [0.025, 0.1, 0.1, 0.05]
    """

    name: str
    learning_rate: float
    decay_steps: int = 10_000
    warmup_steps: int = 1_000
    boosted: int = -1

    @property
    def climbs(self) -> bool:
        """Whether it starts with a warm-up."""
        return self.name.startswith(Schedules.WARMUP)

    @property
    def decay(self) -> str:
        """The name of the decay, without ``warmup-``."""
        return self.name.removeprefix(Schedules.WARMUP)

    def __call__(self, step: int) -> float:
        """Return η⁽ᵗ⁾ at step t."""
        if self.boosted >= 0 and step < self.boosted + BOOST_STEPS:
            return self._unboosted(step) * (1 + (BOOST - 1) * (1 - (step - self.boosted) / BOOST_STEPS))
        return self._unboosted(step)

    def _unboosted(self, step: int) -> float:
        if self.name == "constant":  # the usual schedule, evaluated at every step: skip the look-up
            return self.learning_rate
        decay = SCHEDULES[self.decay]
        if not self.climbs:
            return self.learning_rate * decay(step / self.decay_steps)
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        return self.learning_rate * decay((step - self.warmup_steps) / self.decay_steps)
