"""Convert predictions to record batches, with the user's labels and values."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stream_bp._arrays import Floats
from stream_bp.errors import DataError
from stream_bp.preprocessing.arrow_buffers import label_array
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.vocabulary import Value

__all__ = ["decode"]


def decode(encoder: Encoder, predictions: Sequence[Floats]) -> pa.RecordBatch:
    """Convert predictions to a record batch with the user's labels and values.

    Parameters
    ----------
    encoder
        Names and labels of the targets.
    predictions
        For each target: probabilities (n_classes, n), or values (n,).

    Returns
    -------
    pa.RecordBatch
        Regression: a column named as the target. Classification: ``TARGET`` with the most probable label, and
        ``TARGET=LABEL`` with the probability of each.

    Raises
    ------
    DataError
        If no label of a target was learned yet, or two columns would have the same name.
    """
    columns: list[tuple[str, pa.Array]] = []
    for i, (column, prediction) in enumerate(zip(encoder.targets, predictions, strict=True)):
        if encoder.task == "regression":
            columns.append((column.name, _floats(prediction)))
        else:
            columns += _class_columns(column.name, encoder.labels[i].values[: len(prediction)], prediction)
    arrays = dict(columns)
    if len(arrays) < len(columns):  # a dict has each name once
        raise DataError("two columns of the predictions would have the same name; rename a target")
    return pa.RecordBatch.from_pydict(arrays)


def _class_columns(name: str, labels: Sequence[Value], probabilities: Floats) -> list[tuple[str, pa.Array]]:
    """Return the columns of one target, given the probabilities (n_classes, n) of its labels."""
    if not labels:
        raise DataError(f"nothing can be predicted yet: no label of {name!r} was learned; train on rows with a label")
    best = label_array(labels).take(pa.array(probabilities.argmax(axis=0)))
    shares = zip(labels, probabilities, strict=True)
    return [(name, best), *((f"{name}={label}", _floats(share)) for label, share in shares)]


def _floats(values: Floats) -> pa.Array:
    return pa.array(np.ascontiguousarray(values, np.float64))
