"""The job: read, predict, score, learn; checkpoint at some borders; stop when a rule says so.

Everything that decides the bits is in :class:`~stream_bp.job.state.Training` and moves from minibatch border to
minibatch border. The job decides only how far to go before it looks up, and that shows nowhere.
"""

import contextlib
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from connectors import (
    ConnectorError,
    Cursor,
    Decisions,
    NewColumnsError,
    Note,
    RowError,
    Source,
    told,
)
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, ConfigError, DataError, LockedError
from stream_bp.job.bad_rows import Quarantine
from stream_bp.job.checkpoint_writer import Saver
from stream_bp.job.data_quality import no_rows
from stream_bp.job.observer import Observer, Observers, Status
from stream_bp.job.prediction_writer import Predictions
from stream_bp.job.reader import Chunk, Feed, Position
from stream_bp.job.resume import Origin, find_checkpoint, schema_read
from stream_bp.job.state import Training
from stream_bp.job.stats import Work
from stream_bp.job.summary import Summary, peak_rss_bytes
from stream_bp.job.timeline import Timeline
from stream_bp.nn import reproducibility
from stream_bp.persistence.checkpoints import Checkpointer, Loaded
from stream_bp.persistence.decision_log import KeptDecisions
from stream_bp.persistence.filesystem import Disk
from stream_bp.persistence.prediction_parts import refuse_place
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.persistence.run_logs import Journals, open_journals
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.preprocessing.schema import kept_columns, learnable

if TYPE_CHECKING:
    from river.base import Estimator

__all__ = ["Job"]

