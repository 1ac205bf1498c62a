"""Save a model as a checkpoint without a job, and open a checkpoint as a model.

The file has the format of :mod:`stream_bp.persistence.snapshot`. Its state holds ``version``, ``config`` and ``model``,
like that of a job. It also holds ``names``, the names of the features, which need not be strings.
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
        The model, or None before the first row is learned.
    config
        Its settings.
    target
        Name for the target column. Default: the model's own.

    Raises
    ------
    CheckpointError
        If there is no model yet, or a weight is not finite. If JSON cannot hold a name or a label without change.
    """
    if model is None:
        raise CheckpointError("cannot save: nothing was learned yet; learn a row first")
    if not np.isfinite(model.learner.theta).all():
        raise CheckpointError("cannot save: training diverged, and a weight is not finite; load an earlier checkpoint")
    state, encoder = model.state_dict(), model.encoder
    names = [column.name for column in encoder.features]
    for name in names:
        if type(name) not in _NAMES:
            raise CheckpointError(
                f"cannot save: the name of feature {name!r} is a {type(name).__name__}; expected a string or a number"
            )
    name = target or encoder.targets[0].name
    # As strings, since a checkpoint has only those: the names 1 and "1" would become one column.
    called = [*map(str, names), name]
    if twice := sorted({word for word in called if called.count(word) > 1}):
        way_out = "give another name: save(…, target=…)" if name in twice else "rename a feature"
        raise CheckpointError(f"cannot save: two columns would have the same name, {', '.join(twice)}; {way_out}")
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
    """Return the settings and the model in the checkpoint of an estimator or of a job.

    Raises
    ------
    CheckpointError
        If it has several targets, another task, or columns of times.
    """
    config, model = saved_config(loaded.snapshot), restore_model(loaded.snapshot)
    encoder = model.encoder
    if encoder.task != task or len(encoder.targets) != 1:
        names = ", ".join(column.name for column in encoder.targets)
        raise CheckpointError(
            f"checkpoint {loaded.path}: expected a {task} of one target, found a {encoder.task} of {names}"
        )
    names = loaded.snapshot.state.get("names", [column.name for column in encoder.features])
    if [str(name) for name in names] != [column.name for column in encoder.features]:
        raise CheckpointError(f"checkpoint {loaded.path}: its names and its columns do not match")
    if len(set(names)) < len(names):
        raise CheckpointError(f"checkpoint {loaded.path}: two features have the same name")
    encoder.columns.rename(names)
    for column in encoder.numeric:
        if column.kind in PARTS:
            raise CheckpointError(
                f"checkpoint {loaded.path}: feature {column.name!r} is a {column.kind}, which dicts cannot hold"
            )
    if encoder.missing in {"drop-row", "error"}:  # a caller with single rows can skip rows without these policies
        encoder.columns.missing = "mean"
        config = config.model_copy(update={"missing": "mean"})
    return config, model


def _kind(labels: list[Any]) -> str:
    kinds = frozenset(map(type, labels))
    if kinds not in _KINDS and not (kinds and kinds <= {int, float}):
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise CheckpointError(
            f"cannot save: found labels of types {found}; expected strings, booleans or numbers alone"
        )
    try:
        label_array(labels)
    except DataError as error:
        raise CheckpointError(f"cannot save: {error}") from error
    return _KINDS.get(kinds, "number")
