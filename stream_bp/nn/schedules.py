"""Schedules: step t → learning rate η⁽ᵗ⁾ (eq. 9 lets it depend on t).

| name         | η⁽ᵗ⁾ / η                                                                |
|--------------|-------------------------------------------------------------------------|
| constant     | 1                                                                       |
| inverse-time | 1 / (1 + t/d)                                                           |
| inverse-sqrt | 1 / √(1 + t/d)                                                          |
| cosine       | ½ (1 + cos(π min(t/d, 1))), never under 0.01: a stream goes on after d  |

d is ``decay_steps``. ``warmup-NAME`` climbs in a straight line over the first ``warmup_steps`` steps to η, then
follows NAME from there. A *boost* at step t₀ multiplies all that by 1 + (:data:`BOOST` - 1) (1 - (t - t₀) /
:data:`BOOST_STEPS`) until it has faded; η⁽ᵗ⁾ is a function of t and t₀ alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from stream_bp import choices
from stream_bp.choices import Schedules

__all__ = ["BOOST", "BOOST_STEPS", "SCHEDULES", "Schedule", "constant", "cosine", "inverse_sqrt", "inverse_time"]

BOOST, BOOST_STEPS = 4.0, 1_000
"""By how much a boost multiplies the learning rate at first, and in how many steps that fades."""

SCHEDULES: Schedules[Callable[[float], float]] = choices.SCHEDULES
"""The decays by name; :meth:`~stream_bp.choices.Schedules.register` adds one, and its ``warmup-`` form."""

_FLOOR = 0.01


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
        η, the rate at step 0 (after the warm-up, where there is one).
    decay_steps
        d, in steps.
    warmup_steps
        Length of the climb, in steps; used by the ``warmup-`` schedules.
    boosted
        The step of the last boost; -1 where there was none.

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
        """Whether it begins with a climb."""
        return self.name.startswith(Schedules.WARMUP)

    @property
    def decay(self) -> str:
        """The name of what it follows, after the climb if there is one."""
        return self.name.removeprefix(Schedules.WARMUP)

    def __call__(self, step: int) -> float:
        """Return η⁽ᵗ⁾ at step t."""
        if self.boosted >= 0 and step < self.boosted + BOOST_STEPS:
            return self._unboosted(step) * (1 + (BOOST - 1) * (1 - (step - self.boosted) / BOOST_STEPS))
        return self._unboosted(step)

    def _unboosted(self, step: int) -> float:
        if self.name == "constant":  # the usual one, at every step
            return self.learning_rate
        decay = SCHEDULES[self.decay]
        if not self.climbs:
            return self.learning_rate * decay(step / self.decay_steps)
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        return self.learning_rate * decay((step - self.warmup_steps) / self.decay_steps)
