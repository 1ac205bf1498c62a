"""The words for a job: its metrics, its baselines, the quality of its rows."""

from typing import Any

from rich import filesize
from rich.table import Table

from stream_bp.job.state import JobState
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = [
    "HEADLINES",
    "comparison_table",
    "describe_bad_rows",
    "describe_change",
    "describe_quality",
    "headline",
    "introduction",
    "show",
    "show_bytes",
    "show_duration",
    "table",
]

_NAMED = 8  # columns in a line

_COMPARED = {"classification": ("accuracy", "kappa"), "regression": ("mae", "rmse", "r2")}
HEADLINES = {"classification": ("accuracy", "no_change"), "regression": ("mae", "no_change")}


def headline(task: str, metrics: dict[str, float | None], baselines: dict[str, dict[str, float | None]]) -> str:
    """Return the metric to look at first beside the baseline to beat, as ``accuracy 0.911 (last label 0.853)``."""
    name, baseline = HEADLINES[task]
    return f"{name} {show(metrics[name])} ({baseline.replace('_', ' ')} {show(baselines[baseline][name])})"


def show(value: float | None) -> str:
    """Write a metric for people: four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def show_bytes(n_bytes: float) -> str:
    """Write a size for people, as ``12.3 MB``."""
    return filesize.decimal(round(n_bytes))


def show_duration(seconds: float) -> str:
    """Write a duration for people in two units at most, as ``3 d 4 h`` or ``12 s``."""
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def introduction(training: JobState, resumed: LoadedCheckpoint | None) -> list[str]:
    """Say what is learned, and where it resumes."""
    model, config = training.model, training.config
    n_features = len(model.encoder.features)
    what = f"{n_features} feature{'s' * (n_features != 1)}, {model.description}"
    what += ", compiled" if config.backend == "compiled" else ""
    chosen = " (told from the target; --task changes it)" if config.task == "auto" else ""
    lines = [f"{model.encoder.task} of {', '.join(config.target)}{chosen}, {what}"]
    lines += [f"passed over a damaged checkpoint: {why}" for _, why in (resumed.rejected if resumed else ())]
    if resumed:
        lines.append(f"going on after {training.rows:,} rows, from {resumed.path}")
    lines += map(describe_change, training.numerics_changes)
    if not model.is_resumable:
        lines.append("this model cannot be resumed: no checkpoint of it is written")
    if config.run_dir is None:
        kept = "checkpoints and history" if model.is_resumable else "the history"
        lines.append(f"nothing is kept: give --run-dir for {kept}")
    return lines


def describe_quality(quality: dict[str, Any]) -> list[str]:
    """Describe missing, clipped and bad values, worst column first. Empty if there are none."""
    lines = []
    for what, words in (
        ("missing", "missing values"),
        ("clipped_values", "values beyond 8 deviations, cut off there"),
        ("rows_without_target", "rows without a target, not learned"),
    ):
        counts = sorted(quality[what].items(), key=lambda item: -item[1])
        if counts:
            named = ", ".join(f"{name} {count:,}" for name, count in counts[:_NAMED])
            lines.append(f"{words}: {named}{', …' if len(counts) > _NAMED else ''}")
    lines += describe_bad_rows(quality["bad_rows"])
    if quality["skipped"]:
        lines.append(f"rows skipped for a missing value: {quality['skipped']:,}")
    return lines


def describe_bad_rows(counts: dict[str, int]) -> list[str]:
    """Count the rows that could not be read, by kind. Empty if there are none."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))
    return [f"bad rows, left out: {kinds}"] if kinds else []


def describe_change(change: dict[str, Any]) -> str:
    """Say since which row a job runs under other numerics, so that its bits differ."""
    return f"since row {change['rows']:,} under other numerics, so not to the same bits: {change['change']}"


def table(summary: dict[str, Any]) -> Table:
    """Return metrics beside their baselines as a table for people."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    columns = {"all rows": summary["metrics"], **({"rolling": summary["rolling"]} if "rolling" in summary else {})}
    columns.update({name.replace("_", " "): values for name, values in summary["baselines"].items()})
    grid.add_column("metric")
    for name in columns:
        grid.add_column(name, justify="right")
    for metric in summary["metrics"]:
        cells = [show(values[metric]) if metric in values else "" for values in columns.values()]
        grid.add_row(metric.replace("_", " "), *cells)
    return grid


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Return models and baselines as rows of a table for people."""
    first, *others = _COMPARED[comparison["task"]]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("model", no_wrap=True)
    for name in (first, "rolling", *others, "rows/s", "memory"):
        grid.add_column(name, justify="right", no_wrap=True)
    for score in comparison["scores"]:
        metrics, recent = score["metrics"], score["rolling"][first]
        cells = map(show, (metrics[first], recent, *(metrics[name] for name in others)))
        memory = f"{score['memory_bytes'] / 2**10:,.0f} KiB"
        grid.add_row(score["name"], *cells, f"{score['rows_per_second']:,.0f}", memory)
    for name, metrics in comparison["baselines"].items():
        cells = map(show, (metrics[other] for other in others))
        grid.add_row(name.replace("_", " "), show(metrics[first]), "", *cells, style="dim")
    return grid
