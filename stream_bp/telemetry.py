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
from stream_bp.observer import Status
from stream_bp.training import Training

__all__ = ["Panel", "headline", "show", "table", "tell_change"]

_LIVE_S = 0.5
_LINE_S = 10.0

_HEADLINES = {"classification": ("accuracy", "last_label"), "regression": ("mae", "last_value")}


def headline(task: str, metrics: dict[str, float | None], baselines: dict[str, dict[str, float | None]]) -> str:
    """Return the metric to look at first beside the baseline to beat, as ``accuracy 0.911 (last label 0.853)``."""
    name, baseline = _HEADLINES[task]
    return f"{name} {show(metrics[name])} ({baseline.replace('_', ' ')} {show(baselines[baseline][name])})"


def show(value: float | None) -> str:
    """Write a metric for people: four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def tell_change(change: dict[str, Any]) -> str:
    """Say that a job is not what it would have been: it went on under other numerics."""
    return f"since row {change['rows']:,} under other numerics, so not to the same bits: {change['change']}"


class Panel:
    """Progress on the console that is given; nothing on standard output. A context manager.

    Parameters
    ----------
    console
        Where to write; standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
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

    def begin(self, training: Training, resumed: Loaded | None) -> None:
        """Say what is learned, and where it goes on."""
        model, config = training.model, training.config
        what = f"{len(model.encoder.features)} features, {model.description}"
        target = ", ".join(config.target)
        chosen = " (told from the target; --task changes it)" if config.task == "auto" else ""
        self._say(f"{model.encoder.task} of {target}{chosen}, {what}")
        for _, why in resumed.rejected if resumed else ():
            self._say(f"passed over a damaged checkpoint: {why}")
        if resumed:
            self._say(f"going on after {training.rows:,} rows, from {resumed.path}")
        for change in training.numerics_changes:
            self._say(tell_change(change))
        if config.run_dir is None:
            self._say("nothing is kept: give --run-dir for checkpoints and history")
        self._last = time.monotonic()

    def update(self, status: Status) -> None:
        """Show how far the job is; most calls do nothing."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        line = self._line(status)
        if self._live:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
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
        parts.append(f"loss {show(training.stopping.loss)}")
        if status.checkpoint is not None:
            parts.append(status.checkpoint.stem)
        return " · ".join(parts)

    def _say(self, line: str) -> None:
        self._console.print(escape(line), highlight=False, soft_wrap=True)


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
