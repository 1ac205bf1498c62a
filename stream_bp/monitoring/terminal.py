"""A panel on the terminal for a running job, redrawn twice a second."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.monitoring.formatting import HEADLINES, introduction, show, show_bytes, show_duration
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = ["TerminalPanel"]

_EVERY_S = 0.5
_LAG_S = 5.0  # between two measurements of the lag


class TerminalPanel(Observer):
    """Shows progress in a frame on a terminal, and messages above it. A context manager.

    Parameters
    ----------
    console
        The console to draw on: standard error.
    title
        The name of the job, where several follow each other. The introduction is then short.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self._console = console
        self._title = title
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._last = self._lag_at = 0.0
        self._lag: int | None = None
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._live.stop()

    def on_message(self, line: str) -> None:
        """Print a line above the frame."""
        line = f"{self._title}: {line}" if self._title else line
        with suppress(OSError):  # a terminal that is gone does not end the job
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Print what is learned, and where it resumes."""
        self._first = None
        for line in [training.model.description] if self._title else introduction(training, resumed):
            self.on_message(line)

    def on_progress(self, status: Status) -> None:
        """Draw the progress, twice a second."""
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        if now - self._lag_at > _LAG_S:
            self._lag, self._lag_at = status.source.lag(status.cursor), now
        training = status.state
        title = self._title or f"{training.model.encoder.task} of {', '.join(training.config.target)}"
        frame = Panel(
            Group(self._progress(status), _scores(training), _facts(status, self._lag)),
            title=Text(title),
            title_align="left",
            border_style="dim",
        )
        with suppress(OSError):
            self._live.update(frame, refresh=True)

    def _progress(self, status: Status) -> Table:
        """Return rows and rate; for a bounded source also the progress and the time left."""
        grid = Table.grid(padding=(0, 2))
        cells = [f"{status.state.rows:,} rows", f"{status.stats.rate.value:,.0f} rows/s"]
        progress = status.progress()
        if progress is None:
            cells.append("waiting for rows" if status.is_idle else f"for {show_duration(status.seconds)}")
            grid.add_row(*cells)
            return grid
        epochs = status.state.config.epochs
        cells += [f"epoch {status.state.epoch + 1}/{epochs}"] if epochs > 1 else []
        grid.add_row(
            *cells, ProgressBar(100, 100 * progress, width=24), f"{progress:.0%}", self._left(status, progress)
        )
        return grid

    def _left(self, status: Status, progress: float) -> str:
        """Return the time left, at the pace of this process."""
        if self._first is None:  # a resumed job starts beyond 0, so the pace counts from here
            self._first = status.seconds, progress
        began, first = self._first
        if progress <= first:
            return ""
        return f"{show_duration((1 - progress) * (status.seconds - began) / (progress - first))} left"


def _scores(training: JobState) -> Table:
    """Return the main metric and its baselines, over all rows and over the rolling window."""
    evaluation, task = training.evaluation, training.model.encoder.task
    name, first = HEADLINES[task]
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column("")
    for header in ("all rows", "rolling"):
        grid.add_column(header, justify="right", min_width=10)
    everything, recent = evaluation.metrics(), evaluation.rolling()
    grid.add_row(Text(name, style="bold"), *(Text(show(m[name]), style="bold") for m in (everything, recent)))
    baselines, lately = evaluation.baselines(), evaluation.baselines(rolling=True)
    for baseline in sorted(baselines, key=lambda one: one != first):
        grid.add_row(
            Text(baseline.replace("_", " "), style="dim"),
            *(Text(show(m[baseline][name]), style="dim") for m in (baselines, lately)),
        )
    return grid


def _facts(status: Status, lag: int | None) -> Text:
    """Return loss, learning rate, lag, checkpoint, bad rows and drift, where they exist."""
    training, saved = status.state, status.stats.saved
    facts = []
    if training.stopping.loss is not None:
        facts.append(f"loss {show(training.stopping.loss)}")
    rate = training.model.counters().get("learning_rate")
    if rate is not None:
        facts.append(f"learning rate {show(rate)}")
    if lag is not None:
        facts.append(f"{show_bytes(lag)} to read")
    if saved is not None:
        facts.append(f"checkpoint {show_duration(time.time() - saved.at)} ago, {show_bytes(saved.n_bytes)}")
    if training.quality.n_bad:
        facts.append(f"{training.quality.n_bad:,} bad rows")
    if training.drift is not None and (drifted := training.drift.description) is not None:
        facts.append(f"drift: {drifted}")
    return Text(" · ".join(facts))
