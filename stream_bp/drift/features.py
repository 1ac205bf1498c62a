r"""Whether a feature is distributed in another way than before.

It is watched by its moments, which the scaling has anyway. At the end of each window of rows (1,000 at first, then 10 %
of all, at most a million) it is compared with the windows before, each of which counts 0.9 times as much as the next.
The figure is the population stability index

.. math:: \sum_k (p_k - q_k) \ln (p_k / q_k)

over the categories of a column and its gaps. For numbers it is taken between the normal distributions of their means
and variances, :math:`\frac12 [(v + d^2)/w + (w + d^2)/v] - 1`, and over gap or none. What chance alone lets expect is
taken off. A feature has drifted at 0.25 (where its mean moved by half a deviation), and has settled under 0.1. One that
has drifted for ten windows is compared with what it is by then.

All of it is a function of the rows alone, and in the checkpoint.
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
"""Population stability index from which a feature has drifted, and under which it has settled again."""

_KEEP = 0.9  # what a window leaves of those before it
_LARGEST = 10.0
_FEW = 100  # values of a window that say nothing
_USED_TO = 10  # windows after which what has drifted is as usual
_MOST = 1e300  # of sums of squares of values up to 1e100


def next_mark(rows: int) -> int:
    """Return after how many rows the next window ends: 1000 apart at first, then 10 %, at most a million."""
    return rows + min(max(1_000, rows // 10), 1_000_000)


class FeatureDrift:
    """Watches how each feature is distributed, window after window.

    Parameters
    ----------
    numbers, categorical
        Names of the numbers, and of the columns of categories.

    Attributes
    ----------
    mark
        After how many rows the present window ends.
    psi
        The population stability index of each feature in the last window; none before the second one.
    drifted
        Since which row each feature that has drifted did.
    """

    def __init__(self, numbers: Sequence[str], categorical: Sequence[str]) -> None:
        self._numbers, self._categorical = list(numbers), list(categorical)
        self.mark = next_mark(0)
        self.psi: dict[str, float] = {}
        self.drifted: dict[str, int] = {}
        self._begun = 0
        self._stays: dict[str, int] = {}
        # Rows of the windows before, for each number: one that came later has fewer.
        self._n_rows: Floats = np.zeros(len(numbers))
        self._sums: Floats = np.zeros((3, len(numbers)))
        self._reference: Floats = np.zeros((3, len(numbers)))
        self._counts: list[Floats] = [np.zeros(0) for _ in categorical]
        self._references: list[Floats] = [np.zeros(0) for _ in categorical]

    def grow(self, numbers: Sequence[str], categorical: Sequence[str]) -> None:
        """Watch the features, too, that were added behind the others; these are all names."""
        n_new = len(numbers) - len(self._numbers)
        self._sums, self._reference = (
            np.concatenate([sums, np.zeros((3, n_new))], axis=1) for sums in (self._sums, self._reference)
        )
        self._n_rows = np.concatenate([self._n_rows, np.zeros(n_new)])
        for kept in (self._counts, self._references):
            kept += [np.zeros(0) for _ in categorical[len(kept) :]]
        self._numbers, self._categorical = list(numbers), list(categorical)

    def count(self, categories: Sequence[Ints]) -> None:
        """Take in the codes of rows that were learned: for each column of categories (n,), below 0 where there is none.

        They are only counted: how they are cut means nothing.
        """
        for column, codes in enumerate(categories):
            counted = np.bincount(np.maximum(codes, -1) + 1)
            self._counts[column] = _added(self._counts[column], counted)

    def look(self, rows: int, moments: Moments | None, border: int) -> tuple[list[str], list[str]]:
        """End a window.

        Parameters
        ----------
        rows
            How many were learned.
        moments, border
            Those of the numbers, and which of their borders is here; ``None`` where they are not scaled.

        Returns
        -------
        drifted, settled : list[str]
            Names of the features that have drifted since the window before, the furthest first, and of those that have
            settled again.
        """
        n_rows = float(rows - self._begun)
        counts, self._counts = self._counts, [np.zeros(0) for _ in self._counts]
        sums = moments.sums[:, :, border] if moments is not None else self._sums
        window, self._sums = sums - self._sums, sums.copy()
        if self._begun:
            self.psi = {}
            if moments is not None:
                with np.errstate(all="ignore"):
                    psi = _psi_of_numbers(window, n_rows, self._reference, self._n_rows)
                self.psi.update(zip(self._numbers, psi.tolist(), strict=True))
            for name, now, before in zip(self._categorical, counts, self._references, strict=True):
                self.psi[name] = float(_psi_of_counts(now, before))
        # Older windows fade, so that slow change becomes the usual.
        self._reference = _KEEP * self._reference + window
        self._references = [_added(_KEEP * old, new) for old, new in zip(self._references, counts, strict=True)]
        self._n_rows = _KEEP * self._n_rows + n_rows
        self._begun, self.mark = rows, next_mark(rows)
        # Two thresholds: a feature near one of them would drift and settle by turns.
        settled = [name for name in self.drifted if self.psi.get(name, 0.0) < SETTLED]
        drifted = [name for name in self.furthest(DRIFTED) if name not in self.drifted]
        for name in settled:
            del self.drifted[name], self._stays[name]
        self.drifted.update(dict.fromkeys(drifted, rows))
        self._get_used(window, n_rows, counts)
        return drifted, settled

    def _get_used(self, window: Floats, n_rows: float, counts: Sequence[Floats]) -> None:
        """Let a feature that has drifted for long be compared with what it is now.

        One wild value makes a variance that nothing is far from for hundreds of windows.
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
        """Return the features that moved by so much or more in the last window, the furthest first."""
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
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is none that a job comes to, or of other columns.
        """
        arrays, rest = state.arrays, state.values
        for name, array in self.state_dict().arrays.items():
            found = arrays[name]
            is_long = name.startswith(("counts", "references"))  # as many categories as there were
            if found.dtype != np.float64 or (found.ndim != 1 if is_long else found.shape != array.shape):
                raise CheckpointError(f"what watches the features has a {name} of shape {found.shape}")
            least = found[[0, 2]] if name in {"sums", "reference"} else found  # a total may be below 0
            if not (np.abs(found) < _MOST).all() or (least < 0).any():
                raise CheckpointError(f"what watches the features has a {name} that no job saves")
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
            raise CheckpointError("what watches the features tells of other features, or of impossible figures")


def _checked(value: Any) -> int:
    """Return a count of a state; a CheckpointError if it is none."""
    count = operator.index(value)
    if not 0 <= count < 2**63:
        raise CheckpointError("what watches for drift has a count that no job comes to")
    return count


def _added(one: Floats, other: Floats | Ints) -> Floats:
    """Return the sum of two vectors of counts, as long as the longer one."""
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def _psi_of_numbers(window: Floats, n_rows: float, reference: Floats, n_before: Floats) -> Floats:
    """Return for each number how far it moved, given count, total and squares (3, n) of a window and of those before.

    The shares of what is missing are of all rows.
    """
    sums = np.stack([window, reference])  # (2, 3, n): few numbers, so what counts is how often NumPy is called
    counts = sums[:, 0]
    means, squares = (sums[:, 1:] / np.maximum(counts, 1)[:, None]).swapaxes(0, 1)
    variances = np.maximum(squares - means * means, 0)
    distance = (means[0] - means[1]) ** 2
    # A constant has no deviation to measure by: a hundredth of what both have together is the least.
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
    """Return how far frequencies moved, given counts (k, …) of both; more than chance alone lets expect."""
    k = max(len(now), len(before))
    if not k:
        return np.zeros(1)[0]
    p, q = (np.zeros((k, *now.shape[1:])) for _ in range(2))
    p[: len(now)], q[: len(before)] = now, before
    n, m = np.maximum(p.sum(axis=0), 1), np.maximum(q.sum(axis=0), 1)
    n_met = ((p > 0) | (q > 0)).sum(axis=0)
    p, q = (p + 0.5) / (n + 0.5 * k), (q + 0.5) / (m + 0.5 * k)
    psi = ((p - q) * np.log(p / q)).sum(axis=0) - np.maximum(n_met - 1, 0) * (1 / n + 1 / m)
    is_known = (n >= _FEW) & (m >= _FEW)
    return np.where(is_known, np.clip(psi, 0, _LARGEST), 0)
