"""Record batches → numbers: feature values, category codes, labels.

:mod:`stream_bp.preprocessing.schema` says which columns of a source become what. A column of words has room
for ``max_categories`` of them, in order of appearance; one met later shares one of ``hash_buckets``, chosen by its
hash. A target has room for :data:`MAX_CLASSES` classes; a further one is refused.

What is missing is null, empty, NaN, infinite or beyond ±:data:`LARGEST`; what becomes of it, a policy says:

| policy   | a number           | a category | beside it                                                    |
|----------|--------------------|------------|--------------------------------------------------------------|
| `impute` | the running mean   | none       | an input that says so, for each column where it ever happens |
| `mean`   | the running mean   | none       |                                                              |
| `skip`   |                    |            | the row is not learned, nor does it count in any mean        |
| `error`  |                    |            | the job ends, before the row                                 |
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from stream_bp._arrays import Array, Floats, Ints, Mask
from stream_bp.errors import DataError, MissingValueError
from stream_bp.preprocessing.arrow_buffers import (
    as_microseconds,
    as_seconds,
    category_codes,
    indices_without,
    is_blank,
    is_valid,
    label_array,
    number_matrix,
)
from stream_bp.preprocessing.datetimes import parts_of
from stream_bp.preprocessing.schema import Column, Task, choose, target_columns, type_in
from stream_bp.preprocessing.vocabulary import Value, Vocabulary

__all__ = ["MAX_CLASSES", "Encoded", "Encoder", "Missing"]

MAX_CLASSES = 1_000

Missing = Literal["impute", "mean", "skip", "error"]

_VALUES: dict[str, set[type]] = {"number": {int, float}, "integer": {int}, "bool": {bool}, "string": {str}}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as arrays.

    Attributes
    ----------
    numbers
        Shape (n_numbers, n), float64, NaN where missing.
    categories
        For each column of categories its codes, shape (n,), -1 where missing, -2 where it has no place.
    y
        Classification: codes (n_targets, n), int64, -1 where missing. Regression: values (n_targets, n), float64, NaN
        where missing. Shape (0, n) where the rows have no target.
    missing
        Where a feature is missing, shape (n_features, n); ``None`` where none is.
    skipped
        Which rows are not to be learned, shape (n,); all of them is missing then. ``None`` where none is.
    """

    numbers: Floats
    categories: list[Ints]
    y: Array
    missing: Mask | None = None
    skipped: Mask | None = None

    clipped = moments = None  # nothing was scaled yet

    def __len__(self) -> int:
        return int(self.numbers.shape[1])

    def border(self, row: int) -> int:
        """Return that no minibatch is known."""
        return 0


