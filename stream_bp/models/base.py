"""The protocol between a job and its model."""

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
    """The predictions for some minibatches, from before they were learned.

    Attributes
    ----------
    y
        The truth, shape (n_targets, n), as in :class:`~stream_bp.preprocessing.encoder.Encoded`. It is also missing
        where no prediction was possible.
    predictions
        For each target: probabilities (n_classes, n) of the known classes, or values (n,) in the target's unit.
    loss
        Sum of the loss over the rows of each minibatch, shape (T,).
    count
        Rows with a target in each minibatch, shape (T,).
    unpredicted
        Values that had no unit to be predicted in yet, shape (n_targets, n), or ``None``.
    """

    y: Array
    predictions: list[Floats]
    loss: Floats
    count: Floats
    unpredicted: Mask | None = None


def refuse_excess(encoder: Encoder, output: str, y: Array) -> None:
    """Refuse codes y (n_targets, n) with a class too many, before anything of their minibatch is learned.

    Raises
    ------
    DataError
        If a target has more classes than its output can distinguish.
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
            "a sigmoid output has only two; for one target, give --output softmax"
        )


class StreamModel(Protocol):
    """A model that a job can learn: the network (:class:`~stream_bp.models.mlp.MLPModel`), or another one."""

    encoder: Encoder

    @property
    def is_resumable(self) -> bool:
        """Whether it has a :meth:`state_dict`. Without one, a job writes no checkpoint."""

    @property
    def description(self) -> str:
        """One line that describes the model to the user."""

    @property
    def digest(self) -> str | None:
        """A digest of its parameters, or None."""

    def preparation(self, batch_size: int) -> Callable[[Any], Rows]:
        """Return a function that turns record batches of whole minibatches into rows to learn.

        It runs ahead of the learner, and may run in another thread.
        """

    def learn(self, rows: Any, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict, then learn, the minibatches of rows[start:stop]; their grouping does not change the result."""

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Add features, which were missing in all rows so far."""

    def on_drift(self, how: str) -> None:
        """React to a drift of the error: ``boost-learning-rate``, ``reset-optimizer`` or ``reset-head``."""

    def counters(self) -> dict[str, float]:
        """Return its columns of the history."""

    def layers(self) -> list[dict[str, float]]:
        """Return the figures of each layer, for the history and the summary."""

    def state_dict(self) -> StateDict:
        """Return its state, for a checkpoint."""
