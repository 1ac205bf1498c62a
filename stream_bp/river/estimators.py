"""The network as estimators of River: :class:`MLPClassifier` and :class:`MLPRegressor`.

They are the job's own model, fed with dicts: ``learn_one`` learns a minibatch of one row, ``learn_many`` one of as many
rows as the frame has. Rows in the order of a source end in the weights and the predictions of a job over that source,
with that ``batch_size``, to the last bit, if the first of them has every feature: it decides their order.

Features may appear, vanish and return. One that appears gets weights that its name decides, from the next row that is
learned on; one that is away is missing, and a missing number is the mean. A checkpoint of a job opens as an estimator,
and the command line opens what an estimator saves.
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
from stream_bp.preprocessing.arrow_buffers import LARGEST
from stream_bp.preprocessing.dict_encoder import Features, is_missing, plain
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.river.base import MLP, as_weight
from stream_bp.river.pending_row import PendingRow

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(MLP, base.MiniBatchClassifier):
    """A neural network for classification, learned by backpropagation from one row, or one frame, at a time.

    Labels may be of any hashable type; a class that is met late gets an output then. Before the first row is learned
    there is nothing to predict: ``predict_proba_one`` is empty, ``predict_one`` is None. Every feature's name makes an
    input: names that hold an identifier, or the time, make the network grow without end.

    Parameters
    ----------
    hidden_layers
        Units of each hidden layer; ``()`` for a linear model.
    activation
        Of the hidden layers: ``relu``, ``sigmoid``, ``tanh`` or ``identity``.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adagrad``, ``rmsprop`` or ``adam``.
    learning_rate
        Step size, > 0; None takes the optimiser's own.
    lr_schedule
        How the learning rate changes with the step: ``constant``, ``inverse-time``, ``inverse-sqrt`` or ``cosine``, or
        one of these after ``warmup-``.
    decay_steps
        Steps in which the schedule decays.
    warmup_steps
        Steps in which a ``warmup-…`` schedule climbs.
    clip_norm
        Largest Euclidean norm of the gradient; None does not clip.
    weight_decay
        Pull of every weight (not bias) towards 0, per step and rate.
    scale_features
        Whether numbers are standardised by their running mean and deviation; else they are taken as they are, a
        missing one as 0.
    missing
        ``mean``: a missing value becomes the mean; ``mean-indicator``: each feature with gaps also gets an indicator.
    dtype
        ``float64``, or ``float32`` for half the memory; probabilities then sum to 1 within 1e-6.
    backend
        What computes: ``numpy``, ``compiled`` (faster, needs Numba), or ``auto`` for the latter where it is installed.
    seed
        Of the initial weights.

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
        """Let the labels be those that the model has an output for; others were met in rows that were refused."""
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
            Its features: numbers, booleans, strings; None or NaN where missing.
        y
            Its label; with None or NaN only the features are taken in.
        w
            Weight: what its loss is multiplied by, within ±1e30.

        Raises
        ------
        DataError
            If a feature, the label or the weight cannot be read; then nothing is changed.
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
        """Return the probability of each class that was learned, given the features of a row."""
        return dict(zip(self._labels, self._shares(x), strict=True))

    def predict_one(self, x: Features) -> Any:  # type: ignore[override]
        """Return the most probable class of a row, the first that was met among equals; None before any was learned."""
        output = self._shares(x)
        return self._labels[output.index(max(output))] if output else None

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a data frame as one minibatch: one step along their mean gradient.

        Parameters
        ----------
        X
            A data frame (pandas, polars, pyarrow), a column for each feature.
        y
            A series of labels, as long.
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
        """Return a frame with the probability of each class (a column) of each row of a data frame."""
        shares = self._predict_minibatch(X)
        columns = {} if shares is None else dict(zip(self._labels, shares.astype(np.float64), strict=False))
        return dataframe.to_native_frame(columns, like=dataframe.into_frame(X))

    def predict_many(self, X: Any) -> Any:
        """Return a series of the most probable class of each row of a data frame; None before any was learned."""
        shares, frame = self._predict_minibatch(X), dataframe.into_frame(X)
        if shares is None or not len(shares):
            best = [None] * len(frame)
        else:
            best = [self._labels[code] for code in shares.argmax(axis=0)]
        return dataframe.to_native_series(best, name=self._y_name, like=frame)

    def _refuse_excess(self, y: Ints) -> None:
        """Refuse a class too many before columns and words are taken in."""
        refuse_excess(self._encoder, self._output if self._model is None else self._model.output, y)

    def _shares(self, x: Features) -> list[float]:
        """Return the probability of each class that was learned, in the order of the labels."""
        output = self._pending.propagate(x)
        if len(output) != 1:
            return output
        # With one class its probability is 1; with two, a sigmoid gives that of the second.
        n_classes = len(self._labels)
        return [1 - output[0], output[0]] if n_classes > 1 else [1.0] * n_classes

    def _code(self, y: Hashable) -> int:
        """Return the code of a label; -1 of a missing one, the next that is free of a new one."""
        try:
            code = self._codes.get(y)
        except TypeError:
            raise DataError(f"label {y!r} is a {type(y).__name__}, which is not hashable; expected a class") from None
        if code is not None:
            return code
        return -1 if is_missing(y) else len(self._codes)

    def _grow_class(self, x: Features, y: Hashable, code: int) -> PendingRow:
        """Grow to a row of a new class, or with something else new, and return it as the pending one."""
        if code == len(self._codes):
            self._dicts.new_columns(x)  # a feature that cannot be read is refused before the label is known
            self._encoder.labels[0].extend([plain(y)])
        try:
            self._refuse_excess(np.array([[code]]))
            return self._grow(x, np.array([[code]]))
        finally:
            self._index_labels()


