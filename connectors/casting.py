"""Values: check text, read special types and words for missing values, and cast exactly to the wanted types."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import RowError, SchemaError
from connectors.fields import columns_of, notation, source_column
from connectors.leaves import is_number, is_simple, lists_to_measure, lists_wanted, parts_of, plain_type, wrong_lengths
from connectors.suggestions import shorten

__all__ = ["NOTHING", "BadValue", "bounded", "cast", "cast_what_can_be", "failing", "failures", "in_us", "is_of_ns"]

NOTHING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"),
    *("NULL", "NaN", "n/a", "nan", "null"),
)
"""Words that mean a missing value where a number is expected; they are Arrow's own."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LARGEST = 1 << 30  # bytes of a block: text is read with offsets of 32 bits
_SHORT = 4_096  # rows; to look at each text of so few is faster
_FIRST_BYTE = -64  # as int8: smaller ones continue a character
_DIGITS = 76  # of the largest decimal
_DASHES = (8, 13, 18, 23)  # of a UUID


class BadValue(NamedTuple):
    """A value that cannot be read.

    Attributes
    ----------
    row
        Index of its row.
    kind, reason, content
        See `connectors.events.BadRow`.
    hint
        The option that helps, if the row is an error.
    """

    row: int
    kind: str
    reason: str
    content: bytes
    hint: str = ""


def cast(
    records: pa.RecordBatch, schema: pa.Schema, place: str, row: int, null_values: Sequence[str] = ()
) -> pa.RecordBatch:
    """Return the columns of `schema`, in its order and types; equal types are not copied.

    Parameters
    ----------
    records
        Rows with those columns, or with the structs and lists that hold them; an absent column becomes null.
    schema
        The columns wanted.
    place, row
        The place of the rows, and the index of the first row in the stream; for messages.
    null_values
        Words for a missing value: a text that is equal to one of them, or a number, time or boolean that one of them
        stands for, becomes null.

    Raises
    ------
    RowError
        A value cannot be cast exactly to the wanted type, or a text is not valid UTF-8.
    SchemaError
        No value of the column's type can.
    """
    columns, bad = _cast(records, schema, place, tuple(null_values), is_first_enough=True)
    if bad:
        first = min(bad.values())
        raise RowError(f"{place}, row {row + first.row}: {first.reason}{first.hint}")
    return pa.record_batch(columns, schema=schema.remove_metadata())


def cast_what_can_be(
    records: pa.RecordBatch, schema: pa.Schema, place: str, null_values: Sequence[str] = ()
) -> tuple[pa.RecordBatch, list[BadValue]]:
    """Return the rows that can be cast, and the first bad value of each other row, in order."""
    _, bad = _cast(records, schema, place, tuple(null_values), is_first_enough=False)
    good = np.setdiff1d(np.arange(records.num_rows), np.fromiter(bad, np.int64))
    return cast(_rows(records, good), schema, place, 0, null_values), [bad[row] for row in sorted(bad)]


def _rows(records: pa.RecordBatch, which: np.ndarray[Any, np.dtype[np.int64]]) -> pa.RecordBatch:
    """Return some rows, in order."""
    try:
        return records.take(_numbers(which))
    except pa.ArrowNotImplementedError:  # Arrow takes no rows from some types, such as string_view
        first = np.flatnonzero(np.diff(which, prepend=-2) != 1)
        runs = zip(which[first].tolist(), np.diff(first, append=len(which)).tolist(), strict=True)
        return pa.concat_batches([records.slice(0, 0), *(records.slice(start, n) for start, n in runs)])


