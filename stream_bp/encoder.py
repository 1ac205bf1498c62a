"""Record batches → numbers: feature values, category codes, labels. The one module of this package that knows Arrow.

What a column may be, and what becomes of it:

| type                    | as a feature                                       | as a target            |
|-------------------------|----------------------------------------------------|------------------------|
| number                  | a number; null, NaN, ±Inf, beyond ±1e100 missing   | a value, or a class    |
| boolean                 | 0 or 1                                             | a class                |
| string, or a dictionary | an input for each category, in order of appearance | a class                |
| anything else           | refused by name                                    | refused by name        |

A column has room for :data:`MAX_CATEGORIES` categories; one met later has no input of its own (all are 0), and so has
a missing one. A target has room for :data:`MAX_CLASSES` classes; a further one is refused.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.wording import nearest
from stream_bp.arrays import Array, Floats, Ints, Mask
from stream_bp.errors import ConfigError, DataError
from stream_bp.vocabulary import Value, Vocabulary

__all__ = [
    "LARGEST",
    "MAX_CATEGORIES",
    "MAX_CLASSES",
    "Column",
    "Encoded",
    "Encoder",
    "Task",
    "distinct",
    "is_number",
    "label_array",
    "target_schema",
]

MAX_CATEGORIES = 1_000
MAX_CLASSES = 1_000

Task = Literal["classification", "regression"]

LARGEST = 1e100  # beyond it squares leave the range of a float64

_VALUES: dict[str, set[type]] = {"number": {int, float}, "integer": {int}, "bool": {bool}, "string": {str}}
_ARROW = {"number": pa.float64(), "bool": pa.bool_(), "integer": pa.int64(), "string": pa.string()}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the source and how it is read.

    Attributes
    ----------
    name
        Its name in the source.
    kind
        ``number``, ``integer``, ``bool`` or ``string``.
    """

    name: str
    kind: Literal["number", "integer", "bool", "string"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as arrays.

    Attributes
    ----------
    numbers
        Shape (n_numbers, n), float64, NaN where missing.
    categories
        For each column of categories its codes, shape (n,), -1 where missing or without a place.
    y
        Classification: codes (n_targets, n), int64, -1 where missing. Regression: values (n_targets, n), float64, NaN
        where missing. Shape (0, n) where the rows have no target.
    """

    numbers: Floats
    categories: list[Ints]
    y: Array

    def __len__(self) -> int:
        return int(self.numbers.shape[1])


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
    categories, labels
        Vocabularies to go on with: one for each string feature, one for each target of a classification.
    """

    def __init__(
        self,
        features: Sequence[Column],
        targets: Sequence[Column],
        task: Task,
        *,
        categories: Sequence[Sequence[Value]] | None = None,
        labels: Sequence[Sequence[Value]] | None = None,
    ) -> None:
        self.features = list(features)
        self.targets = list(targets)
        self.task = task
        self.numeric = [column for column in features if column.kind != "string"]
        self.categorical = [column for column in features if column.kind == "string"]
        self.categories = [
            Vocabulary(values, limit=MAX_CATEGORIES) for values in categories or [()] * len(self.categorical)
        ]
        # One more than allowed, so that the first class beyond the bound is met and refused, not lost.
        n_vocabularies = len(self.targets) if task == "classification" else 0
        self.labels = [Vocabulary(values, limit=MAX_CLASSES + 1) for values in labels or [()] * n_vocabularies]

    @classmethod
    def plan(
        cls,
        schema: pa.Schema,
        targets: Sequence[str],
        task: Task,
        *,
        features: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> "Encoder":
        """Choose the columns of a source.

        Parameters
        ----------
        schema
            Natural types of the source.
        targets, features, ignore
            Column names; no ``features`` takes every column that is neither target nor ignored.
        task
            What the targets are.

        Raises
        ------
        ConfigError
            If a named column is not in the source, or no feature is left.
        DataError
            If a column's type cannot be learned from.
        """
        for role, names in (("target", targets), ("feature", features), ("ignored", ignore)):
            for name in names:
                if name not in schema.names:
                    hint = nearest(name, schema.names) or _listed(schema.names)
                    raise ConfigError(f"{role} column {name!r} is not in the source{hint}")
        left_out = {*targets, *ignore}
        if clash := left_out.intersection(features):
            raise ConfigError(f"column {min(clash)!r} is a feature, and also a target or ignored: choose one")
        chosen = [name for name in (features or schema.names) if name not in left_out]
        if not chosen:
            raise ConfigError(f"no feature column is left: the source has only {', '.join(map(repr, schema.names))}")
        columns = [_feature(schema.field(name)) for name in chosen]
        return cls(columns, [_target(schema.field(name), task) for name in targets], task)

    def add(self, column: Column) -> None:
        """Let rows have a further feature, after the others; it had no value so far."""
        self.features.append(column)
        if column.kind == "string":
            self.categorical.append(column)
            self.categories.append(Vocabulary(limit=MAX_CATEGORIES))
        else:
            self.numeric.append(column)

    def widen(self, name: Any) -> None:
        """Let a column of booleans be one of numbers: it has values that are neither 0 nor 1."""
        for columns in (self.features, self.numeric):
            columns[:] = [replace(column, kind="number") if column.name == name else column for column in columns]

    def rename(self, names: Sequence[Any]) -> None:
        """Call the features by other names, in their order; those of dicts need not be strings."""
        self.features = [replace(column, name=name) for column, name in zip(self.features, names, strict=True)]
        self.numeric = [column for column in self.features if column.kind != "string"]
        self.categorical = [column for column in self.features if column.kind == "string"]

    @property
    def schema(self) -> pa.Schema:
        """The columns and types to ask the source for, targets last."""
        return pa.schema([(column.name, _ARROW[column.kind]) for column in [*self.features, *self.targets]])

    def schema_in(self, source: pa.Schema) -> pa.Schema:
        """Return :attr:`schema` for a source of another one: its single floats are left as they are."""
        return pa.schema(
            [
                source.field(name)
                if name in source.names and source.field(name).type == pa.float32()
                else (name, type_)
                for name, type_ in zip(self.schema.names, self.schema.types, strict=True)
            ]
        )

    @property
    def feature_schema(self) -> pa.Schema:
        """The same without the targets: for rows that have none."""
        return pa.schema([(column.name, _ARROW[column.kind]) for column in self.features])

    @property
    def target_schema(self) -> pa.Schema:
        """The targets alone."""
        return pa.schema([(column.name, _ARROW[column.kind]) for column in self.targets])

    def to_json(self) -> dict[str, Any]:
        """Return the chosen columns, JSON-able; :meth:`from_json` reads them."""
        return {
            "features": [asdict(column) for column in self.features],
            "targets": [asdict(column) for column in self.targets],
            "task": self.task,
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
        for column in [*features, *targets]:
            if type(column.name) is not str or column.kind not in _VALUES:
                raise ValueError(f"there is no column {column.name!r} of kind {column.kind!r}")
        encoder = cls(features, targets, plan["task"], categories=categories, labels=labels)
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
            Rows with :attr:`schema`, or :meth:`schema_in` of their source, or with :attr:`feature_schema` where there
            is nothing to compare with.
        """
        numbers = _matrix([records.column(column.name) for column in self.numeric], records.num_rows)
        categories = [
            _codes(records.column(column.name), vocabulary)
            for column, vocabulary in zip(self.categorical, self.categories, strict=True)
        ]
        return Encoded(numbers, categories, self._encode_targets(records))

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


def _listed(names: Sequence[str]) -> str:
    return f"; it has {', '.join(map(repr, names[:20]))}{', …' if len(names) > 20 else ''}" if names else ""


def target_schema(schema: pa.Schema, targets: Sequence[str]) -> pa.Schema:
    """Return the target columns with the types they are read as while nobody has said what the task is."""
    columns = [_target(schema.field(name), "classification") for name in targets]
    return pa.schema([(column.name, _ARROW[column.kind]) for column in columns])


def is_number(type_: pa.DataType) -> bool:
    """Whether values of a type could be a quantity."""
    return _kind(type_) in {"number", "integer"}


def distinct(array: pa.Array) -> list[Any]:
    """Return the distinct values of a column in order of appearance, without missing ones."""
    return [value for value in pc.unique(array).to_pylist() if not _is_nothing(value)]


def _kind(type_: pa.DataType) -> str | None:
    """Return the kind of column that an Arrow type makes, or None if it makes none."""
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_boolean(type_):
        return "bool"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_) or pa.types.is_null(type_):
        return "number"
    return "string" if pa.types.is_string(type_) or pa.types.is_large_string(type_) else None


def _feature(field: pa.Field) -> Column:
    kind = _kind(field.type)
    if kind is None:
        raise DataError(
            f"feature column {field.name!r} is of type {field.type}, which is neither a number nor a category; "
            f"leave it out with --ignore {field.name}"
        )
    return Column(field.name, "number" if kind == "integer" else kind)  # type: ignore[arg-type]


def _target(field: pa.Field, task: Task) -> Column:
    kind = _kind(field.type)
    if kind is None or (task == "regression" and kind == "string"):
        wanted = "a number" if task == "regression" else "a label (a string, a boolean or a number)"
        raise DataError(f"target column {field.name!r} is of type {field.type}, which is not {wanted}")
    return Column(field.name, "number" if task == "regression" else kind)  # type: ignore[arg-type]


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
    """Return the codes of a column, -1 where missing; new values enter the vocabulary in order of appearance."""
    codes = pc.index_in(array, value_set=_arrow(vocabulary.values, array.type), skip_nulls=True)
    if not vocabulary.is_full and codes.null_count > array.null_count:
        new = pc.unique(array.filter(pc.and_(pc.is_null(codes), pc.is_valid(array)))).to_pylist()
        vocabulary.extend([_plain(value) for value in new if not _is_nothing(value)])
        codes = pc.index_in(array, value_set=_arrow(vocabulary.values, array.type), skip_nulls=True)
    found: Ints = _plain_values(codes).astype(np.int64)
    if codes.null_count:
        found[~_is_valid(codes)] = -1
    return found


def _plain_values(array: pa.Array) -> Array:
    """Return what the buffer of an array of numbers holds, without a copy; under a null that is anything."""
    whole = pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]], 0, array.offset)
    values: Array = np.from_dlpack(whole)
    return values


def _is_valid(array: pa.Array) -> Mask:
    valid: Mask = np.from_dlpack(array.is_valid().cast(pa.uint8())).view(bool)
    return valid


def _arrow(values: Sequence[Value], type_: pa.DataType) -> pa.Array:
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
