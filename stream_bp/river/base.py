"""The base of the estimators of :mod:`stream_bp.river`: settings, columns, files, the pending row."""

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
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.dict_encoder import DictEncoder, Features, is_missing
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column, Task
from stream_bp.river import files
from stream_bp.river.pending_row import PendingRow

__all__ = ["MLP", "as_weight"]

_HEAVIEST = 1e30  # times a gradient, it stays within float32
_TARGET = "target"  # what is predicted has no name in River


class MLP(base.Estimator):
    """A network that is fed with dicts and data frames; what it predicts of them its subclasses say.

    Parameters
    ----------
    settings
        As of :class:`~stream_bp.river.MLPClassifier`: words of the command line.
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
        # A minibatch is one step along its mean gradient, and a loop of learn_one is a step for each row: of one row
        # they are the same. River's own linear models name this check too.
        return {"check_learn_many_matches_learn_one"}

    def _get_params(self) -> dict[str, Any]:
        # River looks into a tuple for a class and its parameters, even into one that is empty.
        return {**super()._get_params(), "hidden_layers": list(self.hidden_layers)}

    def _take(self, encoder: Encoder, model: MLPModel | None) -> None:
        """Go on with columns and a model; without one before the first row is learned."""
        self._encoder = encoder
        self._model = model
        self._dicts = DictEncoder(encoder)
        self._renew_pending()

    def _renew_pending(self) -> None:
        """Start without a pending row: the model has changed."""
        self._pending = PendingRow(self._dicts, self._model)

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Self:
        """Return an estimator of the same settings, on request with all that was learned.

        River copies each attribute for itself, and model and columns would be of different copies.
        """
        clone = super().clone(new_params)
        if include_attributes:
            params = self._get_params()
            clone.__dict__.update(
                copy.deepcopy({name: value for name, value in self.__dict__.items() if name not in params})
            )
        return clone

    def _grow(self, x: Features, y: Array) -> PendingRow:
        """Grow to what a row brings, and return it as the pending one; nothing is changed if it cannot be read.

        ``y`` is the code of its class, or its value, shape (1, 1).
        """
        model = self._with_columns(self._dicts.new_columns(x), len(x))
        numbers, codes, _ = self._dicts.encode_one(x, is_learned=True)
        missing = self._encoder.missing_in(numbers, [np.array([code == -1]) for code in codes])
        model.grow(Encoded(numbers, [np.array([code]) for code in codes], y, missing), 0, 1)
        self._renew_pending()
        self._pending.propagate(x)
        return self._pending

    def _with_columns(self, new: list[Column], n_features: int) -> MLPModel:
        """Return the model, made or widened for new columns; the first row says how many features to expect."""
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
        """Read a data frame: of pandas, polars, pyarrow, or what else River takes; to learn it, with its targets."""
        frame, is_learned = dataframe.into_frame(X), n_targets is not None
        if is_learned and len(frame) != n_targets:
            raise DataError(f"X has {len(frame)} rows and y {n_targets}; give as many targets as rows")
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
        """Return what is predicted for the rows of a frame, as a model does; None if nothing can be."""
        rows = self._read_frame(X)
        self._pending.forget()  # a frame of one row is scaled in the room of the pending row
        if self._model is None or not self._model.learner.n_outputs:
            return None
        with single_thread():
            return self._model.predict(rows)[0]

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
            If nothing was learned yet, a weight is not finite, or a feature's name or a label cannot be written as
            JSON; a DiskError if the file cannot be written.
        """
        checkpoints.save(files.pack(self._model, self._config, target), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a checkpoint, of an estimator or of a job: it predicts and learns as the saved one would have.

        Parameters
        ----------
        path
            The file, or a run directory, whose newest valid checkpoint is taken.

        Raises
        ------
        CheckpointError
            If it is damaged, of the other task, or of several targets.
        """
        config, model = files.unpack(checkpoints.load(path), cls._task)
        estimator = cls(**{name: getattr(config, name) for name in inspect.signature(cls).parameters})
        estimator._config = config
        estimator._take(model.encoder, model)
        return estimator


def as_weight(w: Any) -> float:
    """Return the weight of a row as a float; refuse one that would make the network's weights infinite or NaN."""
    try:
        weight = float(w)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not abs(weight) <= _HEAVIEST:
        raise DataError(f"the weight {w!r} is not a number within ±1e30")
    return weight
