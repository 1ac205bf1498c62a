"""Values: cast exactly to the wanted types, and say which rows cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import flags, is_text, numbers, texts, with_nulls
from connectors.errors import RowError, SchemaError
from connectors.fields import columns_of, notation, source_column
from connectors.leaves import is_number, is_simple, lists_to_measure, lists_wanted, parts_of, wrong_lengths
from connectors.null_words import without_words
from connectors.plain_values import failures, plain_values
from connectors.suggestions import ignored, shorten

__all__ = ["NOTHING", "BadValue", "bounded", "cast", "cast_what_can_be", "failing", "failures", "in_us", "is_of_ns"]

NOTHING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"),
    *("NULL", "NaN", "n/a", "nan", "null"),
)
"""Words that mean a missing value where a number is expected; they are Arrow's own."""

_LARGEST = 1 << 30  # bytes of a block: text is read with offsets of 32 bits


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
    records: pa.RecordBatch,
    schema: pa.Schema,
    place: str,
    row: int,
    null_values: Sequence[str] = (),
    *,
    words: dict[str, int] | None = None,
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
    words
        Gets the first row of each of these words that occurs.

    Raises
    ------
    RowError
        A value cannot be cast exactly to the wanted type, or a text is not valid UTF-8.
    SchemaError
        No value of the column's type can.
    """
    columns, bad = _cast(records, schema, place, tuple(null_values), words=words, is_first_enough=True)
    if bad:
        first = min(bad.values())
        raise RowError(f"{place}, row {row + first.row}: {first.reason}{first.hint}")
    return pa.record_batch(columns, schema=schema.remove_metadata())


def cast_what_can_be(
    records: pa.RecordBatch,
    schema: pa.Schema,
    place: str,
    null_values: Sequence[str] = (),
    *,
    words: dict[str, int] | None = None,
) -> tuple[pa.RecordBatch, list[BadValue]]:
    """Return the rows that can be cast, and the first bad value of each other row, in order; see `cast`."""
    _, bad = _cast(records, schema, place, tuple(null_values), is_first_enough=False)
    good = np.setdiff1d(np.arange(records.num_rows), np.fromiter(bad, np.int64))
    return cast(_rows(records, good), schema, place, 0, null_values, words=words), [bad[row] for row in sorted(bad)]


def _rows(records: pa.RecordBatch, which: np.ndarray[Any, np.dtype[np.int64]]) -> pa.RecordBatch:
    """Return some rows, in order."""
    try:
        return records.take(numbers(which))
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
    records: pa.RecordBatch,
    schema: pa.Schema,
    place: str,
    null_values: tuple[str, ...],
    *,
    words: dict[str, int] | None = None,
    is_first_enough: bool,
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
        converted = _converted(found.get(source_column(field), nothing), field, place, null_values, words)
        if isinstance(converted, pa.Array):
            columns.append(converted)
            continue
        for value in converted:
            bad.setdefault(value.row, value)
        if is_first_enough:
            break
    return columns, bad


def _converted(
    column: pa.Array, field: pa.Field, place: str, null_values: tuple[str, ...], words: dict[str, int] | None
) -> pa.Array | list[BadValue]:
    """Return one column as its wanted type, or its bad values."""
    plain = column if is_number(column.type) else plain_values(column)
    if isinstance(plain, list):
        return [_not_utf8(field, row, value) for row, value in plain]
    if null_values:
        plain = without_words(plain, null_values, words)
    if plain.type == field.type:
        return plain
    prepared = _prepared(plain, field)
    if (how := notation(field)) is not None and is_text(prepared.type):
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
        raise SchemaError(f"{place}: {what}; leave it out with {ignored(name)}") from error
    except pa.ArrowInvalid:
        if not (bad := failing(plain, field)):
            raise
        return [_complaint(field, plain, row) for row in bad]


def _complaint(field: pa.Field, column: pa.Array, row: int) -> BadValue:
    if pa.types.is_string(field.type) and _is_bytes(column.type):
        return _not_utf8(field, row, column[row].as_py())
    value, how = str(column[row].as_py()), notation(field)
    wanted = f"{field.type}" if how is None or not is_text(column.type) else f"{field.type} written as {how.spec}"
    line = (
        f"column {source_column(field)!r}: {shorten(value)!r} ({column.type}) cannot be converted exactly to {wanted}"
    )
    hint = "" if is_text(field.type) else "; --types reads the column as text"
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
    return BadValue(row, "type", f"{what}; leave the column out with {ignored(name)}", b"")


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def _prepared(column: pa.Array, field: pa.Field) -> pa.Array:
    """Return a column prepared for a cast, where Arrow is stricter than we are or distinguishes equal values."""
    wanted = field.type
    if is_text(column.type) and not is_text(wanted):
        trimmed = pc.utf8_trim_whitespace(column)
        is_nothing = pc.is_in(trimmed, value_set=texts(NOTHING, column.type))
        return pc.if_else(is_nothing, pa.nulls(1, column.type)[0], trimmed)
    if pa.types.is_floating(column.type) and pa.types.is_integer(wanted):
        return pc.if_else(pc.is_finite(column), column, pa.nulls(1, column.type)[0])
    if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
        # NaN and infinity count as missing, as in number columns. Adding 0.0 makes -0.0 and 0.0 the same category.
        finite = pc.if_else(pc.is_finite(column), column, pa.nulls(1, column.type)[0])
        return finite if pa.types.is_float16(column.type) else pc.add(finite, pa.scalar(0.0, column.type))
    if is_of_ns(column.type) and wanted == in_us(column.type):
        whole = np.floor_divide(
            np.from_dlpack(pc.coalesce(column.view(pa.int64()), numbers(np.zeros(1, np.int64))[0])), 1_000
        )
        return with_nulls(numbers(whole), flags(pc.is_valid(column))).view(wanted)
    return column


def failing(column: pa.Array, field: pa.Field) -> list[int]:
    """Return the indices of the values of a column that cannot be read as a field."""
    column = _prepared(column, field)
    if (how := notation(field)) is None or not is_text(column.type):
        return failures(column, field.type)
    values, is_bad = how.parse(column)
    return sorted({*np.flatnonzero(is_bad).tolist(), *failures(values, field.type)})
