"""The callbacks of a running job, and the status that they get."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors import Cursor, Source
from stream_bp.job.state import JobState
from stream_bp.job.stats import RuntimeStats
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = ["Observer", "Observers", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """The progress of a running job.

    Attributes
    ----------
    state
        Its state. Observers read it during a callback, and change nothing.
    source
        The source it reads.
    stats
        The work of this process.
    run_rows
        Rows learned by this process.
    seconds
        How long this process has run.
    checkpoint
        The newest checkpoint.
    is_idle
        Whether an unbounded source has no rows for now.
    """

    state: JobState
    source: Source
    stats: RuntimeStats
    run_rows: int
    seconds: float
    checkpoint: Path | None
    is_idle: bool

    @property
    def cursor(self) -> Cursor:
        """The position in the source. It costs time: read it only to show it."""
        return self.state.locate().cursor

    def progress(self) -> float | None:
        """Return the finished part of the whole job, 0 to 1; ``None`` where it cannot be known."""
        config, rows, minibatches = self.state.config, self.state.rows, self.state.minibatches
        fraction = self.source.fraction(self.cursor)
        parts = [] if fraction is None else [(self.state.epoch + fraction) / config.epochs]
        parts += [rows / config.max_rows] if config.max_rows is not None else []
        parts += [minibatches / config.max_minibatches] if config.max_minibatches is not None else []
        return min(1.0, max(parts)) if parts else None


class Observer:
    """Base of the observers of a job. Its callbacks do nothing."""

    def on_message(self, line: str) -> None:
        """Receive a line: the reason for a delay, or an event."""

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Receive the state when learning starts, from the first row or from a checkpoint."""

    def on_progress(self, status: Status) -> None:
        """Receive the status, about ten times a second."""

    def on_end(self, status: Status, reason: str) -> None:
        """Receive the last status, with the stop reason or the error."""


class Observers(Observer):
    """Calls several observers, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def on_message(self, line: str) -> None:
        """Call all."""
        for observer in self._observers:
            observer.on_message(line)

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Call all."""
        for observer in self._observers:
            observer.on_start(training, resumed)

    def on_progress(self, status: Status) -> None:
        """Call all."""
        for observer in self._observers:
            observer.on_progress(status)

    def on_end(self, status: Status, reason: str) -> None:
        """Call all."""
        for observer in self._observers:
            observer.on_end(status, reason)
