"""Columns and types: one schema out of many files, columns that must be there, values cast exactly.

A struct is its fields, ``place.city``; a list of a fixed size its elements, ``pixel[0]``; a dictionary its values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import RowError, SchemaError
from connectors.suggestions import nearest, shorten

__all__ = [
    "NOTHING",
    "cast",
    "cast_what_can_be",
    "check_names",
    "doubt",
    "doubtful",
    "failures",
    "is_among",
    "plain",
    "refuse_strangers",
    "require",
    "stems",
    "unify",
    "wider_type",
]

NOTHING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"),
    *("NULL", "NaN", "n/a", "nan", "null"),
)
"""Words that mean, where a number is expected, that there is none: Arrow's own."""

_DOUBT = b"doubt"

Merge = Callable[[pa.DataType, pa.DataType], pa.DataType | None]


def check_names(names: list[str], place: str) -> None:
    """Refuse columns that cannot be told apart, or have no name."""
    before: set[str] = set()
    for index, name in enumerate(names):
        if not name.strip():
            raise SchemaError(f"{place}: column {index + 1} of {len(names)} has no name; name it in the file")
        if name in before:
            raise SchemaError(f"{place}: column {name!r} occurs twice; rename one of them in the file")
        before.add(name)


def doubtful(field: pa.Field, line: str) -> pa.Field:
    """Return a column that may not be what it is taken for, with a line that says why."""
    return field.with_metadata({_DOUBT: line})


def doubt(field: pa.Field) -> str | None:
    """Return the line that says why a column may not be what it is taken for, if there is one."""
    line = (field.metadata or {}).get(_DOUBT)
    return None if line is None else line.decode()


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the columns that rows of a schema are read as: no struct, no list of a fixed size, no dictionary."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type, field.name)]
    return pa.schema([(name, type_) for name, type_, _ in leaves])


