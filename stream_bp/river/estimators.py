"""The estimators for River: :class:`MLPClassifier` and :class:`MLPRegressor`.

They are the job's own model, fed with dicts. ``learn_one`` learns a minibatch of one row. ``learn_many`` learns all
rows of a frame as one minibatch. Rows in the order of a source give the weights and predictions of a job over that
source with the same ``batch_size``, to the last bit. The first row must have every feature, because it decides their
order.

Features may appear, vanish and return. A new feature gets an input at the first row that is learned with it. Its
initial weights follow from its name. An absent feature is missing, and a missing number is the mean. The estimators
open checkpoints of jobs, and the command line opens their files.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
from river import base
from river.utils import dataframe

from stream_bp._arrays import DType, Ints
from stream_bp.errors import DataError
from stream_bp.models.base import refuse_excess
from stream_bp.models.mlp import MLPModel
from stream_bp.preprocessing.dict_encoder import Features, is_missing, plain
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.river.base import MLP, as_value, as_weight
from stream_bp.river.pending_row import PendingRow

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(MLP, base.MiniBatchClassifier):
    """A neural network for classification, trained by backpropagation on one row or one frame at a time.

    Labels may have any hashable type, and new classes may appear at any time. Before the first row is learned,
    ``predict_proba_one`` returns an empty dict and ``predict_one`` returns None. Each feature name becomes an input.
    Names with identifiers or times in them make the network grow without limit.

    Parameters
    ----------
    hidden_layers
        Units of each hidden layer. ``()`` gives a linear model.
    activation
        Activation function of the hidden layers: ``relu``, ``sigmoid``, ``tanh`` or ``identity``.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adagrad``, ``rmsprop`` or ``adam``.
    learning_rate
        Step size, > 0. None takes the optimiser's default.
    lr_schedule
        Schedule of the learning rate: ``constant``, ``inverse-time``, ``inverse-sqrt`` or ``cosine``. Each also exists
        with a warm-up, as ``warmup-constant``.
    decay_steps
        Steps in which the schedule decays.
    warmup_steps
        Steps of the warm-up of a ``warmup-…`` schedule.
    clip_norm
        Largest Euclidean norm of the gradient. None does not clip.
    weight_decay
        Decay rate of every weight (not bias) towards 0, per step and unit of learning rate.
    scale_features
        Whether to standardise numbers by their running mean and deviation. If not, a missing number is 0.
    missing
        ``mean``: a missing value becomes the mean. ``mean-indicator``: a feature with gaps also gets an indicator
        input.
    dtype
        ``float64``, or ``float32`` for half the memory. Probabilities then sum to 1 within 1e-6.
    backend
        ``numpy``, ``compiled`` (faster, needs Numba), or ``auto``: compiled if Numba is installed.
    seed
        Seed of the initial weights.

    Raises
    ------
    ConfigError
        If a setting is out of its range.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from stream_bp.river import MLPClassifier
    >>> evaluate.progressive_val_score(datasets.Phishing(), MLPClassifier(), metrics.Accuracy())
    Accuracy: 89.99%
    """

    _task = "classification"
    _output = "softmax"

    def __init__(
        self,
        hidden_layers: tuple[int, ...] = (32,),
        *,
        activation: str = "tanh",
        optimizer: str = "rmsprop",
        learning_rate: float | None = None,
        lr_schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = 1.0,
        weight_decay: float = 0.0,
        scale_features: bool = True,
        missing: str = "mean",
        dtype: DType = "float64",
        backend: str = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden_layers=hidden_layers,
            activation=activation,
            optimizer=optimizer,
            learning_rate=learning_rate,
            lr_schedule=lr_schedule,
            decay_steps=decay_steps,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            scale_features=scale_features,
            missing=missing,
            dtype=dtype,
            backend=backend,
            seed=seed,
        )

    def _take(self, encoder: Encoder, model: MLPModel | None) -> None:
        super()._take(encoder, model)
        self._y_name: Any = None
        self._codes: dict[Hashable, int] = {}
        self._index_labels()

    def _index_labels(self) -> None:
        """Keep the labels that the model has an output for. Others came with rows that were refused."""
        n_known = len(self._model.labels[0]) if self._model is not None else 0
        del self._labels[n_known:]
        self._codes.update(
            {label: code for code, label in enumerate(self._labels[len(self._codes) :], len(self._codes))}
        )

    @property
    def _labels(self) -> list[Any]:
        return self._encoder.labels[0].values

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: Features, y: Hashable, w: float = 1.0) -> None:
        """Learn a row.

        Parameters
        ----------
        x
            Features: numbers, booleans or strings. None or NaN is missing.
        y
            Label. With None or NaN, the row only counts in the scaling of its features.
        w
            Weight of the row, a factor of its loss, within ±1e30.

        Raises
        ------
        DataError
            If a feature, the label or the weight cannot be read. Nothing changes then.
        DivergenceError
            If training has diverged.
        """
        w = as_weight(w)
        pending = self._pending
        pending.propagate(x)
        code = self._code(y)
        if not pending.is_known or code >= len(self._codes):
            pending = self._grow_class(x, y, code)
        single = pending.take()
        if code < 0:
            single.pass_by()
        else:
            single.learn_class(code, w)

    def predict_proba_one(self, x: Features) -> dict[Any, float]:  # type: ignore[override]
        """Return the probability of each learned class, given the features of a row."""
        return dict(zip(self._labels, self._shares(x), strict=True))

    def predict_one(self, x: Features) -> Any:  # type: ignore[override]
        """Return the most probable class of a row, and the earliest among equals. None before any class was learned."""
        output = self._shares(x)
        return self._labels[output.index(max(output))] if output else None

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a data frame as one minibatch: one step along their mean gradient.

        Parameters
        ----------
        X
            A data frame of pandas, polars or pyarrow, with a column for each feature.
        y
            A series of labels, one for each row.
        """
        series = dataframe.into_series(y)
        labels, words = series.to_list(), self._encoder.labels[0]
        new = dict.fromkeys(plain(label) for label in labels if self._code(label) == len(self._codes))
        words.extend(list(new))
        codes = {**self._codes, **{label: code for code, label in enumerate(new, len(self._codes))}}
        y_codes = np.array([[codes.get(label, -1) for label in labels]], np.int64)
        try:
            self._refuse_excess(y_codes)
            self._learn_minibatch(self._read_frame(X, len(labels)), y_codes)
            self._y_name = series.name
        finally:
            self._index_labels()

    def predict_proba_many(self, X: Any) -> Any:
        """Return a frame with the probability of each class (a column) for each row of a data frame."""
        shares = self._predict_minibatch(X)
        columns = {} if shares is None else dict(zip(self._labels, shares.astype(np.float64), strict=False))
        return dataframe.to_native_frame(columns, like=dataframe.into_frame(X))

    def predict_many(self, X: Any) -> Any:
        """Return a series with the most probable class of each row, None before any was learned."""
        shares, frame = self._predict_minibatch(X), dataframe.into_frame(X)
        if shares is None or not len(shares):
            best = [None] * len(frame)
        else:
            best = [self._labels[code] for code in shares.argmax(axis=0)]
        return dataframe.to_native_series(best, name=self._y_name, like=frame)

    def _refuse_excess(self, y: Ints) -> None:
        """Refuse a class too many before any column or word is added."""
        refuse_excess(self._encoder, self._output if self._model is None else self._model.output, y)

    def _shares(self, x: Features) -> list[float]:
        """Return the probability of each learned class, in the order of the labels."""
        output = self._pending.propagate(x)
        if len(output) != 1:
            return output
        # One class has probability 1. With two, a sigmoid gives that of the second.
        n_classes = len(self._labels)
        return [1 - output[0], output[0]] if n_classes > 1 else [1.0] * n_classes

    def _code(self, y: Hashable) -> int:
        """Return the code of a label: -1 for a missing one, the next free code for a new one."""
        try:
            code = self._codes.get(y)
        except TypeError:
            raise DataError(f"label: expected a hashable value, found {y!r}, a {type(y).__name__}") from None
        if code is not None:
            return code
        return -1 if is_missing(y) else len(self._codes)

    def _grow_class(self, x: Features, y: Hashable, code: int) -> PendingRow:
        """Grow for a row with a new class, or another novelty, and return it as the pending one."""
        if code == len(self._codes):
            self._dicts.new_columns(x)  # refuses an unreadable feature before the label is added
            self._encoder.labels[0].extend([plain(y)])
        try:
            self._refuse_excess(np.array([[code]]))
            return self._grow(x, np.array([[code]]))
        finally:
            self._index_labels()


