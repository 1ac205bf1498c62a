"""Record batches → numbers: feature values, category codes, labels.

:mod:`stream_bp.columns` says which columns of a source become what. A column of words has room for ``max_categories``
of them, in order of appearance; one met later shares one of ``hash_buckets``, chosen by its hash. A target has room for
:data:`MAX_CLASSES` classes; a further one is refused.

What is missing is null, empty, NaN, infinite or beyond ±:data:`LARGEST`; what becomes of it, a policy says:

| policy   | a number           | a category | beside it                                                    |
|----------|--------------------|------------|--------------------------------------------------------------|
| `impute` | the running mean   | none       | an input that says so, for each column where it ever happens |
| `mean`   | the running mean   | none       |                                                              |
| `skip`   |                    |            | the row is not learned, nor does it count in any mean        |
| `error`  |                    |            | the job ends, before the row                                 |
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_bp.arrays import Array, Floats, Ints, Mask
from stream_bp.columns import Column, Task, choose, target_columns, type_in
from stream_bp.errors import DataError, MissingValueError
from stream_bp.times import parts_of
from stream_bp.vocabulary import NO_PLACE, Value, Vocabulary

__all__ = ["LARGEST", "MAX_CLASSES", "Encoded", "Encoder", "Missing", "distinct", "label_array", "value_array"]

MAX_CLASSES = 1_000

LARGEST = 1e100  # beyond it squares leave the range of a float64

Missing = Literal["impute", "mean", "skip", "error"]

_VALUES: dict[str, set[type]] = {"number": {int, float}, "integer": {int}, "bool": {bool}, "string": {str}}
_UNITS_US = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


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
            As of :func:`~stream_bp.columns.choose`, which also says what is raised.
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
        missing = self.missing_in(numbers, [_is_blank(column) for column in words])
        skipped: Mask | None = None
        if missing is not None and self.missing == "error":
            row = int(np.argmax(missing.any(axis=0)))
            raise MissingValueError(row, self.features[int(np.argmax(missing[:, row]))].name)
        if missing is not None and self.missing == "skip":
            skipped = np.logical_or.reduce(missing, axis=0)
            records = records.take(_indices_without(skipped))
            words = [records.column(column.name) for column in self.categorical]
            numbers[:, skipped] = np.nan
        categories = [_codes(*pair) for pair in zip(words, self.categories, strict=True)]
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
            return _matrix([_seconds(records.column(column.name)) for column in self.numeric], n)
        plain = [i for i, column in enumerate(self.numeric) if column.inputs == (column.name,)]
        numbers = np.empty((len(self.numbers), n))
        numbers[self._first[plain]] = _matrix([_seconds(records.column(self.numeric[i].name)) for i in plain], n)
        for first, column in zip(self._first, self.numeric, strict=True):
            if column.inputs != (column.name,):
                array = records.column(column.name)
                parts = parts_of(column.kind, _microseconds(array))
                if array.null_count:
                    parts[:, ~_is_valid(array)] = np.nan
                numbers[first : first + len(parts)] = parts
        return numbers

    def _encode_targets(self, records: pa.RecordBatch) -> Array:
        if self.targets and self.targets[0].name not in records.schema.names:
            return np.empty((0, records.num_rows))
        columns = [records.column(column.name) for column in self.targets]
        if self.task == "regression":
            return _matrix(columns, records.num_rows)
        return np.array([_codes(column, words) for column, words in zip(columns, self.labels, strict=True)])

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


def label_array(labels: Sequence[Value]) -> pa.Array:
    """Return labels as a column.

    Raises
    ------
    DataError
        If there is no type that holds them all: a whole number beyond 64 bits, text that is no UTF-8.
    """
    try:
        return pa.array(labels)
    except (pa.ArrowException, OverflowError, UnicodeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the labels cannot be written as a column: {reason}; rename them") from error


def distinct(array: pa.Array) -> list[Any]:
    """Return the distinct values of a column in order of appearance, without missing ones."""
    return [value for value in pc.unique(array).to_pylist() if not _is_nothing(value)]


# What follows reads and makes arrays by their buffers: wherever Arrow converts a value of Python or to NumPy, it
# imports pandas if that is installed, which takes as long, and as much memory, as all the rest of a job.


def _matrix(columns: Sequence[pa.Array], n: int) -> Floats:
    """Return columns of numbers as one array (n_columns, n) of float64, NaN where missing, or as good as infinite."""
    if not columns:
        return np.empty((0, n))
    floats = [column if pa.types.is_floating(column.type) else column.cast(pa.float64()) for column in columns]
    records = pa.record_batch(floats, [str(i) for i in range(len(floats))])
    matrix: Floats = records.to_tensor(null_to_nan=True, row_major=False).to_numpy().T.astype(np.float64, copy=False)
    if n and not -LARGEST <= matrix.min() <= matrix.max() <= LARGEST:
        matrix[~(np.abs(matrix) <= LARGEST)] = np.nan
    return matrix


def _codes(array: pa.Array, vocabulary: Vocabulary) -> Ints:
    """Return the codes of a column, -1 where missing; new values enter the vocabulary in order of appearance.

    What finds it full has a code by its hash.
    """
    if pa.types.is_floating(array.type):
        zeros = pa.py_buffer(np.zeros(len(array), array.type.to_pandas_dtype()))
        array = pc.add(array, pa.Array.from_buffers(array.type, len(array), [None, zeros]))  # there is one zero
    codes = pc.index_in(array, value_set=value_array(vocabulary.values, array.type), skip_nulls=True)
    if not vocabulary.is_full and codes.null_count > array.null_count:
        new = pc.unique(array.filter(pc.and_(pc.is_null(codes), pc.is_valid(array)))).to_pylist()
        vocabulary.extend([_plain(value) for value in new if not _is_nothing(value)])
        codes = pc.index_in(array, value_set=value_array(vocabulary.values, array.type), skip_nulls=True)
    found: Ints = _plain_values(codes).astype(np.int64)
    if codes.null_count:
        found[~_is_valid(codes)] = -1
    if vocabulary.is_full and codes.null_count > array.null_count:
        blank = _is_blank(array)
        strangers = (found < 0) if blank is None else (found < 0) & ~blank
        if strangers.any():
            found[strangers] = _buckets(array.take(_whole_numbers(np.flatnonzero(strangers))), vocabulary)
    return found


def _buckets(strangers: pa.Array, vocabulary: Vocabulary) -> Ints:
    """Return the codes of values, none missing, that have no place in a vocabulary."""
    if not vocabulary.n_buckets:
        return np.full(len(strangers), NO_PLACE)
    vocabulary.has_overflown = True
    _, offsets, text = strangers.buffers()
    offsets = np.frombuffer(offsets, np.int32)[strangers.offset :][: len(strangers) + 1].astype(np.int64)
    return vocabulary.buckets(np.frombuffer(text, np.uint8), offsets)


def _is_blank(array: pa.Array) -> Mask | None:
    """Tell where a column of words has none: null or empty; None for nowhere."""
    if not pa.types.is_string(array.type):
        return None if not array.null_count else ~_is_valid(array)
    blank: Mask = _plain_values(pc.binary_length(array)) == 0
    if array.null_count:
        blank |= ~_is_valid(array)
    return blank if blank.any() else None


def _indices_without(skipped: Mask) -> pa.Array:
    """Return the indices of all rows, null for some: what is taken by them is null there."""
    valid = pa.py_buffer(np.packbits(~skipped, bitorder="little"))
    return pa.Array.from_buffers(pa.int64(), len(skipped), [valid, pa.py_buffer(np.arange(len(skipped)))])


def _seconds(array: pa.Array) -> pa.Array:
    """Return a column of durations in seconds; any other one as it is."""
    if not pa.types.is_duration(array.type):
        return array
    seconds = _plain_values(array.view(pa.int64())) / _PER_SECOND[array.type.unit]
    if array.null_count:
        seconds[~_is_valid(array)] = np.nan
    return _floats(seconds)


def _microseconds(array: pa.Array) -> Ints:
    """Return moments in microseconds, those of the present calendar exactly; under a null it is anything."""
    unit = getattr(array.type, "unit", None) or ("ms" if pa.types.is_date64(array.type) else "D")
    raw = _plain_values(array.view(f"int{array.type.bit_width}")).astype(np.int64)
    return raw // 1_000 if unit == "ns" else raw * _UNITS_US[unit]


def _plain_values(array: pa.Array) -> Array:
    """Return what the buffer of an array of numbers holds, without a copy; under a null that is anything."""
    whole = pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]], 0, array.offset)
    values: Array = np.from_dlpack(whole)
    return values


def _whole_numbers(values: Ints) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _floats(values: Floats) -> pa.Array:
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])


def _is_valid(array: pa.Array) -> Mask:
    valid: Mask = np.from_dlpack(array.is_valid().cast(pa.uint8())).view(bool)
    return valid


def value_array(values: Sequence[Value], type_: pa.DataType) -> pa.Array:
    """Return the values of a vocabulary as a column of one of the types above."""
    if pa.types.is_string(type_):
        words = [str(value).encode("utf-8", "surrogatepass") for value in values]
        offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
        return pa.Array.from_buffers(type_, len(words), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(words))])
    array = np.array(values, "?" if pa.types.is_boolean(type_) else type_.to_pandas_dtype())
    data = np.packbits(array, bitorder="little") if array.dtype == bool else array
    return pa.Array.from_buffers(type_, len(array), [None, pa.py_buffer(data)])


def _is_nothing(value: Any) -> bool:
    """Whether a value is none: null, NaN, infinite, or the empty string, which CSV cannot tell from null."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: Value) -> Value:
    """Write the label 1.0 as 1: a column of whole numbers with a gap is read as floats."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if is_whole else value
