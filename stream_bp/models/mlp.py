"""The network of a job: encoder, scaling and learner as one model.

Two rules need all three. First, a new category or class grows the network at the start of its minibatch, never earlier.
So the weights are a function of the rows alone. Second, a prediction is made among the classes known *before* its
minibatch. A class that could not be known is not scored.
"""

import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stream_bp._arrays import Floats, Mask
from stream_bp._state import StateDict, loading
from stream_bp.config.job import JobConfig
from stream_bp.errors import CheckpointError
from stream_bp.models.base import PredictionBatch, refuse_excess
from stream_bp.models.class_map import ClassMap
from stream_bp.models.input_map import InputMap
from stream_bp.nn.learner import Learner
from stream_bp.nn.scaler import Moments, Scaler
from stream_bp.preprocessing.batches import BatchPreparer, TrainingBatch, minibatches, unscaled
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column
from stream_bp.preprocessing.vocabulary import Value

__all__ = ["MLPModel", "constant_columns", "new_model"]

_FEWEST_ROWS = 100

_OUTPUTS = 1 << 19  # outputs of all rows in one call of the learner: such arrays stay in the cache


class MLPModel:
    """Turn rows into predictions, learn them, and grow for new categories, classes and columns.

    Parameters
    ----------
    encoder
        Columns and vocabularies.
    output
        ``softmax``, ``sigmoid`` or ``identity``.
    scale_features, scale_target
        Whether to standardise numbers, and the target values. If not, they are used as they are, and a missing number
        is 0.
    fan_in
        Expected number of features in a row, which scales the initial weights. Default: the number of columns.
    settings
        Keyword arguments of :class:`~stream_bp.nn.learner.Learner`, except ``inputs``, ``n_outputs`` and ``output``.
    """

    is_resumable = True

    def __init__(
        self,
        encoder: Encoder,
        output: str,
        *,
        scale_features: bool = True,
        scale_target: bool = True,
        fan_in: int | None = None,
        **settings: Any,
    ) -> None:
        self.encoder = encoder
        self.output = output
        self.scale_features = scale_features
        self.scale_target = scale_target
        # In a row, all numbers are active, and one input of each column of categories.
        self.fan_in = len(encoder.numbers) + len(encoder.categorical) if fan_in is None else fan_in
        self.scaler = Scaler(len(encoder.numbers))
        self.target_scaler = Scaler(len(encoder.targets) if encoder.task == "regression" else 0)
        self.classes = ClassMap(encoder, output)
        self.learner = Learner(encoder.numbers, self.classes.n_outputs, output=output, fan_in=self.fan_in, **settings)
        self.inputs = InputMap(encoder, self.learner.theta.dtype)

    def preparation(self, batch_size: int) -> BatchPreparer:
        """Return the function that prepares the next rows, block by block."""
        return BatchPreparer(
            self.encoder,
            batch_size,
            self.learner.theta.dtype,
            self.scaler if self.scale_features else None,
            self.target_scaler,
            scale_target=self.scale_target,
        )

    def learn(self, rows: TrainingBatch, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict, then learn, the minibatches of rows[start:stop].

        Parameters
        ----------
        rows
            A batch. The rows before ``start`` were learned.
        start, stop
            Which rows to learn. Both are boundaries of minibatches.

        Yields
        ------
        PredictionBatch
            One or several minibatches, in order. Their grouping does not change the result.

        Raises
        ------
        DivergenceError
            If a loss or a weight is no longer finite.
        DataError
            If a target has more classes than its output can distinguish. Its minibatch is not learned then.
        """
        while start < stop:
            b = min(rows.batch_size, stop - start)
            whole = stop - (stop - start) % b
            newcomer = self._first_new(rows.rows, start, whole)
            boundary = whole if newcomer is None else start + (newcomer - start) // b * b
            at_once = max(1, _OUTPUTS // (b * max(self.learner.n_outputs, 1))) * b
            while start < boundary:
                end = min(boundary, start + at_once)
                yield self._learn(rows, start, end, b)
                start = end
            if newcomer is not None:
                # The classes from before: the network grows now, but must not predict a class that it did not know.
                known = self.classes.known
                self.grow(rows.rows, start, start + b)
                yield self._learn(rows, start, start + b, b, known)
                start += b

    def predict(self, rows: Encoded) -> list[Floats]:
        """Return predictions without learning, as in :class:`PredictionBatch`. Each row is scaled as if it came next.

        A category or a gap without an input counts as missing.
        """
        missing = None if rows.missing is None else rows.missing[:, None]
        numbers, categories = self.preview(rows.numbers)[None], [codes[None] for codes in rows.categories]
        output = self.learner.predict(self.inputs.assemble(numbers, categories, missing)[0])
        if self.encoder.task == "classification":
            return self.classes.probabilities(output)
        if not self.scale_target:
            return list(output.astype(np.float64))
        return list(self.target_scaler.moments().unscale(output[:, None, :])[:, 0])

    def preview(self, numbers: Floats) -> Floats:
        """Scale rows (n_numbers, n), each as if it came next. One row comes in the scaler's own buffer."""
        return self.scaler.preview(numbers) if self.scale_features else unscaled(numbers, self.learner.theta.dtype)

    def _learn(
        self, rows: TrainingBatch, start: int, stop: int, b: int, known: Sequence[int] | None = None
    ) -> PredictionBatch:
        """Learn whole minibatches for which the learner need not grow."""
        X = self.inputs.assemble(*rows.tiles(start, stop, b))  # (T, n_0, b)
        y = rows.y[:, start:stop]
        if rows.moments is not None:
            self.scaler.stand(rows.moments, rows.boundary(stop))
        if rows.targets is not None and rows.target_moments is not None:
            self.target_scaler.stand(rows.target_moments, rows.boundary(stop))
            targets = minibatches(rows.targets, len(y), start, stop, b)
            return self._learn_values(
                X, y, targets, rows.target_moments.between(rows.boundary(start), rows.boundary(stop))
            )
        Y, weights = self.classes.one_hot(y.reshape(-1, len(X), b), self.learner.theta.dtype)
        learned = self.learner.learn(X, Y, _unless_all(weights))
        output = learned.output.swapaxes(0, 1).reshape(-1, stop - start)
        return PredictionBatch(y, self.classes.probabilities(output, known), learned.loss.sum(axis=1), learned.count)

    def _learn_values(self, X: Floats, y: Floats, Y: Floats, moments: Moments) -> PredictionBatch:
        """Learn values y (n_targets, n). ``Y`` (T, n_targets, b) has the same values in units of their deviation."""
        weights = ~np.isnan(y).reshape(len(y), len(X), -1).swapaxes(0, 1)  # (T, n_targets, b)
        learned = self.learner.learn(X, Y, _unless_all(weights))
        values: Floats = learned.output.swapaxes(0, 1).astype(np.float64)
        if self.scale_target:
            values = moments.unscale(values)
        y, unpredicted = _in_unit(y, moments)
        predictions = list(values.reshape(y.shape))
        return PredictionBatch(y, predictions, learned.loss.sum(axis=1), learned.count, unpredicted)

    def _first_new(self, rows: Encoded, start: int, stop: int) -> int | None:
        """Return the first row with a category, a class or a gap that has no input or output yet."""
        found = self.inputs.first_new(rows, start, stop), self.classes.first_new(rows, start, stop)
        return min((first for first in found if first is not None), default=None)

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Add features, which were missing in all rows so far. Their initial weights follow from their names."""
        at = self.scaler.n
        for column in columns:
            self.encoder.add(column)
        names = self.encoder.numbers[at:]
        self.inputs.add_columns()
        self.scaler.grow(len(names))
        self.learner.grow(names, at=at)

    def on_drift(self, how: str) -> None:
        """React to a drift of the error: ``boost-learning-rate``, ``reset-optimizer`` or ``reset-head``."""
        {
            "boost-learning-rate": self.learner.boost_learning_rate,
            "reset-optimizer": self.learner.reset_optimizer,
            "reset-head": self.learner.reset_head,
        }[how]()

    def grow(self, rows: Encoded, start: int, stop: int) -> None:
        """Give every category, class and gap of one minibatch its input or output.

        Raises
        ------
        DataError
            If a target has more classes than its output can distinguish. Nothing changes then.
        """
        refuse_excess(self.encoder, self.output, rows.y[:, start:stop])
        self.learner.grow(self.inputs.grow(rows, start, stop), self.classes.grow(rows.y[:, start:stop]))

    def state_dict(self) -> StateDict:
        """Return everything except the settings. Words of rows that were encoded but not learned are left out."""
        state = self.encoder.state_dict()
        state.values |= self.inputs.state_dict().values
        state.values |= {"categories": self.inputs.categories, "labels": self.labels}
        state.values |= {"output": self.output, "fan_in": self.fan_in}
        state.nest("scaler", self.scaler.state_dict())
        state.nest("target_scaler", self.target_scaler.state_dict())
        state.nest("learner", self.learner.state_dict(), prefix="")
        return state

    @classmethod
    def from_state_dict(cls, state: StateDict, **settings: Any) -> "MLPModel":
        """Return the saved model.

        Parameters
        ----------
        state
            The result of :meth:`state_dict`.
        settings
            The settings that the model was made with.

        Raises
        ------
        CheckpointError
            If the parts of the state do not fit each other, or the settings.
        """
        with loading("the model"):
            encoder = Encoder.from_state_dict(state)
            _refuse_misfits(state, encoder, settings["hidden_layers"])
            # Models of release 0.1.0 had all their columns from the start.
            fan_in = operator.index(state.values.get("fan_in", len(encoder.features)))
            model = cls(encoder, state.values["output"], fan_in=fan_in, **settings)
        model.load_state_dict(state)
        return model

    def load_state_dict(self, state: StateDict) -> None:
        """Restore a state. The model has learned nothing yet, and its encoder already has this state.

        Raises
        ------
        CheckpointError
            If the state does not fit such a model.
        """
        with loading("the model"):
            self.inputs.load_state_dict(state)
            self.learner.grow(self.inputs.names(), self.classes.know_all())
            self.scaler.load_state_dict(state.nested("scaler"))
            self.target_scaler.load_state_dict(state.nested("target_scaler"))
            self.learner.load_state_dict(state.nested("learner", prefix=""))

    @property
    def description(self) -> str:
        """The sizes of the layers, as ``layers 9-32-2``, with ``?`` before the first class."""
        return f"layers {'-'.join(str(n or '?') for n in self.learner.network.layer_sizes)}"

    @property
    def digest(self) -> str:
        """SHA-256 of θ."""
        return self.learner.weights_sha256

    def counters(self) -> dict[str, float]:
        """Return the step k, and the learning rate η of the next step."""
        return {"step": self.learner.step, "learning_rate": self.learner.learning_rate}

    def layers(self) -> list[dict[str, float]]:
        """Return the sizes of δ and of the gradient, layer by layer."""
        return self.learner.diagnostics.report()

    @property
    def labels(self) -> list[list[Value]]:
        """For each target of a classification, the learned classes, by code."""
        return self.classes.labels


def _refuse_misfits(state: StateDict, encoder: Encoder, hidden_layers: Sequence[int]) -> None:
    """Refuse weights whose sizes contradict the rest, before memory for them is allocated."""
    output, labels = state.values["output"], state.values["labels"]
    outputs = {"identity"} if encoder.task == "regression" else {"softmax", "sigmoid"}
    if output not in outputs:
        raise CheckpointError(f"output {output!r} does not fit a {encoder.task}")
    if output == "sigmoid" and any(len(known) > 2 for known in labels):
        raise CheckpointError("a sigmoid output distinguishes two classes, but a target has more")
    n_inputs = len(encoder.numbers) + InputMap.n_named(state)
    n_outputs = sum(map(len, labels)) if output == "softmax" else len(encoder.targets)
    sizes = (n_inputs, *hidden_layers, n_outputs)
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes), start=1):
        W = state.arrays.get(f"W{layer}")
        if W is None or W.shape != (n_out, n_in + 1):
            found = "nothing" if W is None else W.shape
            raise CheckpointError(f"W{layer}: expected {(n_out, n_in + 1)}, found {found}")


def _in_unit(y: Floats, moments: Moments) -> tuple[Floats, Mask | None]:
    """Return the values y (n_targets, n) that can be scored, with NaN for the others, and where those others are.

    Before its first value, a target has no unit to predict in.
    """
    has_unit = moments.count[:, :-1, None] > 0  # (n_targets, T, 1)
    tiles = y.reshape(len(y), has_unit.shape[1], -1)
    unpredicted = None if has_unit.all() else np.broadcast_to(~has_unit, tiles.shape).reshape(y.shape)
    return np.where(has_unit, tiles, np.nan).reshape(y.shape), unpredicted


def _unless_all(weights: Mask) -> Mask | None:
    """Return None where nothing is missing. This saves the learner a product."""
    return None if weights.all() else weights


def new_model(config: JobConfig, encoder: Encoder) -> MLPModel:
    """Return an untrained model for a job. If the settings say ``auto``, its output function is chosen here."""
    output = config.output
    if output == "auto":
        several = len(encoder.targets) > 1
        output = "identity" if encoder.task == "regression" else "sigmoid" if several else "softmax"
    return MLPModel(encoder, output, **config.model_settings)


def constant_columns(model: object, n_rows: int) -> list[str]:
    """Return the features that have had one value only, over all rows learned; numbers only if they are scaled.

    Parameters
    ----------
    model
        The model; others than a network have none.
    n_rows
        The rows learned. A few rows say nothing.
    """
    if not isinstance(model, MLPModel) or n_rows < _FEWEST_ROWS:
        return []
    encoder = model.encoder
    numbers = dict(zip(encoder.numbers, model.scaler.is_constant.tolist(), strict=True))
    words = dict(zip(encoder.categorical, encoder.categories, strict=True))
    return [
        column.name
        for column in encoder.features
        if (len(words[column].values) == 1 if column in words else all(numbers[name] for name in column.inputs))
    ]
