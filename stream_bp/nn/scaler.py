"""Standardise a stream that is read once, by the running mean and variance of every column.

Minibatch t is scaled by the mean and the deviation of all rows up to its own last row, never of a later one. A row
that is only predicted is scaled as if it came next: by the rows before, and itself.

The sums are taken about each column's first value, so nothing cancels when a mean is large. They are formed for each
minibatch separately, then added in order. So every figure is a function of the row index, whatever the block sizes.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_bp._arrays import Floats, Mask
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError

__all__ = ["CLIP", "LEAST_VARIANCE", "Moments", "NextRow", "Scaler"]

CLIP = 8.0
"""Scaled values are limited to ±8 deviations. One extreme row cannot spoil the weights."""

_STATE = ("count", "shift", "total", "squares")
# A constant has distance 0 from its mean, exactly. Divided by this it stays 0, where division by 0 would give NaN.
_LEAST_DIVISOR = 1e-150
LEAST_VARIANCE = _LEAST_DIVISOR**2
_LARGEST_ROOM = 1 << 20  # float64 that a scaler keeps to work in
_HIGHEST, _LOWEST, _LOWEST_VARIANCE = np.array(CLIP), np.array(-CLIP), np.array(LEAST_VARIANCE)


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of n columns at the boundaries of T minibatches.

    Attributes
    ----------
    sums
        Count, total and squares about the shift, shape (3, n, T+1), float64. Index t is *before* minibatch t, and index
        t+1 includes its rows.
    shift
        First value of each column, shape (n,). It is NaN before there is one.
    """

    sums: Floats
    shift: Floats

    @property
    def count(self) -> Floats:
        """Values so far, shape (n, T+1)."""
        count: Floats = self.sums[0]
        return count

    @property
    def mean(self) -> Floats:
        """The mean at the boundaries, shape (n, T+1). It is 0 where there was no row."""
        about, _ = self._about_and_divisor()
        return np.where(self.count > 0, self.shift[:, None] + about, 0)

    @property
    def deviation(self) -> Floats:
        """The deviation at the boundaries, shape (n, T+1). It is 0 until a second value differs."""
        _, divisor = self._about_and_divisor()
        return np.where(divisor > _LEAST_DIVISOR, divisor, 0)

    def _about_and_divisor(self) -> Floats:
        return _write_moments(np.maximum(self.count, 1), self.sums[1:], np.empty((2, *self.count.shape)))

    def between(self, start: int, stop: int) -> "Moments":
        """Return the moments of minibatches start … stop - 1, as views."""
        return Moments(self.sums[:, :, start : stop + 1], self.shift)

    def joined(self, later: "Moments") -> "Moments":
        """Return the moments of these minibatches and of the later ones together."""
        return Moments(np.concatenate([self.sums, later.sums[:, :, 1:]], axis=2), later.shift)

    def unscale(self, z: Floats) -> Floats:
        """Undo the scaling of each minibatch, with the moments from *before* it: those known when it was predicted.

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
    """Running moments of n columns, and the standardisation by them.

    Parameters
    ----------
    n
        Number of columns.

    Examples
    --------
    >>> scaler = Scaler(1)
    >>> z, moments = scaler.observe(np.array([[[1.0, 3.0], [5.0, np.nan]]]))   # two minibatches of two rows
    >>> moments.mean.tolist(), z[0, 0].tolist()
    ([[0.0, 2.0, 3.0]], [-1.0, 1.0])
    """

    def __init__(self, n: int) -> None:
        self._lay_out(np.zeros((3, n)), np.full(n, np.nan))

    def _lay_out(self, sums: Floats, shift: Floats) -> None:
        """Take the sums (count, total, squares), each (n,), and the shifts. Derive the buffers for one row."""
        self._sums = sums
        self._shift = shift
        self.next_row = NextRow(sums[:, :, None], shift[:, None])
        self._room = np.empty(0)

    @property
    def n(self) -> int:
        """Number of columns."""
        return len(self._shift)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the buffers. Copied views would not be views of the copied sums."""
        return {"_sums": self._sums, "_shift": self._shift}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lay_out(state["_sums"], state["_shift"])

    def observe(self, x: Floats) -> tuple[Floats, Moments]:
        """Add T minibatches, and standardise each by the moments that include it.

        Parameters
        ----------
        x
            Shape (n, T, b), float64, NaN where missing, without infinities.

        Returns
        -------
        z : Floats
            Same shape, within ±:data:`CLIP`. A missing value becomes 0, which is the mean. So does a constant. The
            array is the scaler's own buffer: the next call overwrites it.
        moments : Moments
            The moments at the boundaries.
        """
        z, squares = self._work(x.shape)
        sums = np.empty((3, len(x), x.shape[1] + 1))
        sums[:, :, 0] = self._sums
        np.subtract(x, self._shift[:, None, None], z)
        np.multiply(z, z, squares)
        _sum_rows(squares, sums[2, :, 1:])
        present = None
        # One sum shows whether any value is missing. A mask of all values would cost as much as the scaling.
        if np.isfinite(sums[2].sum()):
            sums[0, :, 1:] = x.shape[2]
        else:  # a value is missing, or is the first one of its column
            present = ~np.isnan(x)
            self._choose_shifts(x, present)
            np.subtract(x, self._shift[:, None, None], z)
            z[~present] = 0
            np.multiply(z, z, squares)
            _sum_rows(squares, sums[2, :, 1:])
            _sum_rows(present, sums[0, :, 1:])
        _sum_rows(z, sums[1, :, 1:])
        # Added in order, so the rounding does not depend on the blocks.
        np.add.accumulate(sums, axis=2, out=sums)
        # In place: the buffers of the next row are views of it.
        self._sums[:] = sums[:, :, -1]
        about, divisor = _write_moments(np.maximum(sums[0, :, 1:], 1), sums[1:, :, 1:], np.empty((2, *x.shape[:2])))
        _standardise(z, about[:, :, None], divisor[:, :, None], z)
        if present is not None:
            z[~present] = 0
        return z, Moments(sums, self._shift.copy())

    def _work(self, shape: tuple[int, ...]) -> Floats:
        """Return two work arrays of a shape, reused between blocks. Fresh memory costs as much as the arithmetic."""
        size = 2 * math.prod(shape)
        # Not kept: one wide block would occupy its memory until the end of the job.
        if size > _LARGEST_ROOM:
            return np.empty((2, *shape))
        if size > self._room.size:
            self._room = np.empty(size)
        return self._room[:size].reshape(2, *shape)

    def moments(self) -> Moments:
        """Return the present moments, in the form for one empty minibatch."""
        return Moments(np.repeat(self._sums[:, :, None], 2, axis=2), self._shift.copy())

    @property
    def is_constant(self) -> Mask:
        """Which columns have had one value only, shape (n,); false before the second value."""
        constant: Mask = (self._sums[0] > 1) & (self._sums[2] == 0)
        return constant

    def stand(self, moments: Moments, boundary: int) -> None:
        """Set the state to one of the boundaries that another scaler observed."""
        self._sums[:] = moments.sums[:, :, boundary]
        self._shift[:] = np.where(self._sums[0] > 0, moments.shift, np.nan)

    def copy(self) -> "Scaler":
        """Return another scaler in the same state."""
        twin = Scaler(0)
        twin._lay_out(self._sums.copy(), self._shift.copy())
        return twin

    def preview(self, x: Floats) -> Floats:
        """Scale rows, each as if it alone came next. The state does not change.

        Parameters
        ----------
        x
            Shape (n, k), float64, NaN where missing.

        Returns
        -------
        Floats
            Same shape. For one row it is the scaler's own buffer: the next call overwrites it.
        """
        # The usual case of an estimator: it needs no new buffers.
        if x.shape[1] == 1:
            return self.next_row.scale(x)
        return NextRow(self._sums[:, :, None], self._shift[:, None], x.shape[1]).scale(x)

    def accept(self) -> None:
        """Add the one row that :meth:`preview` last received."""
        self.next_row.accept()

    def accepted_unit(self) -> tuple[float, float]:
        """Return mean and deviation of the first column, including the row that was last accepted."""
        return self.next_row.unit()

    def grow(self, n: int) -> None:
        """Add columns without any value so far, after the others."""
        sums = np.concatenate([self._sums, np.zeros((3, n))], axis=1)
        self._lay_out(sums, np.concatenate([self._shift, np.full(n, np.nan)]))

    def state_dict(self) -> StateDict:
        """Return copies of the four vectors ``count``, ``shift``, ``total``, ``squares``, each (n,)."""
        count, total, squares = self._sums.copy()
        return StateDict({"count": count, "shift": self._shift.copy(), "total": total, "squares": squares})

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises
        ------
        CheckpointError
            If a vector is missing or has another length.
        """
        for name in _STATE:
            vector = state.arrays.get(name)
            if vector is None or vector.shape != self._shift.shape:
                found = "nothing" if vector is None else f"shape {vector.shape}"
                raise CheckpointError(f"the scaler's {name}: expected shape {self._shift.shape}, found {found}")
            is_possible = np.isfinite(vector) & ((vector >= 0) | (name in {"shift", "total"}))
            is_possible |= np.isnan(vector) & (name == "shift")  # NaN: a column without a value has no first value
            if not is_possible.all():
                raise CheckpointError(f"the scaler's {name} has a value out of range: the checkpoint is invalid")
        sums = np.array([state.arrays[name] for name in ("count", "total", "squares")], np.float64)
        self._lay_out(sums, state.arrays["shift"].astype(np.float64))

    def _choose_shifts(self, x: Floats, present: Mask) -> None:
        """Use the first value of a column as its shift."""
        for i in np.flatnonzero(np.isnan(self._shift)):
            first = np.flatnonzero(present[i])
            if first.size:
                self._shift[i] = x[i].flat[first[0]]


class NextRow:
    """Buffers to scale k rows, each as if it came next.

    Parameters
    ----------
    sums
        View of the scaler's count, total and squares, (3, n, 1).
    shift
        View of its shifts, (n, 1).
    k
        Rows.

    Attributes
    ----------
    sums, shift, after
        The sums and the shifts of the scaler, and the sums with the row, (3, n, k). Code that scales a single row
        without :meth:`scale` writes ``after``, then calls :meth:`scaled_elsewhere`.
    """

    def __init__(self, sums: Floats, shift: Floats, k: int = 1) -> None:
        self.sums, self.shift = sums, shift
        self._added = np.ones((3, len(shift), k))
        _, self._distance, self._squares = self._added
        self._flat = self._distance.ravel()
        self.after = np.empty_like(self._added)
        self._count, self._totals = self.after[0], self.after[1:]
        self._moments = np.empty((2, len(shift), k))
        self._about, self._divisor = self._moments
        self._z = np.empty((len(shift), k))
        self._present: Mask | None = None

    def scale(self, x: Floats) -> Floats:
        """Return z (n, k) of the rows x (n, k)."""
        distance, count = self._distance, self._count
        np.subtract(x, self.shift, distance)
        # The sum of squares is NaN where any value is missing, or is its column's first.
        if not self._flat.dot(self._flat) < np.inf:
            self._present = ~np.isnan(x)
            distance[np.isnan(distance)] = 0  # missing, or the first value, which is its own shift
            self._added[0] = self._present
            self._x = x.copy()
        elif self._present is not None:
            self._added[0] = 1
            self._present = None
        np.multiply(distance, distance, self._squares)
        np.add(self.sums, self._added, self.after)
        if self._present is not None:
            count = np.maximum(count, 1)
        _write_moments(count, self._totals, self._moments)
        _standardise(distance, self._about, self._divisor, self._z)
        if self._present is not None:
            self._z[~self._present] = 0
        return self._z

    def scaled_elsewhere(self) -> None:
        """Note that :attr:`after` holds the sums with a row that has every value, none the first of its column."""
        if self._present is not None:
            self._added[0] = 1
            self._present = None

    def accept(self) -> None:
        """Set the scaler's sums to those with the (one) row."""
        self.sums[:] = self.after
        if self._present is not None:
            # Sums about the first value stay small. Squares of large values would lose digits.
            first = self._present & np.isnan(self.shift)
            self.shift[first] = self._x[first]

    def unit(self) -> tuple[float, float]:
        """Return mean and deviation of the first column, including the row."""
        divisor = float(self._divisor[0, 0])
        return float(self.shift[0, 0] + self._about[0, 0]), divisor if divisor > _LEAST_DIVISOR else 0.0


def _write_moments(count: Floats, totals: Floats, out: Floats) -> Floats:
    """Write mean about the shift and deviation, given the sums (2, …) of ``count`` ≥ 1 values and of their squares."""
    np.divide(totals, count, out)
    about, divisor = out
    np.subtract(divisor, about * about, divisor)
    np.maximum(divisor, _LOWEST_VARIANCE, out=divisor)
    np.sqrt(divisor, divisor)
    return out


def _standardise(distance: Floats, about: Floats, divisor: Floats, out: Floats) -> None:
    """Write (distance - about) / divisor, within ±CLIP. NaN stays NaN."""
    np.subtract(distance, about, out)
    np.divide(out, divisor, out)
    np.minimum(out, _HIGHEST, out=out)
    np.maximum(out, _LOWEST, out=out)


def _sum_rows(x: Floats | Mask, out: Floats) -> None:
    """Sum (n, T, b) over the rows of each minibatch. As b is contiguous, a sum depends on its own rows only."""
    if x.shape[2] == 1:
        out[:] = x[:, :, 0]
    else:
        x.sum(axis=2, dtype=np.float64, out=out)
