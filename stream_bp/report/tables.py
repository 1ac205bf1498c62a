"""The key figures and tables of a run."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from stream_bp._arrays import Floats, Mask
from stream_bp.config.job import JobConfig
from stream_bp.job.timeline import spacing
from stream_bp.monitoring.formatting import describe_change, describe_quality, show, show_bytes, show_duration
from stream_bp.nn import reproducibility
from stream_bp.report.run import Record
from stream_bp.report.verdict import BASELINES, last, rows_learned, scores_of, verdict

__all__ = ["Grid", "facts", "grids", "side_by_side", "told_moment"]

_ENDINGS = {
    "end_of_stream": "finished: the stream ended",
    "max_rows": "stopped at max rows",
    "max_minibatches": "stopped at max minibatches",
    "stop_loss": "stopped: the loss is low enough",
    "stop_delta": "stopped: the loss no longer falls",
}

_MOST_LINES = 200

_SILENT_S = 30.0  # a sample that is later than this means that the process was killed or sleeps


@dataclass(frozen=True, slots=True)
class Grid:
    """A table for people.

    Attributes
    ----------
    id, title, caption
        Its identifier, its title, and a sentence that explains it.
    header, rows
        Its cells. The first cell of a row is its name.
    """

    id: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def facts(record: Record) -> list[tuple[str, str]]:
    """Return the key figures of a run with their names, the most important first."""
    timeline = record.timeline
    found = [("state", _state(record))]
    found.append(("rows", f"{rows_learned(record):,}"))
    moments, rows = record.clock.moments, timeline.numbers("rows")
    busy_s, n_learned = _busy(record)
    if busy_s > 0:
        found.append(("rows per second", f"{n_learned / busy_s:,.0f}"))
        found.append(("run time", show_duration(busy_s) if busy_s >= 1 else f"{busy_s:.1f} s"))
    starts = timeline.words("event").count("start")
    if starts > 1:
        found.append(("processes", f"{starts:,}"))
    if len(rows):
        began = moments[~np.isnan(moments)]
        found += [("started", told_moment(began[0]))] if len(began) else []
        memory = last(timeline.numbers("rss_bytes"))
        found += [("memory", show_bytes(memory))] if memory is not None else []
        lag = last(timeline.numbers("lag_bytes"))
        found += [("lag", show_bytes(lag))] if lag else []
    if record.saved is not None:
        content = record.saved.content
        n_weights = sum(math.prod(layer["shape"]) for layer in content["layers"])
        found.append(("weights", f"{n_weights:,}"))
        found.append(("checkpoint", show_bytes(record.saved.n_bytes)))
        found.append(("version", f"stream-bp {content['written_by']}"))
    return found


def _state(record: Record) -> str:
    """Return whether the job runs, and if not, why it stopped."""
    events, moments = record.timeline.words("event"), record.clock.moments
    if not events or np.isnan(moments[-1]):
        reason = record.saved.content["stop_reason"] if record.saved is not None else None
        return _ending(reason) if reason else "unknown: there is no timeline"
    if events[-1] == "end":
        return _ending(record.timeline.words("detail")[-1])
    quiet_s = (record.read_at - moments[-1]) / 1000
    if quiet_s < -_SILENT_S:
        return f"last sample at {told_moment(moments[-1])}, which is in the future: clocks differ"
    # Samples become rarer as a job gets older, so the limit depends on its age.
    if quiet_s > spacing((moments[-1] - moments[0]) / 1000) + _SILENT_S:
        return f"silent since {told_moment(moments[-1])}: killed, or its machine sleeps"
    return "running"


def _ending(reason: str) -> str:
    """Return why a process stopped: a stop rule in words, a signal, or the error."""
    return _ENDINGS.get(reason, f"stopped by {reason}" if reason.startswith("SIG") else reason)


def _busy(record: Record) -> tuple[float, float]:
    """Return the run time of all processes in seconds, and the rows that they learned."""
    moments, rows = record.clock.moments, record.timeline.numbers("rows")
    is_start = np.array([event == "start" for event in record.timeline.words("event")], bool)
    if len(moments) < 2:
        return 0.0, 0.0
    within = ~is_start[1:] & (moments[1:] - moments[:-1] >= 0)  # a clock may be set back
    return float((moments[1:] - moments[:-1])[within].sum()) / 1000, float((rows[1:] - rows[:-1])[within].sum())


def told_moment(ms: float) -> str:
    """Format a time, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def grids(record: Record) -> list[Grid]:
    """Return the tables of a run that have rows."""
    made = [_score_grid(record), _target_grid(record), _process_grid(record), _event_grid(record), _bad_grid(record)]
    if record.saved is not None:
        content = record.saved.content
        made += [_layer_grid(content), _column_grid(content), _settings_grid(content), _numerics_grid(content)]
    return [grid for grid in made if grid.rows]


