"""Curves in the terminal: lines of dots in colours, or marks in plain text. The one module that knows plotille."""

import math
from collections.abc import Mapping, Sequence

import plotille

__all__ = ["draw"]

_COLORS = ("cyan", "yellow", "magenta", "green", "red", "blue", "white")
_MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
_HEIGHT = 16
_MARGIN = 23  # columns that the axes take beside the curves
_NARROWEST = 20


def draw(curves: Mapping[str, Sequence[tuple[int, float | None]]], *, label: str, width: int, is_colored: bool) -> str:
    """Draw curves over rows, with a legend.

    Parameters
    ----------
    curves
        By name: pairs of rows and value; ``None`` where there is no value.
    label
        The name of the values.
    width
        Columns to draw in.
    is_colored
        Whether colours distinguish the lines, for an output that takes them; marks if not.

    Returns
    -------
    str
        Lines of text; empty where there is nothing to draw.
    """
    points = {name: [(x, y) for x, y in curve if y is not None] for name, curve in curves.items()}
    points = {name: curve for name, curve in points.items() if curve}
    if not points:
        return ""
    figure = plotille.Figure()
    figure.width, figure.height = max(_NARROWEST, width - _MARGIN), _HEIGHT
    figure.with_colors, figure.origin = is_colored, False
    figure.x_label, figure.y_label = "rows", label
    figure.register_label_formatter(float, _figure)
    figure.set_x_limits(0, max(x for curve in points.values() for x, _ in curve))
    figure.set_y_limits(*_limits(list(points.values())))
    for i, (name, curve) in enumerate(points.items()):
        color, mark = _COLORS[i % len(_COLORS)], _MARKS[i % len(_MARKS)]
        xs, ys = zip(*curve, strict=True)
        if is_colored:
            figure.plot(xs, ys, lc=color, label=name)
        else:
            figure.scatter(xs, ys, marker=mark, label=name)
    text = str(figure.show(legend=True))
    return "\n".join(line.replace("\N{BRAILLE PATTERN BLANK}", " ").rstrip() for line in text.splitlines())


def _limits(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[float, float]:
    """Return bounds that show all values but the extremes of the first fifth."""
    settled = [y for curve in curves for _, y in curve[len(curve) // 5 :]]
    low, high = min(settled), max(settled)
    room = (high - low) / 20 or abs(high) / 20 or 1.0
    return low - room, high + room


def _figure(value: float, chars: int, delta: float, left: bool = False) -> str:
    """Format a figure of an axis in `chars` columns, with the digits of a hundredth of the axis."""
    text = f"{value:,.{max(0, 2 - math.floor(math.log10(delta)))}f}"
    text = text if len(text) <= chars else f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)
