"""Restore models and evaluations from checkpoints."""

from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError
from stream_bp.metrics.prequential import PrequentialEvaluator
from stream_bp.models.mlp import MLPModel
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.persistence.state_schema import fitting, saved_config

__all__ = ["model_state", "restore_evaluation", "restore_model"]


def restore_model(snapshot: Snapshot, backend: str | None = None) -> MLPModel:
    """Return the model in a checkpoint, ready to predict or to learn.

    Parameters
    ----------
    snapshot
        The loaded checkpoint.
    backend
        Backend to compute with. Default: the one it was trained with.

    Raises
    ------
    CheckpointError
        If the parts of the checkpoint do not fit each other.
    """
    config = saved_config(snapshot)
    settings = config.model_copy(update={"backend": backend or config.backend}).model_settings
    with fitting():
        return MLPModel.from_state_dict(model_state(snapshot), **settings)


def model_state(snapshot: Snapshot) -> StateDict:
    """Return the state of the model in a checkpoint. Raise a CheckpointError if there is none."""
    return StateDict(snapshot.tensors, snapshot.state).nested("model", prefix="")


def restore_evaluation(snapshot: Snapshot) -> PrequentialEvaluator:
    """Return the evaluation in a checkpoint. Raise a CheckpointError if its parts do not fit."""
    with fitting():
        evaluation = PrequentialEvaluator.from_state_dict(
            StateDict(snapshot.tensors, snapshot.state).nested("evaluation")
        )
        columns, rest = snapshot.state["model"]["columns"], snapshot.state["evaluation"]
        found, expected = (rest["task"], rest["n_targets"]), (columns["task"], len(columns["targets"]))
        if found != expected:
            raise CheckpointError(f"the evaluation: expected task and targets {expected}, found {found}")
        return evaluation
