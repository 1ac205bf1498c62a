"""The figures about the data: classes, confusion or errors, drift, and problems of the rows."""

from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go

from stream_bp._arrays import Floats, Ints
from stream_bp.drift.features import DRIFTED, SETTLED, next_mark
from stream_bp.monitoring.formatting import show
from stream_bp.report.plotting import (
    BLUE,
    BROWN,
    DASHES,
    GREY,
    INKS,
    ORANGE,
    PURPLE,
    RED,
    Curves,
    Plot,
    labels,
    marks,
    plain,
    scale,
)
from stream_bp.report.run import Outcomes, Record

__all__ = ["draw_data", "drift_curves", "event_kinds", "event_marks"]

_SHADE = [[0, "rgba(47,127,209,0.04)"], [1, "rgba(47,127,209,0.8)"]]

_OTHER = "change of columns"
_KIND_OF = {"error_drift": "error drift", "feature_drift": "feature drift", "feature_settled": "feature settled"}
_EVENTS = {
    "feature drift": ("diamond", PURPLE),
    "feature settled": ("diamond-open", PURPLE),
    _OTHER: ("triangle-up", BROWN),
    "error drift": ("star", RED),  # last, so that it is drawn on top
}
_APART = 3  # windows; two records this far apart have unrecorded windows between them, below the bound
_FAR = 2.0  # from this PSI on, the two bounds are too close on a linear axis
_MOST_CLASSES = 20

_MOST_FEATURES = 8

_MOST_POINTS = 500
_MOST_TARGETS = 4

_WRITTEN = 12  # the cells of a matrix with more classes are too small for text


def draw_data(record: Record) -> Iterator[Plot]:
    """Yield the figures about the data."""
    outcomes = record.saved.outcomes if record.saved is not None else ()
    for number, one in enumerate(outcomes[:_MOST_TARGETS]):
        of = f" of {one.name}" if len(outcomes) > 1 else ""
        if record.task == "classification":
            yield from _classes(one, number, of)
        else:
            yield from _values(one, number, of)
    yield from _drift(record)
    amiss = Curves("history", record.history.numbers("rows"))
    for (name, words), ink, dash in zip(
        {
            "missing": "missing values",
            "bad_rows": "bad rows",
            "rows_without_target": "rows without a target",
            "skipped": "skipped rows",
            "clipped_values": "clipped values",
        }.items(),
        (BLUE, RED, ORANGE, PURPLE, GREY),
        DASHES,
        strict=False,
    ):
        counts = record.history.numbers(name)
        if np.nansum(counts) > 0:
            amiss.add(words, counts, ink, dash=dash)
    sentence = "Counts from the first row on. A straight line is a constant rate; a step is a sudden change."
    y = {"title": "count", "rangemode": "tozero"}
    yield amiss.plot("amiss", "Problems of the rows", sentence, "data", y, is_wide=True)


def _classes(one: Outcomes, number: int, of: str) -> Iterator[Plot]:
    total = one.support.sum()
    if not total:
        return
    recent = np.bincount(one.true.astype(int), minlength=len(one.support)).astype(float)
    order = np.argsort(-one.support, kind="stable")
    shown, rest = order[:_MOST_CLASSES], order[_MOST_CLASSES:]
    names = [one.labels[code] for code in shown] + ([f"{len(rest):,} others"] if len(rest) else [])
    shares = [_gathered(counts / max(counts.sum(), 1), shown, rest) for counts in (one.support, recent)]
    bars = [
        go.Bar(x=labels(names), y=values.astype(np.float32), name=name, marker=marker)
        for values, name, marker in zip(
            shares,
            ("all rows", "rolling"),
            ({"color": BLUE}, {"color": ORANGE, "pattern": {"shape": "/", "size": 5, "solidity": 0.35}}),
            strict=True,
        )
    ]
    y = {"title": "share of rows", "tickformat": ".0%", "rangemode": "tozero"}
    layout = go.Layout(template="none", yaxis=y, barmode="group", xaxis={"type": "category", "dtick": 1})
    rows = tuple((name, *(f"{100 * share[at]:.1f} %" for share in shares)) for at, name in enumerate(names))
    sentence = (
        f"The share of each class, in all rows and in the last {len(one.true):,} (rolling, hatched). Different bars "
        "mean that the classes have shifted."
    )
    header = ("class", "all rows", "rolling")
    figure = go.Figure(bars, layout)
    yield Plot(
        f"balance-{number}", f"Class balance{of}", sentence, figure, "data", axis="own", header=header, rows=rows
    )
    yield _confusion(one, number, of, (names, shown, rest))


