"""The network as estimators of River: :class:`MLPClassifier` and :class:`MLPRegressor`.

They are the job's own model, fed with dicts: ``learn_one`` learns a minibatch of one row, ``learn_many`` one of as many
rows as the frame has. Rows in the order of a source end in the weights and the predictions of a job over that source,
with that ``batch_size``, to the last bit.

Features may appear, vanish and return. One that appears gets weights that its name decides, from the next row that is
learned on; one that is away is missing, and a missing number is the mean. A checkpoint of a job opens as an estimator,
and the command line opens what an estimator saves.
"""

import inspect
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from river import base
from river.utils import dataframe

from stream_bp import checkpoint, portable
from stream_bp.arrays import Array, DType, Floats
from stream_bp.config import JobConfig
from stream_bp.dicts import DictEncoder, Features, is_missing
from stream_bp.encoder import LARGEST, Column, Encoded, Encoder, Task
from stream_bp.errors import DataError
from stream_bp.model import Model
from stream_bp.single import SingleRow

__all__ = ["MLPClassifier", "MLPRegressor"]


_TARGET = "target"  # what is predicted has no name in River


class _MLP(base.Estimator):
    """What both estimators share: settings, columns, and the row that was last looked at."""

    _task: ClassVar[Task]
    _output: ClassVar[str]
    hidden: tuple[int, ...]
    activation: str
    optimizer: str
    learning_rate: float | None
    schedule: str
    decay_steps: int
    warmup_steps: int
    clip_norm: float | None
    weight_decay: float
    scale_features: bool
    dtype: DType
    seed: int

    def __init__(self, **settings: Any) -> None:
        self._config = JobConfig.of({**settings, "target": _TARGET, "task": self._task, "batch_size": 1})
        for name, value in {**settings, "hidden": self._config.hidden}.items():
            setattr(self, name, value)
        self._take(
            Encoder([], [Column(_TARGET, "number" if self._task == "regression" else "string")], self._task), None
        )

    def _unit_test_skips(self) -> set[str]:
        # A minibatch is one step along its mean gradient, and a loop of learn_one is a step for each row: of one row
        # they are the same. River's own linear models name this check too.
        return {"check_learn_many_matches_learn_one"}

    def _get_params(self) -> dict[str, Any]:
        # River looks into a tuple for a class and its parameters, even into one that is empty.
        return {**super()._get_params(), "hidden": list(self.hidden)}

    def _take(self, encoder: Encoder, model: Model | None) -> None:
        """Go on with columns and a model; without one before the first row is learned."""
        self._encoder = encoder
        self._model = model
        self._dicts = DictEncoder(encoder)
        self._stand()

    def _stand(self) -> None:
        """Forget the row that was last looked at: the model has changed."""
        self._single: SingleRow | None = None
        self._row: dict[Hashable, Any] | None = None
        self._answer: list[float] = []
        self._is_whole = False  # whether learning that row needs no further input or output

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the row that was last looked at: it may be looked at again."""
        return {**self.__dict__, "_single": None, "_row": None, "_answer": [], "_is_whole": False}

    def _propagate(self, x: Features) -> list[float]:
        """Return ŷ of a row; the same row is not computed again before something was learned."""
        if self._row is not None and self._is_same(x):
            return self._answer
        if self._model is None:
            return []
        self._row = None
        numbers, codes = self._dicts.encode_one(x)
        if self._single is None:
            self._single = SingleRow(self._model)
        self._answer = self._single.propagate(numbers, codes)
        self._is_whole = self._dicts.is_whole
        self._row = dict(x)
        return self._answer

    def _is_same(self, x: Features) -> bool:
        try:
            return self._row == x
        except ValueError:  # an array among the features: refused where it is read
            return False

    def _grow(self, x: Features, y: Array) -> SingleRow:
        """Grow to what a row brings, and propagate it; nothing is changed if it cannot be read.

        ``y`` is the code of its class, or its value, shape (1, 1).
        """
        model = self._with_columns(self._dicts.new_columns(x), len(x))
        numbers, codes = self._dicts.encode_one(x, is_learned=True)
        model.grow(Encoded(numbers, [np.array([code]) for code in codes], y), 0, 1)
        self._stand()
        self._propagate(x)
        return self._ready()

    def _ready(self) -> SingleRow:
        if self._single is None:
            raise RuntimeError("no row was propagated")
        return self._single

    def _with_columns(self, new: list[Column], n_features: int) -> Model:
        """Return the model, made or widened for new columns; the first row tells how many features to expect."""
        if self._model is None:
            for column in new:
                self._encoder.add(column)
            self._model = Model(self._encoder, self._output, fan_in=n_features, **self._config.model_settings)
        elif new:
            self._model.add_columns(new)
        self._dicts.lay_out()
        self._stand()
        return self._model

    def _read_frame(self, X: Any, *, is_learned: bool) -> Encoded:
        """Read a data frame: of pandas, polars, pyarrow, or whatever else River takes."""
        frame = dataframe.into_frame(X)
        columns: dict[Hashable, Any] = {}
        for name in frame.columns:
            if frame[name].dtype.is_float() or frame[name].dtype.is_integer():
                columns[name] = dataframe.to_numpy(frame.select(name))[:, 0]
            else:
                columns[name] = self._dicts.parse(name, frame[name].to_list())
        if is_learned and len(frame):
            new = self._dicts.new_columns({name: _first_present(values) for name, values in columns.items()})
            if new or self._model is None:
                self._with_columns(new, len(columns))
        return self._dicts.encode_many(columns, len(frame), is_learned=is_learned)

    def _learn_minibatch(self, rows: Encoded, y: Array) -> None:
        """Learn rows with their targets y (1, n), as one minibatch."""
        if self._model is not None and len(rows):
            list(self._model.learn(Encoded(rows.numbers, rows.categories, y), 0, len(rows), len(rows)))
        self._stand()

    def _predict_minibatch(self, X: Any) -> Floats | None:
        """Return what is predicted for the rows of a frame, as a model does; None if nothing can be."""
        rows = self._read_frame(X, is_learned=False)
        return self._model.predict(rows)[0] if self._model is not None and self._model.learner.n_outputs else None

    def save(self, path: str | Path, *, target: str | None = None) -> None:
        """Save everything that predicting and learning on need, durably, as a checkpoint of stream-bp.

        Parameters
        ----------
        path
            The file; replaced if it is there.
        target
            Name of the column to predict, for the command line; if it is not given, that of the job that this was
            loaded from, or ``target``.

        Raises
        ------
        CheckpointError
            If nothing was learned yet, or a feature's name or a label cannot be written as JSON; a DiskError if the
            file cannot be written.
        """
        checkpoint.save(portable.pack(self._model, self._config, target), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a checkpoint, of an estimator or of a job: it predicts the same, and goes on learning the same.

        Parameters
        ----------
        path
            The file, or a run directory, whose newest valid checkpoint is taken.

        Raises
        ------
        CheckpointError
            If it is damaged, of the other task, or of several targets.
        """
        config, model = portable.unpack(checkpoint.load(path), cls._task)
        estimator = cls(**{name: getattr(config, name) for name in inspect.signature(cls).parameters})
        estimator._config = config
        estimator._take(model.encoder, model)
        return estimator


