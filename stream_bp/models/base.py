"""What a job asks of a model, and what a model answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stream_bp._arrays import Array, Floats, Mask
from stream_bp._state import StateDict
from stream_bp.errors import DataError
from stream_bp.preprocessing.encoder import MAX_CLASSES, Encoder
from stream_bp.preprocessing.rows import Rows
from stream_bp.preprocessing.schema import Column

__all__ = ["PredictionBatch", "StreamModel", "refuse_excess"]


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """What was predicted for some minibatches before they were learned.

    Attributes
    ----------
    y
        What to compare with, shape (n_targets, n): the truth as in
        :class:`~stream_bp.preprocessing.encoder.Encoded`, missing also where nothing could be predicted.
    predictions
        For each target: probabilities (n_classes, n) of the classes known, or values (n,) in the target's own units.
    loss
        Sum of the loss over the rows of each minibatch, shape (T,).
    count
        Rows with a target in each minibatch, shape (T,).
    unpredicted
        For which values there was no unit to predict in yet, shape (n_targets, n); ``None`` for none.
    """

    y: Array
    predictions: list[Floats]
    loss: Floats
    count: Floats
    unpredicted: Mask | None = None


def refuse_excess(encoder: Encoder, output: str, y: Array) -> None:
    """Refuse the codes y (n_targets, n) of a minibatch with a class too many, while everything stands at its border.

    Raises
    ------
    DataError
        If a target has more classes than its output can tell apart.
    """
    most = 2 if output == "sigmoid" else MAX_CLASSES
    for column, labels, codes in zip(encoder.targets, encoder.labels, y, strict=False):
        if codes.max(initial=-1) < most:
            continue
        if output == "softmax":
            raise DataError(
                f"target column {column.name!r} has more than {MAX_CLASSES} classes; is it an identifier? "
                "A number can be learned with --task regression"
            )
        first, second, third = labels.values[:3]
        raise DataError(
            f"target column {column.name!r} has a third class {third!r} beside {first!r} and {second!r}; "
            "a sigmoid output tells two apart (one target of many classes: --output softmax)"
        )


class StreamModel(Protocol):
    """What a job asks of a model: the network (:class:`~stream_bp.models.mlp.MLPModel`), or another one."""

    encoder: Encoder

    @property
    def is_resumable(self) -> bool:
        """Whether it has a :meth:`state_dict`: a job of a model without one writes no checkpoint."""

    @property
    def description(self) -> str:
        """What a person is told it is, on one line."""

    @property
    def digest(self) -> str | None:
        """A digest of its parameters, where it has one."""

    def preparation(self, batch_size: int) -> Callable[[Any], Rows]:
        """Return what turns the record batches that come next, of whole minibatches, into what is learned.

        It may be called from another thread than the one that learns, and is ahead of it.
        """

    def learn(self, rows: Any, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict, then learn, the minibatches of rows[start:stop]; how they are grouped means nothing."""

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Let rows have further features, which were missing so far."""

    def react(self, how: str) -> None:
        """Do what a drift of the error calls for: ``boost-learning-rate``, ``reset-optimizer``, ``reset-head``."""

    def counters(self) -> dict[str, float]:
        """Return what the history tells of its progress, by column."""

    def layers(self) -> list[dict[str, float]]:
        """Return what the history and the summary tell of each of its layers."""

    def state_dict(self) -> StateDict:
        """Return what a checkpoint holds of it."""
