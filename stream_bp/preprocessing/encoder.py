"""Convert record batches to numbers: feature values, category codes and labels.

:mod:`stream_bp.preprocessing.column_plan` decides which columns are read, and how missing values are handled. A column
of words has room for ``max_categories`` words, in order of appearance. A later word shares one of ``hash_buckets``,
chosen by its hash. A target has room for :data:`MAX_CLASSES` classes. A further class is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stream_bp._arrays import Array, Floats, Ints, Mask
from stream_bp._state import StateDict, loading
from stream_bp.errors import CheckpointError, MissingValueError
from stream_bp.preprocessing.arrow_buffers import (
    as_microseconds,
    as_seconds,
    category_codes,
    indices_without,
    is_blank,
    is_valid,
    number_matrix,
)
from stream_bp.preprocessing.column_plan import ColumnPlan, Missing
from stream_bp.preprocessing.datetimes import parts_of
from stream_bp.preprocessing.schema import Column, Task
from stream_bp.preprocessing.vocabulary import Value, Vocabulary

__all__ = ["MAX_CLASSES", "Encoded", "Encoder"]

MAX_CLASSES = 1_000

_VALUES: dict[str, set[type]] = {"number": {int, float}, "integer": {int}, "bool": {bool}, "string": {str}}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as arrays.

    Attributes
    ----------
    numbers
        Shape (n_numbers, n), float64, NaN where missing.
    categories
        For each column of categories its codes, shape (n,): -1 where missing, -2 where a word has no place.
    y
        Classification: codes (n_targets, n), int64, -1 where missing. Regression: values (n_targets, n), float64, NaN
        where missing. Shape (0, n) where the rows have no target.
    missing
        Where a feature is missing, shape (n_features, n), or ``None``.
    skipped
        Rows that are not to be learned, shape (n,), or ``None``. All their values are missing.
    """

    numbers: Floats
    categories: list[Ints]
    y: Array
    missing: Mask | None = None
    skipped: Mask | None = None

    clipped = moments = None  # nothing is scaled yet

    def __len__(self) -> int:
        return int(self.numbers.shape[1])

    def boundary(self, row: int) -> int:
        """Return 0: before scaling, no minibatch is known."""
        return 0


