"""What a job goes on from: a checkpoint in its run directory, or nothing.

All of it is checked before anything on disk is touched.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import Source
from stream_bp._state import StateDict
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, NumericsError
from stream_bp.job.plan import plan
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
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import kept_columns, with_kept

if TYPE_CHECKING:
    from river.base import Estimator

__all__ = ["ResumePlan", "find_checkpoint", "restore_state", "schema_read"]


def schema_read(source: Source, config: JobConfig, encoder: Encoder) -> Any:
    """Return what a source is asked for: what is learned from, and what is copied beside predictions."""
    kept = kept_columns(source.schema, config.passthrough_columns, config.target)
    return with_kept(encoder.columns.schema_in(source.schema), source.schema, kept)


def find_checkpoint(
    directory: RunDirectory, checkpointer: Checkpointer, *, is_resumable: bool
) -> LoadedCheckpoint | None:
    """Find the newest checkpoint in a run directory; None where there is none.

    Parameters
    ----------
    directory
        The run directory.
    checkpointer
        That of its checkpoints.
    is_resumable
        Whether the job is one that writes checkpoints.

    Raises
    ------
    CheckpointError
        If the directory holds what neither can go on nor may be overwritten in silence, or nothing valid.
    """
    way_out = "choose another run directory, or start over with fresh (--restart)"
    if directory.peek():
        if not is_resumable:
            raise CheckpointError(f"{directory.path} holds checkpoints of a network; {way_out}")
    elif directory.holds_other_history():
        raise CheckpointError(f"{directory.path} holds the history of a model that cannot be resumed; {way_out}")
    return checkpointer.newest()


def restore_state(snapshot: Snapshot, config: JobConfig, model: StreamModel | None = None) -> JobState:
    """Return the state in a checkpoint, under settings that are those of the same job.

    Parameters
    ----------
    snapshot
        What was loaded.
    config
        The settings.
    model
        The one in the checkpoint, if it is not a network that learns.

    Raises
    ------
    CheckpointError
        If the content does not fit together.
    """
    with fitting():
        state = JobState(model or restore_model(snapshot, config.backend), config)
        state.evaluation = restore_evaluation(snapshot)
        state.load_state_dict(StateDict(snapshot.tensors, snapshot.state))
    saved, reason = saved_config(snapshot), snapshot.state["stop_reason"]
    # The other reasons are limits, which may be set anew.
    if reason in {"stop_loss", "stop_delta"}:
        is_same_rule = (saved.stop_loss, saved.stop_delta) == (config.stop_loss, config.stop_delta)
        state.stop_reason = reason if is_same_rule else None
    return state


class ResumePlan:
    """Where a job begins, or goes on.

    Parameters
    ----------
    source
        Where its rows come from.
    config
        Its settings, with the engine that was asked for.
    model
        A model of River that it learns in place of the network.
    frozen
        A checkpoint whose network predicts the rows, and does not learn them.
    checkpoint
        What it goes on from; ``None`` where it begins. :func:`find_checkpoint` finds it.

    Attributes
    ----------
    config
        The settings, with the engine that computes.
    fingerprint
        The numerics that decide the bits.
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
        # Another model has an engine of its own, and none of the network's settings.
        self.config = config if model is not None else config.model_copy(update={"backend": self._engine(config)})
        self.fingerprint = reproducibility.fingerprint(
            self.config.dtype, "numpy" if model is not None else self.config.backend
        )

    def _engine(self, config: JobConfig) -> str:
        """Choose what computes: what did so before, unless the settings say otherwise."""
        if self._saved is not None and config.backend == "auto":
            config = config.model_copy(update={"backend": self._saved.backend})
        # At least so many: categories and gaps add inputs later.
        n_features = len(config.features) or len({*self._source.schema.names} - {*config.target, *config.ignore})
        return config.backend_for(n_features)

    def state(self, *, may_differ: bool) -> JobState:
        """Return the state to go on from.

        Parameters
        ----------
        may_differ
            Whether it may have been learned under other numerics.

        Raises
        ------
        ConfigError, DataError
            If the source cannot be learned from.
        ConnectorError
            If the source is not the one any more that the checkpoint points into.
        CheckpointError
            If the checkpoint does not fit together; a NumericsError if it was learned under other numerics.
        """
        if self.checkpoint is None:
            return JobState(self._new_model(), self.config)
        snapshot = self.checkpoint.snapshot
        changed = reproducibility.difference(snapshot.state["fingerprint"], self.fingerprint)
        if changed is not None and not may_differ:
            raise NumericsError(
                f"{self.config.run_dir} was learned under other numerics: {changed}; going on would not give the same "
                "bits: --allow-inexact-resume accepts that"
            )
        frozen = self._new_frozen()
        if frozen is not None:
            frozen.load_state_dict(model_state(snapshot))
        state = restore_state(snapshot, self.config, frozen)
        if changed is not None:
            state.numerics_changes.append({"rows": state.rows, "change": changed})
        # Opening shows whether the source is still the one that the cursor points into.
        schema = schema_read(self._source, self.config, state.model.encoder)
        self._source.open(schema, state.locate().cursor).close()
        return state

    def _new_model(self) -> StreamModel:
        """Return the network, or the model that was given, for the columns of the source."""
        frozen = self._new_frozen()
        if frozen is not None:
            return frozen
        if self._estimator is None:
            return new_model(self.config, plan(self._source, self.config))
        from stream_bp.models.river_adapter import RiverAdapter, refuse_settings  # noqa: PLC0415 - it brings River along

        refuse_settings(self.config)
        return RiverAdapter(plan(self._source, self.config), self._estimator)

    def _new_frozen(self) -> FrozenModel | None:
        """Return the network that is only asked, if there is one."""
        return FrozenModel(self._frozen.snapshot, self._source.schema.names) if self._frozen is not None else None

    def predictions(self, encoder: Encoder, disk: FileSystem, *, is_fresh: bool) -> PredictionWriter | None:
        """Return what writes predictions, from the beginning or from what the checkpoint vouches for.

        Parameters
        ----------
        encoder
            That of the model.
        disk
            The way to them.
        is_fresh
            Whether those of an earlier job are removed.

        Raises
        ------
        CheckpointError
            If the job went on without them, or kept other columns.
        """
        config = self.config
        if config.predictions_dir is None:
            return None
        mark = None
        if self.checkpoint is not None and self._saved is not None:
            mark, kept = self.checkpoint.snapshot.state.get("predictions"), self._saved.passthrough_columns
            if mark is None:
                raise CheckpointError(
                    f"{config.run_dir} holds a job that went on without --predictions-dir: those of its first rows "
                    "cannot be had; go on without, choose another --run-dir, or start over with --restart"
                )
            if kept != config.passthrough_columns:
                raise CheckpointError(
                    f"{config.run_dir} holds a job that keeps other columns ({', '.join(kept) or 'none'}); keep "
                    "the same, go on without --predictions-dir, or start over with --restart"
                )
        schema = schema_read(self._source, config, encoder)
        fields = [
            schema.field(name) for name in kept_columns(self._source.schema, config.passthrough_columns, config.target)
        ]
        return PredictionWriter(
            PredictionParts(Path(config.predictions_dir), disk), encoder, fields, disk, mark, is_fresh=is_fresh
        )


def _refuse_other_job(config: JobConfig, saved: JobConfig) -> None:
    difference = config.difference(saved)
    if difference is not None:
        raise CheckpointError(
            f"{config.run_dir} holds another job: {difference}; choose another --run-dir, or start over with --restart"
        )