def stems(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    """Return the paths of what must be read for columns of `plain`: for the element of a list the whole of it."""
    found = {name: stem for field in schema for name, _, stem in _leaves(field.name, field.type, field.name)}
    return list(dict.fromkeys(found[name] for name in names if name in found))


def _leaves(name: str, type_: pa.DataType, stem: str) -> Iterator[tuple[str, pa.DataType, str]]:
    """Yield the name and the type of each column that a column is, and the path of what must be read for it."""
    if pa.types.is_dictionary(type_):
        yield name, type_.value_type, stem
    elif pa.types.is_struct(type_):
        for field in type_:
            # Within a list nothing but the whole of it can be asked for.
            below = f"{stem}.{field.name}" if stem == name else stem
            yield from _leaves(f"{name}.{field.name}", field.type, below)
    elif pa.types.is_fixed_size_list(type_):
        for i in range(type_.list_size):
            yield from _leaves(f"{name}[{i}]", type_.value_type, stem)
    else:
        yield name, type_, stem


def _columns(name: str, column: pa.Array, wanted: Container[str]) -> Iterator[tuple[str, pa.Array]]:
    """Yield what is wanted of a column; where a struct or a list is null, all that it is made of is."""
    if pa.types.is_struct(column.type):
        for field, child in zip(column.type, column.flatten(), strict=True):
            yield from _columns(f"{name}.{field.name}", child, wanted)
    elif pa.types.is_fixed_size_list(column.type):
        for i in range(column.type.list_size):
            yield from _columns(f"{name}[{i}]", pc.list_element(column, i), wanted)
    elif name in wanted:
        yield name, column


def wider_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type of numbers, of moments, of words … that holds both of two; None where they are of other kinds."""
    if first == second:
        return first
    if _is_of_ns(first) != _is_of_ns(second) and type(first) is type(second):
        # Nanoseconds end with the year 2262, and files that say "for ever" by a later one are usual.
        first, second = (_in_us(type_) if _is_of_ns(type_) else type_ for type_ in (first, second))
    schemas = [pa.schema([("", first)]), pa.schema([("", second)])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _is_of_ns(type_: pa.DataType) -> bool:
    return bool((pa.types.is_timestamp(type_) or pa.types.is_duration(type_)) and type_.unit == "ns")


def _in_us(type_: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", type_.tz) if pa.types.is_timestamp(type_) else pa.duration("us")


def is_among(name: str, columns: Iterable[str]) -> bool:
    """Tell whether a column is one of some, or part of one."""
    return any(name == column or name.startswith((f"{column}.", f"{column}[")) for column in columns)


def unify(schemas: Iterable[tuple[str, pa.Schema]], merge: Merge, ignore: Collection[str] = ()) -> pa.Schema:
    """Return every column of every file, in order of appearance, with the type that fits them all.

    Parameters
    ----------
    schemas
        Name and schema of each file.
    merge
        The type that holds both of two types, or None where there is none.
    ignore
        Columns that nobody reads: the first type is as good as another.

    Raises
    ------
    SchemaError
        Two files disagree on the type of a column.
    """
    types: dict[str, pa.DataType] = {}
    owners: dict[str, str] = {}
    for place, schema in schemas:
        for field in schema:
            merged = merge(types.setdefault(field.name, field.type), field.type)
            if merged is None and is_among(field.name, ignore):
                continue
            if merged is None:
                raise SchemaError(
                    f"{place}: column {field.name!r} is {field.type}, but {types[field.name]} in "
                    f"{owners[field.name]}; files of one stream must agree on what is read (--ignore leaves it out)"
                )
            # The file that settled the type is the one to show when another disagrees.
            if field.name not in owners or merged != types[field.name]:
                owners[field.name] = place
            types[field.name] = merged
    return pa.schema(list(types.items()))


def require(wanted: pa.Schema, found: Iterable[str], place: str) -> None:
    """Refuse a place that lacks one of the wanted columns."""
    names = list(found)
    if not len(wanted):
        raise SchemaError(f"{place}: no column was asked for")
    is_there = set(names)
    for name in wanted.names:
        if name not in is_there:
            raise SchemaError(f"{place}: no column {name!r}{nearest(name, names)}")


def refuse_strangers(wanted: Sequence[str], found: Sequence[str], place: str) -> None:
    """Refuse a file that has none of the columns of the stream: it is of another kind."""
    if not set(wanted).intersection(found):
        raise SchemaError(
            f"{place}: none of the columns {', '.join(wanted[:9])} is there, but {', '.join(found[:9])}; is this "
            "another kind of file?"
        )


def cast(records: pa.RecordBatch, schema: pa.Schema, place: str, row: int) -> pa.RecordBatch:
    """Return the columns of `schema`, in its order and types; equal types are not copied.

    Parameters
    ----------
    records
        Rows with those columns, or what they are part of; one that is not there is null.
    schema
        The columns wanted.
    place, row
        Where the rows come from, and the first one's index in the stream; for messages.

    Raises
    ------
    RowError
        A value has no exact counterpart in the wanted type.
    SchemaError
        No value of the column can have one.
    """
    columns = []
    for field, column in _wanted(records, schema):
        found = _cast(column, field, place)
        if found is None:
            bad = failures(column, field.type)[0]
            raise RowError(f"{place}, row {row + bad}: {_complaint(field, column, bad)[0]}")
        columns.append(found)
    return pa.record_batch(columns, schema=schema)


def cast_what_can_be(
    records: pa.RecordBatch, schema: pa.Schema, place: str
) -> tuple[pa.RecordBatch, list[tuple[int, str, bytes]]]:
    """Return the rows that `cast` returns, and of each of the others its index, what is wrong, and the value."""
    bad: dict[int, tuple[str, bytes]] = {}
    for field, column in _wanted(records, schema):
        if _cast(column, field, place) is None:
            for row in failures(column, field.type):
                bad.setdefault(row, _complaint(field, column, row))
    good = np.setdiff1d(np.arange(records.num_rows), np.fromiter(bad, np.int64))
    return cast(records.take(pa.array(good)), schema, place, 0), [(row, *bad[row]) for row in sorted(bad)]


def _wanted(records: pa.RecordBatch, schema: pa.Schema) -> Iterator[tuple[pa.Field, pa.Array]]:
    names = set(schema.names)
    pairs = zip(records.schema, records.columns, strict=True)
    found = dict(leaf for field, column in pairs for leaf in _columns(field.name, column, names))
    nothing = pa.nulls(records.num_rows)
    return ((field, _prepared(found.get(field.name, nothing), field.type)) for field in schema)


def _complaint(field: pa.Field, column: pa.Array, row: int) -> tuple[str, bytes]:
    value = str(column[row].as_py())
    return f"column {field.name!r}: {shorten(value)!r} ({column.type}) is not exactly a {field.type}", value.encode()


def _cast(column: pa.Array, field: pa.Field, place: str) -> pa.Array | None:
    """Cast one column; return None where a value cannot be cast."""
    if column.type == field.type:
        return column
    # A number that is learned from may be rounded; one that is counted, or a label, may not.
    is_rounded = pa.types.is_integer(column.type) and pa.types.is_floating(field.type)
    try:
        return column.cast(field.type, safe=not is_rounded)
    except pa.ArrowNotImplementedError as error:
        raise SchemaError(
            f"{place}: column {field.name!r} is {column.type} and cannot be read as {field.type}"
        ) from error
    except pa.ArrowInvalid:
        return None


def _prepared(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return a column as it can be cast: what a cast would refuse or tell apart, and we do not, is made the same."""
    if pa.types.is_string(column.type) and pa.types.is_floating(wanted):
        trimmed = pc.utf8_trim_whitespace(column)
        return pc.if_else(pc.is_in(trimmed, value_set=pa.array(NOTHING)), pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
        # NaN and the infinities are missing, as among numbers; there is one zero.
        finite = pc.if_else(pc.is_finite(column), column, None)
        return finite if pa.types.is_float16(column.type) else pc.add(finite, pa.scalar(0.0, column.type))
    if _is_of_ns(column.type) and wanted == _in_us(column.type):
        whole = np.floor_divide(np.from_dlpack(pc.fill_null(column.view(pa.int64()), 0)), 1_000)
        return pc.if_else(pc.is_valid(column), pa.array(whole).view(wanted), None)
    return column


def failures(column: pa.Array, wanted: pa.DataType, start: int = 0) -> list[int]:
    """Return the indices of the values that do not cast, by halving: all do if and only if each does."""
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