def _score_grid(record: Record) -> Grid:
    scores = scores_of(record)
    if scores is None:
        return Grid("scores", "", "", (), ())
    names = {"all rows": scores.metrics, "rolling": scores.recent}
    names |= {BASELINES[name]: metrics for name, metrics in scores.baselines.items()}
    names |= {f"{BASELINES[name]}, rolling": metrics for name, metrics in scores.recent_baselines.items()}
    rows = [
        (metric.replace("_", " "), *(show(metrics[metric]) if metric in metrics else "" for metrics in names.values()))
        for metric in scores.metrics
    ]
    caption = f"{scores.rows:,} rows, each scored before it was learned. Rolling: the last {scores.window:,} rows."
    return Grid("scores", "Scores", caption, ("metric", *names), tuple(rows))


def _target_grid(record: Record) -> Grid:
    outcomes = record.saved.outcomes if record.saved is not None else ()
    if len(outcomes) < 2:
        return Grid("targets", "", "", (), ())
    header: tuple[str, ...] = ("target", "classes", "rows")
    rows: list[tuple[str, ...]] = [
        (one.name, f"{len(one.labels):,}" if one.labels else "values", f"{int(one.support.sum()):,}")
        for one in outcomes
    ]
    if record.task == "classification":
        rows = [(*row, show(_mean(one.true == one.predicted))) for row, one in zip(rows, outcomes, strict=True)]
        return Grid("targets", "Targets", "The predicted columns.", (*header, "rolling accuracy"), tuple(rows))
    lately = [(_mean(abs(one.true - one.predicted)), _mean(abs(one.true - one.true.mean()))) for one in outcomes]
    rows = [(*row, *map(show, figures)) for row, figures in zip(rows, lately, strict=True)]
    caption = "The predicted columns: the rolling mean absolute error of the model, and that of the mean of the values."
    return Grid("targets", "Targets", caption, (*header, "rolling mae", "mae of the mean"), tuple(rows))


def _mean(values: Floats | Mask) -> float | None:
    return float(values.mean()) if len(values) else None


def _process_grid(record: Record) -> Grid:
    timeline, rows = record.timeline, []
    told = (timeline.words("event"), record.clock.moments, timeline.numbers("rows"), timeline.words("detail"))
    lines = [line for line in zip(*told, strict=True) if not (np.isnan(line[1]) or np.isnan(line[2]))]
    starts = [at for at, (event, *_) in enumerate(lines) if event == "start"]
    for at, following in pairwise([*starts, len(lines)]):
        first, newest = lines[at], lines[following - 1]
        is_over, is_newest = newest[0] == "end", following == len(lines)
        reason = _ending(newest[3]) if is_over else _state(record) if is_newest else "killed"
        seconds = (newest[1] - first[1]) / 1000
        rows.append(
            (
                told_moment(first[1]),
                _told_span(seconds),
                f"{first[2]:,.0f}",
                f"{newest[2]:,.0f}",
                first[3],
                reason,
            )
        )
    caption = "The processes of the job, newest first."
    header = ("start", "duration", "from row", "to row", "version and origin", "end")
    return Grid("processes", "Processes", caption, header, tuple(rows[::-1][:_MOST_LINES]))


def _told_span(seconds: float) -> str:
    if seconds < 0:
        return "unknown: the clock was set back"
    return show_duration(seconds) if seconds >= 1 else f"{seconds:.2f} s"


def _event_grid(record: Record) -> Grid:
    events = record.events
    rows = list(
        zip(
            (f"{row:,.0f}" for row in events.numbers("row")),
            (event.replace("_", " ") for event in events.words("event")),
            events.words("source"),
            record.event_details,
            strict=True,
        )
    )
    caption = f"Changes of columns, and drift, newest first; {events.n_rows:,} in all."
    header = ("row", "event", "source", "detail")
    return Grid("events", "Events", caption, header, tuple(rows[::-1][:_MOST_LINES]))


