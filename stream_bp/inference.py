"""Use a checkpoint without learning: predict new rows, score it on them, or show its contents."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from connectors import BadRow, Source, open_writer, prefetch, rebatch
from stream_bp._state import StateDict
from stream_bp.config.job import IDENTITY, JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.data_quality import DataQuality, no_rows
from stream_bp.metrics.prequential import PrequentialEvaluator
from stream_bp.models.mlp import MLPModel, constant_columns
from stream_bp.models.restore import restore_evaluation, restore_model
from stream_bp.persistence.checkpoints import LoadedCheckpoint
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.persistence.state_schema import fitting, holds_job, saved_config
from stream_bp.preprocessing.copied_columns import beside, copied_from, copies, kept_columns, with_copies
from stream_bp.preprocessing.decoder import decode

__all__ = ["evaluate", "following", "inspect", "predict"]

_ROWS = 1 << 13


def predict(
    loaded: LoadedCheckpoint,
    source: Source,
    output: str | Path,
    passthrough_columns: Sequence[str] = (),
    *,
    types: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a prediction for every row of a source, in its order.

    Parameters
    ----------
    loaded
        The checkpoint.
    source
        Rows with the feature columns of the job. The target is not needed.
    output
        ``.parquet`` or ``.csv`` file: the label and the probability of each class, or the value.
    passthrough_columns
        Columns of the source to copy before them. Those of text are copied as written.
    types
        Declared types of columns to copy, such as ``{"when": "date:%d/%m/%Y"}``.

    Returns
    -------
    dict
        ``rows``, the number of rows written, and ``bad_rows``, the number of bad rows by kind.

    Raises
    ------
    ConfigError
        If the output is one of the source's files. If a column to copy is not in the source, or has the name of a
        predicted column.
    DataError
        If there are no rows, or the checkpoint has learned nothing yet.
    ConnectorError
        If the source cannot be read, or the file cannot be written. No file is left then.
    """
    _refuse_overwriting(output, source)
    model = _model(loaded)
    kept = kept_columns(source.schema, passthrough_columns, [column.name for column in model.encoder.targets])
    copied = copies(source, kept, types or {}, [*model.encoder.features, *model.encoder.targets])
    schema = with_copies(model.encoder.columns.schema_in(source.schema, is_labelled=False), copied)
    bad: Counter[str] = Counter()
    batches = _batches(source, schema, bad)
    first = next(batches, None)
    if first is None:
        raise no_rows(source.description, bad)
    answer = _answer(model, first, copied)
    n_rows = int(answer.num_rows)
    with open_writer(output, answer.schema) as writer:
        writer.write_batch(answer)
        for records in batches:
            writer.write_batch(_answer(model, records, copied))
            n_rows += int(records.num_rows)
    return {"rows": n_rows, "bad_rows": dict(bad)}


def evaluate(loaded: LoadedCheckpoint, source: Source) -> dict[str, Any]:
    """Score a checkpoint on every row of a source, without learning.

    Parameters
    ----------
    loaded
        The checkpoint.
    source
        Rows with the feature and target columns of the job.

    Returns
    -------
    dict
        ``rows``, ``metrics``, ``baselines`` and ``targets``, as in the summary of a job, and ``bad_rows`` by kind.

    Raises
    ------
    DataError
        If there are no rows, or the checkpoint has learned nothing yet.
    ConnectorError
        If the source cannot be read, or has no target column.
    """
    model = _model(loaded)
    evaluation = PrequentialEvaluator(model.encoder.task, len(model.encoder.targets))
    bad: Counter[str] = Counter()
    for records in _batches(source, model.encoder.columns.schema_in(source.schema), bad):
        rows = model.encoder.encode(records)
        evaluation.update(rows.y, model.predict(rows))
    if not evaluation.n_rows:
        raise no_rows(source.description, bad)
    names = [column.name for column in model.encoder.targets]
    return {
        "task": model.encoder.task,
        "rows": evaluation.n_rows,
        "bad_rows": dict(bad),
        "metrics": evaluation.metrics(),
        "baselines": evaluation.baselines(),
        "targets": dict(zip(names, evaluation.by_target(), strict=True)),
        "checkpoint": str(loaded.path),
    }


