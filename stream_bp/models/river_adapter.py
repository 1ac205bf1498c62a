"""A model of somebody else as the learner of a job: any River classifier or regressor, or a pipeline that ends in one.

Rows are handed to it one by one, however the job cuts its minibatches: predicted, scored, learned. It cannot be
resumed: what it holds can be saved by a pickle alone, and none of those enters a checkpoint.
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
"""Probabilities by label, or a value; None or {} where nothing is predicted."""

_LONGEST = 120  # characters of a model's own description


def refuse_settings(config: JobConfig) -> None:
    """Refuse settings that would mean nothing.

    Raises
    ------
    ConfigError
        If a setting of the network was given.
    """
    for name in NETWORK:
        if name in config.model_fields_set:
            raise ConfigError(f"{name} is a setting of the network; leave it out where another model is given")


class RiverAdapter:
    """A River estimator with the surface that a job asks of its model (:class:`~stream_bp.models.base.StreamModel`).

    It is given numbers as float, booleans as bool, categories as str and labels as they stand in the source; what is
    missing is left out of the row, and so is a category beyond those that a column has room for. A column of times is
    given as its parts.

    Parameters
    ----------
    encoder
        Columns and vocabularies.
    estimator
        A classifier or a regressor, as the task asks. It is learned in place.

    Raises
    ------
    ConfigError
        If it is of another kind, or there are several targets.
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
                f"the model is {found}, and a {encoder.task} takes a River {kind.__name__.lower()} (or a pipeline that "
                "ends in one); give such a model, or another task"
            )
        if len(encoder.targets) > 1:
            raise ConfigError(f"{self.description} predicts one target, and there are {len(encoder.targets)}; name one")
        self._rows = 0
        self._batch_size = 1
        # Classes met so far; of a regression, whether there was a target. It goes by rows learned, not rows read ahead.
        self._known = 0
        self._codes: dict[Value, int] = {}
        self._predict = self._probabilities if encoder.task == "classification" else self._value

    @property
    def description(self) -> str:
        """What the estimator calls itself, as ``StandardScaler | LogisticRegression``."""
        words = " ".join(str(self.estimator).split())
        return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Give the estimator further features from now on."""
        for column in columns:
            self.encoder.add(column)

    def on_drift(self, how: str) -> None:
        """Do nothing: settings that ask for it are refused."""

    def counters(self) -> dict[str, float]:
        """Return nothing: whether it counts steps is not known."""
        return {}

    def layers(self) -> list[dict[str, float]]:
        """Return nothing: it has no layers."""
        return []

    def state_dict(self) -> StateDict:
        """Refuse.

        Raises
        ------
        CheckpointError
            Always.
        """
        raise CheckpointError(f"{self.description} cannot be saved: it is not ours, and nothing is pickled")

    def preparation(self, batch_size: int) -> Callable[[Any], Encoded]:
        """Return what encodes the rows that come next; so many count as a minibatch, and nothing else depends on it."""
        self._batch_size = batch_size
        return self.encoder.encode

    def learn(self, rows: Encoded, start: int, stop: int) -> Iterator[PredictionBatch]:
        """Predict, then learn, each row of rows[start:stop] for itself.

        Parameters
        ----------
        rows
            Encoded rows.
        start, stop
            Which of them.

        Yields
        ------
        PredictionBatch
            Up to each row that brings a new class, and to the last one. The loss is the network's: there is none.
            A row without a target is predicted, and neither scored nor learned. Nothing is predicted for a row where
            the estimator says nothing, or a label not met so far; nothing is scored before the first target.

        Raises
        ------
        DataError
            If the estimator fails, whose own error is its cause; what was learned before is yielded first.
        DivergenceError
            If it predicts what is not a finite number.
        """
        y = rows.y[:, start:stop]
        n = y.shape[1]
        codes: Ints = np.where(np.isnan(y[0]), -1, 0) if self.encoder.task == "regression" else y[0]
        predicted = self._predict_and_learn(rows, start, stop)
        n_done = 0
        for boundary in self._boundaries(codes):
            answers: list[Answer] = []
            failure: StreamBPError | None = None
            try:  # what was told before a failure stays in the list
                answers.extend(itertools.islice(predicted, boundary - n_done))
            except StreamBPError as error:
                failure = error
            end = n_done + len(answers)
            # A minibatch counts once its last row is told.
            b = self._batch_size
            whole = -(-end // b) if end == n else end // b
            loss = np.zeros(whole - n_done // b)
            yield PredictionBatch(*self._scored(y[:, n_done:end], answers), loss, loss)
            if failure is not None:
                raise failure
            self._know(int(codes[n_done:end].max()) + 1)
            n_done = end

    def _boundaries(self, codes: Ints) -> list[int]:
        """Return the end of each stretch of rows in which nothing new is met, but for its last row."""
        highest = np.maximum.accumulate(np.maximum(codes, self._known - 1))
        newcomers = np.flatnonzero(np.diff(highest, prepend=self._known - 1)) + 1
        return sorted({*newcomers.tolist(), len(codes)})

    def _know(self, known: int) -> None:
        """Know so many classes from now on, if they are more than before."""
        if known <= self._known:
            return
        self._known = known
        if self.encoder.labels:
            self._codes = {label: code for code, label in enumerate(self.encoder.labels[0].values[:known])}

    def _predict_and_learn(self, rows: Encoded, start: int, stop: int) -> Iterator[Answer]:
        """Predict a row, then learn it; then the next."""
        for x, y in zip(self._features(rows, start, stop), self._targets(rows, start, stop), strict=True):
            with self._blamed():
                answer = self._predict(x)
                if y is not None:
                    self.estimator.learn_one(x, y)
            self._rows += 1
            yield answer

    def _features(self, rows: Encoded, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Yield rows as River takes them, columns in the order of the source."""
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
            # River's encoders tell a boolean from a number by its type.
            kind = bool if column.kind == "bool" else float
            for name in column.inputs:
                columns.append([kind(value) if value == value else None for value in next(numbers)])  # noqa: PLR0124
                names.append(name)
        for values in zip(*columns, strict=True):
            yield {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def _targets(self, rows: Encoded, start: int, stop: int) -> list[Any]:
        """Return labels or values as they stand in the source, None where missing."""
        targets = rows.y[0, start:stop].tolist()
        if self.encoder.task == "regression":
            return [None if math.isnan(value) else value for value in targets]
        labels = self.encoder.labels[0].values
        return [labels[code] if code >= 0 else None for code in targets]

    def _probabilities(self, x: dict[str, Any]) -> Answer:
        try:
            shares = self.estimator.predict_proba_one(x) or {}
        except NotImplementedError:  # so River says that a classifier knows labels alone
            self._predict = self._label
            return self._label(x)
        if not all(map(math.isfinite, shares.values())):
            raise DivergenceError(f"{self._here}: a probability is not finite; scale its inputs, or lower its rate")
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
        """Turn whatever the estimator raises into one line that names it and the row."""
        try:
            yield
        except (StreamBPError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DataError(f"{self._here} failed: {reason}; mend the model, or what it is given") from error

    def _scored(self, y: Array, answers: list[Answer]) -> tuple[Array, list[Floats]]:
        """Return what to compare, and the predictions, of rows in which no new class was met."""
        if self.encoder.task == "regression":
            values = np.array([math.nan if answer is None else answer for answer in answers], np.float64)
            # Before the first target there is no unit to predict in: such a row is not scored.
            is_scored = ~np.isnan(values) & (self._known > 0)
            return np.where(is_scored, y, np.nan), [np.where(is_scored, values, 0.0)]
        columns = [self._column(answer) for answer in answers]
        return y, [np.array(columns, np.float64).reshape(len(answers), self._known).T]

    def _column(self, answer: Any) -> list[float]:
        """Return the probability of each class met so far, NaN where the estimator's own choice is none of them."""
        chosen = self._codes.get(max(answer, key=answer.get)) if answer else None
        if chosen is None:
            return [math.nan] * self._known
        column = [0.0] * self._known
        for label, share in answer.items():
            if (code := self._codes.get(label)) is not None:
                column[code] = share
        # Among equals River takes the one that the estimator names first, and the evaluation the first that was met.
        if column.index(max(column)) != chosen:
            column[chosen] = math.nextafter(column[chosen], math.inf)
        return column
