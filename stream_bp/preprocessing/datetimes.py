"""Convert moments to numbers, as :data:`~stream_bp.preprocessing.schema.PARTS` describes."""

import numpy as np

from stream_bp._arrays import Floats, Ints

__all__ = ["parts_of"]

_DAY_US = 86_400_000_000
_EPOCH_WEEKDAY = 3  # days from a Monday to the first of January 1970
_YEAR_DAYS = 365.2425
_TURN = 2 * np.pi


def parts_of(kind: str, moments: Ints) -> Floats:
    """Return the parts of moments.

    Parameters
    ----------
    kind
        ``timestamp``, ``date`` or ``time``.
    moments
        Microseconds since 1970 began, or since the day began, shape (n,), int64.

    Returns
    -------
    Floats
        Shape (n_parts, n), float64.

    Examples
    --------
    >>> noon_of_a_monday = np.array([4 * _DAY_US + _DAY_US // 2])
    >>> parts_of("timestamp", noon_of_a_monday)[[0, 6], 0].round(3).tolist()
    [4.5, -1.0]
    """
    whole, rest = np.divmod(moments, _DAY_US)
    of_day = _circle(rest / _DAY_US)
    if kind == "time":
        return np.array(of_day)
    days = whole + rest / _DAY_US
    cycles = [days, *_circle(days % _YEAR_DAYS / _YEAR_DAYS), *_circle((days + _EPOCH_WEEKDAY) % 7 / 7)]
    return np.array(cycles if kind == "date" else [*cycles, *of_day])


def _circle(turns: Floats) -> tuple[Floats, Floats]:
    return np.sin(_TURN * turns), np.cos(_TURN * turns)
