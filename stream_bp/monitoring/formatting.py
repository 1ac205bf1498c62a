"""Texts for people: metrics, baselines, the quality of the rows."""

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
    """Return the main metric beside the baseline to beat, as ``accuracy 0.911 (no change 0.853)``."""
    name, baseline = HEADLINES[task]
    return f"{name} {show(metrics[name])} ({baseline.replace('_', ' ')} {show(baselines[baseline][name])})"


def show(value: float | None) -> str:
    """Format a metric: four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def show_bytes(n_bytes: float) -> str:
    """Format a size, as ``12.3 MB``."""
    return filesize.decimal(round(n_bytes))


def show_duration(seconds: float) -> str:
    """Format a duration in at most two units, as ``3 d 4 h`` or ``12 s``."""
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def introduction(training: JobState, resumed: LoadedCheckpoint | None) -> list[str]:
    """Return lines that describe the job, and the checkpoint it resumes from."""
    model, config = training.model, training.config
    n_features = len(model.encoder.features)
    what = f"{n_features} feature{'s' * (n_features != 1)}, {model.description}"
    what += ", compiled" if config.backend == "compiled" else ""
    chosen = " (inferred from the target column; --task changes it)" if config.task == "auto" else ""
    lines = [f"{model.encoder.task} of {', '.join(config.target)}{chosen}, {what}"]
    lines += [f"skipped damaged checkpoint: {why}" for _, why in (resumed.rejected if resumed else ())]
    if resumed:
        lines.append(f"resuming after {training.rows:,} rows, from {resumed.path}")
    lines += map(describe_change, training.numerics_changes)
    if not model.is_resumable:
        lines.append("this model cannot be resumed: no checkpoints are saved")
    if config.run_dir is None:
        lost = "checkpoints and history are" if model.is_resumable else "the history is"
        lines.append(f"no --run-dir: {lost} not saved")
    return lines


def describe_quality(quality: dict[str, Any]) -> list[str]:
    """Describe missing and clipped values and bad rows, worst column first. Empty if there are none."""
    lines = []
    for what, words in (
        ("missing", "missing values"),
        ("clipped_values", "values clipped at 8 standard deviations"),
        ("rows_without_target", "rows without a target (not learned)"),
    ):
        counts = sorted(quality[what].items(), key=lambda item: -item[1])
        if counts:
            named = ", ".join(f"{name} {count:,}" for name, count in counts[:_NAMED])
            lines.append(f"{words}: {named}{', …' if len(counts) > _NAMED else ''}")
    if constant := quality.get("constant"):
        named = ", ".join(constant[:_NAMED]) + (", …" if len(constant) > _NAMED else "")
        lines.append(f"features that never varied (leave them out with --ignore): {named}")
    if unused := quality.get("unused_null_values"):
        lines.append(f"words of --null-values that never occurred: {', '.join(map(repr, unused))}")
    lines += describe_bad_rows(quality["bad_rows"])
    if quality["skipped"]:
        lines.append(f"rows skipped since a feature was missing: {quality['skipped']:,}")
    return lines


def describe_bad_rows(counts: dict[str, int]) -> list[str]:
    """Describe the bad rows by kind. Empty if there are none."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))
    return [f"bad rows (not learned): {kinds}"] if kinds else []


def describe_change(change: dict[str, Any]) -> str:
    """Describe a resume under other numerics."""
    return f"resumed under other numerics after row {change['rows']:,}, so not bit-identical: {change['change']}"


def table(summary: dict[str, Any]) -> Table:
    """Return a table of metrics beside their baselines."""
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
    """Return a table with a row for each model and baseline."""
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
