"""Detect an increase of the prequential error.

A detector of River (https://riverml.xyz) watches the error. A call for every row would take longer than learning it. So
it gets the sum of the errors of ``span`` rows. ADWIN's bound has two parts: one falls with the variance, the other with
the number of values. So its findings for such sums are those for the rows.

A detector is a function of the values since it started. These values are kept, so a checkpoint needs nothing from
inside it. At :data:`MOST_VALUES` values, pairs are added up and ``span`` doubles. The error of a class is 0 or 1. That
of a value is :math:`e / (e + s)`, with :math:`s` its mean over the first rows. A decrease only restarts the detector.

All state is a function of the errors alone, and is in the checkpoint.
"""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_bp._arrays import Floats
from stream_bp._state import StateDict
from stream_bp.drift.detectors import DETECTORS, Detector
from stream_bp.errors import CheckpointError

__all__ = ["MOST_VALUES", "ErrorDrift"]

MOST_VALUES = 2048
"""Largest number of sums that are kept for a detector."""

_LEAST_SPAN, _MOST_SPAN = 32, 1024
_GROUP = 32  # values in one call of the detector


class ErrorDrift:
    """Watch the errors of rows, each scored before it was learned.

    Parameters
    ----------
    detector
        One of :data:`DETECTORS`.
    is_bounded
        Whether errors are between 0 and 1 without scaling.

    Attributes
    ----------
    count
        Number of increases found.
    last_row
        Number of rows up to the last increase, or ``None``.

    Examples
    --------
    >>> watch = ErrorDrift("adwin", is_bounded=True)
    >>> watch.update(np.repeat([0.0, 1.0], [4000, 2000]), first_row=0)
    [(4096, 0.0, 0.09375)]
    """

    def __init__(self, detector: str, *, is_bounded: bool) -> None:
        self._make, self._is_bounded = DETECTORS[detector], is_bounded
        self.count = 0
        self.last_row: int | None = None
        self._begin()

    def _begin(self) -> None:
        """Start watching from here."""
        self._span = _LEAST_SPAN
        self._values: list[float] = []
        self._pending: Floats = np.empty(0)
        self._scale = 0.0 if self._is_bounded else None
        self._detector: Detector | None = None

    def update(self, errors: Floats, first_row: int) -> list[tuple[int, float, float]]:
        """Add the errors of rows.

        Parameters
        ----------
        errors
            Shape (n,), float64, at least 0, and NaN where a row was not scored.
        first_row
            Number of rows before them.

        Returns
        -------
        list[tuple[int, float, float]]
            One entry for each increase: the number of rows so far, the mean error before, and the recent one.
        """
        n_before, scored = len(self._pending), None
        if math.isnan(errors.sum()):
            scored = np.flatnonzero(~np.isnan(errors))
            errors = errors[scored]
        fresh = np.concatenate([self._pending, errors]) if n_before else errors
        grown, used = [], 0
        while n_values := self._values_due(len(fresh) - used):
            complete, used = fresh[used : used + n_values * self._span], used + n_values * self._span
            found = self._take(complete)
            if found is not None:
                self.count += 1
                last = used - 1 - n_before
                self.last_row = first_row + 1 + (last if scored is None else int(scored[last]))
                grown.append((self.last_row, *found))
        self._pending = fresh[used:].copy()
        return grown

    def _values_due(self, n_rows: int) -> int:
        """Return how many values of these rows to add at once: at most those that the group lacks."""
        n_values, n_lacking = n_rows // self._span, self._values_lacking()
        is_too_soon = self._scale is None and n_values < n_lacking  # the scale needs the whole first group
        return 0 if is_too_soon else min(n_values, n_lacking)

    def _values_lacking(self) -> int:
        return _GROUP - len(self._values) % _GROUP

    @property
    def rows_left(self) -> int:
        """Rows, all of them scored, up to the next call of the detector."""
        return self._values_lacking() * self._span - len(self._pending)

    def _take(self, errors: Floats) -> tuple[float, float] | None:
        """Add the values of rows. If the error increased, return its mean before and in the last group."""
        if self._scale is None:
            self._scale = float(errors.mean()) or 1.0
        # ADWIN's bound holds for values between 0 and 1.
        bounded = errors if self._is_bounded else errors / (errors + self._scale)
        self._values += bounded.reshape(-1, self._span).sum(axis=1).tolist()
        if len(self._values) % _GROUP:
            return None
        before, group = self._values[:-_GROUP], self._values[-_GROUP:]
        # After a resume, or when the span has doubled, a new detector gets the values that it would have had.
        if self._detector is None:
            self._detector = self._make(self._span)
            self._detector.feed(before)
        if not self._detector.feed(group):
            if len(self._values) >= MOST_VALUES:
                self._condense()
            return None
        means = [math.fsum(part) / (len(part) * self._span) if part else 0.0 for part in (before, group)]
        scale = self._scale
        self._begin()
        # A decrease of the error needs no reaction, but the detector restarts.
        if means[1] <= means[0]:
            return None
        was, now = means if self._is_bounded else [scale * mean / max(1 - mean, 1e-9) for mean in means]
        return was, now

    def _condense(self) -> None:
        """Keep half of the values: sums of pairs, or the later half if a value already covers the most rows."""
        values = self._values
        if self._span < _MOST_SPAN:
            self._span *= 2
            self._values = [one + other for one, other in zip(values[::2], values[1::2], strict=True)]
        else:
            self._values = values[len(values) // 2 :]
        self._detector = None

    def state_dict(self) -> StateDict:
        """Return everything that later findings depend on."""
        arrays: dict[str, NDArray[Any]] = {
            "values": np.array(self._values, np.float64),
            "pending": self._pending.copy(),
        }
        rest: dict[str, Any] = {
            "span": self._span,
            "scale": self._scale,
            "count": self.count,
            "last_row": self.last_row,
        }
        return StateDict(arrays, rest)

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises
        ------
        CheckpointError
            If no job can have this state.
        """
        arrays, rest = state.arrays, state.values
        values, pending, span = arrays["values"], arrays["pending"], int(rest["span"])
        is_span = _LEAST_SPAN <= span <= _MOST_SPAN and span & (span - 1) == 0
        fits = is_span and len(values) < MOST_VALUES and len(pending) < (_GROUP - len(values) % _GROUP) * span
        for array in (values, pending):
            if not fits or array.dtype != np.float64 or array.ndim != 1 or not ((array >= 0) & (array < np.inf)).all():
                raise CheckpointError("the state of the error drift has an array out of range")
        scale, last_row = rest["scale"], rest["last_row"]
        if len(values) if scale is None else not 0 <= float(scale) < math.inf:
            raise CheckpointError(f"the state of the error drift has no valid scale: found {scale!r}")
        count = operator.index(rest["count"])
        is_row = last_row is None or 0 <= operator.index(last_row) < 2**63
        if (
            not 0 <= count < 2**63
            or not is_row
            or (self._is_bounded and ((values > span).any() or (pending > 1).any()))
        ):
            raise CheckpointError("the state of the error drift has a count, a row or an error out of range")
        self._span, self._scale = span, None if scale is None else float(scale)
        self._values, self._pending, self._detector = values.tolist(), pending.copy(), None
        self.count, self.last_row = count, last_row
