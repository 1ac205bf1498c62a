"""The parts of figures: curves, marks, colours, and text that plotly does not interpret.

A curve over the stream has no x values. It names an axis, and the page fills in the rows or the times of that axis. So
the page holds both only once, and one switch changes all figures.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from stream_bp._arrays import Floats
from stream_bp.monitoring.formatting import show

__all__ = [
    "BLUE",
    "BROWN",
    "DASHES",
    "GREEN",
    "GREY",
    "INKS",
    "ORANGE",
    "PURPLE",
    "RED",
    "TEAL",
    "TELLING",
    "Axis",
    "Curves",
    "Plot",
    "labels",
    "library",
    "marks",
    "plain",
    "scale",
]

# Each has a contrast of at least 3 to both backgrounds, the light one and the dark one.
BLUE, ORANGE, GREEN, PURPLE, RED, TEAL, BROWN, GREY = INKS = (
    "#2f7fd1",
    "#c4690f",
    "#23885c",
    "#9862c9",
    "#d34a5e",
    "#1b8a93",
    "#94703f",
    "#7b8190",
)

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

_FEW_POWERS = 300  # ratio of the largest value to the least
_LONGEST_LABEL = 14

TELLING = 9  # rows in the table of a figure


@dataclass(frozen=True, slots=True)
class Axis:
    """The places of points along the stream.

    Attributes
    ----------
    rows
        Row counts, shape (n,).
    time
        Times in ms since 1970, shape (n,); NaN where unknown. In a comparison: since the start of each run.
    """

    rows: Floats
    time: Floats


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure and its texts.

    Attributes
    ----------
    id, title, sentence
        Its identifier, its title, and a sentence that explains it.
    figure
        The JSON of plotly. Curves over the stream have the name of an axis instead of x values.
    group
        Its section of the page.
    axis
        ``both`` for a figure over the stream, by rows or by time; otherwise ``time`` or ``own``.
    warnings
        Problems that it shows.
    header, rows
        Some of its values as a table, for readers who cannot see it.
    is_wide
        Whether it has the full width.
    """

    id: str
    title: str
    sentence: str
    figure: go.Figure
    group: str
    axis: str = "both"
    warnings: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    is_wide: bool = False


@dataclass(slots=True)
class Curves:
    """Curves over one axis, which make a figure and its table."""

    axis: str
    x: Floats
    names: list[str] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    traces: list[go.Scatter] = field(default_factory=list)

    def add(self, name: str, values: Floats, ink: str, *, dash: str = "solid", width: float = 2.0, **more: Any) -> None:
        """Add a curve. A curve without numbers is left out."""
        if np.isnan(values).all():
            return
        self.names.append(name)
        self.values.append(values)
        is_alone = len(values) == 1
        more = {"mode": "lines+markers" if is_alone else "lines", **more}
        line = {"color": ink, "dash": dash, "width": width}
        self.traces.append(
            go.Scatter(y=values.astype(np.float32), name=plain(name), line=line, meta={"axis": self.axis}, **more)
        )

    def table(self) -> tuple[tuple[str, ...], ...]:
        """Return some evenly spaced points, with the last one."""
        n = len(self.x)
        places = sorted({round(place) for place in np.linspace(0, n - 1, min(n, TELLING))}) if n else []
        return tuple((f"{self.x[at]:,.0f}", *(show(_or_none(values[at])) for values in self.values)) for at in places)

    def plot(self, id: str, title: str, sentence: str, group: str, y: Mapping[str, Any], **more: Any) -> Plot:  # noqa: A002
        """Return the figure."""
        extra = more.pop("extra", [])
        figure = go.Figure([*self.traces, *extra], go.Layout(template="none", yaxis=dict(y)))
        header = ("rows", *self.names)
        return Plot(id, title, sentence, figure, group, header=header, rows=self.table(), **more)


def library() -> str:
    """Return the script that draws the figures."""
    return str(get_plotlyjs())


def marks(axis: str, words: Sequence[str], name: str, symbol: str, ink: str) -> go.Scatter:
    """Return marks with a text, at the bottom of a figure, at the places of an axis."""
    return go.Scatter(
        y=np.full(len(words), 0.03, np.float32),
        yaxis="y2",
        name=name,
        mode="markers",
        marker={"color": ink, "symbol": symbol, "size": 8},
        text=[plain(word)[:200] for word in words],
        hovertemplate="%{text}<extra></extra>",
        meta={"axis": axis},
    )


def scale(title: str, values: Floats, *, is_log: bool = False) -> dict[str, Any]:
    """Return an axis for values. It is logarithmic on request, or if they span more than two powers of ten."""
    found = values[values > 0]
    span = found.max() / found.min() if len(found) else 1.0
    is_positive = len(found) == len(values[~np.isnan(values)])
    if not (is_log or (is_positive and span > 100)):
        return {"title": title, "type": "linear", "rangemode": "tozero"}
    axis = {"title": title, "type": "log", "exponentformat": "power"}
    if span > _FEW_POWERS or not len(found):
        return axis
    # Plotly would label the ticks between powers only as 2 and 5.
    powers = range(math.floor(math.log10(found.min())) - 1, math.ceil(math.log10(found.max())) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return {**axis, "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def labels(names: Sequence[str]) -> list[str]:
    """Return names for the ticks of an axis: escaped, short and unique."""
    told: list[str] = []
    for number, name in enumerate(names):
        label = plain(name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…") or "(empty)"
        told.append(label if label not in told else f"{label} ({number})")
    return told


def plain(text: str) -> str:
    """Escape a text for plotly, which interprets tags, entities and dollar signs."""
    return html.escape(text, quote=False).replace("$", "&#36;").replace("%{", "%&#123;")


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
