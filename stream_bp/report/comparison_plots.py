"""The figures that compare several runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from stream_bp._arrays import Floats
from stream_bp.monitoring.formatting import HEADLINES, show
from stream_bp.report.plotting import DASHES, INKS, Axis, Plot, plain, scale
from stream_bp.report.run import Record
from stream_bp.report.run_plots import axes_of, speeds
from stream_bp.report.verdict import stretches

__all__ = ["compare"]


def compare(records: Sequence[Record]) -> tuple[list[Plot], dict[str, Axis]]:
    """Return figures with a curve for each run, and their axes. Time counts from the start of each run, in ms."""
    metric, _ = HEADLINES[records[0].task]
    is_share = metric == "accuracy"
    axes: dict[str, Axis] = {}
    for number, record in enumerate(records):
        moments = record.clock.moments
        began = float(np.nanmin(moments)) if len(moments) and not np.isnan(moments).all() else math.nan
        own = axes_of(record)
        axes |= {f"{name} {number}": Axis(own[name].rows, own[name].time - began) for name in ("history", "speed")}
    y = {"title": metric if is_share else "mean absolute error", "tickformat": ".0%" if is_share else None}
    losses = np.concatenate([record.history.numbers("loss") for record in records])
    better = "Higher" if is_share else "Lower"
    plots = [
        _overlay(
            records,
            ("lately", "Score by interval", f"Mean over the rows since the previous point. {better} is better."),
            lambda record: stretches(record, metric),
            y,
        ),
        _overlay(
            records,
            ("overall", "Score over all rows", f"Mean from the first row on. {better} is better."),
            lambda record: record.history.numbers(metric),
            y,
        ),
        _overlay(
            records,
            ("loss", "Loss", "The value that each network minimises. Compare only losses of the same kind."),
            lambda record: record.history.numbers("loss"),
            scale("mean loss per row", losses),
        ),
        _overlay(
            records,
            ("speed", "Throughput", "Rows learned per second, between two samples."),
            _speeds_of,
            {"title": "rows per second", "rangemode": "tozero"},
            axis="speed",
        ),
    ]
    return [plot for plot in plots if plot.figure.data], axes


def _overlay(
    records: Sequence[Record],
    told: tuple[str, str, str],
    values_of: Callable[[Record], Floats],
    y: Mapping[str, Any],
    *,
    axis: str = "history",
) -> Plot:
    id_, title, sentence = told
    traces, rows = [], []
    for number, record in enumerate(records):
        values = values_of(record)
        if not len(values) or np.isnan(values).all():
            continue
        ink, dash = INKS[number % len(INKS)], DASHES[number % len(DASHES)]
        line = {"color": ink, "dash": dash, "width": 2, "shape": "hv" if axis == "speed" else "linear"}
        meta = {"axis": f"{axis} {number}"}
        traces.append(
            go.Scatter(y=values.astype(np.float32), name=plain(record.name), line=line, meta=meta, mode="lines")
        )
        found = values[~np.isnan(values)]
        figures = (found[0], np.median(found), found[-1])
        rows.append((record.name, *(show(float(value)) for value in figures)))
    figure = go.Figure(traces, go.Layout(template="none", yaxis=dict(y)))
    header = ("run", "first", "median", "last")
    return Plot(
        id_, title, sentence, figure, "score", header=header, rows=tuple(rows), is_wide=id_ in {"lately", "speed"}
    )


def _speeds_of(record: Record) -> Floats:
    return speeds(record)[2]
