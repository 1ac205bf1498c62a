"""The loop of a job: read, predict, score, learn; then do what is due at the boundary, or stop."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from connectors import ConnectorError, NewColumnsError, RowError, Source, SourceEvent
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, DataError
from stream_bp.job.bad_rows import Quarantine
from stream_bp.job.checkpointing import Checkpointing
from stream_bp.job.data_quality import no_rows
from stream_bp.job.events import EventRecorder
from stream_bp.job.observer import Observer, Status
from stream_bp.job.reader import Chunk, MinibatchReader, Position
from stream_bp.job.resume import schema_read
from stream_bp.job.signals import StopSignals
from stream_bp.job.state import JobState
from stream_bp.job.stats import RuntimeStats
from stream_bp.persistence.checkpoints import LoadedCheckpoint
from stream_bp.planning.plan import MOST_GUESSED_CLASSES
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import learnable

__all__ = ["ChunkLearner", "Runner"]


class ChunkLearner:
    """Learns a chunk of rows in stretches of about a tenth of a second, and stops at a bad row above the limit.

    Parameters
    ----------
    state, config, checkpointing, work
        As of :class:`Runner`.
    quarantine, events
        The counter of bad rows, and the recorder of events.
    is_done
        Returns whether the job must stop.
    look_up
        Does what is due at a boundary.
    """

    def __init__(
        self,
        state: JobState,
        config: JobConfig,
        checkpointing: Checkpointing,
        *,
        work: RuntimeStats,
        quarantine: Quarantine,
        events: EventRecorder,
        is_done: Callable[[], bool],
        look_up: Callable[[], None],
    ) -> None:
        self._state, self._config, self._checkpointing, self._work = state, config, checkpointing, work
        self._quarantine, self._events, self._is_done, self._look_up = quarantine, events, is_done, look_up

    def learn(self, chunk: Chunk) -> None:
        """Learn a chunk, up to the first bad row in it that exceeds the limit."""
        state, first_row = self._state, chunk.position(0).row if chunk.notes else 0
        # A note belongs to the row after it. Its index here counts from the first row of the chunk.
        notes = deque((note.row - first_row, note) for note in chunk.notes)
        excess = self._quarantine.first_excess(chunk.notes)
        end = len(chunk.rows)
        if excess is not None:
            at = excess[0].row - first_row
            # Complete minibatches only: the row where a run stops must not affect what is learned.
            end = min(end, at - at % self._config.batch_size)
        before = state.rows
        try:
            for stop in self._stretches(chunk, end):
                # An event just before a learned row is recorded with that row.
                self._events.record([notes.popleft()[1] for at, _ in tuple(notes) if at < stop])
                self._look_up()
        except DataError:
            # The minibatches before the failed one are learned, so the checkpoint must cover their events.
            self._events.record([note for at, note in notes if at < state.rows - before])
            self._checkpointing.save_and_wait()
            raise
        if excess is not None and not self._is_done():
            # Saved before the excess is recorded: a job that resumes with a higher limit counts these rows again.
            self._checkpointing.save_and_wait()
            self._events.record([note for _, note in notes if note.row <= excess[0].row])
            self._checkpointing.sync()
            raise excess[1]

    def _stretches(self, chunk: Chunk, end: int) -> Iterator[int]:
        """Learn the first rows of a chunk in stretches of about a tenth of a second; yield where each ends."""
        start, b = 0, self._config.batch_size
        while start < end and not self._is_done():
            n_minibatches = self._checkpointing.triggers.minibatches_to_boundary()
            stop = min(end, start + n_minibatches * b)
            began = time.monotonic()
            self._learn_stretch(chunk, start, stop)
            seconds = time.monotonic() - began
            self._checkpointing.triggers.pace(seconds, n_minibatches)
            self._work.steps.observe(seconds, -(-(stop - start) // b))
            start = stop
            self._state.locate = partial(chunk.position, stop)
            yield stop

    def _learn_stretch(self, chunk: Chunk, start: int, stop: int) -> None:
        """Learn some minibatches. If one fails, the minibatches before it stay learned."""
        state, first_row, predictions = self._state, self._state.rows, self._checkpointing.predictions
        try:
            for at, outcome in state.learn(chunk.rows, start, stop):
                if predictions is not None:
                    predictions.write(chunk.kept, state.epoch, chunk.rows, at, outcome)
        except DataError:
            if state.rows > first_row:
                # The failed minibatch is not learned, so the job resumes before it.
                state.locate = partial(chunk.position, start + state.rows - first_row)
            raise


class Runner:
    """Moves the state of a job from boundary to boundary until the job is done.

    Parameters
    ----------
    source
        The source of the rows.
    config
        The job's settings.
    state
        The job's state.
    checkpointing
        The job's files.
    signals
        Requests to stop.
    observer
        Receives the progress.
    work
        Records the time that steps, reads and saves took.
    resumed
        The checkpoint that the job resumes from; ``None`` for a new job.
    copied
        The fields of the passthrough columns.

    Attributes
    ----------
    run_rows
        Rows learned by this process.
    seconds
        Run time of this process.
    """

    def __init__(
        self,
        source: Source,
        config: JobConfig,
        state: JobState,
        *,
        checkpointing: Checkpointing,
        signals: StopSignals,
        observer: Observer,
        work: RuntimeStats,
        resumed: LoadedCheckpoint | None,
        copied: Sequence[Any] = (),
    ) -> None:
        self._source, self._config, self._state, self._signals = source, config, state, signals
        self._checkpointing, self._observer, self._work = checkpointing, observer, work
        self._resumed, self._copied = resumed, copied
        logs = checkpointing.logs
        self._quarantine = Quarantine(state.quality, config, logs["quarantine"] if logs is not None else None)
        self._events = EventRecorder(state, self._quarantine, logs, observer.on_message)
        self._chunks = ChunkLearner(
            state,
            config,
            checkpointing,
            work=work,
            quarantine=self._quarantine,
            events=self._events,
            is_done=self._is_done,
            look_up=self._look_up,
        )
        self._started, self._first_row = time.monotonic(), state.rows
        self._notes_at_end: Sequence[SourceEvent] = ()
        self._excess: RowError | None = None
        self._is_idle = self._is_closed = self._has_said_classes = False
        self._is_guessed = config.task == config.output == "auto"

    @property
    def run_rows(self) -> int:
        """Rows learned by this process."""
        return self._state.rows - self._first_row

    @property
    def seconds(self) -> float:
        """Run time of this process."""
        return time.monotonic() - self._started

    def run(self) -> float:
        """Learn until the job is done, save, and finish its logs. Return how many seconds the learning took."""
        self._work.rate.update(self._started, self._state.rows)
        self._observer.on_start(self._state, self._resumed)
        try:
            seconds = self._run()
        except BaseException as error:
            self._observer.on_end(self._status(), str(error) or type(error).__name__)
            self._finish_logs_after(error)
            raise
        self._observer.on_end(self._status(), self._signals.reason or str(self._state.stop_reason))
        return seconds

    def _run(self) -> float:
        # Without a checkpoint at row 0, a job that dies early would leave a directory that cannot be resumed.
        if self._resumed is None:
            self._checkpointing.save()
        self._learn()
        # The last checkpoint must not count in the rate of learning.
        seconds = self.seconds
        if not self._is_saved():
            self._checkpointing.save_and_wait()
        self._finish_logs()
        return seconds

    def _is_saved(self) -> bool:
        """Return whether the job was finished already, so that nothing has changed."""
        if self._resumed is None or self.run_rows:
            return False
        return bool(self._resumed.snapshot.state["stop_reason"] == self._state.stop_reason)

    def _finish_logs(self) -> None:
        """Write the last lines, which no checkpoint covers. A job that resumes cuts them off."""
        # After a signal the stream has not ended: the resumed job writes the next lines.
        if self._signals.is_requested and self._checkpointing.is_resumable:
            return
        self._is_closed = True  # set first: an error below must not write these lines a second time
        self._quarantine.take(self._notes_at_end)
        if self._checkpointing.logs is not None:
            if not self._state.history.is_reported(self._state.rows):
                self._checkpointing.logs["history"].append(self._state.history_line())
            self._checkpointing.logs.sync()
        if self._excess is not None:
            raise self._excess
        if not self._state.rows and self._state.quality.n_bad:
            raise no_rows(self._source.description, self._state.quality.bad)

    def _finish_logs_after(self, error: BaseException) -> None:
        """Save the logs up to their last row when a job that cannot resume ends with an error."""
        logs = self._checkpointing.logs
        if logs is None or self._checkpointing.is_resumable:
            return
        with contextlib.suppress(CheckpointError, RowError, DataError):  # the first error is reported
            # An interrupt can happen anywhere, so the state may be half updated: write no line of it.
            if isinstance(error, Exception) and not self._is_closed:
                self._finish_logs()
        with contextlib.suppress(CheckpointError):
            logs.sync()

    def _learn(self) -> None:
        """Learn the remaining epochs."""
        state = self._state
        # A resumed job may have reached its limit already.
        state.stop_reason = state.stop_reason or state.limit_reached()
        while not self._is_done():
            position = state.locate()
            if position.epoch >= self._config.epochs:  # --epochs was lowered
                state.stop_reason = "end_of_stream"
                return
            feed = self._feed()
            try:
                self._learn_epoch(feed, position)
            except NewColumnsError as error:
                # The rows before the new columns are learned; rows of an incomplete minibatch are read again.
                change = state.add_columns(learnable(error.schema), error.schema.names, error.row, error.place)
                self._events.record_change(change)
                continue
            if self._is_done():
                return
            self._end_pass(feed.notes)
            if position.epoch + 1 >= self._config.epochs:
                state.stop_reason = "end_of_stream"
            else:
                state.begin(feed.next_epoch(position))

    def _is_done(self) -> bool:
        return self._state.stop_reason is not None or self._signals.is_requested

    def _feed(self) -> MinibatchReader:
        """Return the reader of the next epoch, for the present columns."""
        config, source = self._config, self._source
        return MinibatchReader(
            source,
            schema_read(source, self._state.model.encoder, self._copied),
            config,
            decisions=self._checkpointing.decisions,
            copied=self._copied,
            known=self._known_columns(),
            work=self._work,
        )

    def _known_columns(self) -> set[str] | None:
        """Return the names of all known columns if new ones are to be learned; else ``None``."""
        if self._config.new_columns == "ignore":
            return None
        encoder = self._state.model.encoder
        learned = {column.name for column in [*encoder.features, *encoder.targets]}
        return learned.union(self._source.schema.names, self._config.ignore, self._state.changes.unlearnable)

    def _learn_epoch(self, feed: MinibatchReader, position: Position) -> None:
        """Learn from a position to the end of its epoch, or until the job must stop."""
        with feed.open(position, self._state.model.preparation(self._config.batch_size)) as chunks:
            for chunk in self._readable(chunks):
                self._is_idle = chunk is None
                if chunk is None:
                    self._look_up()
                else:
                    self._chunks.learn(chunk)
                if self._is_done():
                    return

    def _readable(self, chunks: Iterable[Chunk | None]) -> Iterator[Chunk | None]:
        """Yield the chunks. If a row cannot be read, the rows before it stay learned and are saved."""
        try:
            yield from chunks
        except NewColumnsError:  # not a failure: the job adds the columns and reads on
            raise
        except (ConnectorError, DataError):
            self._checkpointing.save_and_wait()
            raise

    def _end_pass(self, notes: Sequence[SourceEvent]) -> None:
        """Handle the events after the last row of a pass."""
        if self._state.epoch:
            return
        # Later passes read the same bad rows, so only the first pass counts them.
        self._excess = self._quarantine.excess_at_end(notes, self._state.rows)
        if self._config.epochs == 1:
            self._notes_at_end = notes
            return
        if self._excess is not None:
            self._checkpointing.save_and_wait()
        self._quarantine.take(notes)
        if self._excess is not None:
            self._checkpointing.sync()
            raise self._excess

    def _look_up(self) -> None:
        """Do what is due at a boundary."""
        for line in self._state.drift.lines() if self._state.drift is not None else ():
            self._observer.on_message(line)
        if not self._has_said_classes and self._is_guessed and (said := _many_classes(self._state.model.encoder)):
            self._has_said_classes = True
            self._observer.on_message(said)
        self._checkpointing.check()
        if self._checkpointing.triggers.is_line_due:
            self._checkpointing.write_line()
        if self._checkpointing.triggers.is_checkpoint_due:
            self._checkpointing.save()
        self._work.rate.update(time.monotonic(), self._state.rows)
        self._observer.on_progress(self._status())

    def _status(self) -> Status:
        newest = self._checkpointing.newest
        return Status(self._state, self._source, self._work, self.run_rows, self.seconds, newest, self._is_idle)


def _many_classes(encoder: Encoder) -> str | None:
    """Return a line if a target of whole numbers, taken for classes, has too many of them."""
    if encoder.task != "classification":
        return None
    for column, labels in zip(encoder.targets, encoder.labels, strict=True):
        n_classes = len(labels.values)
        if column.kind in {"integer", "number"} and n_classes > MOST_GUESSED_CLASSES:
            return (
                f"target column {column.name!r} was taken for classes, but has {n_classes} different whole numbers "
                "now; if it is a quantity, start over with --task regression --restart"
            )
    return None