class MLPClassifier(_MLP, base.MiniBatchClassifier):
    """A neural network that tells classes apart, learned by backpropagation from one row, or one frame, at a time.

    Labels may be of any hashable type; a class that is met late gets an output then. Before the first row is learned
    there is nothing to predict: ``predict_proba_one`` is empty, ``predict_one`` is None.

    Parameters
    ----------
    hidden
        Units of each hidden layer; ``()`` for a linear model.
    activation
        Of the hidden layers: ``relu``, ``sigmoid``, ``tanh`` or ``identity``.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adagrad``, ``rmsprop`` or ``adam``.
    learning_rate
        Step size, > 0; None takes the optimiser's own.
    schedule
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
    dtype
        ``float64``, or ``float32`` for half the memory; probabilities then sum to 1 within 1e-6.
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
    Accuracy: 88.63%
    """

    _task = "classification"
    _output = "softmax"

    def __init__(
        self,
        hidden: tuple[int, ...] = (32,),
        *,
        activation: str = "relu",
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        scale_features: bool = True,
        dtype: DType = "float64",
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=hidden,
            activation=activation,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            decay_steps=decay_steps,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            scale_features=scale_features,
            dtype=dtype,
            seed=seed,
        )

    def _take(self, encoder: Encoder, model: Model | None) -> None:
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
            Weight: what its loss is multiplied by.

        Raises
        ------
        DataError
            If a feature or the label cannot be read; then nothing is changed.
        DivergenceError
            If the network has blown up.
        """
        self._propagate(x)
        code = self._code(y)
        is_known = self._is_whole and code < len(self._codes)
        single = self._ready() if is_known else self._grow_class(x, y, code)
        self._row, self._is_whole = None, False
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
        self._y_name = series.name
        labels, words = series.to_list(), self._encoder.labels[0]
        rows = self._read_frame(X, is_learned=True)
        new = dict.fromkeys(_plain(label) for label in labels if self._code(label) == len(self._codes))
        words.extend(list(new))
        codes = {**self._codes, **{label: code for code, label in enumerate(new, len(self._codes))}}
        try:
            self._learn_minibatch(rows, np.array([[codes.get(label, -1) for label in labels]], np.int64))
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
        best = [None] * len(frame) if shares is None else [self._labels[code] for code in shares.argmax(axis=0)]
        return dataframe.to_native_series(best, name=self._y_name, like=frame)

    def _shares(self, x: Features) -> list[float]:
        """Return the probability of each class that was learned, in the order of the labels."""
        output = self._propagate(x)
        if len(output) != 1:
            return output
        # Of one class there is no doubt; of two, a sigmoid tells the second.
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

    def _grow_class(self, x: Features, y: Hashable, code: int) -> SingleRow:
        """Grow to a row of a new class, or with something else new, and propagate it."""
        if code == len(self._codes):
            self._dicts.new_columns(x)  # a feature that cannot be read is refused before the label is known
            self._encoder.labels[0].extend([_plain(y)])
        try:
            return self._grow(x, np.array([[code]]))
        finally:
            self._index_labels()


class MLPRegressor(_MLP, base.MiniBatchRegressor):
    """A neural network that predicts a value, learned by backpropagation from one row, or one frame, at a time.

    Before the first value is learned it predicts 0.

    Parameters
    ----------
    hidden, activation, optimizer, learning_rate, schedule, decay_steps, warmup_steps, clip_norm, weight_decay
        As for :class:`MLPClassifier`.
    scale_features
        Whether numbers are standardised by their running mean and deviation.
    scale_target
        Whether the target is, while it is learned; predictions are in its own unit either way.
    dtype, seed
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
    MAE: 0.241088
    """

    _task = "regression"
    _output = "identity"

    def __init__(
        self,
        hidden: tuple[int, ...] = (32,),
        *,
        activation: str = "relu",
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        schedule: str = "constant",
        decay_steps: int = 10_000,
        warmup_steps: int = 1_000,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        scale_features: bool = True,
        scale_target: bool = True,
        dtype: DType = "float64",
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=hidden,
            activation=activation,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            decay_steps=decay_steps,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            scale_features=scale_features,
            scale_target=scale_target,
            dtype=dtype,
            seed=seed,
        )

    scale_target: bool

    def _take(self, encoder: Encoder, model: Model | None) -> None:
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
            Weight: what its loss is multiplied by.

        Raises
        ------
        DataError
            If a feature or the value cannot be read; then nothing is changed.
        DivergenceError
            If the network has blown up.
        """
        self._propagate(x)
        value = _value(y)
        single = self._ready() if self._is_whole else self._grow(x, np.array([[value]]))
        self._row, self._is_whole = None, False
        if np.isnan(value):
            single.pass_by()
        else:
            single.learn_value(value, w)

    def predict_one(self, x: Features) -> float:
        """Return the value that is expected of a row, given its features."""
        output = self._propagate(x)
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
        self._y_name = series.name
        values = np.array([[_value(value) for value in series.to_list()]], np.float64)
        self._learn_minibatch(self._read_frame(X, is_learned=True), values)

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
        value = float(y)
    except OverflowError:
        return np.nan
    except (TypeError, ValueError):
        raise DataError(f"the target {y!r} is a {type(y).__name__}; expected a number, or None") from None
    return value if abs(value) <= LARGEST else np.nan


def _plain(label: Any) -> Any:
    """Return a label of NumPy as Python's own: they are equal, and of one class."""
    return label.item() if isinstance(label, np.generic) else label


def _first_present(values: Floats | list[str | None]) -> float | str | None:
    """Return the first value that is not missing."""
    return next((value for value in values if not is_missing(value)), None)
