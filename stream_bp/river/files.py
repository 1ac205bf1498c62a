"""A model as a checkpoint of its own, without a job around it: what an estimator saves and opens.

The file is that of :mod:`stream_bp.persistence.snapshot`; its state holds ``version``, ``config`` and ``model``,
as a job's does, and ``names``: what the features are called where that is no string.
"""

from typing import Any

import numpy as np

import stream_bp
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError, DataError
from stream_bp.models.mlp import MLPModel
from stream_bp.models.restore import restore_model
from stream_bp.persistence.checkpoints import LoadedCheckpoint
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.persistence.state_schema import saved_config
from stream_bp.preprocessing.arrow_buffers import label_array
from stream_bp.preprocessing.schema import PARTS, Task

__all__ = ["pack", "unpack"]

_KINDS = {frozenset({bool}): "bool", frozenset({int}): "integer", frozenset({str}): "string"}
_NAMES = (str, int, float, bool)


def pack(model: MLPModel | None, config: JobConfig, target: str | None = None) -> Snapshot:
    """Return a model as a snapshot.

    Parameters
    ----------
    model
        What to save.
    config
        The settings that it was made with.
    target
        What to call the column to predict; as the model does, if it is not given.

    Raises
    ------
    CheckpointError
        If there is no model yet, a weight is not finite, or a name or a label cannot be written as JSON and read back
        the same.
    """
    if model is None:
        raise CheckpointError("nothing was learned yet: there is nothing to save")
    if not np.isfinite(model.learner.theta).all():
        raise CheckpointError("a weight is not finite: the network blew up, and no such checkpoint could be opened")
    state, encoder = model.state_dict(), model.encoder
    names = [column.name for column in encoder.features]
    for name in names:
        if type(name) not in _NAMES:
            raise CheckpointError(
                f"feature {name!r} is called by a {type(name).__name__}; expected a string or a number"
            )
    name = target or encoder.targets[0].name
    called = [*map(str, names), name]
    if twice := sorted({word for word in called if called.count(word) > 1}):
        way_out = "name the target otherwise: save(…, target=…)" if name in twice else "rename a feature"
        raise CheckpointError(f"two columns would be called the same, {', '.join(twice)}; {way_out}")
    labels = model.labels[0] if encoder.task == "classification" else None
    kind = encoder.targets[0].kind if labels is None else _kind(labels)
    columns = state.values["columns"]
    for column in columns["features"]:
        column["name"] = str(column["name"])
    columns["targets"] = [{"name": name, "kind": kind}]
    return Snapshot(
        model.learner.step,
        state.arrays,
        {
            "version": stream_bp.__version__,
            "config": config.model_copy(update={"target": (name,)}).model_dump(mode="json", exclude={"run_dir"}),
            "model": state.values,
            "names": names,
        },
    )


def unpack(loaded: LoadedCheckpoint, task: Task) -> tuple[JobConfig, MLPModel]:
    """Return the settings and the model of a checkpoint, of an estimator or of a job.

    Raises
    ------
    CheckpointError
        If it is not of one target, of another task, or of columns of times.
    """
    config, model = saved_config(loaded.snapshot), restore_model(loaded.snapshot)
    encoder = model.encoder
    if encoder.task != task or len(encoder.targets) != 1:
        names = ", ".join(column.name for column in encoder.targets)
        raise CheckpointError(
            f"checkpoint {loaded.path} is a {encoder.task} of {names}; expected a {task} of one target"
        )
    names = loaded.snapshot.state.get("names", [column.name for column in encoder.features])
    if [str(name) for name in names] != [column.name for column in encoder.features]:
        raise CheckpointError(f"checkpoint {loaded.path}: its names are not those of its columns")
    if len(set(names)) < len(names):
        raise CheckpointError(f"checkpoint {loaded.path}: two features are called the same")
    encoder.columns.rename(names)
    for column in encoder.numeric:
        if column.kind in PARTS:
            raise CheckpointError(f"checkpoint {loaded.path}: {column.name!r} is a {column.kind}, which no dict has")
    if encoder.missing in {"drop-row", "error"}:  # a caller with single rows can skip them itself
        encoder.columns.missing = "mean"
        config = config.model_copy(update={"missing": "mean"})
    return config, model


def _kind(labels: list[Any]) -> str:
    kinds = frozenset(map(type, labels))
    if kinds not in _KINDS and not (kinds and kinds <= {int, float}):
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise CheckpointError(
            f"labels of these types cannot be saved together: {found}; expected strings, booleans or numbers"
        )
    try:
        label_array(labels)
    except DataError as error:
        raise CheckpointError(f"cannot save: {error}") from error
    return _KINDS.get(kinds, "number")
