"""What a person sees of a running job: one live line on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stream_bp.checkpoint import Loaded
from stream_bp.observer import Observer, Status
from stream_bp.training import Training

__all__ = ["Panel", "comparison_table", "headline", "show", "table", "tell_bad", "tell_change", "tell_quality"]

_LIVE_S = 0.5
_LINE_S = 10.0
_NAMED = 8  # columns in a line

_COMPARED = {"classification": ("accuracy", "kappa"), "regression": ("mae", "rmse", "r2")}
_HEADLINES = {"classification": ("accuracy", "last_label"), "regression": ("mae", "last_value")}


def headline(task: str, metrics: dict[str, float | None], baselines: dict[str, dict[str, float | None]]) -> str:
    """Return the metric to look at first beside the baseline to beat, as ``accuracy 0.911 (last label 0.853)``."""
    name, baseline = _HEADLINES[task]
    return f"{name} {show(metrics[name])} ({baseline.replace('_', ' ')} {show(baselines[baseline][name])})"


def show(value: float | None) -> str:
    """Write a metric for people: four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def tell_quality(quality: dict[str, Any]) -> list[str]:
    """Say what was amiss in the rows, worst column first; nothing where nothing was."""
    lines = []
    for what, words in (
        ("missing", "missing values"),
        ("clipped", "values beyond 8 deviations, cut off there"),
        ("without_target", "rows without a target, not learned"),
    ):
        counts = sorted(quality[what].items(), key=lambda item: -item[1])
        if counts:
            named = ", ".join(f"{name} {count:,}" for name, count in counts[:_NAMED])
            lines.append(f"{words}: {named}{', …' if len(counts) > _NAMED else ''}")
    lines += tell_bad(quality["bad_rows"])
    if quality["skipped"]:
        lines.append(f"rows skipped for a missing value: {quality['skipped']:,}")
    return lines


def tell_bad(counts: dict[str, int]) -> list[str]:
    """Say what could not be read, by kind; nothing where everything could."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))
    return [f"bad rows, left out: {kinds}"] if kinds else []


def tell_change(change: dict[str, Any]) -> str:
    """Say that a job is not what it would have been: it went on under other numerics."""
    return f"since row {change['rows']:,} under other numerics, so not to the same bits: {change['change']}"


class Panel(Observer):
    """Progress on the console that is given; nothing on standard output. A context manager.

    Parameters
    ----------
    console
        Where to write; standard error.
    title
        What the lines begin with, where several jobs follow each other; the job is then introduced in few words.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self._console = console
        self._title = f"{title}: " if title else ""
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._last = 0.0
        self._every = _LIVE_S if self._live else _LINE_S

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def note(self, line: str) -> None:
        """Tell why it takes a while."""
        self._say(line)

    def begin(self, training: Training, resumed: Loaded | None) -> None:
        """Say what is learned, and where it goes on."""
        self._last = time.monotonic()
        model, config = training.model, training.config
        if self._title:
            self._say(model.description)
            return
        n_features = len(model.encoder.features)
        what = f"{n_features} feature{'s' * (n_features != 1)}, {model.description}"
        what += ", compiled" if config.engine == "compiled" else ""
        target = ", ".join(config.target)
        chosen = " (told from the target; --task changes it)" if config.task == "auto" else ""
        self._say(f"{model.encoder.task} of {target}{chosen}, {what}")
        for _, why in resumed.rejected if resumed else ():
            self._say(f"passed over a damaged checkpoint: {why}")
        if resumed:
            self._say(f"going on after {training.rows:,} rows, from {resumed.path}")
        for change in training.numerics_changes:
            self._say(tell_change(change))
        if not model.is_resumable:
            self._say("this model cannot be resumed: no checkpoint of it is written")
        if config.run_dir is None:
            what = "checkpoints and history" if model.is_resumable else "the history"
            self._say(f"nothing is kept: give --run-dir for {what}")

    def update(self, status: Status) -> None:
        """Show how far the job is; most calls do nothing."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        line = self._line(status)
        if self._live:
            self._live.update(Text(self._title + line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self._say(line)

    def _line(self, status: Status) -> str:
        training = status.training
        rate = status.run_rows / status.seconds if status.seconds else 0.0
        parts = [f"{training.rows:,} rows", f"{rate:,.0f} rows/s"]
        fraction = status.fraction()
        if fraction is not None:
            epochs = training.config.epochs
            parts.append(f"{fraction:.0%}" + (f" of epoch {training.epoch + 1}/{epochs}" if epochs > 1 else ""))
        evaluation = training.evaluation
        parts.append(headline(evaluation.task, evaluation.metrics(), evaluation.baselines()))
        parts.append(
            f"last 1000: {headline(evaluation.task, evaluation.windowed(), evaluation.baselines(windowed=True))}"
        )
        if training.stopping.loss is not None:
            parts.append(f"loss {show(training.stopping.loss)}")
        if status.checkpoint is not None:
            parts.append(status.checkpoint.stem)
        return " · ".join(parts)

    def _say(self, line: str) -> None:
        self._console.print(escape(self._title + line), highlight=False, soft_wrap=True)


def table(summary: dict[str, Any]) -> Table:
    """Return metrics beside their baselines as a table for people."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    columns = {"all rows": summary["metrics"], **({"last 1000": summary["windowed"]} if "windowed" in summary else {})}
    columns.update({name.replace("_", " "): values for name, values in summary["baselines"].items()})
    grid.add_column("metric")
    for name in columns:
        grid.add_column(name, justify="right")
    for metric in summary["metrics"]:
        cells = [show(values[metric]) if metric in values else "" for values in columns.values()]
        grid.add_row(metric.replace("_", " "), *cells)
    return grid


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Return models, and what is reached without learning, as rows of a table for people."""
    first, *others = _COMPARED[comparison["task"]]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("model", no_wrap=True)
    for name in (first, "last 1000", *others, "rows/s", "memory"):
        grid.add_column(name, justify="right", no_wrap=True)
    for score in comparison["scores"]:
        metrics, recent = score["metrics"], score["windowed"][first]
        cells = map(show, (metrics[first], recent, *(metrics[name] for name in others)))
        memory = f"{score['memory_bytes'] / 2**10:,.0f} KiB"
        grid.add_row(score["name"], *cells, f"{score['rows_per_second']:,.0f}", memory)
    for name, metrics in comparison["baselines"].items():
        cells = map(show, (metrics[other] for other in others))
        grid.add_row(name.replace("_", " "), show(metrics[first]), "", *cells, style="dim")
    return grid