class Encoder:
    """Turn record batches of one schema into arrays, and predictions back into record batches.

    Parameters
    ----------
    features
        Columns to learn from.
    targets
        Columns to predict.
    task
        What the targets are.
    max_categories, hash_buckets
        Room for the words of a column, and for those that come when it is full.
    missing
        What becomes of a row where a feature is missing.
    categories, labels
        Vocabularies to go on with: one for each string feature, one for each target of a classification.

    Attributes
    ----------
    is_labelled
        Whether rows have targets, unless something else is asked for.
    """

    is_labelled = True

    def __init__(
        self,
        features: Sequence[Column],
        targets: Sequence[Column],
        task: Task,
        *,
        max_categories: int = 1_000,
        hash_buckets: int = 64,
        missing: Missing = "impute",
        categories: Sequence[Sequence[Value]] | None = None,
        labels: Sequence[Sequence[Value]] | None = None,
    ) -> None:
        self.features = list(features)
        self.targets = list(targets)
        self.task = task
        self.missing = missing
        self.max_categories, self.hash_buckets = max_categories, hash_buckets
        self._sort_out()
        self.categories = [self._vocabulary(values) for values in categories or [()] * len(self.categorical)]
        # One more than allowed, so that the first class beyond the bound is met and refused, not lost.
        n_vocabularies = len(self.targets) if task == "classification" else 0
        self.labels = [Vocabulary(values, limit=MAX_CLASSES + 1) for values in labels or [()] * n_vocabularies]

    def _sort_out(self) -> None:
        """Tell the columns apart: those of numbers, with the row of each one's first number, and those of words."""
        self.numeric = [column for column in self.features if column.kind != "string"]
        self.categorical = [column for column in self.features if column.kind == "string"]
        self._first = np.cumsum([0, *(len(column.inputs) for column in self.numeric)])[:-1]
        self._has_parts = any(column.inputs != (column.name,) for column in self.numeric)
        is_number = np.array([column.kind != "string" for column in self.features], bool)
        self._number_features, self._word_features = np.flatnonzero(is_number), np.flatnonzero(~is_number)

    def _vocabulary(self, values: Sequence[Value] = ()) -> Vocabulary:
        return Vocabulary(values, limit=self.max_categories, n_buckets=self.hash_buckets)

    @classmethod
    def plan(
        cls,
        schema: pa.Schema,
        targets: Sequence[str],
        task: Task,
        *,
        max_categories: int = 1_000,
        hash_buckets: int = 64,
        missing: Missing = "impute",
        **named: Sequence[str],
    ) -> "Encoder":
        """Choose the columns of a source.

        Parameters
        ----------
        schema
            Natural types of the source.
        targets, task
            Names of the columns to predict, and what they are.
        max_categories, hash_buckets, missing
            As of the class.
        named
            As of :func:`~stream_bp.preprocessing.schema.choose`, which also says what is raised.
        """
        features = choose(schema, targets, **named)
        return cls(
            features,
            target_columns(schema, targets, task),
            task,
            max_categories=max_categories,
            hash_buckets=hash_buckets,
            missing=missing,
        )

    def add(self, column: Column) -> None:
        """Let rows have a further feature, after the others; it had no value so far."""
        self.features.append(column)
        self._sort_out()
        if column.kind == "string":
            self.categories.append(self._vocabulary())

    def widen(self, name: Any) -> None:
        """Let a column of booleans be one of numbers: it has values that are neither 0 nor 1."""
        self.features[:] = [
            replace(column, kind="number") if column.name == name else column for column in self.features
        ]
        self._sort_out()

    def rename(self, names: Sequence[Any]) -> None:
        """Call the features by other names, in their order; those of dicts need not be strings."""
        self.features = [replace(column, name=name) for column, name in zip(self.features, names, strict=True)]
        self._sort_out()

    @property
    def numbers(self) -> list[str]:
        """The names of the numbers of a row, in their order: several for a column of times."""
        return [name for column in self.numeric for name in column.inputs]

    @property
    def schema(self) -> pa.Schema:
        """The columns and types to ask a source for, targets last."""
        return self.schema_in(pa.schema([]))

    def schema_in(self, source: pa.Schema, *, is_labelled: bool | None = None) -> pa.Schema:
        """Return the columns and types to ask a certain source for: its single floats and times are left as they are.

        Parameters
        ----------
        source
            Its natural types.
        is_labelled
            Whether the targets are wanted, after the features; as rows have them, if it is not given.
        """
        is_labelled = self.is_labelled if is_labelled is None else is_labelled
        found = {field.name: field.type for field in source}
        columns = [*self.features, *(self.targets if is_labelled else [])]
        return pa.schema([(column.name, type_in(column, found.get(column.name))) for column in columns])

    @property
    def target_schema(self) -> pa.Schema:
        """The targets alone."""
        return pa.schema([(column.name, type_in(column, None)) for column in self.targets])

    def to_json(self) -> dict[str, Any]:
        """Return the chosen columns, JSON-able; :meth:`from_json` reads them."""
        return {
            "features": [asdict(column) for column in self.features],
            "targets": [asdict(column) for column in self.targets],
            "task": self.task,
            "max_categories": self.max_categories,
            "hash_buckets": self.hash_buckets,
            "missing": self.missing,
        }

    @classmethod
    def from_json(
        cls, plan: dict[str, Any], categories: Sequence[Sequence[Value]], labels: Sequence[Sequence[Value]]
    ) -> "Encoder":
        """Rebuild an encoder from :meth:`to_json` and its vocabularies.

        Raises
        ------
        ValueError, TypeError, KeyError
            If columns and vocabularies do not belong together.
        """
        features, targets = ([Column(**column) for column in plan[role]] for role in ("features", "targets"))
        if any(type(column.name) is not str for column in [*features, *targets]):
            raise ValueError("a column's name is no string")
        # Release 0.1.0 had neither buckets nor inputs for what is missing.
        settings: dict[str, Any] = {"max_categories": 1_000, "hash_buckets": 0, "missing": "mean"}
        settings |= {name: plan[name] for name in settings if name in plan}
        if settings["missing"] not in get_args(Missing):
            raise ValueError(f"there is no policy {settings['missing']!r} for what is missing")
        encoder = cls(features, targets, plan["task"], **settings, categories=categories, labels=labels)
        labelled = targets if encoder.task == "classification" else []
        columns = [*encoder.categorical, *labelled]
        for column, values in zip(columns, [*categories, *labels], strict=True):
            if any(type(value) not in _VALUES[column.kind] for value in values) or len(set(values)) < len(values):
                raise ValueError(f"column {column.name!r} has values that are not {column.kind}s, or one of them twice")
        return encoder

    def encode(self, records: pa.RecordBatch) -> Encoded:
        """Turn rows into arrays; values met for the first time enter the vocabularies.

        Parameters
        ----------
        records
            Rows with :meth:`schema_in`; without targets where there is nothing to compare with.

        Raises
        ------
        MissingValueError
            If a feature is missing and the policy is ``error``; then no value has entered a vocabulary.
        """
        numbers = self._numbers(records)
        words = [records.column(column.name) for column in self.categorical]
        missing = self.missing_in(numbers, [is_blank(column) for column in words])
        skipped: Mask | None = None
        if missing is not None and self.missing == "error":
            row = int(np.argmax(missing.any(axis=0)))
            raise MissingValueError(row, self.features[int(np.argmax(missing[:, row]))].name)
        if missing is not None and self.missing == "skip":
            skipped = np.logical_or.reduce(missing, axis=0)
            records = records.take(indices_without(skipped))
            words = [records.column(column.name) for column in self.categorical]
            numbers[:, skipped] = np.nan
        categories = [category_codes(*pair) for pair in zip(words, self.categories, strict=True)]
        return Encoded(numbers, categories, self._encode_targets(records), missing, skipped)

    def missing_in(self, numbers: Floats, blanks: Sequence[Mask | None]) -> Mask | None:
        """Tell where features are missing.

        Parameters
        ----------
        numbers
            Shape (n_numbers, n), NaN where missing.
        blanks
            For each column of words where it has none, shape (n,); ``None`` for nowhere.

        Returns
        -------
        Mask or None
            Shape (n_features, n); ``None`` where none is.
        """
        # The sum of what has a NaN is one; ±LARGEST cannot add up to an infinity.
        is_whole = not np.isnan(numbers.sum())
        if is_whole and all(blank is None for blank in blanks):
            return None
        missing = np.zeros((len(self.features), numbers.shape[1]), bool)
        if not is_whole:
            missing[self._number_features] = np.isnan(numbers[self._first])
        for feature, blank in zip(self._word_features, blanks, strict=True):
            if blank is not None:
                missing[feature] = blank
        return missing

    def _numbers(self, records: pa.RecordBatch) -> Floats:
        n = records.num_rows
        if not self._has_parts:
            return number_matrix([as_seconds(records.column(column.name)) for column in self.numeric], n)
        plain = [i for i, column in enumerate(self.numeric) if column.inputs == (column.name,)]
        numbers = np.empty((len(self.numbers), n))
        numbers[self._first[plain]] = number_matrix(
            [as_seconds(records.column(self.numeric[i].name)) for i in plain], n
        )
        for first, column in zip(self._first, self.numeric, strict=True):
            if column.inputs != (column.name,):
                array = records.column(column.name)
                parts = parts_of(column.kind, as_microseconds(array))
                if array.null_count:
                    parts[:, ~is_valid(array)] = np.nan
                numbers[first : first + len(parts)] = parts
        return numbers

    def _encode_targets(self, records: pa.RecordBatch) -> Array:
        if self.targets and self.targets[0].name not in records.schema.names:
            return np.empty((0, records.num_rows))
        columns = [records.column(column.name) for column in self.targets]
        if self.task == "regression":
            return number_matrix(columns, records.num_rows)
        return np.array([category_codes(column, words) for column, words in zip(columns, self.labels, strict=True)])

    def decode(self, predictions: Sequence[Floats]) -> pa.RecordBatch:
        """Put predictions into the user's words.

        Parameters
        ----------
        predictions
            For each target: probabilities (n_classes, n), or values (n,).

        Returns
        -------
        pa.RecordBatch
            Regression: a column named as the target. Classification: ``TARGET`` with the most probable label, and
            ``TARGET=LABEL`` with the probability of each.
        """
        arrays: dict[str, pa.Array] = {}
        for i, (column, prediction) in enumerate(zip(self.targets, predictions, strict=True)):
            if self.task == "regression":
                arrays[column.name] = pa.array(np.ascontiguousarray(prediction, np.float64))
                continue
            labels = self.labels[i].values[: len(prediction)]
            if not labels:
                raise DataError(f"nothing can be predicted yet: no label of {column.name!r} was learned")
            arrays[column.name] = label_array(labels).take(pa.array(prediction.argmax(axis=0)))
            for label, probability in zip(labels, prediction, strict=True):
                arrays[f"{column.name}={label}"] = pa.array(np.ascontiguousarray(probability, np.float64))
        expected = len(predictions) + sum(len(p) for p in predictions if self.task == "classification")
        if len(arrays) != expected:
            raise DataError("two columns of the predictions would have the same name; rename a target")
        return pa.RecordBatch.from_pydict(arrays)
