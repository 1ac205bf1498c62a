"""Whoever wants to know how a running job goes, and what it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_bp.checkpoint import Loaded
from stream_bp.training import Training

__all__ = ["Observer", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """How far a running job is.

    Attributes
    ----------
    training
        Its state; to be read, not changed.
    fraction
        Part of the present epoch that lies behind, 0 to 1; ``None`` where it cannot be known. It
        costs a little: call it when it is shown.
    run_rows
        Rows learned by this process.
    seconds
        For how long it has run.
    checkpoint
        The last checkpoint of this process.
    """

    training: Training
    fraction: Callable[[], float | None]
    run_rows: int
    seconds: float
    checkpoint: Path | None


class Observer:
    """Somebody who wants to know how the job goes; this one does not."""

    def note(self, line: str) -> None:
        """Hear why there is nothing to hear for a while."""

    def begin(self, training: Training, resumed: Loaded | None) -> None:
        """Hear that learning begins, afresh or from a checkpoint."""

    def update(self, status: Status) -> None:
        """Hear how far it is, some ten times a second."""
