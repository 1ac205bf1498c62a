"""Columns and types: merge the schemas of files, require columns, cast values exactly.

A struct becomes one column for each field, such as ``place.city``. A fixed-size list becomes one for each element, such
as ``pixel[0]``. A dictionary becomes its values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import RowError, SchemaError
from connectors.fields import columns_of, notation, source_column
from connectors.suggestions import nearest, shorten

__all__ = [
    "NOTHING",
    "cast",
    "cast_what_can_be",
    "check_names",
    "doubt",
    "doubtful",
    "exception",
    "failing",
    "failures",
    "is_among",
    "plain",
    "refuse_strangers",
    "require",
    "stems",
    "unify",
    "unique_names",
    "wider_type",
    "with_exception",
]

NOTHING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"),
    *("NULL", "NaN", "n/a", "nan", "null"),
)
"""Words that mean a missing value where a number is expected; they are Arrow's own."""

_DOUBT, _EXCEPTION = b"doubt", b"exception"

Merge = Callable[[pa.DataType, pa.DataType], pa.DataType | None]


def check_names(names: list[str], place: str) -> None:
    """Refuse columns without a name, and names that occur twice."""
    before: set[str] = set()
    for index, name in enumerate(names):
        if not name.strip():
            raise SchemaError(f"{place}: column {index + 1} of {len(names)} has no name; give it one in the file")
        if name in before:
            raise SchemaError(f"{place}: column {name!r} occurs twice; rename one of them in the file")
        before.add(name)


def unique_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names that tell the columns of a file apart, and a line about each kind of change.

    A column without a name is called by its number: ``column 3``. Of several columns with one name, the first one keeps
    it, and the others get a number: ``v``, ``v_1``, ``v_2``. A name that stands in the file is never given to another
    column.

    Parameters
    ----------
    names
        The names in the file, in order.

    Returns
    -------
    names : list of str
        As many names, all different.
    remarks : list of str
        Lines for `FileFacts.remarks`, without the name of the file; empty if every name stays.

    Examples
    --------
    >>> unique_names(["v", "", "v", "v_1"])[0]
    ['v', 'column 2', 'v_2', 'v_1']
    """
    free, first = _FreeNames(names), set[str]()
    found, nameless, repeated = [], [], []
    for number, name in enumerate(names, 1):
        if not name.strip():
            found.append(free.take(f"column {number}"))
            nameless.append(f"column {number} is called {found[-1]!r}")
        elif name in first:
            found.append(free.take(name))
            repeated.append(f"column {number}, again {name!r}, is called {found[-1]!r}")
        else:
            found.append(name)
        first.add(name)
    lines = [(nameless, "columns without a name"), (repeated, "columns with the same name")]
    return found, [f"{what}: {_few(changes)}" for changes, what in lines if changes]


class _FreeNames:
    """Names that no column has yet; a next free number is remembered, so that many equal names take little time."""

    def __init__(self, names: Iterable[str]) -> None:
        self._taken, self._next = set(names), dict[str, int]()

    def take(self, name: str) -> str:
        """Return a free name: the name itself, or else the name with a number."""
        found, number = name, self._next.get(name, 1)
        while found in self._taken:
            found, number = f"{name}_{number}", number + 1
        self._taken.add(found)
        self._next[name] = number
        return found


def _few(lines: Sequence[str], n: int = 5) -> str:
    return "; ".join(lines[:n]) + (f"; and {len(lines) - n} more" if len(lines) > n else "")


def doubtful(field: pa.Field, line: str) -> pa.Field:
    """Return a column with a warning that its inferred type is doubtful."""
    return field.with_metadata({**(field.metadata or {}), _DOUBT: line})


def with_exception(field: pa.Field, cell: str) -> pa.Field:
    """Return a column with one of the few cells that its inferred type does not hold."""
    return field.with_metadata({**(field.metadata or {}), _EXCEPTION: cell})


def exception(field: pa.Field) -> str | None:
    """Return a cell that the inferred type of a column does not hold; None if it holds all that were seen."""
    cell = (field.metadata or {}).get(_EXCEPTION)
    return None if cell is None else cell.decode()


def doubt(field: pa.Field) -> str | None:
    """Return the warning about a column's inferred type, or None."""
    line = (field.metadata or {}).get(_DOUBT)
    return None if line is None else line.decode()


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the columns that rows of a schema are read as: without structs, fixed-size lists and dictionaries."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type, field.name)]
    return pa.schema([(name, type_) for name, type_, _ in leaves])


