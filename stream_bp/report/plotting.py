"""What the figures of a report are made of: curves, marks, colours, and words that plotly leaves alone.

A curve over the stream has no x of its own: the page gives it the rows or the moments of the axis that it names, so
that both are there once, and one switch turns all figures.
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

# Each has at least three times the contrast of both grounds, the light one and the dark one.
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

_FEW_POWERS = 300  # from the least of some values to the largest
_LONGEST_LABEL = 14

TELLING = 9  # rows in the table beside a figure


@dataclass(frozen=True, slots=True)
class Axis:
    """Where points lie along the stream.

    Attributes
    ----------
    rows
        After how many rows, shape (n,).
    time
        When, in ms since 1970 (of runs that are compared, since the start of each), shape (n,); NaN where nobody knows.
    """

    rows: Floats
    time: Floats


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure and what is said of it.

    Attributes
    ----------
    id, title, sentence
        What it is called, and what one sees.
    figure
        As plotly writes it in JSON, but that curves over the stream have the name of an axis in place of their x.
    group
        The part of the page that it belongs to.
    axis
        ``both`` if it is over the stream, by rows or by time; ``time``, or ``own``.
    warnings
        What is amiss.
    header, rows
        A few of its figures as a table, for whoever does not see it.
    is_wide
        Whether it takes the whole width.
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
    """Curves over one axis, from which a figure and its table are made."""

    axis: str
    x: Floats
    names: list[str] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    traces: list[go.Scatter] = field(default_factory=list)

    def add(self, name: str, values: Floats, ink: str, *, dash: str = "solid", width: float = 2.0, **more: Any) -> None:
        """Add a curve; one without a number is left out."""
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
        """Return some of the points, evenly spaced, the last one among them."""
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
    """Return marks at the foot of a figure, at the places of an axis, each of which says something."""
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
    """Return an axis for values: logarithmic if that is asked for, or where they span more than two powers of ten."""
    found = values[values > 0]
    span = found.max() / found.min() if len(found) else 1.0
    is_positive = len(found) == len(values[~np.isnan(values)])
    if not (is_log or (is_positive and span > 100)):
        return {"title": title, "type": "linear", "rangemode": "tozero"}
    axis = {"title": title, "type": "log", "exponentformat": "power"}
    if span > _FEW_POWERS or not len(found):
        return axis
    # Plotly would write 2 and 5 between its powers.
    powers = range(math.floor(math.log10(found.min())) - 1, math.ceil(math.log10(found.max())) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return {**axis, "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def labels(names: Sequence[str]) -> list[str]:
    """Return names for the ticks of an axis: plain, short, and each another one."""
    told: list[str] = []
    for number, name in enumerate(names):
        label = plain(name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…") or "(empty)"
        told.append(label if label not in told else f"{label} ({number})")
    return told


def plain(text: str) -> str:
    """Return a text that plotly shows as it is: it would take tags, entities and dollars for its own."""
    return html.escape(text, quote=False).replace("$", "&#36;").replace("%{", "%&#123;")


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