class MLPRegressor(MLP, base.MiniBatchRegressor):
    """A neural network for regression, trained by backpropagation on one row or one frame at a time.

    It predicts 0 before the first value is learned.

    Parameters
    ----------
    hidden_layers, activation, optimizer, learning_rate, lr_schedule, decay_steps, warmup_steps, clip_norm, weight_decay
        As for :class:`MLPClassifier`.
    scale_features, missing
        As for :class:`MLPClassifier`.
    scale_target
        Whether to standardise the target for learning. Predictions are in its own unit in both cases.
    dtype, backend, seed
        As for :class:`MLPClassifier`.

    Raises
    ------
    ConfigError
        If a setting is out of its range.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from stream_bp.river import MLPRegressor
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), MLPRegressor(), metrics.MAE())
    MAE: 0.377401
    """

    _task = "regression"
    _output = "identity"

    def __init__(
        self,
        hidden_layers: tuple[int, ...] = (32,),
        *,
        activation: str = "tanh",
        optimizer: str = "rmsprop",
        learning_rate: float | None = None,
        lr_schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = 1.0,
        weight_decay: float = 0.0,
        scale_features: bool = True,
        missing: str = "mean",
        scale_target: bool = True,
        dtype: DType = "float64",
        backend: str = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden_layers=hidden_layers,
            activation=activation,
            optimizer=optimizer,
            learning_rate=learning_rate,
            lr_schedule=lr_schedule,
            decay_steps=decay_steps,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            scale_features=scale_features,
            missing=missing,
            scale_target=scale_target,
            dtype=dtype,
            backend=backend,
            seed=seed,
        )

    scale_target: bool

    def _take(self, encoder: Encoder, model: MLPModel | None) -> None:
        super()._take(encoder, model)
        self._y_name: Any = None

    def learn_one(self, x: Features, y: float | None, w: float = 1.0) -> None:
        """Learn a row.

        Parameters
        ----------
        x
            Features: numbers, booleans or strings. None or NaN is missing.
        y
            Value. With None, NaN or a value beyond ±1e100, the row only counts in the scaling of its features.
        w
            Weight of the row, a factor of its loss, within ±1e30.

        Raises
        ------
        DataError
            If a feature, the value or the weight cannot be read. Nothing changes then.
        DivergenceError
            If training has diverged.
        """
        w = as_weight(w)
        pending = self._pending
        pending.propagate(x)
        value = as_value(y)
        if not pending.is_known:
            pending = self._grow(x, np.array([[value]]))
        single = pending.take()
        if np.isnan(value):
            single.pass_by()
        else:
            single.learn_value(value, w)

    def predict_one(self, x: Features) -> float:
        """Return the predicted value of a row, given its features."""
        output = self._pending.propagate(x)
        return output[0] if output else 0.0

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a data frame as one minibatch: one step along their mean gradient.

        Parameters
        ----------
        X
            A data frame of pandas, polars or pyarrow, with a column for each feature.
        y
            A series of numbers, one for each row.
        """
        series = dataframe.into_series(y)
        values = np.array([[as_value(value) for value in series.to_list()]], np.float64)
        self._learn_minibatch(self._read_frame(X, values.shape[1]), values)
        self._y_name = series.name

    def predict_many(self, X: Any) -> Any:
        """Return a series with the predicted value of each row of a data frame."""
        frame, values = dataframe.into_frame(X), self._predict_minibatch(X)
        return dataframe.to_native_series(
            np.zeros(len(frame)) if values is None else values, name=self._y_name, like=frame
        )