class MLPRegressor(MLP, base.MiniBatchRegressor):
    """A neural network that predicts a value, learned by backpropagation from one row, or one frame, at a time.

    Before the first value is learned it predicts 0.

    Parameters
    ----------
    hidden_layers, activation, optimizer, learning_rate, lr_schedule, decay_steps, warmup_steps, clip_norm, weight_decay
        As for :class:`MLPClassifier`.
    scale_features
        Whether numbers are standardised by their running mean and deviation.
    scale_target
        Whether the target is, while it is learned; predictions are in its own unit either way.
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
            Its features: numbers, booleans, strings; None or NaN where missing.
        y
            Its value; with None, NaN or what is beyond ±1e100 only the features are taken in.
        w
            Weight: what its loss is multiplied by, within ±1e30.

        Raises
        ------
        DataError
            If a feature, the value or the weight cannot be read; then nothing is changed.
        DivergenceError
            If training has diverged.
        """
        w = as_weight(w)
        pending = self._pending
        pending.propagate(x)
        value = _value(y)
        if not pending.is_known:
            pending = self._grow(x, np.array([[value]]))
        single = pending.take()
        if np.isnan(value):
            single.pass_by()
        else:
            single.learn_value(value, w)

    def predict_one(self, x: Features) -> float:
        """Return the value that is expected of a row, given its features."""
        output = self._pending.propagate(x)
        return output[0] if output else 0.0

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a data frame as one minibatch: one step along their mean gradient.

        Parameters
        ----------
        X
            A data frame (pandas, polars, pyarrow), a column for each feature.
        y
            A series of numbers, as long.
        """
        series = dataframe.into_series(y)
        values = np.array([[_value(value) for value in series.to_list()]], np.float64)
        self._learn_minibatch(self._read_frame(X, values.shape[1]), values)
        self._y_name = series.name

    def predict_many(self, X: Any) -> Any:
        """Return a series of the values that are expected of the rows of a data frame."""
        frame, values = dataframe.into_frame(X), self._predict_minibatch(X)
        return dataframe.to_native_series(
            np.zeros(len(frame)) if values is None else values, name=self._y_name, like=frame
        )


def _value(y: Any) -> float:
    """Return a target as a float, NaN where it is missing."""
    if is_missing(y):
        return np.nan
    try:
        value = None if isinstance(y, str) else float(y)
    except OverflowError:
        return np.nan
    except (TypeError, ValueError):
        value = None
    if value is None:
        raise DataError(f"the target {y!r} is a {type(y).__name__}; expected a number, or None")
    return value if abs(value) <= LARGEST else np.nan
