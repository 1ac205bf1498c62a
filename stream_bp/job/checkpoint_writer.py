"""Writes checkpoints in the background. The learning thread only copies the state."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stream_bp.job.prediction_writer import PredictionWriter
from stream_bp.job.stats import RuntimeStats, Save
from stream_bp.persistence.checkpoints import Checkpointer
from stream_bp.persistence.run_logs import RunLogs
from stream_bp.persistence.snapshot import Snapshot

__all__ = ["AsyncCheckpointWriter"]


class AsyncCheckpointWriter:
    """One thread that writes one checkpoint at a time. The next one waits for it.

    Parameters
    ----------
    checkpointer
        The checkpoint files.
    journals
        The logs that a checkpoint covers. They are synced first. Other threads may append rows meanwhile.
    newest
        The checkpoint that the job resumes from, if any.
    predictions
        The prediction parts that a checkpoint covers, if any. They are synced before it, and renamed after it.
    work
        Records how long each checkpoint took.

    Attributes
    ----------
    newest
        The last acknowledged checkpoint. A power cut cannot undo it.
    acknowledged
        Functions that are called with each acknowledged snapshot, in the writer's thread.

    Notes
    -----
    A context manager. Leaving it waits for the pending checkpoint, and raises its error unless another error is
    already raised.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        journals: RunLogs,
        newest: Path | None = None,
        predictions: PredictionWriter | None = None,
        work: RuntimeStats | None = None,
    ) -> None:
        self._work = work or RuntimeStats()
        self.newest = newest
        self.acknowledged: list[Callable[[Snapshot], None]] = []
        self._checkpointer = checkpointer
        self._journals = journals
        self._predictions = predictions
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._in_hand: Future[None] | None = None

    def save(self, snapshot: Snapshot, marks: Mapping[str, Any]) -> None:
        """Submit a snapshot, after the one before is on the medium.

        Parameters
        ----------
        snapshot
            A copy of the state. Learning must not change it.
        marks
            How far to sync the logs and the predictions first.

        Raises
        ------
        CheckpointError
            If the snapshot before could not be saved.
        """
        # One pending checkpoint at most: each holds a copy of the weights in memory until the disk is done.
        self.wait()
        self._in_hand = self._thread.submit(self._save, snapshot, marks)

    def check(self) -> None:
        """Raise the error of the pending checkpoint, if it has already failed."""
        if self._in_hand is not None and self._in_hand.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the pending checkpoint, and raise its error."""
        if self._in_hand is not None:
            self._in_hand.result()
            self._in_hand = None

    def _save(self, snapshot: Snapshot, marks: Mapping[str, Any]) -> None:
        began = time.monotonic()
        try:
            path = self._write(snapshot, marks)
        except BaseException:
            self._work.n_failed_saves += 1
            raise
        seconds = time.monotonic() - began
        self._work.saves.observe(seconds)
        self._work.saved = Save(path, self._checkpointer.n_bytes, seconds, time.time())
        for hear in self.acknowledged:
            hear(snapshot)

    def _write(self, snapshot: Snapshot, marks: Mapping[str, Any]) -> Path:
        # The checkpoint covers the logs, so they must be on the medium first.
        self._journals.sync(marks)
        if self._predictions is not None:
            self._predictions.sync(marks["predictions"])
        self.newest = path = self._checkpointer.save(snapshot)
        if self._predictions is not None:
            # Parts are renamed last: a reader never sees a row that a crash takes back.
            self._predictions.publish(marks["predictions"])
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        # An error that is already raised matters more than that of the checkpoint.
        if error is None:
            self.wait()