def _confusion(one: Outcomes, number: int, of: str, order: tuple[list[str], Ints, Ints]) -> Plot:
    names, shown, rest = order
    counts = np.array([_gathered(row, shown, rest) for row in one.confusion[shown]])
    if len(rest):
        counts = np.vstack([counts, _gathered(one.confusion[rest].sum(axis=0), shown, rest)])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ticks = labels(names)
    heat = go.Heatmap(
        x=ticks,
        y=ticks,
        z=shares.astype(np.float32),
        customdata=counts,
        colorscale=_SHADE,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        showscale=False,
        texttemplate="%{z:.0%}" if len(names) <= _WRITTEN else "",
        hovertemplate="true %{y}<br>predicted %{x}<br>%{customdata:,} rows, %{z:.1%} of the class<extra></extra>",
    )
    layout = go.Layout(
        template="none",
        xaxis={"title": "predicted", "type": "category", "showgrid": False, "dtick": 1},
        yaxis={"title": "true", "type": "category", "autorange": "reversed", "showgrid": False, "dtick": 1},
        meta={"square": True},
    )
    rows = tuple(
        (name, f"{counts[at].sum():,.0f}", f"{100 * shares[at, at]:.1f} %", _mistaken(names, shares[at], at))
        for at, name in enumerate(names)
    )
    sentence = (
        "Each line is a true class, each column a predicted one. The diagonal is correct. Stronger blue is a larger "
        "share."
        + (f" Only the {_MOST_CLASSES} most frequent of {len(one.labels):,} classes are separate." if len(rest) else "")
    )
    header = ("class", "rows", "predicted correctly", "most often confused with")
    figure = go.Figure(heat, layout)
    return Plot(f"confusion-{number}", f"Confusion{of}", sentence, figure, "data", axis="own", header=header, rows=rows)


def _mistaken(names: Sequence[str], shares: Floats, at: int) -> str:
    others = np.where(np.arange(len(shares)) == at, 0, shares)
    worst = int(others.argmax())
    return f"{names[worst]} ({100 * others[worst]:.1f} %)" if others[worst] > 0 else "nothing"


def _gathered(values: Floats, shown: Ints, rest: Ints) -> Floats:
    return np.append(values[shown], values[rest].sum()) if len(rest) else values[shown]


def _values(one: Outcomes, number: int, of: str) -> Iterator[Plot]:
    if not len(one.true):
        return
    ends = [float(one.true.min()), float(one.true.max())]
    dots = go.Scatter(
        x=one.true.astype(np.float32),
        y=one.predicted.astype(np.float32),
        mode="markers",
        name="row",
        marker={"color": BLUE, "size": 5, "opacity": 0.5},
    )
    line = {"color": ORANGE, "dash": "dash", "width": 1.5}
    ideal = go.Scatter(x=ends, y=ends, mode="lines", name="predicted = true", line=line, hoverinfo="skip")
    layout = go.Layout(template="none", xaxis={"title": "true"}, yaxis={"title": "predicted"}, hovermode="closest")
    error = one.predicted - one.true
    quantiles = np.quantile(error, [0.05, 0.25, 0.5, 0.75, 0.95])
    rows = tuple(
        (name, show(float(value)))
        for name, value in zip(("5 %", "25 %", "half", "75 %", "95 %"), quantiles, strict=True)
    )
    sentence = f"The last {len(error):,} rows. Close to the dashed line is good; another slope is a bias."
    figure = go.Figure([dots, ideal], layout)
    header = ("share of the errors below", "error")
    yield Plot(
        f"fit-{number}", f"Predicted against true{of}", sentence, figure, "data", axis="own", header=header, rows=rows
    )
    bars = go.Histogram(x=error.astype(np.float32), name="rows", marker={"color": BLUE}, nbinsx=40)
    y = {"title": "rows", "rangemode": "tozero"}
    layout = go.Layout(template="none", xaxis={"title": "predicted − true"}, yaxis=y, bargap=0.05)
    sentence = "The same rows. A centre at 0 means no bias; a long tail means rows with large errors."
    yield Plot(
        f"errors-{number}",
        f"Errors{of}",
        sentence,
        go.Figure(bars, layout),
        "data",
        axis="own",
        header=header,
        rows=rows,
    )