def bounded(records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the rows in parts whose text fits into one column of Arrow; nearly always, that is one part."""
    # To ask each of many columns takes a while; numbers alone are never that large.
    if records.num_rows > 1 and not all(map(is_number, records.schema.types)) and records.nbytes > _LARGEST:
        middle = records.num_rows // 2
        yield from bounded(records.slice(0, middle))
        yield from bounded(records.slice(middle))
    else:
        yield records


def is_of_ns(type_: pa.DataType) -> bool:
    """Return whether values of a type count nanoseconds, which end in the year 2262."""
    return bool((pa.types.is_timestamp(type_) or pa.types.is_duration(type_)) and type_.unit == "ns")


def in_us(type_: pa.DataType) -> pa.DataType:
    """Return a type of moments or durations in microseconds."""
    return pa.timestamp("us", type_.tz) if pa.types.is_timestamp(type_) else pa.duration("us")


def _cast(
    records: pa.RecordBatch, schema: pa.Schema, place: str, null_values: tuple[str, ...], *, is_first_enough: bool
) -> tuple[list[pa.Array], dict[int, BadValue]]:
    """Return the columns wanted; if a row is bad, its first bad value."""
    lengths = lists_wanted(schema) if lists_to_measure(records.schema) else {}
    if wrong := wrong_lengths(records, lengths):
        bad = {row: _wrong_length(row, *what) for row, what in wrong.items()}
        if is_first_enough:
            return [], bad
        good = np.setdiff1d(np.arange(records.num_rows), np.fromiter(wrong, np.int64))
        _, others = _cast(_rows(records, good), schema, place, null_values, is_first_enough=False)
        return [], bad | {int(good[row]): value._replace(row=int(good[row])) for row, value in others.items()}
    names = set(columns_of(schema))
    found: dict[str, pa.Array] = {}
    for top, column in zip(records.schema.names, records.columns, strict=True):
        if is_simple(column.type):
            found.setdefault(top, column)
            continue
        for name, part in parts_of(top, column, names, lengths):
            found.setdefault(name, part)
    nothing = pa.nulls(records.num_rows)
    columns, bad = [], dict[int, BadValue]()
    for field in schema:
        converted = _converted(found.get(source_column(field), nothing), field, place, null_values)
        if isinstance(converted, pa.Array):
            columns.append(converted)
            continue
        for value in converted:
            bad.setdefault(value.row, value)
        if is_first_enough:
            break
    return columns, bad


def _converted(
    column: pa.Array, field: pa.Field, place: str, null_values: tuple[str, ...]
) -> pa.Array | list[BadValue]:
    """Return one column as its wanted type, or its bad values."""
    plain = column if is_number(column.type) else _plain(column)
    if isinstance(plain, list):
        return [_not_utf8(field, row, value) for row, value in plain]
    if null_values:
        plain = _without(plain, null_values)
    if plain.type == field.type:
        return plain
    prepared = _prepared(plain, field)
    if (how := notation(field)) is not None and _is_text(prepared.type):
        prepared, is_bad = how.parse(prepared)
        if is_bad.any():
            return [_complaint(field, plain, row) for row in failing(plain, field)]
    # A feature may be rounded to a float; an integer column holds labels or counts, which must stay exact.
    is_rounded = pa.types.is_integer(prepared.type) and pa.types.is_floating(field.type)
    try:
        return prepared.cast(field.type, safe=not is_rounded)
    except pa.ArrowNotImplementedError as error:
        name = source_column(field)
        what = f"column {name!r} is {column.type} and cannot be read as {field.type}"
        raise SchemaError(f"{place}: {what}; leave it out with --ignore {name}") from error
    except pa.ArrowInvalid:
        if not (bad := failing(plain, field)):
            raise
        return [_complaint(field, plain, row) for row in bad]


def _complaint(field: pa.Field, column: pa.Array, row: int) -> BadValue:
    if pa.types.is_string(field.type) and _is_bytes(column.type):
        return _not_utf8(field, row, column[row].as_py())
    value, how = str(column[row].as_py()), notation(field)
    wanted = f"{field.type}" if how is None or not _is_text(column.type) else f"{field.type} written as {how.spec}"
    line = (
        f"column {source_column(field)!r}: {shorten(value)!r} ({column.type}) cannot be converted exactly to {wanted}"
    )
    hint = "" if _is_text(field.type) else "; --types reads the column as text"
    if pa.types.is_integer(field.type) and pa.types.is_floating(column.type):
        hint = "; for a target that is a quantity: --task regression"
    return BadValue(row, "type", line, value.encode(), hint)


def _not_utf8(field: pa.Field, row: int, value: bytes) -> BadValue:
    shown = shorten(value.decode(errors="backslashreplace"))
    what = f"column {source_column(field)!r}: {shown!r} is not valid UTF-8"
    hint = "write the file again with valid text, skip such rows with --on-bad-row skip, or leave the column out with"
    return BadValue(row, "encoding", f"{what}; {hint} --ignore", value)


def _wrong_length(row: int, name: str, expected: int, found: int) -> BadValue:
    what = f"column {name!r}: expected a list of {expected} values as in the first rows, found {found}"
    return BadValue(row, "type", f"{what}; leave the column out with --ignore {name}", b"")


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def _plain(column: pa.Array) -> pa.Array | list[tuple[int, bytes]]:
    """Return a column as its plain type, or the index and the bytes of each text that is not valid UTF-8."""
    type_ = column.type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        if not _is_utf8(column):
            return _invalid(column)
        return column if pa.types.is_string(type_) else column.cast(pa.string())
    if isinstance(type_, pa.BaseExtensionType):
        return _of_extension(column)
    if pa.types.is_dictionary(type_):
        return _of_dictionary(column)
    if pa.types.is_run_end_encoded(type_):
        return _plain(pc.run_end_decode(column))
    return column if plain_type(type_) == type_ else column.cast(pa.binary())


def _of_dictionary(column: pa.DictionaryArray) -> pa.Array | list[tuple[int, bytes]]:
    words = _plain(column.dictionary)
    if isinstance(words, list):
        # A word that is not valid may be in no row: other row groups may share the dictionary.
        return _invalid(column.dictionary.cast(pa.binary()).take(column.indices))
    return column.dictionary_decode() if words.type == column.type.value_type else words.take(column.indices)


def _is_utf8(column: pa.Array) -> bool:
    """Return whether all texts of a column are valid."""
    is_long = len(column) > _SHORT
    if is_long and pa.types.is_string(column.type) and (answer := _is_utf8_together(column)) is not None:
        return answer
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8_together(column: pa.Array) -> bool | None:
    """Return whether all texts are valid; None if only a look at each of them can say so.

    The bytes of a whole column are read up to five times as fast as text by text. They are valid together, and no text
    begins within a character: then each of them is valid.
    """
    _, offsets, text = column.buffers()
    if text is None or not len(column):
        return True
    ends = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1]
    first, last = ends[0], ends[-1]
    if not 0 <= first <= last <= text.size:  # from memory, and damaged
        return None
    values = np.frombuffer(text, np.int8)[first:last]
    if not len(values) or values.min() >= 0:  # ASCII
        return True
    whole = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends[[0, -1]].copy()), text])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return None
    starts = ends[: np.searchsorted(ends, last)] - first
    return None if np.take(values, starts, mode="clip").min() < _FIRST_BYTE else True


def _invalid(column: pa.Array) -> pa.Array | list[tuple[int, bytes]]:
    """Return the index and the bytes of each text that is not valid; if all are, the column as text."""
    values = column.cast(pa.binary())
    bad = failures(values, pa.string())
    return [(row, values[row].as_py()) for row in bad] if bad else values.cast(pa.string())


def _of_extension(column: pa.ExtensionArray) -> pa.Array | list[tuple[int, bytes]]:
    name, storage = column.type.extension_name, column.storage
    if name == "arrow.uuid":
        return _uuid_text(storage)
    if name == "arrow.bool8":
        return pc.not_equal(storage, pa.scalar(0, pa.int8()))
    return _plain(storage)


def _uuid_text(column: pa.Array) -> pa.Array:
    """Return UUIDs as text, in lower case: 8, 4, 4, 4 and 12 digits."""
    n = len(column)
    raw = np.frombuffer(column.buffers()[1] or b"", np.uint8)[16 * column.offset :][: 16 * n].reshape(n, 16)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.full((n, 36), ord("-"), np.uint8)
    text[:, [i for i in range(36) if i not in _DASHES]] = digits[np.stack([raw >> 4, raw & 15], 2).reshape(n, 32)]
    ends = pa.py_buffer(np.arange(0, 36 * (n + 1), 36, dtype=np.int32))
    found = pa.Array.from_buffers(pa.string(), n, [None, ends, pa.py_buffer(text.tobytes())])
    return pc.if_else(pc.is_valid(column), found, pa.nulls(1, pa.string())[0]) if column.null_count else found


def _without(column: pa.Array, words: tuple[str, ...]) -> pa.Array:
    """Return a column in which values that one of some words stands for are null."""
    if not len(meant := _meant(column.type, words)):
        return column
    is_meant = pc.is_in(column if column.type == meant.type else column.cast(meant.type), value_set=meant)
    return pc.if_else(is_meant, pa.nulls(1, column.type)[0], column) if pc.any(is_meant).as_py() else column


@lru_cache(maxsize=256)
def _meant(type_: pa.DataType, words: tuple[str, ...]) -> pa.Array:
    """Return the values of a type that some words stand for; a word that stands for none is left out."""
    # Arrow cannot look up values of the shorter types.
    wanted = pa.float32() if pa.types.is_float16(type_) else type_
    wanted = pa.decimal256(_DIGITS, type_.scale) if pa.types.is_decimal(type_) else wanted
    found = [pa.nulls(0, wanted)]
    for word in words:
        with contextlib.suppress(pa.ArrowException, OverflowError, ValueError):
            found.append(_value(type_, word).cast(wanted))
    return pa.concat_arrays(found)


def _value(type_: pa.DataType, word: str) -> pa.Array:
    """Return the value of a type that a word stands for, as a column of one row, or of none."""
    # Through buffers: when Arrow converts values of Python, it imports pandas.
    text, none = _text(word), pa.nulls(0, type_)
    if pa.types.is_boolean(type_):
        return _text(word.lower()).cast(type_) if word.lower() in {"true", "false"} else none
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return _number(type_, Decimal(word)) if _NUMBER.fullmatch(word) else none
    if pa.types.is_time(type_):
        time = datetime.time.fromisoformat(word)
        seconds = (time.hour * 60 + time.minute) * 60 + time.second
        return _numbers(np.array([seconds * 1_000_000 + time.microsecond])).view(pa.time64("us")).cast(type_)
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        try:
            return text.cast(type_)
        except pa.ArrowInvalid:  # a moment with a zone may be written without; a day may be written as its first moment
            moment = text.cast(pa.timestamp(getattr(type_, "unit", None) or "us"))
            zone = getattr(type_, "tz", None)
            return pc.assume_timezone(moment, zone) if zone else moment
    return text if pa.types.is_string(type_) else none


def _number(type_: pa.DataType, number: Decimal) -> pa.Array:
    if pa.types.is_float16(type_):
        with np.errstate(over="ignore"):
            return _numbers(np.array([number], np.float16).astype(np.float32))
    if pa.types.is_floating(type_):
        return _numbers(np.array([float(number)])).cast(type_)
    if pa.types.is_decimal(type_):
        # Arrow reads more digits than there is room for as another number.
        fits = number.adjusted() + type_.scale < _DIGITS
        return _text(f"{number:f}").cast(pa.decimal256(_DIGITS, type_.scale)) if fits else pa.nulls(0, type_)
    if number != number.to_integral_value():
        return pa.nulls(0, type_)
    return _numbers(np.array([int(number)], str(type_)))


def _text(word: str) -> pa.Array:
    text = word.encode("utf-8", "surrogatepass")
    ends = pa.py_buffer(np.array([0, len(text)], np.int32))
    return pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(text)])


def _numbers(values: np.ndarray[Any, Any]) -> pa.Array:
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _prepared(column: pa.Array, field: pa.Field) -> pa.Array:
    """Return a column prepared for a cast, where Arrow is stricter than we are or distinguishes equal values."""
    wanted = field.type
    if _is_text(column.type) and not _is_text(wanted):
        trimmed = pc.utf8_trim_whitespace(column)
        is_nothing = pc.is_in(trimmed, value_set=pa.array(NOTHING, column.type))
        return pc.if_else(is_nothing, pa.scalar(None, column.type), trimmed)
    if pa.types.is_floating(column.type) and pa.types.is_integer(wanted):
        return pc.if_else(pc.is_finite(column), column, None)
    if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
        # NaN and infinity count as missing, as in number columns. Adding 0.0 makes -0.0 and 0.0 the same category.
        finite = pc.if_else(pc.is_finite(column), column, None)
        return finite if pa.types.is_float16(column.type) else pc.add(finite, pa.scalar(0.0, column.type))
    if is_of_ns(column.type) and wanted == in_us(column.type):
        whole = np.floor_divide(np.from_dlpack(pc.fill_null(column.view(pa.int64()), 0)), 1_000)
        return pc.if_else(pc.is_valid(column), pa.array(whole).view(wanted), None)
    return column


def failing(column: pa.Array, field: pa.Field) -> list[int]:
    """Return the indices of the values of a column that cannot be read as a field."""
    column = _prepared(column, field)
    if (how := notation(field)) is None or not _is_text(column.type):
        return failures(column, field.type)
    values, is_bad = how.parse(column)
    return sorted({*np.flatnonzero(is_bad).tolist(), *failures(values, field.type)})


def failures(column: pa.Array, wanted: pa.DataType, start: int = 0) -> list[int]:
    """Return the indices of the values that cannot be cast."""
    # Arrow does not say which value fails, so halve the column until single values remain.
    try:
        column.cast(wanted)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return [start]
        middle = len(column) // 2
        return [
            *failures(column.slice(0, middle), wanted, start),
            *failures(column.slice(middle), wanted, start + middle),
        ]
    return []
