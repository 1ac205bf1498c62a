"""Finds and checks what a job resumes from: a checkpoint in its run directory, or nothing.

All checks happen before a file is changed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import Source
from connectors.fields import source_column
from stream_bp._state import StateDict
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, NumericsError
from stream_bp.job.prediction_writer import PredictionWriter
from stream_bp.job.state import JobState
from stream_bp.models.base import StreamModel
from stream_bp.models.frozen import FrozenModel
from stream_bp.models.mlp import new_model
from stream_bp.models.restore import model_state, restore_evaluation, restore_model
from stream_bp.nn import reproducibility
from stream_bp.persistence.checkpoints import Checkpointer, LoadedCheckpoint
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.prediction_parts import PredictionParts
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.persistence.state_schema import fitting, saved_config, saved_job
from stream_bp.planning.plan import plan
from stream_bp.preprocessing.copied_columns import copies, kept_columns, with_copies
from stream_bp.preprocessing.encoder import Encoder

if TYPE_CHECKING:
    from river.base import Estimator

__all__ = ["ResumePlan", "find_checkpoint", "restore_state", "schema_read"]


def schema_read(source: Source, encoder: Encoder, copied: Sequence[Any]) -> Any:
    """Return the columns to read: those that are learned from, and the fields of the passthrough columns."""
    return with_copies(encoder.columns.schema_in(source.schema), copied)


def find_checkpoint(
    directory: RunDirectory, checkpointer: Checkpointer, *, is_resumable: bool
) -> LoadedCheckpoint | None:
    """Find the newest checkpoint in a run directory; ``None`` if there is none.

    Parameters
    ----------
    directory
        The run directory.
    checkpointer
        Its checkpoint files.
    is_resumable
        Whether the job writes checkpoints.

    Raises
    ------
    CheckpointError
        If the directory holds files of another kind of job, or no valid checkpoint.
    """
    way_out = "choose another run directory, or start over with --restart"
    if directory.peek():
        if not is_resumable:
            raise CheckpointError(f"{directory.path} holds checkpoints of a network; {way_out}")
    elif directory.holds_other_history():
        raise CheckpointError(f"{directory.path} holds the history of a model that cannot be resumed; {way_out}")
    return checkpointer.newest()


def restore_state(snapshot: Snapshot, config: JobConfig, model: StreamModel | None = None) -> JobState:
    """Return the state in a checkpoint.

    Parameters
    ----------
    snapshot
        The content of the checkpoint.
    config
        The settings of the same job.
    model
        The model of the checkpoint, if it is not a network that learns.

    Raises
    ------
    CheckpointError
        If the content is inconsistent.
    """
    with fitting():
        state = JobState(model or restore_model(snapshot, config.backend), config)
        state.evaluation = restore_evaluation(snapshot)
        state.load_state_dict(StateDict(snapshot.tensors, snapshot.state))
    saved, reason = saved_config(snapshot), snapshot.state["stop_reason"]
    # The other stop reasons are limits, which the user may have raised.
    if reason in {"stop_loss", "stop_delta"}:
        is_same_rule = (saved.stop_loss, saved.stop_delta) == (config.stop_loss, config.stop_delta)
        state.stop_reason = reason if is_same_rule else None
    return state


class ResumePlan:
    """The start of a job: a new state, or that of a checkpoint.

    Parameters
    ----------
    source
        The source of its rows.
    config
        Its settings, with the requested backend.
    model
        A model of River that learns in place of the network.
    frozen
        A checkpoint whose network predicts the rows, and does not learn.
    checkpoint
        The checkpoint to resume from; ``None`` for a new job. :func:`find_checkpoint` finds it.

    Attributes
    ----------
    config
        The settings, with the backend that is used.
    fingerprint
        The numerics that decide the bits of the result.
    """

    def __init__(
        self,
        source: Source,
        config: JobConfig,
        *,
        model: "Estimator | None" = None,
        frozen: LoadedCheckpoint | None = None,
        checkpoint: LoadedCheckpoint | None = None,
    ) -> None:
        self._source = source
        self._estimator = model
        self._frozen = frozen
        self.checkpoint = checkpoint
        self._saved = saved_job(checkpoint.snapshot, learns=frozen is None) if checkpoint is not None else None
        if self._saved is not None:
            _refuse_other_job(config, self._saved)
        # A model of River has no backend, nor other settings of the network.
        self.config = config if model is not None else config.model_copy(update={"backend": self._engine(config)})
        self.fingerprint = reproducibility.fingerprint(
            self.config.dtype, "numpy" if model is not None else self.config.backend
        )

    @property
    def _mark(self) -> Any:
        """How far the predictions of the checkpoint reach; ``None`` if it has none."""
        return None if self.checkpoint is None else self.checkpoint.snapshot.state.get("predictions")

    def copied(self, encoder: Encoder) -> list[Any]:
        """Return the fields of the passthrough columns. A job of release 0.3.0 keeps the types that it began with."""
        names = kept_columns(self._source.schema, self.config.passthrough_columns, self.config.target)
        is_typed = self._mark is not None and not self._mark.get("as_written", False)
        learned = [*encoder.features, *encoder.targets]
        return copies(self._source, names, self.config.declared_types, learned, is_typed=is_typed)

    def _engine(self, config: JobConfig) -> str:
        """Choose the backend: that of the checkpoint, unless the settings name another."""
        if self._saved is not None and config.backend == "auto":
            config = config.model_copy(update={"backend": self._saved.backend})
        # A lower bound: categories and missing values add inputs later.
        n_features = len(config.features) or len({*self._source.schema.names} - {*config.target, *config.ignore})
        return config.backend_for(n_features)

    def state(self, *, may_differ: bool) -> JobState:
        """Return the state to resume from.

        Parameters
        ----------
        may_differ
            Whether the checkpoint may come from other numerics.

        Raises
        ------
        ConfigError, DataError
            If the source cannot be learned from.
        ConnectorError
            If the source has changed since the checkpoint.
        CheckpointError
            If the checkpoint is inconsistent. A NumericsError if it was learned under other numerics.
        """
        if self.checkpoint is None:
            state = JobState(self._new_model(), self.config)
            if self._source.has_null_words:
                state.quality.unused_null_values = list(self.config.null_values)
            return state
        snapshot = self.checkpoint.snapshot
        changed = reproducibility.difference(snapshot.state["fingerprint"], self.fingerprint)
        if changed is not None and not may_differ:
            raise NumericsError(
                f"{self.config.run_dir} was learned under other numerics: {changed}; resuming would not be "
                "bit-identical: --allow-inexact-resume accepts that"
            )
        frozen = self._new_frozen()
        if frozen is not None:
            frozen.load_state_dict(model_state(snapshot))
        state = restore_state(snapshot, self.config, frozen)
        if changed is not None:
            state.numerics_changes.append({"rows": state.rows, "change": changed})
        # Opening the source at the cursor verifies that the rows before it have not changed.
        encoder = state.model.encoder
        schema = schema_read(self._source, encoder, self.copied(encoder))
        self._source.open(schema, state.locate().cursor).close()
        return state

    def _new_model(self) -> StreamModel:
        """Return a new network, or the given model, for the columns of the source."""
        frozen = self._new_frozen()
        if frozen is not None:
            return frozen
        if self._estimator is None:
            return new_model(self.config, plan(self._source, self.config))
        from stream_bp.models.river_adapter import RiverAdapter, refuse_settings  # noqa: PLC0415 - it brings River along

        refuse_settings(self.config)
        return RiverAdapter(plan(self._source, self.config), self._estimator)

    def _new_frozen(self) -> FrozenModel | None:
        """Return the network that predicts and does not learn, if there is one."""
        return FrozenModel(self._frozen.snapshot, self._source.schema.names) if self._frozen is not None else None

    def predictions(self, encoder: Encoder, disk: FileSystem, *, is_fresh: bool) -> PredictionWriter | None:
        """Return the writer of predictions, at their start or at the mark of the checkpoint.

        Parameters
        ----------
        encoder
            The encoder of the model.
        disk
            Reads and writes the files.
        is_fresh
            Whether to remove predictions of an earlier job.

        Raises
        ------
        CheckpointError
            If the job has run without predictions, or kept other columns.
        """
        config = self.config
        if config.predictions_dir is None:
            return None
        mark = None
        if self.checkpoint is not None and self._saved is not None:
            mark, kept = self._mark, self._saved.passthrough_columns
            if mark is None:
                raise CheckpointError(
                    f"{config.run_dir} holds a job that ran without --predictions-dir, so predictions of its first "
                    "rows are missing; resume without it, choose another --run-dir, or start over with --restart"
                )
            if kept != config.passthrough_columns:
                raise CheckpointError(
                    f"{config.run_dir} holds a job that keeps other columns ({', '.join(kept) or 'none'}); keep "
                    "the same, resume without --predictions-dir, or start over with --restart"
                )
        copied = self.copied(encoder)
        schema = schema_read(self._source, encoder, copied)
        fields = [schema.field(field.name).with_name(source_column(field)) for field in copied]
        return PredictionWriter(
            PredictionParts(Path(config.predictions_dir), disk), encoder, fields, disk, mark, is_fresh=is_fresh
        )


def _refuse_other_job(config: JobConfig, saved: JobConfig) -> None:
    difference = config.difference(saved)
    if difference is not None:
        raise CheckpointError(
            f"{config.run_dir} holds another job: {difference}; choose another --run-dir, or start over with --restart"
        )
