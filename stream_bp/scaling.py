"""Running mean and variance, and with them the standardisation of a stream that is read once.

Minibatch t is scaled by the mean and the deviation of all rows up to and including its own: never of a later one.
The sums are taken about each column's first value (no cancellation when a mean is large), for each minibatch apart,
and carried from minibatch to minibatch in order: every figure is a function of the row index alone, whatever the
blocks that the rows came in.
"""

from dataclasses import dataclass

import numpy as np

from stream_bp.arrays import Floats
from stream_bp.errors import CheckpointError

__all__ = ["CLIP", "Moments", "Scaler"]

CLIP = 8.0
"""Scaled values are kept within ±8 deviations: one wild row must not throw the weights."""

_STATE = ("count", "shift", "total", "squares")


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation at the borders of T minibatches.

    Attributes
    ----------
    count, mean, deviation
        Shape (n, T+1), float64: ``[:, t]`` is from *before* minibatch t, ``[:, t+1]`` includes its rows. A mean of
        no rows is 0; a deviation is 0 until a second value differs.
    """

    count: Floats
    mean: Floats
    deviation: Floats

    def scale(self, x: Floats) -> Floats:
        """Standardise T minibatches, each by the moments that include it.

        Parameters
        ----------
        x
            Shape (n, T, b), NaN where missing.

        Returns
        -------
        Floats
            Same shape, within ±:data:`CLIP`. A missing value becomes 0, which is the mean; so does a constant.
        """
        inverse = np.divide(1, self.deviation, out=np.zeros_like(self.deviation), where=self.deviation > 0)
        z: Floats = x - self.mean[:, 1:, None]
        z *= inverse[:, 1:, None]
        np.clip(z, -CLIP, CLIP, out=z)
        z[np.isnan(z)] = 0
        return z

    def unscale(self, z: Floats) -> Floats:
        """Undo the scaling, each minibatch by the moments from *before* it: those known when it was predicted.

        Parameters
        ----------
        z
            Shape (n, T, b).

        Returns
        -------
        Floats
            Same shape, float64.
        """
        return self.mean[:, :-1, None] + z * self.deviation[:, :-1, None]


class Scaler:
    """Running moments of n columns.

    Parameters
    ----------
    n
        Number of columns.

    Examples
    --------
    >>> scaler = Scaler(1)
    >>> moments = scaler.observe(np.array([[[1.0, 3.0], [5.0, np.nan]]]))   # two minibatches of two rows
    >>> moments.mean.tolist()
    [[0.0, 2.0, 3.0]]
    """

    def __init__(self, n: int) -> None:
        self._count: Floats = np.zeros(n)
        self._shift: Floats = np.full(n, np.nan)
        self._total: Floats = np.zeros(n)
        self._squares: Floats = np.zeros(n)

    def observe(self, x: Floats) -> Moments:
        """Take T minibatches in and return the moments at their borders.

        Parameters
        ----------
        x
            Shape (n, T, b), float64, NaN where missing; no infinities.
        """
        present = ~np.isnan(x)
        self._choose_shifts(x, present)
        distance = x - self._shift[:, None, None]
        if not present.all():
            distance[~present] = 0
        count = self._carry(self._count, present.sum(axis=2, dtype=np.float64))
        total = self._carry(self._total, _sum_rows(distance))
        squares = self._carry(self._squares, _sum_rows(distance * distance))
        self._count, self._total, self._squares = count[:, -1].copy(), total[:, -1].copy(), squares[:, -1].copy()
        return self._moments(count, total, squares)

    def moments(self, n_minibatches: int = 1) -> Moments:
        """Return the present moments, as if nothing changed over T minibatches: for rows that are only predicted."""
        sums = (self._count, self._total, self._squares)
        return self._moments(*(np.repeat(now[:, None], n_minibatches + 1, axis=1) for now in sums))

    def state(self) -> dict[str, Floats]:
        """Return copies of the four vectors ``count``, ``shift``, ``total``, ``squares``, each (n,)."""
        return {name: getattr(self, f"_{name}").copy() for name in _STATE}

    def restore(self, state: dict[str, Floats]) -> None:
        """Go on from a state.

        Raises
        ------
        CheckpointError
            If a vector is missing or of another length.
        """
        for name in _STATE:
            if name not in state or state[name].shape != self._count.shape:
                raise CheckpointError(f"the scaler's {name} is missing or not of shape {self._count.shape}")
            setattr(self, f"_{name}", state[name].astype(np.float64))

    def _choose_shifts(self, x: Floats, present: np.ndarray) -> None:
        """Let the first value of a column be the point its sums are taken about."""
        for i in np.flatnonzero(np.isnan(self._shift)):
            first = np.flatnonzero(present[i])
            if first.size:
                self._shift[i] = x[i].flat[first[0]]

    def _moments(self, count: Floats, total: Floats, squares: Floats) -> Moments:
        n = np.maximum(count, 1)
        about_shift = total / n
        variance = np.maximum(squares / n - about_shift * about_shift, 0)
        return Moments(
            count,
            np.where(np.isnan(self._shift), 0, self._shift)[:, None] * (count > 0) + about_shift,
            np.sqrt(variance),
        )

    @staticmethod
    def _carry(before: Floats, sums: Floats) -> Floats:
        """Return running sums at the borders, (n, T+1): added in order, so blocks do not show in the rounding."""
        return np.add.accumulate(np.concatenate([before[:, None], sums], axis=1), axis=1)


def _sum_rows(x: Floats) -> Floats:
    """Sum (n, T, b) over the rows of each minibatch; b is contiguous, so each sum depends on its own rows only."""
    return x[:, :, 0] if x.shape[2] == 1 else x.sum(axis=2)
