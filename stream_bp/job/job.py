"""A job: source, settings and model. All are checked before a file is changed."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import Source, redact
from stream_bp._arrays import DType
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError, LockedError
from stream_bp.job.checkpointing import Checkpointing
from stream_bp.job.observer import Observer, Observers
from stream_bp.job.resume import ResumePlan, find_checkpoint
from stream_bp.job.runner import Runner
from stream_bp.job.signals import StopSignals
from stream_bp.job.stats import RuntimeStats
from stream_bp.job.summary import Summary, summarize
from stream_bp.job.timeline import Timeline
from stream_bp.nn import reproducibility
from stream_bp.persistence.checkpoints import Checkpointer, LoadedCheckpoint
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.prediction_parts import refuse_place
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.planning.doubts import doubts

if TYPE_CHECKING:
    from river.base import Estimator

__all__ = ["Job"]

_PATIENCE_S = 1.0  # a longer wait needs a message


class Job:
    """Learn a stream, from its start or from the checkpoint in the run directory.

    Parameters
    ----------
    source
        The source of the rows.
    config
        The settings. Keyword arguments of :class:`~stream_bp.config.job.JobConfig` are accepted instead.
    model
        A River classifier or regressor, or a pipeline that ends in one. It learns in place of the network, from its
        present state. The job writes no checkpoints and cannot be resumed. The settings of the network do not apply.
    frozen
        A checkpoint whose network predicts the rows, and does not learn.
    restart
        Start over: remove the files of an earlier job from the run directory.
    allow_inexact_resume
        Resume although versions, BLAS or threads differ. The bits of the result may then differ too.
    observer
        Receives the progress.
    disk
        Reads and writes the files.
    settings
        See ``config``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from connectors import open_source
    >>> table = pa.table({"x": [0.0, 1.0] * 500, "y": ["no", "yes"] * 500})
    >>> summary = Job(open_source(table), target="y", hidden_layers=(8,)).run()
    >>> summary.rows, summary.stop_reason
    (1000, 'end_of_stream')
    """

    def __init__(
        self,
        source: Source,
        config: JobConfig | None = None,
        *,
        model: "Estimator | None" = None,
        frozen: LoadedCheckpoint | None = None,
        restart: bool = False,
        allow_inexact_resume: bool = False,
        observer: Observer | None = None,
        disk: FileSystem | None = None,
        **settings: Any,
    ) -> None:
        self.source = source
        config = JobConfig.of(settings) if config is None else config
        # The source is open already, so passwords and signatures are removed from all that is shown or saved.
        self.config = config.model_copy(update={"source": tuple(map(redact, config.source))})
        self._estimator, self._frozen = model, frozen
        self._is_fresh, self._may_differ = restart, allow_inexact_resume
        self._observer = observer or Observer()
        self._disk = disk or FileSystem()
        self._directory: RunDirectory | None = None
        _refuse_misfits(self.config, source, has_network=model is None)
        if self.config.run_dir is not None:
            self._directory = RunDirectory(self.config.run_dir, self._disk)
            self._checkpointer = Checkpointer(
                self._directory.checkpoints, keep=self.config.keep_checkpoints, disk=self._disk
            )
            timeline = Timeline(self._directory.file("timeline"), self._disk, self._observer.on_message)
            self._observer = Observers([self._observer, timeline])

    def run(self) -> Summary:
        """Learn until the stream ends, a stop rule is met, or SIGINT, SIGTERM or SIGHUP arrives.

        Returns
        -------
        Summary
            Figures of the whole job.

        Raises
        ------
        ConfigError, DataError
            If the source cannot be learned from. No file is changed.
        ConnectorError
            If a row cannot be read. The rows before it are learned and saved.
        CheckpointError
            If the run directory holds another job, a job that cannot be resumed, or no valid checkpoint. A DiskError
            if it cannot be written.
        LockedError
            If another job uses the run directory.
        DivergenceError
            If training diverged. The last checkpoint is from before that.

        Notes
        -----
        A signal stops the job after a last checkpoint. An error of a River model becomes a DataError, with the
        original as its cause.
        """
        # With another number of threads BLAS sums in another order, which changes the last bits.
        with reproducibility.single_thread(), contextlib.ExitStack() as stack:
            was_there = self._directory is not None and self._directory.is_ours
            if self._directory is not None and was_there:
                # Locked before its checkpoint is read, so that no other job can replace it meanwhile.
                stack.enter_context(self._directory)
            resumed = self._find_checkpoint()
            plan = ResumePlan(self.source, self.config, model=self._estimator, frozen=self._frozen, checkpoint=resumed)
            self.config = plan.config
            state = plan.state(may_differ=self._may_differ)
            predictions = plan.predictions(state.model.encoder, self._disk, is_fresh=self._is_fresh)
            if resumed is None and self._frozen is None:
                for line in doubts(self.source, self.config, state.model.encoder):
                    self._observer.on_message(line)
            if self.config.backend == "compiled":
                _compile(self.config.dtype, self._observer.on_message)
            if self._directory is not None and not was_there:
                # A new directory is created only after all checks have passed.
                stack.enter_context(self._directory)
                self._refuse_if_used()
            work = RuntimeStats()
            checkpointing = Checkpointing(
                state, self.config, self.source, fingerprint=plan.fingerprint, predictions=predictions, work=work
            )
            if self._directory is not None:
                if self._is_fresh:
                    self._directory.clear()
                stack.enter_context(checkpointing.open(self._directory, self._checkpointer, self._disk, resumed))
            signals = stack.enter_context(StopSignals())
            runner = Runner(
                self.source,
                self.config,
                state,
                checkpointing=checkpointing,
                signals=signals,
                observer=self._observer,
                work=work,
                resumed=resumed,
                copied=plan.copied(state.model.encoder),
            )
            seconds = runner.run()
            return summarize(
                state,
                fingerprint=plan.fingerprint,
                stopped_by=signals.reason,
                run_rows=runner.run_rows,
                seconds=seconds,
                checkpoint=checkpointing.newest,
                resumed_from=resumed.path if resumed is not None else None,
            )

    def _find_checkpoint(self) -> LoadedCheckpoint | None:
        """Return the checkpoint to resume from, if there is one."""
        if self._directory is None or self._is_fresh:
            return None
        return find_checkpoint(self._directory, self._checkpointer, is_resumable=self._estimator is None)

    def _refuse_if_used(self) -> None:
        """Refuse a new run directory that another job used between our check and our lock."""
        if self._directory is not None and (self._directory.peek() or self._directory.holds_other_history()):
            raise LockedError(f"{self.config.run_dir} has just been used by another job; run again")


def _refuse_misfits(config: JobConfig, source: Source, *, has_network: bool) -> None:
    """Refuse a quarantine or predictions that could not be saved, or that would be read as a source."""
    if config.on_bad_row == "quarantine" and config.run_dir is None:
        raise ConfigError("on_bad_row: quarantine saves bad rows in the run directory; set --run-dir")
    if config.predictions_dir is None:
        return
    if not has_network:
        raise ConfigError("predictions_dir: predictions need checkpoints, and a model of River has none; omit it")
    if config.run_dir is None:
        raise ConfigError("predictions_dir: predictions need checkpoints; set --run-dir")
    refuse_place(Path(config.predictions_dir), [*config.source, *source.paths])


def _compile(dtype: DType, say: Callable[[str], object]) -> None:
    """Compile the training step, or load it from Numba's cache; report it if that takes long."""
    from stream_bp.nn import numba_backend  # noqa: PLC0415 - it takes Numba

    ready = threading.Thread(target=numba_backend.prepare, args=(dtype,), daemon=True)
    ready.start()
    ready.join(_PATIENCE_S)
    if ready.is_alive():
        say("compiling for this processor; later runs load the result from Numba's cache")
    ready.join()
