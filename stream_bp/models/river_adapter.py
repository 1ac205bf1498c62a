"""A River model as the learner of a job: any classifier or regressor, or a pipeline that ends in one.

Rows are predicted, scored and learned one by one, whatever the size of a minibatch. The job cannot be resumed. Only a
pickle could save the state of such a model, and a checkpoint never contains a pickle.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from river import base

from stream_bp._arrays import Array, Floats, Ints
from stream_bp._state import StateDict
from stream_bp.config.job import NETWORK, JobConfig
from stream_bp.errors import CheckpointError, ConfigError, DataError, DivergenceError, StreamBPError
from stream_bp.models.base import PredictionBatch
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column
from stream_bp.preprocessing.vocabulary import Value

__all__ = ["RiverAdapter", "refuse_settings"]

Answer: TypeAlias = Mapping[Any, float] | float | None
"""Probabilities by label, or a value. None or {} means no prediction."""

_LONGEST = 120  # characters of a model's own description


def refuse_settings(config: JobConfig) -> None:
    """Refuse settings that have no effect on a River model.

    Raises
    ------
    ConfigError
        If a setting of the network was given.
    """
    for name in NETWORK:
        if name in config.model_fields_set:
            raise ConfigError(f"{name} is a setting of the network; leave it out if you give another model")


class RiverAdapter:
    """A River estimator with the interface of a job's model (:class:`~stream_bp.models.base.StreamModel`).

    It receives numbers as float, booleans as bool, categories as str, and labels as in the source. A column of times
    becomes its parts. Missing values are left out of the row. So are categories for which a column has no room.

    Parameters
    ----------
    encoder
        Columns and vocabularies.
    estimator
        A classifier or a regressor, depending on the task. It is trained in place.

    Raises
    ------
    ConfigError
        If the estimator is of another kind, or there are several targets.
    """

    is_resumable = False
    digest = None

    def __init__(self, encoder: Encoder, estimator: Any) -> None:
        self.encoder = encoder
        self.estimator = estimator
        # River's Pipeline answers isinstance like its last step.
        kind = base.Classifier if encoder.task == "classification" else base.Regressor
        if not isinstance(estimator, kind):
            found = type(estimator).__name__ if not isinstance(estimator, base.Base) else self.description
            raise ConfigError(
                f"the model is {found}, but a {encoder.task} needs a River {kind.__name__.lower()}, or a pipeline with "
                "one at its end"
            )
        if len(encoder.targets) > 1:
            raise ConfigError(f"{self.description} predicts one target, found {len(encoder.targets)}; name one")
        self._rows = 0
        self._batch_size = 1
        # Number of classes so far, or 1 after the first target of a regression. It counts learned rows only, not rows
        # that were read ahead.
        self._known = 0
        self._codes: dict[Value, int] = {}
        self._predict = self._probabilities if encoder.task == "classification" else self._value

    @property
    def description(self) -> str:
        """The estimator's own description, as ``StandardScaler | LogisticRegression``."""
        words = " ".join(str(self.estimator).split())
        return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Give the estimator further features from now on."""
        for column in columns:
            self.encoder.add(column)

    def on_drift(self, how: str) -> None:
        """Do nothing. Settings that ask for a reaction are refused."""

    def counters(self) -> dict[str, float]:
        """Return nothing: a River model need not count steps."""
        return {}

    def layers(self) -> list[dict[str, float]]:
        """Return nothing: it has no layers."""
        return []

    def state_dict(self) -> StateDict:
        """Refuse to save.

        Raises
        ------
        CheckpointError
            Always.
        """
        raise CheckpointError(f"{self.description} cannot be saved: only a pickle could, and checkpoints contain none")

    def preparation(self, batch_size: int) -> Callable[[Any], Encoded]:
        """Return the function that encodes the next rows. Only the count of minibatches depends on ``batch_size``."""
        self._batch_size = batch_size
        return self.encoder.encode

    def learn(self, rows: Encoded, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict, then learn, each row of rows[start:stop].

        Parameters
        ----------
        rows
            Encoded rows.
        start, stop
            Which rows.

        Yields
        ------
        PredictionBatch
            The rows up to each new class, then those up to the end. The loss is that of the network, so there is none.
            A row without a target is predicted, but neither scored nor learned. A row has no prediction if the
            estimator gives none, or a label not seen so far. Nothing is scored before the first target.

        Raises
        ------
        DataError
            If the estimator fails. Its own error is the cause. The rows learned before are yielded first.
        DivergenceError
            If a prediction is not finite.
        """
        y = rows.y[:, start:stop]
        n = y.shape[1]
        codes: Ints = np.where(np.isnan(y[0]), -1, 0) if self.encoder.task == "regression" else y[0]
        predicted = self._predict_and_learn(rows, start, stop)
        n_done = 0
        for boundary in self._boundaries(codes):
            answers: list[Answer] = []
            failure: StreamBPError | None = None
            try:  # rows predicted before a failure stay in the list, so they still count
                answers.extend(itertools.islice(predicted, boundary - n_done))
            except StreamBPError as error:
                failure = error
            end = n_done + len(answers)
            # A minibatch counts after its last row.
            b = self._batch_size
            whole = -(-end // b) if end == n else end // b
            loss = np.zeros(whole - n_done // b)
            yield PredictionBatch(*self._scored(y[:, n_done:end], answers), loss, loss)
            if failure is not None:
                raise failure
            self._know(int(codes[n_done:end].max()) + 1)
            n_done = end

    def _boundaries(self, codes: Ints) -> list[int]:
        """Return the end of each stretch of rows. Only the last row of a stretch may bring a new class."""
        highest = np.maximum.accumulate(np.maximum(codes, self._known - 1))
        newcomers = np.flatnonzero(np.diff(highest, prepend=self._known - 1)) + 1
        return sorted({*newcomers.tolist(), len(codes)})

    def _know(self, known: int) -> None:
        """Set the number of known classes, if it is larger than before."""
        if known <= self._known:
            return
        self._known = known
        if self.encoder.labels:
            self._codes = {label: code for code, label in enumerate(self.encoder.labels[0].values[:known])}

    def _predict_and_learn(self, rows: Encoded, start: int, stop: int) -> Iterator[Answer]:
        """Predict each row, then learn it."""
        for x, y in zip(self._features(rows, start, stop), self._targets(rows, start, stop), strict=True):
            with self._blamed():
                answer = self._predict(x)
                if y is not None:
                    self.estimator.learn_one(x, y)
            self._rows += 1
            yield answer

    def _features(self, rows: Encoded, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Yield rows as River takes them, with columns in the order of the source."""
        numbers = iter(rows.numbers[:, start:stop].tolist())
        codes = iter(codes[start:stop].tolist() for codes in rows.categories)
        words = iter(self.encoder.categories)
        columns: list[list[Any]] = []
        names: list[str] = []
        for column in self.encoder.features:
            if column.kind == "string":
                met = next(words).values
                columns.append([met[code] if code >= 0 else None for code in next(codes)])
                names.append(column.name)
                continue
            # River's encoders distinguish booleans from numbers by their type.
            kind = bool if column.kind == "bool" else float
            for name in column.inputs:
                columns.append([kind(value) if value == value else None for value in next(numbers)])  # noqa: PLR0124
                names.append(name)
        for values in zip(*columns, strict=True):
            yield {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def _targets(self, rows: Encoded, start: int, stop: int) -> list[Any]:
        """Return labels or values as in the source, None where missing."""
        targets = rows.y[0, start:stop].tolist()
        if self.encoder.task == "regression":
            return [None if math.isnan(value) else value for value in targets]
        labels = self.encoder.labels[0].values
        return [labels[code] if code >= 0 else None for code in targets]

    def _probabilities(self, x: dict[str, Any]) -> Answer:
        try:
            shares = self.estimator.predict_proba_one(x) or {}
        except NotImplementedError:  # River's sign that a classifier has labels but no probabilities
            self._predict = self._label
            return self._label(x)
        if not all(map(math.isfinite, shares.values())):
            raise DivergenceError(
                f"{self._here}: a probability is not finite; scale its inputs, or lower its learning rate"
            )
        return shares

    def _label(self, x: dict[str, Any]) -> Answer:
        label = self.estimator.predict_one(x)
        return None if label is None else {label: 1.0}

    def _value(self, x: dict[str, Any]) -> Answer:
        value = self.estimator.predict_one(x)
        if value is not None and not math.isfinite(value):
            raise DivergenceError(f"{self._here}: it predicts {value}; scale its inputs, or lower its learning rate")
        return None if value is None else float(value)

    @property
    def _here(self) -> str:
        return f"{self.description} at row {self._rows + 1:,} of the run"

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Turn any error of the estimator into one line that names it and the row."""
        try:
            yield
        except (StreamBPError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DataError(f"{self._here} failed: {reason}; fix the model, or its input") from error

    def _scored(self, y: Array, answers: list[Answer]) -> tuple[Array, list[Floats]]:
        """Return the targets and the predictions of rows without a new class."""
        if self.encoder.task == "regression":
            values = np.array([math.nan if answer is None else answer for answer in answers], np.float64)
            # Before the first target there is no unit to predict in: such a row is not scored.
            is_scored = ~np.isnan(values) & (self._known > 0)
            return np.where(is_scored, y, np.nan), [np.where(is_scored, values, 0.0)]
        columns = [self._column(answer) for answer in answers]
        return y, [np.array(columns, np.float64).reshape(len(answers), self._known).T]

    def _column(self, answer: Any) -> list[float]:
        """Return the probability of each class so far, or NaN where the most probable label is not among them."""
        chosen = self._codes.get(max(answer, key=answer.get)) if answer else None
        if chosen is None:
            return [math.nan] * self._known
        column = [0.0] * self._known
        for label, share in answer.items():
            if (code := self._codes.get(label)) is not None:
                column[code] = share
        # Among equals, River takes the label that the estimator names first, but the evaluation takes the lowest code.
        # The next larger number makes both agree.
        if column.index(max(column)) != chosen:
            column[chosen] = math.nextafter(column[chosen], math.inf)
        return column
