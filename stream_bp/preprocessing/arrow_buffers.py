"""Convert Arrow arrays to NumPy and back, through their buffers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_bp._arrays import Array, Floats, Ints, Mask
from stream_bp.errors import DataError
from stream_bp.preprocessing.vocabulary import NO_PLACE, Value, Vocabulary

__all__ = [
    "LARGEST",
    "as_microseconds",
    "as_seconds",
    "category_codes",
    "distinct",
    "indices_without",
    "is_blank",
    "is_valid",
    "label_array",
    "number_matrix",
    "value_array",
]

LARGEST = 1e100  # the sums of squares of larger values could overflow a float64
_UNITS_US = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def label_array(labels: Sequence[Value]) -> pa.Array:
    """Return labels as a column.

    Raises
    ------
    DataError
        If no type holds them all, as with whole numbers beyond 64 bits, or text that is not valid UTF-8.
    """
    try:
        return pa.array(labels)
    except (pa.ArrowException, OverflowError, UnicodeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the labels cannot be written as a column: {reason}; rename them") from error


def distinct(array: pa.Array) -> list[Any]:
    """Return the distinct values of a column in order of appearance, without missing ones."""
    return [value for value in pc.unique(array).to_pylist() if not _is_nothing(value)]


# The functions below read and make arrays through buffers. When Arrow converts Python values, or to NumPy, it imports
# pandas if that is installed. This takes as much time and memory as the rest of a job.


def number_matrix(columns: Sequence[pa.Array], n: int) -> Floats:
    """Return columns of numbers as one array (n_columns, n) of float64, NaN where missing or beyond ±1e100."""
    if not columns:
        return np.empty((0, n))
    floats = [column if pa.types.is_floating(column.type) else column.cast(pa.float64()) for column in columns]
    records = pa.record_batch(floats, [str(i) for i in range(len(floats))])
    matrix: Floats = records.to_tensor(null_to_nan=True, row_major=False).to_numpy().T.astype(np.float64, copy=False)
    if n and not -LARGEST <= matrix.min() <= matrix.max() <= LARGEST:
        # Negated, because NaN fails every comparison.
        matrix[~(np.abs(matrix) <= LARGEST)] = np.nan
    return matrix


def category_codes(array: pa.Array, vocabulary: Vocabulary) -> Ints:
    """Return the codes of a column, -1 where missing. New values enter the vocabulary in order of appearance.

    If it is full, the code of a new value follows from its hash.
    """
    if pa.types.is_floating(array.type):
        zeros = pa.py_buffer(np.zeros(len(array), array.type.to_pandas_dtype()))
        array = pc.add(array, pa.Array.from_buffers(array.type, len(array), [None, zeros]))  # there is one zero
    codes = pc.index_in(array, value_set=value_array(vocabulary.values, array.type), skip_nulls=True)
    # A word that is not found is either new, or the vocabulary is full.
    if not vocabulary.is_full and codes.null_count > array.null_count:
        new = pc.unique(array.filter(pc.and_(pc.is_null(codes), pc.is_valid(array)))).to_pylist()
        vocabulary.extend([_plain(value) for value in new if not _is_nothing(value)])
        codes = pc.index_in(array, value_set=value_array(vocabulary.values, array.type), skip_nulls=True)
    found: Ints = _plain_values(codes).astype(np.int64)
    if codes.null_count:
        found[~is_valid(codes)] = -1
    if vocabulary.is_full and codes.null_count > array.null_count:
        blank = is_blank(array)
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


def is_blank(array: pa.Array) -> Mask | None:
    """Return where a column of words has none, null or empty. Return None if all have one."""
    if not pa.types.is_string(array.type):
        return None if not array.null_count else ~is_valid(array)
    blank: Mask = _plain_values(pc.binary_length(array)) == 0
    if array.null_count:
        blank |= ~is_valid(array)
    return blank if blank.any() else None


def indices_without(skipped: Mask) -> pa.Array:
    """Return the indices of all rows, with null for the skipped ones. Taking by a null gives null."""
    valid = pa.py_buffer(np.packbits(~skipped, bitorder="little"))
    return pa.Array.from_buffers(pa.int64(), len(skipped), [valid, pa.py_buffer(np.arange(len(skipped)))])


def as_seconds(array: pa.Array) -> pa.Array:
    """Return a column of durations in seconds, and any other column unchanged."""
    if not pa.types.is_duration(array.type):
        return array
    seconds = _plain_values(array.view(pa.int64())) / _PER_SECOND[array.type.unit]
    if array.null_count:
        seconds[~is_valid(array)] = np.nan
    return _floats(seconds)


def as_microseconds(array: pa.Array) -> Ints:
    """Return moments in microseconds, exact in the present calendar. The value under a null is arbitrary."""
    unit = getattr(array.type, "unit", None) or ("ms" if pa.types.is_date64(array.type) else "D")
    raw = _plain_values(array.view(f"int{array.type.bit_width}")).astype(np.int64)
    if unit == "ns":
        return raw // 1_000
    # A moment beyond the last one, some 292,000 years from now, becomes the last one: the product would wrap around.
    last = np.iinfo(np.int64).max // _UNITS_US[unit]
    is_within = not len(raw) or -last <= raw.min() <= raw.max() <= last
    return (raw if is_within else np.clip(raw, -last, last)) * _UNITS_US[unit]


def _plain_values(array: pa.Array) -> Array:
    """Return the values in the buffer of an array of numbers, without a copy. The value under a null is arbitrary."""
    whole = pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]], 0, array.offset)
    values: Array = np.from_dlpack(whole)
    return values


def _whole_numbers(values: Ints) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _floats(values: Floats) -> pa.Array:
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])


def is_valid(array: pa.Array) -> Mask:
    """Return where an array has a value, shape (n,)."""
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
    """Return whether a value is missing: null, NaN, infinite, or "", which in CSV is the same as null."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: Value) -> Value:
    """Return the label 1.0 as 1. A column of whole numbers with a gap is read as floats."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if is_whole else value