_PATIENCE_S = 1.0  # how long a person waits without asking why
_NEVER = 2**63
_GLANCE_S = 0.1  # how long the job learns before it looks at signals and the clock
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Job:
    """Learn a stream, from its start or from the checkpoint in the run directory.

    Parameters
    ----------
    source
        Where rows come from.
    config
        The settings; keyword arguments of :class:`~stream_bp.config.job.JobConfig` may be given instead.
    model
        A River classifier or regressor, or a pipeline that ends in one, to learn in place of the network. It is
        learned where it is, from what it knew before; no checkpoint is written, and the job cannot be resumed. The
        settings of the network do not go with it.
    frozen
        A checkpoint whose network predicts the rows, and does not learn them, in place of a new one.
    fresh
        Start over, removing what the run directory holds of an earlier job.
    allow_different_numerics
        Resume although versions, BLAS or threads differ; the bits may then differ too.
    observer
        Hears how the job goes.
    disk
        The way to the disk.
    settings
        See ``config``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from connectors import open_source
    >>> table = pa.table({"x": [0.0, 1.0] * 500, "y": ["no", "yes"] * 500})
    >>> summary = Job(open_source(table), target="y", hidden=(8,)).run()
    >>> summary.rows, summary.stop_reason
    (1000, 'end_of_stream')
    """

    def __init__(
        self,
        source: Source,
        config: JobConfig | None = None,
        *,
        model: "Estimator | None" = None,
        frozen: Loaded | None = None,
        fresh: bool = False,
        allow_different_numerics: bool = False,
        observer: Observer | None = None,
        disk: Disk | None = None,
        **settings: Any,
    ) -> None:
        self.source = source
        config = JobConfig.of(settings) if config is None else config
        # The source is open: what is kept and shown from here on needs no passwords and signatures.
        self.config = config.model_copy(update={"source": tuple(map(told, config.source))})
        self._estimator = model
        self._frozen = frozen
        self._is_fresh = fresh
        self._may_differ = allow_different_numerics
        self._observer = observer or Observer()
        self._work = Work()
        self._disk = disk or Disk()
        self._directory: RunDirectory | None = None
        if self.config.on_bad_row == "quarantine" and self.config.run_dir is None:
            raise ConfigError("on_bad_row: a quarantine keeps bad rows in a run directory; name one with --run-dir")
        if self.config.predictions is not None:
            self._refuse_predictions(Path(self.config.predictions))
        if self.config.run_dir is not None:
            self._directory = RunDirectory(self.config.run_dir, self._disk)
            folder = self._directory.checkpoints
            self._checkpointer = Checkpointer(folder, keep=self.config.keep, disk=self._disk)
            timeline = Timeline(self._directory.file("timeline"), self._disk, self._observer.note)
            self._observer = Observers([self._observer, timeline])
        self._journals: Journals | None = None
        self._saver: Saver | None = None
        self._decisions: Decisions = Decisions()
        self._needed: deque[Cursor] = deque()
        self._predictions: Predictions | None = None
        self._signal: int | None = None
        self._is_idle = False

    def _refuse_predictions(self, folder: Path) -> None:
        """Refuse predictions that could not be written once each, or would be read."""
        if self._estimator is not None:
            raise ConfigError("predictions: they go with checkpoints, and a model of River has none; leave them out")
        if self.config.run_dir is None:
            raise ConfigError("predictions: a part appears with the checkpoint that covers it; it needs --run-dir")
        refuse_place(folder, [*self.config.source, *self.source.paths])

    def run(self) -> Summary:
        """Learn until the stream ends, a rule is met, or SIGINT, SIGTERM or SIGHUP arrives (then a last checkpoint).

        Returns
        -------
        Summary
            Figures of the whole job.

        Raises
        ------
        ConfigError, DataError
            Before anything on disk is touched, if the source cannot be learned from.
        ConnectorError
            If a row cannot be read; what was learned before it is checkpointed.
        CheckpointError
            If the run directory holds another job, one that cannot be resumed, or nothing valid; a DiskError if it
            cannot be written.
        LockedError
            If another job uses the run directory.
        DivergenceError
            If the learner blew up; the last checkpoint is from before.

        Notes
        -----
        What a River model itself raises becomes a DataError, with the original as its cause.
        """
        with reproducibility.single_thread(), contextlib.ExitStack() as stack:
            was_there = self._directory is not None and self._directory.is_ours
            if self._directory is not None and was_there:
                stack.enter_context(self._directory)
            resumed = self._find_checkpoint()
            origin = Origin(self.source, self.config, model=self._estimator, frozen=self._frozen, checkpoint=resumed)
            self.config, self._fingerprint = origin.config, origin.fingerprint
            training = origin.training(may_differ=self._may_differ)
            self._predictions = origin.predictions(training.model.encoder, self._disk, is_fresh=self._is_fresh)
            if resumed is None and self._frozen is None:
                self._tell_doubts(training)
            if self.config.engine == "compiled":
                self._compile()
            if self._directory is not None and not was_there:
                # A new one is not made before all else is known to be well.
                stack.enter_context(self._directory)
                self._refuse_if_used()
            stack.enter_context(self._keeping(training, resumed))
            stack.enter_context(self._signals())
            return self._run(training, resumed)

    def _tell_doubts(self, training: Training) -> None:
        """Say of which features it may be doubted what they are, unless somebody said so."""
        said = {*self.config.features, *self.config.categorical, *self.config.numeric}
        doubts = self.source.doubts
        for column in training.model.encoder.features:
            if column.name in doubts and column.name not in said:
                self._observer.note(doubts[column.name])

    def _compile(self) -> None:
        """Compile the step, or load what an earlier run compiled; say so where that takes a while."""
        from stream_bp.nn import numba_backend  # noqa: PLC0415 - it takes Numba

        ready = threading.Thread(target=numba_backend.prepare, args=(self.config.dtype,), daemon=True)
        ready.start()
        ready.join(_PATIENCE_S)
        if ready.is_alive():
            self._observer.note("compiling the step for this processor; later runs find it in Numba's cache")
        ready.join()

    def _run(self, training: Training, resumed: Loaded | None) -> Summary:
        self._started, self._first_row, self._saved = time.monotonic(), training.rows, time.monotonic()
        self._saved_rows = training.rows
        self._glance_minibatches = 1
        self._work.rate.update(self._started, training.rows)
        self._observer.begin(training, resumed)
        try:
            summary = self._run_observed(training, resumed)
        except BaseException as error:
            self._observer.end(self._status(training), str(error) or type(error).__name__)
            raise
        self._observer.end(self._status(training), summary.stop_reason)
        return summary

    def _run_observed(self, training: Training, resumed: Loaded | None) -> Summary:
        if resumed is None:
            self._save(training)
        if self._journals is None:
            training.mark = _NEVER  # nobody reads a line
        training.changes.journal = self._journals["events"] if self._journals is not None else None
        kept = self._journals["quarantine"] if self._journals is not None else None
        self._quarantine = Quarantine(training.quality, self.config, kept)
        self._notes_at_end: Sequence[Note] = ()
        self._excess: RowError | None = None
        self._learn(training)
        seconds = time.monotonic() - self._started
        if not self._is_saved(training, resumed):
            self._save_and_wait(training)
        self._close_journals(training)
        return self._summary(training, resumed, seconds)

    def _is_saved(self, training: Training, resumed: Loaded | None) -> bool:
        """Whether a finished job was only asked again."""
        if resumed is None or training.rows != self._first_row:
            return False
        return bool(resumed.snapshot.state["stop_reason"] == training.stop_reason)

    def _close_journals(self, training: Training) -> None:
        """Tell what comes last, behind what the checkpoint vouches for: a job that goes on cuts it off."""
        if self._signal is not None and self._saver is not None:
            return
        self._quarantine.take(self._notes_at_end)
        if self._journals is not None:
            if not training.is_reported:
                self._journals["history"].append(training.report())
            self._journals.sync()
        if self._excess is not None:
            raise self._excess
        if not training.rows and training.quality.n_bad:
            raise no_rows(self.source.description, training.quality.bad)

    def _find_checkpoint(self) -> Loaded | None:
        """Return the checkpoint to go on from, if there is one."""
        if self._directory is None or self._is_fresh:
            return None
        return find_checkpoint(self._directory, self._checkpointer, is_resumable=self._estimator is None)

    def _refuse_if_used(self) -> None:
        """Refuse to go on if another job used a new run directory between our look at it and its lock."""
        if self._directory is not None and (self._directory.peek() or self._directory.holds_other_history()):
            raise LockedError(f"{self.config.run_dir} was used by another job in this very moment; run again")

    @contextlib.contextmanager
    def _keeping(self, training: Training, resumed: Loaded | None) -> Iterator[None]:
        """Open the history of the run directory, if there is one, and what saves in the background."""
        if self._directory is None:
            yield
            return
        if self._is_fresh:
            self._directory.clear()
        newest = resumed.path if resumed is not None else None
        with contextlib.ExitStack() as stack:
            state = None if resumed is None else resumed.snapshot.state
            journals = open_journals(self._directory, training.columns, state, self._disk)
            self._journals = stack.enter_context(journals)
            if not training.model.is_resumable:
                stack.enter_context(self._telling_to_the_end(self._journals, training))
                yield
                return
            if self._predictions is not None:
                stack.enter_context(self._predictions)
            self._saver = Saver(self._checkpointer, self._journals, newest, self._predictions, self._work)
            if self.source.is_endless:
                kept = KeptDecisions(self._directory.file("decisions"), self.config.keep, self._disk)
                self._decisions = stack.enter_context(contextlib.closing(kept))
                self._saver.acknowledged += [lambda snapshot: kept.saved(snapshot.state["rows"]), self._acknowledge]
            with self._saver:
                yield

    def _acknowledge(self, snapshot: Snapshot) -> None:
        """Tell an endless source what no checkpoint of this run will need any more."""
        cursor = Cursor.from_json(snapshot.state["position"]["cursor"])
        self._needed.append(replace(cursor, seen=cursor.seen[-1:]))
        if len(self._needed) > self.config.keep:
            self.source.acknowledge(self._needed.popleft())

    @contextlib.contextmanager
    def _telling_to_the_end(self, journals: Journals, training: Training) -> Iterator[None]:
        """Keep the journals to their last row, however a job ends that cannot go on."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(CheckpointError):  # the first error is the one to tell
                if isinstance(error, Exception):  # an interrupt comes anywhere, also between two figures of a line
                    self._close_journals(training)
                journals.sync()
            raise

    def _learn(self, training: Training) -> None:
        """Go through the epochs that are left."""
        training.stop_reason = training.stop_reason or training.limit_reached()
        while not self._is_done(training):
            position = training.locate()
            if position.epoch >= self.config.epochs:  # fewer passes than were asked for before
                training.stop_reason = "end_of_stream"
                return
            feed = Feed(
                self.source,
                schema_read(self.source, self.config, training.model.encoder),
                self.config,
                decisions=self._decisions,
                kept=kept_columns(self.source.schema, self.config.keep_columns, self.config.target),
                known=self._known_columns(training),
                work=self._work,
            )
            try:
                self._learn_epoch(training, feed, position)
            except NewColumnsError as error:
                # The rows before those that have them are learned; what waits for a minibatch is read again.
                training.add_columns(learnable(error.schema), error.schema.names, error.row, error.place)
                continue
            if self._is_done(training):
                return
            self._pass_end(training, feed.notes)
            if position.epoch + 1 >= self.config.epochs:
                training.stop_reason = "end_of_stream"
            else:
                training.begin(feed.next_epoch(position))

    def _learn_epoch(self, training: Training, feed: Feed, position: Position) -> None:
        """Learn from a position to the end of its epoch, or until a rule says stop."""
        with feed.open(position, training.model.preparation(self.config.batch_size)) as chunks:
            for chunk in self._readable(chunks, training):
                self._is_idle = chunk is None
                if chunk is None:
                    self._look_up(training)
                else:
                    self._learn_chunk(training, chunk)
                if self._is_done(training):
                    return

    def _known_columns(self, training: Training) -> set[str] | None:
        """Return the names of all columns that are no news, where news are to be learned."""
        if self.config.new_columns == "ignore":
            return None
        encoder = training.model.encoder
        learned = {column.name for column in [*encoder.features, *encoder.targets]}
        return learned.union(self.source.schema.names, self.config.ignore, training.changes.unlearnable)

    def _pass_end(self, training: Training, notes: Sequence[Note]) -> None:
        """Pass by what lies behind the last row: at the end of all behind the last checkpoint, else within the next."""
        if training.epoch:
            return
        self._excess = self._quarantine.excess_at_end(notes, training.rows)
        if self.config.epochs == 1:
            self._notes_at_end = notes
            return
        if self._excess is not None:
            self._save_and_wait(training)
        self._quarantine.take(notes)
        if self._excess is not None:
            if self._journals is not None:
                self._journals.sync()
            raise self._excess

    def _is_done(self, training: Training) -> bool:
        return training.stop_reason is not None or self._signal is not None

    def _readable(self, chunks: Iterator[Chunk | None], training: Training) -> Iterator[Chunk | None]:
        """Hand on chunk after chunk; a row that cannot be read loses nothing of what was learned before it."""
        try:
            yield from chunks
        except NewColumnsError:
            raise
        except (ConnectorError, DataError):
            self._save_and_wait(training)
            raise

    def _learn_chunk(self, training: Training, chunk: Chunk) -> None:
        """Learn a chunk, up to a bad row too many in it."""
        if self._predictions is not None:
            training.witness = partial(self._predictions.write, chunk.kept)
        first_row = chunk.position(0).row if chunk.notes else 0
        notes = deque((note.row - first_row, note) for note in chunk.notes)
        excess = self._quarantine.first_excess(chunk.notes)
        end = len(chunk.rows)
        if excess is not None:
            at = excess[0].row - first_row
            end = min(end, at - at % self.config.batch_size)
        before = training.rows
        try:
            for stop in self._stretches(training, chunk, end):
                # What lies just before a row that was learned is passed by with it.
                self._pass_by(training, [notes.popleft()[1] for at, _ in tuple(notes) if at < stop])
                self._look_up(training)
        except DataError:
            self._pass_by(training, [note for at, note in notes if at < training.rows - before])
            self._save_and_wait(training)
            raise
        if excess is not None and not self._is_done(training):
            self._save_and_wait(training)
            self._pass_by(training, [note for _, note in notes if note.row <= excess[0].row])
            if self._journals is not None:
                self._journals.sync()
            raise excess[1]

    def _pass_by(self, training: Training, notes: Sequence[Note]) -> None:
        """Take to protocol what was said of rows that were learned."""
        self._quarantine.take(notes)
        for note in notes:
            self._write_drift(training, note.row)
            for line in training.changes.take([note]):
                self._observer.note(line)
        self._write_drift(training)

    def _write_drift(self, training: Training, row: float = math.inf) -> None:
        """Write down what drifted up to a row: others write of rows in the same journal, and all goes by the row."""
        if training.drift is None:
            return
        events, figures = training.drift.take_events(row), training.drift.take_figures()
        if self._journals is None:
            return
        for found in events:
            self._journals["events"].append(
                {"row": found.row, "event": found.event, "source": "", "detail": found.detail}
            )
        for n_rows, feature, psi in figures:
            self._journals["psi"].append({"row": n_rows, "feature": feature, "psi": psi})

    def _stretches(self, training: Training, chunk: Chunk, end: int) -> Iterator[int]:
        """Learn the first rows of a chunk in stretches of about a tenth of a second; yield where each ends."""
        start, b = 0, self.config.batch_size
        while start < end and not self._is_done(training):
            n_minibatches = min(training.minibatches_to_border(), self._glance_minibatches)
            stop = min(end, start + n_minibatches * b)
            began = time.monotonic()
            self._learn_stretch(training, chunk, start, stop)
            seconds = time.monotonic() - began
            self._pace(seconds, n_minibatches)
            self._work.steps.observe(seconds, -(-(stop - start) // b))
            start = stop
            training.locate = partial(chunk.position, stop)
            yield stop

    def _look_up(self, training: Training) -> None:
        """Do what is due at a border."""
        for line in training.drift.lines() if training.drift is not None else ():
            self._observer.note(line)
        if self._saver is not None:
            self._saver.check()
        if training.rows >= training.mark:
            self._report(training)
        if self._is_checkpoint_due(training):
            self._save(training)
        self._tell(training)

    def _learn_stretch(self, training: Training, chunk: Chunk, start: int, stop: int) -> None:
        """Learn some minibatches; what was learned before one that cannot be is kept."""
        first_row = training.rows
        try:
            training.learn(chunk.rows, start, stop)
        except DataError:
            if training.rows > first_row:
                training.locate = partial(chunk.position, start + training.rows - first_row)
            raise

    def _pace(self, seconds: float, n_minibatches: int) -> None:
        """Choose how many minibatches to learn before the next look: this shows nowhere in the result."""
        if seconds < _GLANCE_S / 2 and n_minibatches == self._glance_minibatches:
            self._glance_minibatches *= 2
        elif seconds > _GLANCE_S * 2:
            self._glance_minibatches = max(1, self._glance_minibatches // 2)

    def _is_checkpoint_due(self, training: Training) -> bool:
        if self._journals is None:
            return False
        every, interval = self.config.checkpoint_minibatches, self.config.checkpoint_interval_s
        if every is not None:
            return training.minibatches % every == 0 and training.rows > self._saved_rows
        is_new = training.rows > self._saved_rows
        return is_new and interval is not None and time.monotonic() - self._saved >= interval

    def _report(self, training: Training) -> None:
        if self._journals is not None:
            self._journals["history"].append(training.report())
        training.begin_line()

    def _save(self, training: Training) -> None:
        """Hand a copy of everything to the saver: it writes the history that the copy vouches for, then the copy."""
        if self._journals is None:
            return
        if self._saver is None:
            self._journals.sync()
            self._saved, self._saved_rows = time.monotonic(), training.rows
            return
        extra = {"fingerprint": self._fingerprint, "sources": list(self.config.source or self.source.paths)}
        marks: dict[str, Any] = {**self._journals.mark()}
        if self._predictions is not None:
            marks["predictions"] = self._predictions.mark()
        self._saver.save(training.snapshot(marks, extra), marks)
        self._saved, self._saved_rows = time.monotonic(), training.rows

    def _save_and_wait(self, training: Training) -> None:
        """Save what is not learned on from: whether that failed must be known."""
        self._save(training)
        if self._saver is not None:
            self._saver.wait()

    @property
    def _newest(self) -> Path | None:
        return self._saver.newest if self._saver is not None else None

    def _tell(self, training: Training) -> None:
        self._work.rate.update(time.monotonic(), training.rows)
        self._observer.update(self._status(training))

    def _status(self, training: Training) -> Status:
        run_rows, seconds = training.rows - self._first_row, time.monotonic() - self._started
        return Status(training, self.source, self._work, run_rows, seconds, self._newest, self._is_idle)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn a signal into a request to stop at the next border, after a last checkpoint.

        What is ignored stays ignored: by nohup, or by a shell for what it runs in the background.
        """
        is_ours = threading.current_thread() is threading.main_thread()
        heard = [number for number in _SIGNALS if is_ours and signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # somebody at the keyboard who does not want to wait for the checkpoint
        self._signal = self._signal or number

    def _summary(self, training: Training, resumed: Loaded | None, seconds: float) -> Summary:
        evaluation, run_rows = training.evaluation, training.rows - self._first_row
        names = [column.name for column in training.model.encoder.targets]
        reason = signal.Signals(self._signal).name if self._signal is not None else training.stop_reason
        finished = training.stop_reason == "end_of_stream"
        return Summary(
            task=training.model.encoder.task,
            rows=training.rows,
            minibatches=training.minibatches,
            epochs=training.epoch + finished,
            stop_reason=str(reason),
            loss=training.stopping.loss,
            metrics=evaluation.metrics(),
            windowed=evaluation.windowed(),
            baselines=evaluation.baselines(),
            targets=dict(zip(names, evaluation.by_target(), strict=True)),
            quality=training.quality.to_json(),
            model=training.model.description,
            layers=training.model.layers(),
            rows_per_second=run_rows / seconds if seconds > 0 else 0.0,
            seconds=seconds,
            peak_rss_bytes=peak_rss_bytes(),
            theta_sha256=training.model.digest,
            checkpoint=str(self._newest) if self._newest is not None else None,
            resumed_from=str(resumed.path) if resumed is not None else None,
            numerics=self._fingerprint,
            numerics_changes=training.numerics_changes,
        )
