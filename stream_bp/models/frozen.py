"""A network that predicts but does not learn. Its job writes predictions for rows as they arrive.

To a job it is a model like any other. So positions, decisions, bad rows, prediction files and checkpoints are those of
any job. Its checkpoints hold the network as it was loaded, and the position of the job.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from stream_bp._arrays import Array, Floats, Mask
from stream_bp._state import StateDict, loading
from stream_bp.errors import CheckpointError, DataError
from stream_bp.models.base import PredictionBatch, refuse_excess
from stream_bp.models.restore import restore_model
from stream_bp.persistence.snapshot import Snapshot, encode
from stream_bp.persistence.state_schema import FROZEN
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column
from stream_bp.preprocessing.vocabulary import Value

__all__ = ["FrozenModel"]


class FrozenModel:
    """The network of a checkpoint, for predictions only.

    Parameters
    ----------
    snapshot
        The checkpoint.
    columns
        Columns of the source. Rows are scored only if all targets are among them.

    Attributes
    ----------
    fingerprint
        SHA-256, hexadecimal, of everything that its predictions depend on.

    Raises
    ------
    DataError
        If it cannot predict yet.
    CheckpointError
        If the parts of the checkpoint contradict each other.

    Notes
    -----
    A row is predicted as if it came next, minibatch by minibatch. The size of a call does not change the result. A
    category that the network does not know counts as missing. A class that it does not know still counts in the score.
    """

    is_resumable = True

    def __init__(self, snapshot: Snapshot, columns: list[str]) -> None:
        self._model = model = restore_model(snapshot, backend="numpy")
        self.encoder = encoder = model.encoder
        _refuse_untaught(encoder.targets, model.labels)
        state = model.state_dict()
        # Of everything that a prediction depends on: a resumed run must predict with the same network.
        self.fingerprint = hashlib.sha256(encode(Snapshot(0, state.arrays, state.values))).hexdigest()
        if encoder.missing in {"drop-row", "error"}:
            encoder.columns.missing = "mean"  # every row is predicted
        encoder.columns.is_labelled = {column.name for column in encoder.targets} <= {*columns}
        self._met = [len(labels) for labels in model.labels]
        self._batch_size = 1

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the classes of the rows of an earlier run of the same job.

        Raises
        ------
        CheckpointError
            If that run predicted with another network, or with other columns.
        """
        with loading("the state of a model that does not learn"):
            saved = state.nested(FROZEN).values
            if saved["fingerprint"] != self.fingerprint:
                raise CheckpointError(
                    "the run directory holds predictions of another checkpoint, or of this one before it learned more; "
                    "give the same checkpoint, or another --run-dir and --output"
                )
            if saved["is_labelled"] != self.encoder.columns.is_labelled:
                raise CheckpointError(
                    "only one of the runs in this run directory has the target in its source; give another --run-dir "
                    "and --output"
                )
            columns = self.encoder.state_dict()
            columns.values["labels"] = saved["labels"]
            met = Encoder.from_state_dict(columns).labels
            for words, labels in zip(self.encoder.labels, met, strict=True):
                if labels.values[: len(words)] != words.values:
                    raise CheckpointError("the classes of its rows do not match those of the network")
                words.extend(labels.values[len(words) :])
            self._met = list(map(len, met))

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Refuse: a model that does not learn cannot use further features."""
        raise DataError(f"column {columns[0].name!r} is new, but this job only predicts and cannot learn it")

    @property
    def description(self) -> str:
        """The sizes of the layers, and that they do not learn."""
        return f"{self._model.description}, not learned"

    @property
    def digest(self) -> str:
        """SHA-256 of θ."""
        return self._model.digest

    def preparation(self, batch_size: int) -> Callable[[Any], Encoded]:
        """Return the function that encodes the next rows."""
        self._batch_size = batch_size
        return self._encode

    def _encode(self, records: Any) -> Encoded:
        rows = self.encoder.encode(records)
        if self.encoder.columns.is_labelled:
            return rows
        shape = len(self.encoder.targets), len(rows)
        missing: Array = np.full(shape, np.nan) if self.encoder.task == "regression" else np.full(shape, -1)
        return replace(rows, y=missing)

    def learn(self, rows: Encoded, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict the minibatches of rows[start:stop], and learn nothing.

        Yields
        ------
        PredictionBatch
            All minibatches in one batch. There is no loss, as nothing is learned.

        Raises
        ------
        DataError
            If a target has more classes than the output can distinguish.
        """
        y = rows.y[:, start:stop]
        refuse_excess(self.encoder, "softmax", y)
        boundaries = [*range(start, stop, self._batch_size), stop]
        said = [self._model.predict(_cut(rows, first, last)) for first, last in pairwise(boundaries)]
        predictions: list[Floats] = [np.concatenate(pieces, axis=-1) for pieces in zip(*said, strict=True)]
        self._met = [max(met, int(codes.max()) + 1) for met, codes in zip(self._met, y, strict=False)]
        nothing = np.zeros(len(said))
        yield PredictionBatch(y, predictions, nothing, nothing)

    def on_drift(self, how: str) -> None:
        """Do nothing. Settings that ask for a reaction are refused."""

    def counters(self) -> dict[str, float]:
        """Return the number of steps that the network had learned."""
        return {"step": self._model.learner.step}

    def layers(self) -> list[dict[str, float]]:
        """Return nothing: the layers get no gradient."""
        return []

    def state_dict(self) -> StateDict:
        """Return the network as it was loaded, and the classes of the rows so far."""
        state = self._model.state_dict()
        labels = [words.values[:met] for words, met in zip(self.encoder.labels, self._met, strict=False)]
        mine = {"fingerprint": self.fingerprint, "is_labelled": self.encoder.columns.is_labelled, "labels": labels}
        state.nest(FROZEN, StateDict({}, mine))
        return state


def _refuse_untaught(targets: list[Column], labels: list[list[Value]]) -> None:
    for column, known in zip(targets, labels, strict=False):
        if not known:
            raise DataError(f"nothing can be predicted yet: no label of {column.name!r} was learned")


def _cut(rows: Encoded, start: int, stop: int) -> Encoded:
    """Return the parts of rows[start:stop] that a prediction needs."""
    missing: Mask | None = None if rows.missing is None else rows.missing[:, start:stop]
    return Encoded(
        rows.numbers[:, start:stop], [codes[start:stop] for codes in rows.categories], rows.y[:, start:stop], missing
    )
