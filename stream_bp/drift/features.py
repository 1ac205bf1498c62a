r"""Detect drift in the distribution of each feature.

The moments that scaling needs also show drift. Windows have 1,000 rows at first, then 10 % of all rows, at most a
million. At its end a window is compared with the earlier ones, each of which counts 0.9 times as much as the next. The
figure is the population stability index

.. math:: \sum_k (p_k - q_k) \ln (p_k / q_k)

over the categories of a column and its gaps. For numbers it is taken between the normal distributions of their means
and variances, :math:`\frac12 [(v + d^2)/w + (w + d^2)/v] - 1`, and over gap or no gap. The value expected by chance is
subtracted. A feature has drifted at 0.25, where its mean has moved by half a deviation. It has settled below 0.1. After
ten windows, a drifted feature is compared with its present distribution.

All state is a function of the rows alone, and is in the checkpoint.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_bp._arrays import Floats, Ints
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError
from stream_bp.nn.scaler import Moments

__all__ = ["DRIFTED", "SETTLED", "FeatureDrift", "next_mark"]

DRIFTED, SETTLED = 0.25, 0.1
"""Population stability index at which a feature has drifted, and below which it has settled."""

_KEEP = 0.9  # weight of the earlier windows when a new one is added
_LARGEST = 10.0
_FEW = 100  # values: a window with fewer gives no figure
_USED_TO = 10  # windows after which a drifted distribution is the usual one
_MOST = 1e300  # sums of squares stay below it, as values are at most 1e100


def next_mark(rows: int) -> int:
    """Return after how many rows the next window ends: 1000 apart at first, then 10 %, at most a million."""
    return rows + min(max(1_000, rows // 10), 1_000_000)


class FeatureDrift:
    """Watch the distribution of each feature, window after window.

    Parameters
    ----------
    numbers, categorical
        Names of the numbers, and of the columns of categories.

    Attributes
    ----------
    mark
        Number of rows at which the present window ends.
    psi
        Population stability index of each feature in the last window. It is empty before the second window.
    drifted
        For each drifted feature, the row of its drift.
    """

    def __init__(self, numbers: Sequence[str], categorical: Sequence[str]) -> None:
        self._numbers, self._categorical = list(numbers), list(categorical)
        self.mark = next_mark(0)
        self.psi: dict[str, float] = {}
        self.drifted: dict[str, int] = {}
        self._begun = 0
        self._stays: dict[str, int] = {}
        # Rows of the earlier windows, for each number: a later feature has fewer.
        self._n_rows: Floats = np.zeros(len(numbers))
        self._sums: Floats = np.zeros((3, len(numbers)))
        self._reference: Floats = np.zeros((3, len(numbers)))
        self._counts: list[Floats] = [np.zeros(0) for _ in categorical]
        self._references: list[Floats] = [np.zeros(0) for _ in categorical]

    def grow(self, numbers: Sequence[str], categorical: Sequence[str]) -> None:
        """Watch the features that were added after the others, too. The arguments have all names."""
        n_new = len(numbers) - len(self._numbers)
        self._sums, self._reference = (
            np.concatenate([sums, np.zeros((3, n_new))], axis=1) for sums in (self._sums, self._reference)
        )
        self._n_rows = np.concatenate([self._n_rows, np.zeros(n_new)])
        for kept in (self._counts, self._references):
            kept += [np.zeros(0) for _ in categorical[len(kept) :]]
        self._numbers, self._categorical = list(numbers), list(categorical)

    def count(self, categories: Sequence[Ints]) -> None:
        """Count the codes of learned rows: for each column of categories (n,), below 0 where there is none.

        Only the counts matter, not the grouping into calls.
        """
        for column, codes in enumerate(categories):
            counted = np.bincount(np.maximum(codes, -1) + 1)
            self._counts[column] = _added(self._counts[column], counted)

    def look(self, rows: int, moments: Moments | None, boundary: int) -> tuple[list[str], list[str]]:
        """End a window.

        Parameters
        ----------
        rows
            Number of rows learned.
        moments, boundary
            Moments of the numbers, and the index of the present boundary. ``None`` where numbers are not scaled.

        Returns
        -------
        drifted, settled : list[str]
            Names of the features that have newly drifted, the largest index first, and of those that have settled
            again.
        """
        n_rows = float(rows - self._begun)
        counts, self._counts = self._counts, [np.zeros(0) for _ in self._counts]
        sums = moments.sums[:, :, boundary] if moments is not None else self._sums
        window, self._sums = sums - self._sums, sums.copy()
        if self._begun:
            self.psi = {}
            if moments is not None:
                with np.errstate(all="ignore"):
                    psi = _psi_of_numbers(window, n_rows, self._reference, self._n_rows)
                self.psi.update(zip(self._numbers, psi.tolist(), strict=True))
            for name, now, before in zip(self._categorical, counts, self._references, strict=True):
                self.psi[name] = float(_psi_of_counts(now, before))
        # Older windows fade, so the reference follows a slow change.
        self._reference = _KEEP * self._reference + window
        self._references = [_added(_KEEP * old, new) for old, new in zip(self._references, counts, strict=True)]
        self._n_rows = _KEEP * self._n_rows + n_rows
        self._begun, self.mark = rows, next_mark(rows)
        # Two thresholds: with one, a feature near it would drift and settle in turn.
        settled = [name for name in self.drifted if self.psi.get(name, 0.0) < SETTLED]
        drifted = [name for name in self.furthest(DRIFTED) if name not in self.drifted]
        for name in settled:
            del self.drifted[name], self._stays[name]
        self.drifted.update(dict.fromkeys(drifted, rows))
        self._get_used(window, n_rows, counts)
        return drifted, settled

    def _get_used(self, window: Floats, n_rows: float, counts: Sequence[Floats]) -> None:
        """Compare a feature that has drifted for long with its present distribution from now on.

        One extreme value makes a large variance. Without this, no later drift would show for hundreds of windows.
        """
        for name in self.drifted:
            self._stays[name] = self._stays.get(name, 0) + 1
            if self._stays[name] % _USED_TO:
                continue
            if name in self._categorical:
                column = self._categorical.index(name)
                self._references[column] = counts[column].copy()
            else:
                column = self._numbers.index(name)
                self._reference[:, column], self._n_rows[column] = window[:, column], n_rows

    def furthest(self, least: float) -> list[str]:
        """Return the features whose index was at least ``least`` in the last window, the largest first."""
        return sorted((name for name, psi in self.psi.items() if psi >= least), key=lambda name: -self.psi[name])

    def state_dict(self) -> StateDict:
        """Return everything that later findings depend on."""
        arrays: dict[str, NDArray[Any]] = {
            "sums": self._sums.copy(),
            "reference": self._reference.copy(),
            "rows": self._n_rows.copy(),
        }
        for column, (now, before) in enumerate(zip(self._counts, self._references, strict=True)):
            arrays[f"counts.{column}"], arrays[f"references.{column}"] = now.copy(), before.copy()
        drifted = [[name, row, self._stays[name]] for name, row in self.drifted.items()]
        return StateDict(arrays, {"begun": self._begun, "psi": [*map(list, self.psi.items())], "drifted": drifted})

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises
        ------
        CheckpointError
            If no job can have this state, or it is of other columns.
        """
        arrays, rest = state.arrays, state.values
        for name, array in self.state_dict().arrays.items():
            found = arrays[name]
            is_long = name.startswith(("counts", "references"))  # one entry for each category so far
            if found.dtype != np.float64 or (found.ndim != 1 if is_long else found.shape != array.shape):
                raise CheckpointError(f"the state of the feature drift has {name} of wrong shape {found.shape}")
            least = found[[0, 2]] if name in {"sums", "reference"} else found  # a total may be below 0
            if not (np.abs(found) < _MOST).all() or (least < 0).any():
                raise CheckpointError(f"the state of the feature drift has a value out of range in {name}")
        self._sums, self._reference = arrays["sums"].copy(), arrays["reference"].copy()
        self._n_rows = arrays["rows"].copy()
        for column in range(len(self._categorical)):
            self._counts[column] = arrays[f"counts.{column}"].copy()
            self._references[column] = arrays[f"references.{column}"].copy()
        self._begun = _checked(rest["begun"])
        self.mark = next_mark(self._begun)
        self.psi = {str(name): float(psi) for name, psi in rest["psi"]}
        self.drifted = {str(name): _checked(row) for name, row, _ in rest["drifted"]}
        self._stays = {str(name): _checked(n) for name, _, n in rest["drifted"]}
        names = {*self._numbers, *self._categorical}
        if not {*self.psi, *self.drifted} <= names or not all(0 <= psi <= _LARGEST for psi in self.psi.values()):
            raise CheckpointError("the state of the feature drift names other features, or has an index out of range")


