"""Whoever wants to know how a running job goes, and what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors import Cursor, Source
from stream_bp.job.state import JobState
from stream_bp.job.stats import Work
from stream_bp.persistence.checkpoints import Loaded

__all__ = ["Observer", "Observers", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """How far a running job is.

    Attributes
    ----------
    training
        Its state; to be read, not changed, and only while an observer is told.
    source
        What it reads.
    work
        What this process did for it.
    run_rows
        Rows learned by this process.
    seconds
        For how long it has run.
    checkpoint
        The newest checkpoint.
    is_idle
        Whether a source without end has nothing for now.
    """

    training: JobState
    source: Source
    work: Work
    run_rows: int
    seconds: float
    checkpoint: Path | None
    is_idle: bool

    @property
    def cursor(self) -> Cursor:
        """The position in the source. It costs a little: ask when it is shown."""
        return self.training.locate().cursor

    def progress(self) -> float | None:
        """Return the part of the whole job that lies behind, 0 to 1; ``None`` where it cannot be known."""
        config, rows, minibatches = self.training.config, self.training.rows, self.training.minibatches
        fraction = self.source.fraction(self.cursor)
        parts = [] if fraction is None else [(self.training.epoch + fraction) / config.epochs]
        parts += [rows / config.max_rows] if config.max_rows is not None else []
        parts += [minibatches / config.max_minibatches] if config.max_minibatches is not None else []
        return min(1.0, max(parts)) if parts else None


class Observer:
    """Somebody who wants to know how the job goes; this one does not."""

    def note(self, line: str) -> None:
        """Hear why there is nothing to hear for a while, or of something that happened."""

    def begin(self, training: JobState, resumed: Loaded | None) -> None:
        """Hear that learning begins, afresh or from a checkpoint."""

    def update(self, status: Status) -> None:
        """Hear how far it is, some ten times a second."""

    def end(self, status: Status, reason: str) -> None:
        """Hear that it is over: why it stopped, or the error that it ends with."""


class Observers(Observer):
    """Several that are told the same, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def note(self, line: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.note(line)

    def begin(self, training: JobState, resumed: Loaded | None) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.begin(training, resumed)

    def update(self, status: Status) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.update(status)

    def end(self, status: Status, reason: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.end(status, reason)
