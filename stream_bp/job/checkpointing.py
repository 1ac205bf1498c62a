"""The files of a job that outlive its process: logs, predictions, checkpoints."""

import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import stream_bp
from connectors import Cursor, Decisions, Source
from stream_bp.config.job import JobConfig
from stream_bp.job.checkpoint_writer import AsyncCheckpointWriter
from stream_bp.job.prediction_writer import PredictionWriter
from stream_bp.job.state import JobState
from stream_bp.job.stats import RuntimeStats
from stream_bp.job.triggers import Triggers
from stream_bp.persistence.checkpoints import Checkpointer, LoadedCheckpoint
from stream_bp.persistence.decision_log import DecisionLog
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.persistence.run_logs import RunLogs, open_run_logs
from stream_bp.persistence.snapshot import Snapshot

__all__ = ["Checkpointing"]


class Checkpointing:
    """The logs and checkpoints of a job. Without a run directory there are none.

    Parameters
    ----------
    state
        The job's state.
    config
        The job's settings.
    source
        The source of its rows.
    fingerprint
        The numerics that decide the bits of the result.
    predictions
        Writes the predictions, if they are kept.
    work
        Records how long each checkpoint took.

    Attributes
    ----------
    logs
        The history and the other log files; ``None`` without a run directory.
    predictions
        As given.
    decisions
        The log of the decisions of an unbounded source.
    triggers
        Says what is due.
    """

    def __init__(
        self,
        state: JobState,
        config: JobConfig,
        source: Source,
        *,
        fingerprint: dict[str, Any],
        predictions: PredictionWriter | None,
        work: RuntimeStats,
    ) -> None:
        self._state, self._config, self._source, self._work = state, config, source, work
        self._fingerprint = fingerprint
        self.predictions = predictions
        self.logs: RunLogs | None = None
        self.decisions = Decisions()
        self.triggers = Triggers(state, config, has_logs=False)
        self._writer: AsyncCheckpointWriter | None = None
        self._not_committed: deque[Cursor] = deque()

    @contextlib.contextmanager
    def open(
        self, directory: RunDirectory, checkpointer: Checkpointer, disk: FileSystem, resumed: LoadedCheckpoint | None
    ) -> Iterator[Self]:
        """Open or create the files of a locked run directory; leaving the context waits for the last checkpoint.

        Parameters
        ----------
        directory
            The run directory.
        checkpointer
            Its checkpoint files.
        disk
            Reads and writes the files.
        resumed
            The checkpoint that the job resumes from.
        """
        columns = self._state.history.columns(self._state.model)
        with contextlib.ExitStack() as stack:
            snapshot = None if resumed is None else resumed.snapshot.state
            self.logs = stack.enter_context(open_run_logs(directory, columns, snapshot, disk))
            self.triggers = Triggers(self._state, self._config, has_logs=True)
            if not self._state.model.is_resumable:
                yield self
                return
            if self.predictions is not None:
                stack.enter_context(self.predictions)
            newest = None if resumed is None else resumed.path
            self._writer = AsyncCheckpointWriter(checkpointer, self.logs, newest, self.predictions, self._work)
            if self._source.is_unbounded:
                kept = DecisionLog(directory.file("decisions"), self._config.keep_checkpoints, disk)
                self.decisions = stack.enter_context(contextlib.closing(kept))
                self._writer.acknowledged += [lambda snapshot: kept.saved(snapshot.state["rows"]), self._commit]
            stack.enter_context(self._writer)
            yield self

    @property
    def newest(self) -> Path | None:
        """The last checkpoint that is safe from a power cut."""
        return self._writer.newest if self._writer is not None else None

    @property
    def is_resumable(self) -> bool:
        """Whether checkpoints are written."""
        return self._writer is not None

    def check(self) -> None:
        """Raise the error of a pending checkpoint that has already failed."""
        if self._writer is not None:
            self._writer.check()

    def write_line(self) -> None:
        """Write a line of the history, and begin the next."""
        if self.logs is not None:
            self.logs["history"].append(self._state.history_line())
        self._state.history.begin_line(self._state.rows)

    def save(self) -> None:
        """Pass a copy of the state to the writer, which syncs the logs first, and then saves the copy."""
        if self.logs is None:
            return
        if self._writer is None:
            self.logs.sync()
        else:
            marks: dict[str, Any] = {**self.logs.mark()}
            if self.predictions is not None:
                marks["predictions"] = self.predictions.mark()
            self._writer.save(self._snapshot(marks), marks)
        self.triggers.checkpointed()

    def sync(self) -> None:
        """Make the logs durable up to their last row."""
        if self.logs is not None:
            self.logs.sync()

    def save_and_wait(self) -> None:
        """Save the final state, and wait: a failure must be reported before the job ends."""
        self.save()
        if self._writer is not None:
            self._writer.wait()

    def _snapshot(self, marks: dict[str, Any]) -> Snapshot:
        state = self._state.state_dict()
        state.values |= {name: dict(mark) for name, mark in marks.items()}
        state.values |= {
            "version": stream_bp.__version__,
            "fingerprint": self._fingerprint,
            "sources": list(self._config.source or self._source.paths),
        }
        return Snapshot(self._state.minibatches, state.arrays, state.values)

    def _commit(self, snapshot: Snapshot) -> None:
        """Report to an unbounded source which position no kept checkpoint needs any more."""
        cursor = Cursor.from_json(snapshot.state["position"]["cursor"])
        self._not_committed.append(self._source.compact(cursor))
        # A job may resume from any kept checkpoint, so the source must still hold the rows after the oldest of them.
        if len(self._not_committed) > self._config.keep_checkpoints:
            self._source.commit(self._not_committed.popleft())
