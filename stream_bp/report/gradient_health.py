"""Gradients that vanish or explode, found in the history of a run and told in plain words."""

import math
from dataclasses import dataclass

import numpy as np

from stream_bp._arrays import Floats, Mask
from stream_bp.report.run import Record

__all__ = ["GROWTH", "UNEVEN", "Finding", "watch"]

UNEVEN = 1000.0
"""δ of the first layer over that of the last, or the other way round, from which on gradients vanish, or explode.

Each layer passes δ on multiplied by its weights and by a slope. Three powers of ten leave float32 its digits, but a
layer that gets a thousandth of the signal learns next to nothing at a learning rate that suits the others.
"""

GROWTH = 100.0
"""A layer's gradient over its own (geometric) mean so far, from which on it explodes."""

_SETTLED = 5  # lines of the history before growth means something

_VANISHING = (
    "The gradient vanishes: of δ, by which each layer is corrected, less than a thousandth of what the last layer has "
    "reaches the first, so its weights hardly move. Fewer layers, relu in place of sigmoid or tanh, or a larger "
    "learning rate may help."
)
_EXPLODING = (
    "The gradient explodes on its way back: δ of the first layer is more than a thousand times that of the last. A "
    "smaller learning rate or --clip-norm may help."
)
_GROWING = (
    "The gradient of layer {layer} explodes: it is more than a hundred times what it was on the average before. Look "
    "at the loss there; a smaller learning rate, --clip-norm, or --scale-features may help."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A gradient that vanishes or explodes.

    Attributes
    ----------
    figure
        ``delta`` or ``gradient``: in which it shows.
    rows
        At which lines of the history, shape (n,).
    text
        What it is, since when, and what may help.
    """

    figure: str
    rows: Floats
    text: str


def watch(record: Record) -> list[Finding]:
    """Look for gradients that vanish or explode.

    Notes
    -----
    A network of one layer can do neither on its way back. The thresholds are :data:`UNEVEN` and :data:`GROWTH`.
    """
    history, rows = record.history, record.history.numbers("rows")
    deltas = [name for name in history.columns if name.startswith("delta_rms_")]
    findings = []
    if len(deltas) > 1:
        first, last = history.numbers(deltas[0]), history.numbers(deltas[-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = first / last
        findings += [("delta", ratio < 1 / UNEVEN, _VANISHING), ("delta", ratio > UNEVEN, _EXPLODING)]
    for name in [name for name in history.columns if name.startswith("gradient_rms_")]:
        text = _GROWING.format(layer=name.rpartition("_")[2])
        findings.append(("gradient", _is_grown(history.numbers(name)), text))
    return [
        Finding(figure, rows[where], f"{text} {_told_where(rows, where)}")
        for figure, where, text in findings
        if where.any()
    ]


def _is_grown(sizes: Floats) -> Mask:
    """Tell where a size is more than GROWTH times the geometric mean of those before."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.nan_to_num(np.log(sizes), nan=0.0, neginf=0.0, posinf=700.0)
        before = np.cumsum(logs) - logs
        mean = before / np.maximum(np.arange(len(sizes)), 1)
    is_grown: Mask = (np.arange(len(sizes)) >= _SETTLED) & (logs - mean > math.log(GROWTH)) & (sizes > 0)
    return is_grown


def _told_where(rows: Floats, where: Mask) -> str:
    found = rows[where]
    if where[-1]:
        return f"It does so at the newest line, and first did after {found[0]:,.0f} rows."
    return f"It did so between {found[0]:,.0f} and {found[-1]:,.0f} rows, and no longer does."
