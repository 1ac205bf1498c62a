"""The base of the estimators of :mod:`stream_bp.river`: settings, columns, files, and the pending row."""

import copy
import inspect
import math
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from river import base
from river.utils import dataframe

from stream_bp._arrays import Array, DType, Floats
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError, DataError
from stream_bp.models.mlp import MLPModel
from stream_bp.nn.reproducibility import single_thread
from stream_bp.persistence import checkpoints
from stream_bp.preprocessing.arrow_buffers import LARGEST
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.dict_encoder import DictEncoder, Features, is_missing
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column, Task
from stream_bp.river import files
from stream_bp.river.pending_row import PendingRow

__all__ = ["MLP", "as_value", "as_weight"]

_HEAVIEST = 1e30  # its product with a gradient stays within float32
_TARGET = "target"  # River does not name the target


class MLP(base.Estimator):
    """The common base of the estimators: a network that learns from dicts and data frames.

    Parameters
    ----------
    settings
        As for :class:`~stream_bp.river.MLPClassifier`, with the names of the command line.
    """

    _task: ClassVar[Task]
    _output: ClassVar[str]
    hidden_layers: tuple[int, ...]
    activation: str
    optimizer: str
    learning_rate: float | None
    lr_schedule: str
    decay_steps: int
    warmup_steps: int
    clip_norm: float | None
    weight_decay: float
    scale_features: bool
    missing: str
    dtype: DType
    backend: str
    seed: int

    def __init__(self, **settings: Any) -> None:
        self._config = JobConfig.of({**settings, "target": _TARGET, "task": self._task, "batch_size": 1})
        for name, value in {**settings, "hidden_layers": self._config.hidden_layers}.items():
            setattr(self, name, value)
        if self._config.missing not in {"mean", "mean-indicator"}:
            raise ConfigError(f"missing: expected mean or mean-indicator, found {self._config.missing!r}")
        target = Column(_TARGET, "number" if self._task == "regression" else "string")
        self._take(Encoder(ColumnPlan([], [target], self._task, missing=self._config.missing)), None)

    def _unit_test_skips(self) -> set[str]:
        # A minibatch is one step along its mean gradient, but a loop of learn_one takes a step for each row. They agree
        # for one row only. River's own linear models skip this check, too.
        return {"check_learn_many_matches_learn_one"}

    def _get_params(self) -> dict[str, Any]:
        # A list: River reads a tuple as a class with its parameters, even an empty one.
        return {**super()._get_params(), "hidden_layers": list(self.hidden_layers)}

    def _take(self, encoder: Encoder, model: MLPModel | None) -> None:
        """Continue with columns and a model. The model is None before the first row is learned."""
        self._encoder = encoder
        self._model = model
        self._dicts = DictEncoder(encoder)
        self._renew_pending()

    def _renew_pending(self) -> None:
        """Start without a pending row, because the model has changed."""
        self._pending = PendingRow(self._dicts, self._model)

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Self:
        """Return an estimator with the same settings.

        Parameters
        ----------
        new_params
            Settings to change.
        include_attributes
            Whether to copy the learned state, too.
        """
        clone = super().clone(new_params)
        if include_attributes:
            params = self._get_params()
            # One copy of all: River would copy each attribute by its own, and split the model from its columns.
            clone.__dict__.update(
                copy.deepcopy({name: value for name, value in self.__dict__.items() if name not in params})
            )
        return clone

    def _grow(self, x: Features, y: Array) -> PendingRow:
        """Grow for a row that has something new, and return it as the pending one.

        ``y`` is the code of its class, or its value, shape (1, 1). Nothing changes if the row cannot be read.
        """
        model = self._with_columns(self._dicts.new_columns(x), len(x))
        numbers, codes, _ = self._dicts.encode_one(x, is_learned=True)
        missing = self._encoder.missing_in(numbers, [np.array([code == -1]) for code in codes])
        model.grow(Encoded(numbers, [np.array([code]) for code in codes], y, missing), 0, 1)
        self._renew_pending()
        self._pending.propagate(x)
        return self._pending

    def _with_columns(self, new: list[Column], n_features: int) -> MLPModel:
        """Return the model, made or widened for new columns. The first row gives the expected number of features."""
        if self._model is None:
            for column in new:
                self._encoder.add(column)
            self._model = MLPModel(self._encoder, self._output, fan_in=n_features, **self._config.model_settings)
        elif new:
            self._model.add_columns(new)
        self._dicts.lay_out()
        self._renew_pending()
        return self._model

    def _read_frame(self, X: Any, n_targets: int | None = None) -> Encoded:
        """Read a data frame of pandas, polars, pyarrow, or another kind that River takes.

        ``n_targets`` is the number of targets, given only to learn the frame.
        """
        frame, is_learned = dataframe.into_frame(X), n_targets is not None
        if is_learned and len(frame) != n_targets:
            raise DataError(f"X has {len(frame)} rows, but y has {n_targets} targets; give one target for each row")
        columns: dict[Hashable, Any] = {}
        first: dict[Hashable, Any] = {}
        values: Any
        for name, column in zip(frame.columns, frame.iter_columns(), strict=True):  # a name need not be a string
            if (column.dtype.is_float() or column.dtype.is_integer()) and not self._dicts.is_word(name):
                values = columns[name] = dataframe.to_numpy(column.to_frame())[:, 0]  # type: ignore[arg-type]
            else:
                values = column.to_list()
                columns[name] = self._dicts.parse(name, values)
            first[name] = next((value for value in values if not is_missing(value)), None)
        if is_learned and len(frame):
            new = self._dicts.new_columns(first)
            if new or self._model is None:
                self._with_columns(new, len(columns))
        return self._dicts.encode_many(columns, len(frame), is_learned=is_learned)

    def _learn_minibatch(self, rows: Encoded, y: Array) -> None:
        """Learn rows with their targets y (1, n), as one minibatch."""
        if self._model is not None and len(rows):
            with single_thread():
                prepared = self._model.preparation(len(rows)).prepare(replace(rows, y=y))
                list(self._model.learn(prepared, 0, len(rows)))
        self._renew_pending()

    def _predict_minibatch(self, X: Any) -> Floats | None:
        """Return the predictions for the rows of a frame, as a model does, or None before anything was learned."""
        rows = self._read_frame(X)
        self._pending.forget()  # a frame of one row is scaled in the buffers of the pending row
        if self._model is None or not self._model.learner.n_outputs:
            return None
        with single_thread():
            return self._model.predict(rows)[0]

    def save(self, path: str | Path, *, target: str | None = None) -> None:
        """Save the estimator as a checkpoint of stream-bp. The file survives a power cut.

        Parameters
        ----------
        path
            The file. An existing one is replaced.
        target
            Name of the target column, for the command line. Default: that of the job this was loaded from, or
            ``target``.

        Raises
        ------
        CheckpointError
            If nothing was learned yet, or a weight is not finite. If JSON cannot hold a feature's name or a label.
        DiskError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from stream_bp.river import MLPRegressor
        >>> model = MLPRegressor()
        >>> model.learn_one({"x": 1.0}, 2.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.safetensors")
        ...     copy = MLPRegressor.load(f"{folder}/model.safetensors")
        >>> copy.predict_one({"x": 1.0}) == model.predict_one({"x": 1.0})
        True
        """
        checkpoints.save(files.pack(self._model, self._config, target), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open the checkpoint of an estimator or of a job. It predicts and learns as the saved one would have.

        Parameters
        ----------
        path
            The file, or a run directory, from which the newest valid checkpoint is taken.

        Returns
        -------
        MLPClassifier or MLPRegressor
            An estimator of this class.

        Raises
        ------
        CheckpointError
            If the checkpoint is damaged, has another task, or has several targets.
        """
        config, model = files.unpack(checkpoints.load(path), cls._task)
        estimator = cls(**{name: getattr(config, name) for name in inspect.signature(cls).parameters})
        # The constructor has only some of the settings. The others must survive the next save, too.
        estimator._config = config
        estimator._take(model.encoder, model)
        return estimator


def as_weight(w: Any) -> float:
    """Return the weight of a row as a float. Refuse one that could make the network's weights infinite or NaN."""
    try:
        weight = float(w)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not abs(weight) <= _HEAVIEST:
        raise DataError(f"weight: expected a number within ±1e30, found {w!r}")
    return weight


def as_value(y: Any) -> float:
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
        raise DataError(f"target: expected a number or None, found {y!r}, a {type(y).__name__}")
    return value if abs(value) <= LARGEST else np.nan