def drift_curves(record: Record) -> dict[str, tuple[Floats, Floats]]:
    """Return rows and population stability index of the features that drifted most, by name, the highest first.

    Notes
    -----
    Values below SETTLED are not recorded. The curve has a gap there: a NaN after the last recorded value.
    """
    rows, psi = record.drift.numbers("row"), record.drift.numbers("psi")
    places: dict[str, list[int]] = {}
    for at, name in enumerate(record.drift.words("feature")):
        places.setdefault(name, []).append(at)
    furthest = sorted(places, key=lambda name: -float(np.nanmax(psi[places[name]])))[:_MOST_FEATURES]
    curves = {}
    for name in furthest:
        stride = len(places[name]) // _MOST_POINTS + 1
        chosen = np.array(places[name][::stride])
        ends, found = rows[chosen], psi[chosen]
        windows = np.array([next_mark(int(end)) - end for end in ends[:-1]])
        gaps = np.flatnonzero(np.diff(ends) > _APART * stride * windows) + 1
        curves[name] = np.insert(ends, gaps, ends[gaps - 1]), np.insert(found, gaps, np.nan)
    return curves


def _drift(record: Record) -> Iterator[Plot]:
    curves = drift_curves(record)
    if not curves:
        return
    traces, rows, drifted = [], [], []
    for number, (name, (at, psi)) in enumerate(curves.items()):
        line = {"color": INKS[number % len(INKS)], "dash": DASHES[number % len(DASHES)], "width": 1.5}
        traces.append(
            go.Scatter(
                y=psi.astype(np.float32),
                name=plain(name),
                mode="lines+markers",
                line=line,
                marker={"size": 5, "symbol": number},
                meta={"axis": f"drift of {name}"},
            )
        )
        peak = int(np.nanargmax(psi))
        rows.append((name, show(float(psi[peak])), f"{at[peak]:,.0f}", show(float(psi[-1])), f"{at[-1]:,.0f}"))
        drifted += [name] if psi[peak] >= DRIFTED else []
    bounds = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"color": ink, "dash": dash}}
        for y, ink, dash in ((SETTLED, GREY, "dot"), (DRIFTED, RED, "dash"))
    ]
    told = np.concatenate([psi for _, psi in curves.values()])
    y = scale("population stability index", told, is_log=np.nanmax(told) > _FAR)
    figure = go.Figure([*traces, *event_marks(record)], go.Layout(template="none", yaxis=y, shapes=bounds))
    sentence = (
        f"How much the distribution of the most drifted features has changed. Below {SETTLED} (dotted) is stable; from "
        f"{DRIFTED} (dashed) on is drift."
    )
    yield Plot(
        "drift",
        "Feature drift",
        sentence,
        figure,
        "data",
        warnings=(f"Drifted at least once: {', '.join(drifted)}.",) if drifted else (),
        header=("feature", "highest PSI", "at row", "last PSI", "at row"),
        rows=tuple(rows),
        is_wide=True,
    )


def event_kinds(record: Record) -> dict[str, Ints]:
    """Return the indices of the events by the name of their kind. Of too many, some are returned."""
    events = record.events.words("event")
    found: dict[str, Ints] = {}
    for kind in _EVENTS:
        places = np.flatnonzero([_KIND_OF.get(event, _OTHER) == kind for event in events])
        found |= {kind: places[:: len(places) // _MOST_POINTS + 1]} if len(places) else {}
    return found


def event_marks(record: Record) -> Iterator[go.Scatter]:
    """Yield marks for the events of each kind, at the bottom of a figure."""
    events, details = record.events.words("event"), record.event_details
    for kind, places in event_kinds(record).items():
        words = [": ".join(filter(None, (events[at].replace("_", " "), details[at]))) for at in places]
        symbol, ink = _EVENTS[kind]
        yield marks(f"events {kind}", words, kind, symbol, ink)
