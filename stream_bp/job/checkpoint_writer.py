"""Checkpoints written in the background: the learner's thread only copies."""

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
    """One thread that writes one checkpoint at a time, at most one behind: the next one waits for it.

    Parameters
    ----------
    checkpointer
        Where checkpoints go.
    journals
        What a checkpoint vouches for; they are synced first. Others may go on adding rows to them.
    newest
        The checkpoint that the job goes on from, if there is one.
    predictions
        Parts that a checkpoint vouches for, if there are any: synced first, and given their names afterwards.
    work
        Is told how long each took.

    Attributes
    ----------
    newest
        The last checkpoint that was acknowledged: a power cut cannot undo it.
    acknowledged
        Who is to be told of each that is, in the saver's thread.

    Notes
    -----
    A context manager. Leaving it waits for the checkpoint in hand, whose failure is then told, unless another is
    already on its way.
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
        """Hand a snapshot over, once the one before is on the medium.

        Parameters
        ----------
        snapshot
            A copy: whatever learns on must not change it.
        marks
            How far the journals, and the predictions, are to be synced first.

        Raises
        ------
        CheckpointError
            If the one before could not be saved.
        """
        # At most one behind: a copy of θ waits in memory for as long as the disk takes.
        self.wait()
        self._in_hand = self._thread.submit(self._save, snapshot, marks)

    def check(self) -> None:
        """Raise the error of the checkpoint in hand, if it is known by now to have failed."""
        if self._in_hand is not None and self._in_hand.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint in hand; raise what it failed with."""
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
        # The checkpoint vouches for the logs, so they are on the medium before it is.
        self._journals.sync(marks)
        if self._predictions is not None:
            self._predictions.sync(marks["predictions"])
        self.newest = path = self._checkpointer.save(snapshot)
        if self._predictions is not None:
            # Parts get their names last: a reader never sees a row that a crash takes back.
            self._predictions.publish(marks["predictions"])
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        # An error that is on its way is the one to tell.
        if error is None:
            self.wait()