def inspect(loaded: LoadedCheckpoint) -> dict[str, Any]:
    """Return the contents of a checkpoint: layers, norms, schema, settings and digest.

    The checkpoint of a job also has its position, metrics and counts.
    """
    snapshot = loaded.snapshot
    config, model = saved_config(snapshot), restore_model(snapshot, backend="numpy")
    layers = [
        {"name": f"W{layer}", "shape": list(W.shape), "norm": float(np.linalg.norm(W)), **sizes}
        for layer, (W, sizes) in enumerate(
            zip(model.learner.W, model.learner.diagnostics.report(), strict=True), start=1
        )
    ]
    return {
        "checkpoint": str(loaded.path),
        "written_by": snapshot.state["version"],
        "rows": model.learner.rows,
        "step": model.learner.step,
        "layers": layers,
        "weights_sha256": model.learner.weights_sha256,
        "columns": model.encoder.columns.state_dict().values,
        "labels": model.labels,
        "config": config.model_dump(mode="json"),
        **(_inspect_job(snapshot, model) if holds_job(snapshot) else {}),
    }


def following(loaded: LoadedCheckpoint, settings: dict[str, Any], spelled: Callable[[str], str] = str) -> JobConfig:
    """Return the settings of a job that predicts rows as they arrive: those of a checkpoint, overridden by some.

    Parameters
    ----------
    loaded
        The checkpoint.
    settings
        Values that override its settings, by name.
    spelled
        As for :meth:`~stream_bp.config.fields.Settings.of`.
    """
    saved = saved_config(loaded.snapshot)
    own = {name: getattr(saved, name) for name in (*IDENTITY, "on_bad_row")}
    task = restore_model(loaded.snapshot, backend="numpy").encoder.task
    other = {"task": task, "backend": "numpy", "shuffle_window": None, "on_drift": "none", "follow": True}
    return JobConfig.of({**own, **other, **settings}, spelled)


def _inspect_job(snapshot: Snapshot, model: MLPModel) -> dict[str, Any]:
    state, evaluation = snapshot.state, restore_evaluation(snapshot)
    counted = state.get("quality")  # release 0.1.0 did not count
    if counted is not None:
        with fitting():
            quality = DataQuality(model.encoder)
            quality.load_state_dict(StateDict(values=counted))
            counted = quality.to_json() | {"constant": constant_columns(model, state["rows"])}
    return {
        "rows": state["rows"],
        "minibatches": state["minibatches"],
        "stop_reason": state["stop_reason"],
        "metrics": evaluation.metrics(),
        "rolling": evaluation.rolling(),
        "baselines": evaluation.baselines(),
        "quality": counted,
        "position": state["position"],
        "sources": state["sources"],
        "numerics": state["fingerprint"],
        "numerics_changes": state["numerics_changes"],
    }


def _model(loaded: LoadedCheckpoint) -> MLPModel:
    """Return a model that predicts every row. Policies that skip or refuse rows with gaps become ``mean``."""
    model = restore_model(loaded.snapshot, backend="numpy")
    if model.encoder.missing in {"drop-row", "error"}:
        model.encoder.columns.missing = "mean"
    return model


def _answer(model: MLPModel, records: Any, copied: Sequence[Any]) -> Any:
    answer = decode(model.encoder, model.predict(model.encoder.encode(records)))
    return beside(copied_from(records, copied), answer) if copied else answer


def _batches(source: Source, schema: Any, bad: Counter[str]) -> Iterator[Any]:
    """Yield the rows of a source, and count the unreadable ones."""
    with source.open(schema) as reader, prefetch(rebatch(reader, _ROWS), 2) as blocks:
        for block in blocks:
            _count(block.bad, bad)
            yield block.records
        _count(reader.bad, bad)


def _count(rows: Sequence[BadRow], bad: Counter[str]) -> None:
    for row in rows:
        bad[row.kind] += row.n_counted


def _refuse_overwriting(output: str | Path, source: Source) -> None:
    """Refuse to write predictions over a file of the source."""
    if str(Path(output).resolve()) in {str(Path(path).resolve()) for path in source.paths}:
        raise ConfigError(f"{output} is a file of the source; write the predictions to another file")
