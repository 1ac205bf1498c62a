"""Finds vanishing and exploding gradients in the history of a run."""

import math
from dataclasses import dataclass

import numpy as np

from stream_bp._arrays import Floats, Mask
from stream_bp.report.run import Record

__all__ = ["GROWTH", "UNEVEN", "Finding", "watch"]

UNEVEN = 1000.0
"""The ratio of δ in the first and the last layer at which a gradient explodes; its inverse, at which it vanishes.

Each layer multiplies δ by its weights and by a slope. float32 has enough digits for a factor of a thousand. But a layer
with a thousandth of the signal hardly learns at a learning rate that suits the others.
"""

GROWTH = 100.0
"""The ratio of a layer's gradient to its geometric mean so far at which it explodes."""

_SETTLED = 5  # history lines; the mean of fewer is too uncertain

_VANISHING = (
    "The gradient vanishes: δ of the first layer is less than a thousandth of that of the last, so its weights hardly "
    "change. Try fewer layers, relu instead of sigmoid or tanh, or a larger learning rate."
)
_EXPLODING = (
    "The gradient explodes: δ of the first layer is more than a thousand times that of the last. Try a smaller "
    "learning rate or --clip-norm."
)
_GROWING = (
    "The gradient of layer {layer} explodes: it is more than a hundred times its earlier mean. Check the loss there. "
    "Try a smaller learning rate, --clip-norm or --scale-features."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A vanishing or exploding gradient.

    Attributes
    ----------
    figure
        The figure that shows it: ``delta`` or ``gradient``.
    rows
        The row counts of its history lines, shape (n,).
    text
        What it is, where it was found, and what to try.
    """

    figure: str
    rows: Floats
    text: str


def watch(record: Record) -> list[Finding]:
    """Find vanishing and exploding gradients.

    Notes
    -----
    In a network of one layer δ cannot vanish. The thresholds are :data:`UNEVEN` and :data:`GROWTH`.
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
    """Return where a size is more than GROWTH times the geometric mean of the sizes before."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.nan_to_num(np.log(sizes), nan=0.0, neginf=0.0, posinf=700.0)
        before = np.cumsum(logs) - logs
        mean = before / np.maximum(np.arange(len(sizes)), 1)
    is_grown: Mask = (np.arange(len(sizes)) >= _SETTLED) & (logs - mean > math.log(GROWTH)) & (sizes > 0)
    return is_grown


def _told_where(rows: Floats, where: Mask) -> str:
    found = rows[where]
    if where[-1]:
        return f"First seen at row {found[0]:,.0f}; still so at the newest line."
    return f"Seen from row {found[0]:,.0f} to row {found[-1]:,.0f}; no longer so at the newest line."