class Encoder:
    """Convert record batches of one schema to arrays.

    Parameters
    ----------
    columns
        Which columns are read, and how.
    categories, labels
        Initial vocabularies: one for each string feature, one for each target of a classification.
    """

    def __init__(
        self,
        columns: ColumnPlan,
        *,
        categories: Sequence[Sequence[Value]] | None = None,
        labels: Sequence[Sequence[Value]] | None = None,
    ) -> None:
        self.columns = columns
        self._start(categories or [()] * len(columns.categorical), labels or [()] * self._n_labelled)

    @property
    def _n_labelled(self) -> int:
        return len(self.targets) if self.task == "classification" else 0

    def _start(self, categories: Sequence[Sequence[Value]], labels: Sequence[Sequence[Value]]) -> None:
        """Start with given vocabularies."""
        self.categories = [self._vocabulary(values) for values in categories]
        # One more than allowed: so the first class too many gets a code and is refused, not lost.
        self.labels = [Vocabulary(values, limit=MAX_CLASSES + 1) for values in labels]

    def _vocabulary(self, values: Sequence[Value] = ()) -> Vocabulary:
        return Vocabulary(values, limit=self.columns.max_categories, n_buckets=self.columns.hash_buckets)

    @property
    def features(self) -> list[Column]:
        """The columns to learn from."""
        return self.columns.features

    @property
    def targets(self) -> list[Column]:
        """The columns to predict."""
        return self.columns.targets

    @property
    def task(self) -> Task:
        """The task: ``classification`` or ``regression``."""
        return self.columns.task

    @property
    def missing(self) -> Missing:
        """The policy for missing features."""
        return self.columns.missing

    @property
    def numeric(self) -> list[Column]:
        """The features that are numbers, or become numbers."""
        return self.columns.numeric

    @property
    def categorical(self) -> list[Column]:
        """The features that are words."""
        return self.columns.categorical

    @property
    def numbers(self) -> list[str]:
        """The names of the numbers of a row."""
        return self.columns.numbers

    def add(self, column: Column) -> None:
        """Add a feature after the others. It had no value so far."""
        self.columns.add(column)
        if column.kind == "string":
            self.categories.append(self._vocabulary())

    def encode(self, records: pa.RecordBatch) -> Encoded:
        """Convert rows to arrays. New values enter the vocabularies.

        Parameters
        ----------
        records
            Rows with the columns of :meth:`.ColumnPlan.schema_in`, with or without the targets.

        Raises
        ------
        MissingValueError
            If a feature is missing and the policy is ``error``. No value has entered a vocabulary then.
        """
        numbers = self._numbers(records)
        words = [records.column(column.name) for column in self.categorical]
        missing = self.missing_in(numbers, [is_blank(column) for column in words])
        skipped: Mask | None = None
        # Before the vocabularies: a refused row must not leave its words in them.
        if missing is not None and self.missing == "error":
            row = int(np.argmax(missing.any(axis=0)))
            raise MissingValueError(row, self.features[int(np.argmax(missing[:, row]))].name)
        if missing is not None and self.missing == "drop-row":
            skipped = np.logical_or.reduce(missing, axis=0)
            records = records.take(indices_without(skipped))
            words = [records.column(column.name) for column in self.categorical]
            numbers[:, skipped] = np.nan
        categories = [category_codes(*pair) for pair in zip(words, self.categories, strict=True)]
        return Encoded(numbers, categories, self._encode_targets(records), missing, skipped)

    def missing_in(self, numbers: Floats, blanks: Sequence[Mask | None]) -> Mask | None:
        """Return where features are missing.

        Parameters
        ----------
        numbers
            Shape (n_numbers, n), NaN where missing.
        blanks
            For each column of words where it has none, shape (n,), or ``None`` if nowhere.

        Returns
        -------
        Mask or None
            Shape (n_features, n), or ``None`` if none is missing.
        """
        # A sum with a NaN is NaN. Values within ±LARGEST cannot add up to an infinity.
        is_whole = not np.isnan(numbers.sum())
        if is_whole and all(blank is None for blank in blanks):
            return None
        missing = np.zeros((len(self.features), numbers.shape[1]), bool)
        if not is_whole:
            missing[self.columns.number_features] = np.isnan(numbers[self.columns.first_number])
        for feature, blank in zip(self.columns.word_features, blanks, strict=True):
            if blank is not None:
                missing[feature] = blank
        return missing

    def _numbers(self, records: pa.RecordBatch) -> Floats:
        """Return the numbers of rows, (n_numbers, n)."""
        n, numeric, single = records.num_rows, self.numeric, self.columns.single
        matrix = number_matrix([as_seconds(records.column(numeric[i].name)) for i in single], n)
        if len(single) == len(numeric):
            return matrix
        first = self.columns.first_number
        numbers = np.empty((len(self.numbers), n))
        numbers[first[single]] = matrix
        for row, column in zip(first, numeric, strict=True):
            if column.inputs != (column.name,):
                array = records.column(column.name)
                parts = parts_of(column.kind, as_microseconds(array))
                if array.null_count:
                    parts[:, ~is_valid(array)] = np.nan
                numbers[row : row + len(parts)] = parts
        return numbers

    def _encode_targets(self, records: pa.RecordBatch) -> Array:
        if self.targets and self.targets[0].name not in records.schema.names:
            return np.empty((0, records.num_rows))
        columns = [records.column(column.name) for column in self.targets]
        if self.task == "regression":
            return number_matrix(columns, records.num_rows)
        return np.array([category_codes(column, words) for column, words in zip(columns, self.labels, strict=True)])

    def state_dict(self) -> StateDict:
        """Return the columns, and the vocabularies of the rows encoded so far."""
        vocabularies = {"categories": self.categories, "labels": self.labels}
        state = StateDict({}, {name: [[*words.values] for words in each] for name, each in vocabularies.items()})
        state.nest("columns", self.columns.state_dict())
        return state

    @classmethod
    def from_state_dict(cls, state: StateDict) -> "Encoder":
        """Return the saved encoder; see :meth:`load_state_dict`."""
        encoder = cls(ColumnPlan([], [], "classification"))
        encoder.load_state_dict(state)
        return encoder

    def load_state_dict(self, state: StateDict) -> None:
        """Restore a state, including the columns.

        Raises
        ------
        CheckpointError
            If columns and vocabularies do not fit each other.
        """
        self.columns.load_state_dict(state.nested("columns"))
        with loading("the vocabularies"):
            categories, labels = state.values["categories"], state.values["labels"]
            pairs = [*zip(self.categorical, categories, strict=True)]
            pairs += zip(self.targets[: self._n_labelled], labels, strict=True)
            for column, values in pairs:
                if any(type(value) not in _VALUES[column.kind] for value in values) or len(set(values)) < len(values):
                    raise CheckpointError(f"column {column.name!r} has values of another kind, or a duplicate value")
            self._start(categories, labels)
