"""A running job as a log: each line is a sentence or a JSON object."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.monitoring.formatting import headline, introduction, show
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = ["JsonLog", "Log", "json_line"]

_EVERY_S = 10.0


class Log(Observer):
    """Writes sentences. A context manager, like every observer of the command line.

    Parameters
    ----------
    write
        Writes a line.
    title
        The prefix of each line, where several jobs follow each other. The introduction is then short.
    """

    def __init__(self, write: Callable[[str], None], title: str = "") -> None:
        self._write = write
        self._title = title
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: no resource is held."""

    def on_message(self, line: str) -> None:
        """Write a line."""
        self._write(f"{self._title}: {line}" if self._title else line)

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Write what is learned, and where it resumes."""
        self._last = time.monotonic()
        for line in [training.model.description] if self._title else introduction(training, resumed):
            self.on_message(line)

    def on_progress(self, status: Status) -> None:
        """Write the progress, every ten seconds."""
        now = time.monotonic()
        if now - self._last >= _EVERY_S:
            self._last = now
            self._progress(status)

    def _progress(self, status: Status) -> None:
        self.on_message(_line(status))


class JsonLog(Log):
    """Writes JSON objects, at the same moments: ``time``, ``event``, ``message``; with progress, its figures."""

    def on_message(self, line: str) -> None:
        """Write a line."""
        self._write(json_line("note", line, **self._names()))

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Write what is learned, and where it resumes."""
        self._last = time.monotonic()
        for line in [training.model.description] if self._title else introduction(training, resumed):
            self._write(json_line("begin", line, rows=training.rows, **self._names()))

    def _progress(self, status: Status) -> None:
        self._write(json_line("progress", _line(status), **_figures(status), **self._names()))

    def on_end(self, status: Status, reason: str) -> None:
        """Write why it stopped."""
        self._write(json_line("end", reason, **_figures(status), **self._names()))

    def _names(self) -> dict[str, str]:
        return {"job": self._title} if self._title else {}


def json_line(event: str, message: str, **fields: Any) -> str:
    """Return a line of a JSON log: time (UTC), event, message, more fields."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    # ASCII only, so that standard error can take it in any encoding.
    return json.dumps({"time": now, "event": event, "message": message, **fields})


def _figures(status: Status) -> dict[str, Any]:
    training = status.state
    saved = status.stats.saved
    return {
        "rows": training.rows,
        "minibatches": training.minibatches,
        "rows_per_second": round(status.stats.rate.value, 1),
        "progress": status.progress(),
        "is_idle": status.is_idle,
        "loss": training.stopping.loss,
        "learning_rate": training.model.counters().get("learning_rate"),
        "metrics": training.evaluation.metrics(),
        "rolling": training.evaluation.rolling(),
        "baselines": training.evaluation.baselines(),
        "bad_rows": training.quality.n_bad,
        "error_drifts": training.drift.errors.count if training.drift is not None else None,
        "drifted_features": list(training.drift.features.drifted) if training.drift is not None else None,
        "checkpoint": saved.path.name if saved is not None else None,
    }


def _line(status: Status) -> str:
    training = status.state
    parts = [f"{training.rows:,} rows", f"{status.stats.rate.value:,.0f} rows/s"]
    progress = status.progress()
    if progress is not None:
        epochs = training.config.epochs
        parts.append(f"{progress:.0%}" + (f", epoch {training.epoch + 1}/{epochs}" if epochs > 1 else ""))
    evaluation = training.evaluation
    parts.append(headline(evaluation.task, evaluation.metrics(), evaluation.baselines()))
    recent = headline(evaluation.task, evaluation.rolling(), evaluation.baselines(rolling=True))
    parts.append(f"rolling {recent}")
    if training.stopping.loss is not None:
        parts.append(f"loss {show(training.stopping.loss)}")
    if status.checkpoint is not None:
        parts.append(status.checkpoint.stem)
    return " · ".join(parts)