def _checked(value: Any) -> int:
    """Return a count of a state. Raise a CheckpointError if it is out of range."""
    count = operator.index(value)
    if not 0 <= count < 2**63:
        raise CheckpointError(f"the state of the drift has a count out of range: {count}")
    return count


def _added(one: Floats, other: Floats | Ints) -> Floats:
    """Return the sum of two vectors of counts, as long as the longer one."""
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def _psi_of_numbers(window: Floats, n_rows: float, reference: Floats, n_before: Floats) -> Floats:
    """Return the index of each number, given count, total and squares (3, n) of a window and of the earlier ones.

    The shares of missing values are of all rows.
    """
    sums = np.stack([window, reference])  # (2, 3, n): stacked, because with few numbers the NumPy calls are the cost
    counts = sums[:, 0]
    means, squares = (sums[:, 1:] / np.maximum(counts, 1)[:, None]).swapaxes(0, 1)
    variances = np.maximum(squares - means * means, 0)
    distance = (means[0] - means[1]) ** 2
    # A constant has no deviation to divide by: a hundredth of the joint variance is added.
    least = 0.005 * (variances.sum(axis=0) + distance / 2)
    v, w = variances + least
    psi = ((v + distance) / w + (w + distance) / v) / 2 - 1 - 2 * (1 / counts).sum(axis=0)
    psi[(counts < _FEW).any(axis=0) | (least == 0)] = 0
    psi = np.maximum(psi, 0)
    gaps = np.stack([np.full_like(n_before, n_rows), n_before]) - counts
    if (gaps > 0.5).any():
        psi += _psi_of_counts(np.stack([counts[0], gaps[0]]), np.stack([counts[1], gaps[1]]))
    bounded: Floats = np.minimum(psi, _LARGEST)
    return bounded


def _psi_of_counts(now: Floats, before: Floats) -> Any:
    """Return the index between two frequencies, given counts (k, …) of both, minus what chance alone explains."""
    k = max(len(now), len(before))
    if not k:
        return np.zeros(1)[0]
    p, q = (np.zeros((k, *now.shape[1:])) for _ in range(2))
    p[: len(now)], q[: len(before)] = now, before
    n, m = np.maximum(p.sum(axis=0), 1), np.maximum(q.sum(axis=0), 1)
    n_met = ((p > 0) | (q > 0)).sum(axis=0)
    # Half a row is added to each category: the logarithm of an empty one would be infinite.
    p, q = (p + 0.5) / (n + 0.5 * k), (q + 0.5) / (m + 0.5 * k)
    psi = ((p - q) * np.log(p / q)).sum(axis=0) - np.maximum(n_met - 1, 0) * (1 / n + 1 / m)
    is_known = (n >= _FEW) & (m >= _FEW)
    return np.where(is_known, np.clip(psi, 0, _LARGEST), 0)