def stems(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    """Return the paths to read for columns of `plain`; for an element of a list, the path is that of the list."""
    found = {name: stem for field in schema for name, _, stem in _leaves(field.name, field.type, field.name)}
    return list(dict.fromkeys(found[name] for name in names if name in found))


def _leaves(name: str, type_: pa.DataType, stem: str) -> Iterator[tuple[str, pa.DataType, str]]:
    """Yield the name and type of each column that a column expands to, and the path to read for it."""
    if pa.types.is_dictionary(type_):
        yield name, type_.value_type, stem
    elif pa.types.is_struct(type_):
        for field in type_:
            # Parquet can read a single field of a struct, but only a whole list.
            below = f"{stem}.{field.name}" if stem == name else stem
            yield from _leaves(f"{name}.{field.name}", field.type, below)
    elif pa.types.is_fixed_size_list(type_):
        for i in range(type_.list_size):
            yield from _leaves(f"{name}[{i}]", type_.value_type, stem)
    else:
        yield name, type_, stem


def _columns(name: str, column: pa.Array, wanted: Container[str]) -> Iterator[tuple[str, pa.Array]]:
    """Yield the wanted parts of a column; where a struct or a list is null, all its parts are null."""
    if pa.types.is_struct(column.type):
        for field, child in zip(column.type, column.flatten(), strict=True):
            yield from _columns(f"{name}.{field.name}", child, wanted)
    elif pa.types.is_fixed_size_list(column.type):
        for i in range(column.type.list_size):
            yield from _columns(f"{name}[{i}]", pc.list_element(column, i), wanted)
    elif name in wanted:
        yield name, column


def wider_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of two types; None if they are of different kinds."""
    if first == second:
        return first
    if _is_of_ns(first) != _is_of_ns(second) and type(first) is type(second):
        # Nanoseconds end in the year 2262, and files often write a later year for "never expires".
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
    """Return whether a column is among some columns, or part of one of them."""
    return any(name == column or name.startswith((f"{column}.", f"{column}[")) for column in columns)


def unify(schemas: Iterable[tuple[str, pa.Schema]], merge: Merge, ignore: Collection[str] = ()) -> pa.Schema:
    """Return every column of every file, in order of appearance, with the type that fits them all.

    Parameters
    ----------
    schemas
        Name and schema of each file.
    merge
        Returns the type that holds the values of two types, or None.
    ignore
        Columns that are not read; files may disagree on their types.

    Raises
    ------
    SchemaError
        Two files disagree on the type of a column.
    """
    types: dict[str, pa.DataType] = {}
    said: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for place, schema in schemas:
        for field in schema:
            merged = merge(types.setdefault(field.name, field.type), field.type)
            if merged is None and is_among(field.name, ignore):
                continue
            if merged is None:
                raise SchemaError(
                    f"{place}: column {field.name!r} is {field.type} here, but {types[field.name]} in "
                    f"{owners[field.name]}; all files must agree on its type, or leave it out with --ignore"
                )
            # An error must name the file that set the present type: an earlier file may have had a narrower one.
            if field.name not in owners or merged != types[field.name]:
                owners[field.name] = place
            # What a file says of its column holds only while the type stays.
            if merged == types[field.name]:
                said[field.name] = said.get(field.name) or field.metadata
            else:
                said[field.name] = field.metadata if merged == field.type else None
            types[field.name] = merged
    return pa.schema([pa.field(name, type_, metadata=said[name]) for name, type_ in types.items()])


def require(wanted: pa.Schema, found: Iterable[str], place: str) -> None:
    """Refuse a place that lacks one of the wanted columns."""
    names = list(found)
    if not len(wanted):
        raise SchemaError(f"{place}: no column was requested")
    is_there = set(names)
    for name in columns_of(wanted):
        if name not in is_there:
            raise SchemaError(f"{place}: no column {name!r}{nearest(name, names)}")


def refuse_strangers(wanted: Sequence[str], found: Sequence[str], place: str) -> None:
    """Refuse a file that has none of the columns of the stream."""
    if not set(wanted).intersection(found):
        raise SchemaError(
            f"{place}: expected some of the columns {', '.join(wanted[:9])}, found {', '.join(found[:9])}; does this "
            "file belong to the stream?"
        )


def cast(records: pa.RecordBatch, schema: pa.Schema, place: str, row: int) -> pa.RecordBatch:
    """Return the columns of `schema`, in its order and types; equal types are not copied.

    Parameters
    ----------
    records
        Rows with those columns, or with the structs and lists that hold them; an absent column becomes null.
    schema
        The columns wanted.
    place, row
        The place of the rows, and the index of the first row in the stream; for messages.

    Raises
    ------
    RowError
        A value cannot be cast exactly to the wanted type.
    SchemaError
        No value of the column's type can.
    """
    columns = []
    for field, column in _wanted(records, schema):
        found = _cast(column, field, place)
        if found is None:
            bad = failing(column, field)[0]
            hint = "; --types reads the column as text" if not _is_text(field.type) else ""
            if pa.types.is_integer(field.type) and pa.types.is_floating(column.type):
                hint = "; for a target that is a quantity: --task regression"
            raise RowError(f"{place}, row {row + bad}: {_complaint(field, column, bad)[0]}{hint}")
        columns.append(found)
    return pa.record_batch(columns, schema=schema)


def cast_what_can_be(
    records: pa.RecordBatch, schema: pa.Schema, place: str
) -> tuple[pa.RecordBatch, list[tuple[int, str, bytes]]]:
    """Return the rows that can be cast, and for each other row its index, the reason, and the value."""
    bad: dict[int, tuple[str, bytes]] = {}
    for field, column in _wanted(records, schema):
        if _cast(column, field, place) is None:
            for row in failing(column, field):
                bad.setdefault(row, _complaint(field, column, row))
    good = np.setdiff1d(np.arange(records.num_rows), np.fromiter(bad, np.int64))
    return cast(records.take(pa.array(good)), schema, place, 0), [(row, *bad[row]) for row in sorted(bad)]


def _wanted(records: pa.RecordBatch, schema: pa.Schema) -> Iterator[tuple[pa.Field, pa.Array]]:
    names = set(columns_of(schema))
    pairs = zip(records.schema, records.columns, strict=True)
    found = dict(leaf for field, column in pairs for leaf in _columns(field.name, column, names))
    nothing = pa.nulls(records.num_rows)
    return ((field, _prepared(found.get(source_column(field), nothing), field)) for field in schema)


def _complaint(field: pa.Field, column: pa.Array, row: int) -> tuple[str, bytes]:
    value = str(column[row].as_py())
    name, how = source_column(field), notation(field)
    wanted = f"{field.type}" if how is None or not _is_text(column.type) else f"{field.type} written as {how.spec}"
    return (
        f"column {name!r}: {shorten(value)!r} ({column.type}) cannot be converted exactly to {wanted}",
        value.encode(),
    )


def _cast(column: pa.Array, field: pa.Field, place: str) -> pa.Array | None:
    """Cast one column; return None where a value cannot be cast."""
    if column.type == field.type:
        return column
    if (how := notation(field)) is not None and _is_text(column.type):
        column, is_bad = how.parse(column)
        if is_bad.any():
            return None
    # A feature may be rounded to a float; an integer column holds labels or counts, which must stay exact.
    is_rounded = pa.types.is_integer(column.type) and pa.types.is_floating(field.type)
    try:
        return column.cast(field.type, safe=not is_rounded)
    except pa.ArrowNotImplementedError as error:
        raise SchemaError(
            f"{place}: column {source_column(field)!r} is {column.type} and cannot be read as {field.type}"
        ) from error
    except pa.ArrowInvalid:
        return None


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
    if _is_of_ns(column.type) and wanted == _in_us(column.type):
        whole = np.floor_divide(np.from_dlpack(pc.fill_null(column.view(pa.int64()), 0)), 1_000)
        return pc.if_else(pc.is_valid(column), pa.array(whole).view(wanted), None)
    return column


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


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