def _bad_grid(record: Record) -> Grid:
    """Return the bad rows by kind, with the reason of the last one in the quarantine."""
    bad = (record.saved.content["quality"] or {}).get("bad_rows", {}) if record.saved is not None else {}
    kinds, reasons = record.quarantine.words("kind"), record.quarantine.words("reason")
    said = dict(zip(kinds, reasons, strict=True))
    counts = Counter(bad) or Counter(kinds)
    rows = [(kind, f"{count:,}", said.get(kind, "")) for kind, count in counts.most_common()]
    caption = "Rows that could not be read. They were not learned."
    return Grid("bad", "Bad rows", caption, ("kind", "rows", "last reason"), tuple(rows))


def _layer_grid(content: Mapping[str, Any]) -> Grid:
    rows = [
        (
            layer["name"],
            "{1} → {0}".format(*layer["shape"]),
            *(show(layer[name]) for name in ("norm", "delta_rms", "gradient_rms")),
        )
        for layer in content["layers"]
    ]
    caption = "Inputs (with the bias) and outputs of each layer. The sizes are from the newest checkpoint."
    header = ("layer", "shape", "norm of the weights", "δ, root mean square", "gradient, root mean square")
    return Grid("layers", "Layers", caption, header, tuple(rows))


def _column_grid(content: Mapping[str, Any]) -> Grid:
    quality = content["quality"] or {"missing": {}, "clipped_values": {}, "rows_without_target": {}}
    rows = [
        (column["name"], "feature", column["kind"], *_amiss(quality, column["name"], "missing"))
        for column in content["columns"]["features"]
    ]
    for number, column in enumerate(content["columns"]["targets"]):
        labels = content["labels"][number] if number < len(content["labels"]) else []
        kind = f"{len(labels):,} classes" if labels else column["kind"]
        rows.append((column["name"], "target", kind, *_amiss(quality, column["name"], "rows_without_target")))
    told = describe_quality(dict(quality)) if "bad_rows" in quality else []
    caption = " ".join(f"{line[0].upper()}{line[1:]}." for line in told) or "They have no problems."
    header = ("column", "role", "kind", "missing", "clipped")
    return Grid("columns", "Columns", caption, header, tuple(rows[:_MOST_LINES]))


def _amiss(quality: Mapping[str, Any], column: str, missing: str) -> tuple[str, str]:
    counts = quality[missing].get(column, 0), quality["clipped_values"].get(column, 0)
    return f"{counts[0]:,}", f"{counts[1]:,}"


def _settings_grid(content: Mapping[str, Any]) -> Grid:
    rows = []
    for name, value in content["config"].items():
        field = JobConfig.model_fields.get(name)
        default = field.default if field is not None and not field.is_required() else None
        is_default = _setting(value) == _setting(default)
        rows.append((name.replace("_", "-"), _setting(value), "" if is_default else "given"))
    rows.sort(key=lambda row: row[2] == "")
    rows += [("source", place, "") for place in content["sources"]] if content.get("sources") else []
    caption = "Settings that differ from the default come first."
    return Grid("settings", "Settings", caption, ("setting", "value", ""), tuple(rows))


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _numerics_grid(content: Mapping[str, Any]) -> Grid:
    rows = [("computed by", reproducibility.describe(content["numerics"]))]
    rows += [("weights sha256", content["weights_sha256"])]
    rows += [("changed", describe_change(change)) for change in content["numerics_changes"]]
    changed = "The job was resumed under other numerics." if rows[2:] else "They never changed."
    caption = f"The numerics decide the last bits. {changed}"
    return Grid("numerics", "Numerics", caption, ("", ""), tuple(rows))


def side_by_side(records: Sequence[Record]) -> Grid:
    """Return the final figures of several runs, one in each row."""
    metrics = ("accuracy", "kappa", "log_loss") if records[0].task == "classification" else ("mae", "rmse", "r2")
    rows = []
    for record in records:
        scores, found = scores_of(record), dict(facts(record))
        cells = [record.name, found.get("rows", "0")]
        for metric in metrics:
            cells += [show(scores.metrics.get(metric)) if scores else "-"]
        cells += [show(scores.recent.get(metrics[0])) if scores else "-"]
        cells += [verdict(record).title, found.get("rows per second", "-"), found.get("weights", "-"), found["state"]]
        rows.append(tuple(cells))
    names = [metric.replace("_", " ") for metric in metrics]
    header = ("run", "rows", *names, f"{names[0]}, rolling", "verdict", "rows per second", "weights", "state")
    return Grid("runs", "Runs side by side", "The newest figures of each run.", header, tuple(rows))
