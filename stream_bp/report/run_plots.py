"""The figures of one run along its stream: scores, learning, processes."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from stream_bp._arrays import Floats
from stream_bp.monitoring.formatting import HEADLINES, show, show_bytes
from stream_bp.report.csv_tables import MOST
from stream_bp.report.data_plots import draw_data, drift_curves, event_kinds, event_marks
from stream_bp.report.gradient_health import watch
from stream_bp.report.plotting import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    INKS,
    ORANGE,
    RED,
    TEAL,
    TELLING,
    Axis,
    Curves,
    Plot,
    marks,
    plain,
    scale,
)
from stream_bp.report.run import Record
from stream_bp.report.tables import told_moment
from stream_bp.report.verdict import BASELINES, stretches

__all__ = ["axes_of", "draw", "speeds"]

_MOST_SAVES = 100
_WINDOW = 1000  # rows of a rolling score

_SCORES = {
    "classification": ("kappa", "balanced_accuracy", "macro_f1", "kappa_temporal", "roc_auc"),
    "regression": ("r2",),
}


def axes_of(record: Record) -> dict[str, Axis]:
    """Return the axes of a run, by the names in its curves."""
    clock = record.clock
    history, timeline = record.history.numbers("rows"), _kept(record)
    events = record.events.numbers("row")
    moments, rows = clock.moments, record.timeline.numbers("rows")
    starts = _at(record, "start")[1:]
    axes = {"history": Axis(history, clock.at(history))}
    axes |= {f"events {kind}": Axis(events[at], clock.at(events[at])) for kind, at in event_kinds(record).items()}
    axes["timeline"] = Axis(rows[timeline], moments[timeline])
    speed_rows, speed_moments, _ = speeds(record)
    axes["speed"] = Axis(speed_rows, speed_moments)
    axes["starts"] = Axis(rows[starts], moments[starts])
    for number, finding in enumerate(watch(record)):
        axes[f"finding {number}"] = Axis(finding.rows, clock.at(finding.rows))
    axes |= {f"drift of {name}": Axis(at, clock.at(at)) for name, (at, _) in drift_curves(record).items()}
    return axes


def draw(record: Record) -> list[Plot]:
    """Return the figures of a run that have points."""
    plots = [*_scores(record), *_learning(record), *draw_data(record), *_process(record)]
    return [plot for plot in plots if plot.figure.data]


def _scores(record: Record) -> Iterator[Plot]:
    history, (metric, _) = record.history, HEADLINES[record.task]
    rows = history.numbers("rows")
    is_share = metric == "accuracy"
    y = {"title": metric if is_share else "mean absolute error", "tickformat": ".0%" if is_share else None}
    baselines = [name for name in BASELINES if f"{name}_{metric}" in history.columns]
    better, side = ("Higher", "above") if is_share else ("Lower", "below")

    lately = Curves("history", rows)
    lately.add("model", stretches(record, metric), BLUE, width=2.5)
    # Only if intervals are long enough to hide a change: otherwise this curve would cover the first one.
    if len(rows) > 1 and np.diff(rows).max() > 2 * _WINDOW:
        lately.add("model, rolling", history.numbers(f"rolling_{metric}"), TEAL, width=1, opacity=0.8)
    for name, ink, dash in zip(baselines, (ORANGE, GREY), ("dash", "dot"), strict=False):
        lately.add(BASELINES[name], stretches(record, f"{name}_{metric}"), ink, dash=dash)
    sentence = (
        f"Mean over the rows since the previous point. Each row is predicted before it is learned. {better} is better. "
        f"The model is useful where its line is {side} the dashed lines of the baselines, which learn nothing."
    )
    extra = [*event_marks(record), *_start_marks(record)]
    yield lately.plot("lately", "Score by interval", sentence, "score", y, extra=extra, is_wide=True)

    overall = Curves("history", rows)
    overall.add("model", history.numbers(metric), BLUE, width=2.5)
    for name, ink, dash in zip(baselines, (ORANGE, GREY), ("dash", "dot"), strict=False):
        overall.add(BASELINES[name], history.numbers(f"{name}_{metric}"), ink, dash=dash)
    sentence = "Mean from the first row on. A bad start stays visible for long. Use this score to compare runs."
    yield overall.plot("overall", "Score over all rows", sentence, "score", y)

    others = Curves("history", rows)
    for name, ink, dash in zip(_SCORES[record.task], INKS, DASHES, strict=False):
        others.add(name.replace("_", " "), history.numbers(f"rolling_{name}"), ink, dash=dash)
    sentence = (
        "Over the last 1,000 rows (rolling). 1 is perfect. Kappa is 0 for chance and for the most frequent class; "
        "kappa temporal is 0 for repeating the last label. Balanced accuracy gives every class the same weight."
        if record.task == "classification"
        else "Over the last 1,000 rows (rolling). 1 is perfect, 0 is as good as their mean, below 0 is worse."
    )
    yield others.plot("others", "Other scores", sentence, "score", {"title": "score"})


def _learning(record: Record) -> Iterator[Plot]:
    history = record.history
    rows = history.numbers("rows")
    loss = Curves("history", rows)
    loss.add("loss", history.numbers("loss"), BLUE)
    sentence = "The value that the network minimises, as a mean over the rows since the previous point. It should fall."
    yield loss.plot("loss", "Loss", sentence, "learning", scale("mean loss per row", history.numbers("loss")))

    rate = Curves("history", rows)
    rate.add("learning rate", history.numbers("learning_rate"), TEAL, line_shape="hv")
    sentence = "The size of an update. The schedule computes it from the number of updates."
    y = {"title": "learning rate", "rangemode": "tozero", "exponentformat": "power"}
    yield rate.plot("rate", "Learning rate", sentence, "learning", y)

    findings = watch(record)
    for kind, title, sentence in (
        (
            "delta",
            "δ by layer",
            "The error signal of each layer, from the last one back. A factor of a thousand is a problem.",
        ),
        (
            "gradient",
            "Gradients by layer",
            "The size of the corrections to the weights of each layer. A fall is normal, a sudden rise is not.",
        ),
    ):
        curves, names = Curves("history", rows), [name for name in history.columns if name.startswith(f"{kind}_rms_")]
        for number, name in enumerate(names):
            place = " (first)" if number == 0 else " (last)" if number + 1 == len(names) else ""
            sizes = history.numbers(name)
            # A logarithmic axis cannot show the zeros before the first sample.
            sizes = np.where(sizes > 0, sizes, np.nan)
            curves.add(f"layer {number + 1}{place}", sizes, INKS[number % len(INKS)], dash=DASHES[number % len(DASHES)])
        y = scale("root mean square", np.concatenate([*curves.values, [np.nan]]), is_log=True)
        own = [(number, finding) for number, finding in enumerate(findings) if finding.figure == kind]
        extra = [_finding_marks(number, len(finding.rows)) for number, finding in own]
        warnings = tuple(finding.text for _, finding in own)
        yield curves.plot(kind, title, sentence, "learning", y, extra=extra, warnings=warnings)


def _finding_marks(number: int, n: int) -> go.Scatter:
    return marks(f"finding {number}", ["see the warning above"] * n, "warning", "x", RED)


def _process(record: Record) -> Iterator[Plot]:
    timeline, kept = record.timeline, _kept(record)
    moments, rows = record.clock.moments[kept], timeline.numbers("rows")[kept]
    if not len(kept):
        return
    speed_rows, _, paces = speeds(record)
    speed = Curves("speed", speed_rows)
    speed.add("rows per second", paces, BLUE, line_shape="hv")
    sentence = "Rows learned per second, between two samples. No process ran in the gaps."
    y = {"title": "rows per second", "rangemode": "tozero"}
    yield speed.plot("speed", "Throughput", sentence, "process", y, extra=list(_start_marks(record)), is_wide=True)

    if len(kept) > 1:
        yield _progress(record, moments, rows)
    for id_, title, column, sentence in (
        ("memory", "Memory", "rss_bytes", "Memory of the process. It should not grow after the first rows."),
        ("lag", "Lag", "lag_bytes", "Bytes in the source that are not learned yet. If they grow, the job is too slow."),
    ):
        curves = Curves("timeline", rows)
        sizes = timeline.numbers(column)[kept]
        if np.nanmax(np.append(sizes, 0)) > 0:  # the 0 avoids a warning if all values are NaN
            curves.add(title.lower(), sizes, TEAL, connectgaps=True)
        y = {"title": "bytes", "rangemode": "tozero", "tickformat": ".3~s"}
        yield curves.plot(id_, title, sentence, "process", y)


def speeds(record: Record) -> tuple[Floats, Floats, Floats]:
    """Return rows, times, and the rows per second after each, to draw as steps with a gap before each process."""
    kept = _kept(record)
    moments, rows = record.clock.moments[kept], record.timeline.numbers("rows")[kept]
    events = record.timeline.words("event")
    starts = np.flatnonzero([events[at] == "start" for at in kept])
    with np.errstate(divide="ignore", invalid="ignore"):
        paces = np.diff(rows, append=np.nan) / np.diff(moments, append=np.nan) * 1000
    # The last line of a process ends a step and starts none.
    lasts = np.append(starts[1:] - 1, len(kept) - 1) if len(kept) else starts
    paces[lasts] = np.where(np.isin(lasts, starts), np.nan, paces[lasts - 1])
    # A resumed process may learn rows again, so the row count can fall between two processes.
    paces[np.isinf(paces) | (paces < 0)] = np.nan
    gaps = starts[1:]
    return np.insert(rows, gaps, rows[gaps]), np.insert(moments, gaps, moments[gaps]), np.insert(paces, gaps, np.nan)


def _progress(record: Record, moments: Floats, rows: Floats) -> Plot:
    timeline = record.timeline
    path = go.Scatter(x=moments, y=rows, name="rows", mode="lines", line={"color": BLUE, "width": 2})
    counts, all_rows = timeline.numbers("checkpoints"), timeline.numbers("rows")
    saved = np.flatnonzero(np.diff(counts, prepend=0) > 0)
    # A long run has more checkpoints than a figure can show.
    saved = saved[:: len(saved) // _MOST_SAVES + 1]
    sizes, seconds = timeline.numbers("checkpoint_bytes"), timeline.numbers("checkpoint_seconds")
    told = [f"{show_bytes(sizes[at])}, {show(seconds[at])} s" for at in saved if not np.isnan(sizes[at])]
    saved = np.array([at for at in saved if not np.isnan(sizes[at])], int)
    kinds = [("checkpoint", "diamond", GREEN, saved, told)]
    starts, ends = _at(record, "start"), _at(record, "end")
    details = timeline.words("detail")
    kinds.append(("start", "triangle-right", ORANGE, starts, [details[at] for at in starts]))
    kinds.append(("end", "square", RED, ends, [details[at] for at in ends]))
    dots = [
        go.Scatter(
            x=record.clock.moments[at],
            y=all_rows[at],
            name=name,
            mode="markers",
            marker={"color": ink, "symbol": symbol, "size": 8},
            text=[plain(word) for word in words],
            hovertemplate="%{text}<br>%{y:,} rows",
        )
        for name, symbol, ink, at, words in kinds
        if len(at)
    ]
    y = {"title": "rows", "rangemode": "tozero"}
    layout = go.Layout(template="none", yaxis=y, xaxis={"type": "date", "title": "time (UTC)"}, hovermode="closest")
    sentence = (
        "Rows over time. The line is level while no row is learned. After a step down, rows are learned again, since "
        "a process was killed. Checkpoints are shown at the next sample."
    )
    newest = zip(moments[-TELLING:], rows[-TELLING:], strict=True)
    told_rows = tuple((told_moment(moment), f"{n:,.0f}") for moment, n in newest)
    header = ("time", "rows")
    figure = go.Figure([path, *dots], layout)
    return Plot(
        "progress", "Processes and checkpoints", sentence, figure, "process", axis="time", header=header, rows=told_rows
    )


def _start_marks(record: Record) -> Iterator[go.Scatter]:
    """Yield marks for the starts of all processes but the first."""
    details, starts = record.timeline.words("detail"), _at(record, "start")[1:]
    if len(starts):
        yield marks("starts", [details[at] for at in starts], "start of a process", "triangle-right", ORANGE)


def _kept(record: Record) -> Any:
    """Return the indices of the timeline's lines to draw: all starts and ends, and some of many samples."""
    events = record.timeline.words("event")
    known = ~np.isnan(record.clock.moments) & ~np.isnan(record.timeline.numbers("rows"))
    # All starts and ends are kept: they are few, and they explain the gaps.
    stride = max(1, math.ceil(len(events) / MOST))
    return np.array(
        [at for at, event in enumerate(events) if known[at] and (event != "sample" or at % stride == 0)], int
    )


def _at(record: Record, event: str) -> Any:
    known = ~np.isnan(record.clock.moments) & ~np.isnan(record.timeline.numbers("rows"))
    return np.flatnonzero(np.array([other == event for other in record.timeline.words("event")], bool) & known)
