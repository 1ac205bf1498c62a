"""Columns and types: one schema out of many files, columns that must be there, values cast exactly.

A struct is its fields, ``place.city``; a list of a fixed size its elements, ``pixel[0]``; a dictionary its values.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import RowError, SchemaError
from connectors.wording import nearest, shorten

__all__ = ["cast", "check_names", "plain", "require", "stems", "unify", "wider_type"]

Merge = Callable[[pa.DataType, pa.DataType], pa.DataType | None]


def check_names(names: list[str], place: str) -> None:
    """Refuse columns that cannot be told apart, or have no name."""
    for index, name in enumerate(names):
        if not name.strip():
            raise SchemaError(f"{place}: column {index + 1} of {len(names)} has no name; name it in the file")
        if name in names[:index]:
            raise SchemaError(f"{place}: column {name!r} occurs twice; rename one of them in the file")


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the columns that rows of a schema are read as: no struct, no list of a fixed size, no dictionary."""
    return pa.schema([leaf for field in schema for leaf in _leaves(field.name, field.type)])


def stems(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    """Return the paths of what must be read for columns of `plain`: for the element of a list the whole of it."""
    return list(dict.fromkeys(name if name in schema.names else name.partition("[")[0] for name in names))


def _leaves(name: str, type_: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    if pa.types.is_dictionary(type_):
        yield name, type_.value_type
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from _leaves(f"{name}.{field.name}", field.type)
    elif pa.types.is_fixed_size_list(type_):
        for i in range(type_.list_size):
            yield from _leaves(f"{name}[{i}]", type_.value_type)
    else:
        yield name, type_


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
    schemas = [pa.schema([("", first)]), pa.schema([("", second)])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def unify(schemas: Iterable[tuple[str, pa.Schema]], merge: Merge) -> pa.Schema:
    """Return every column of every file, in order of appearance, with the type that fits them all.

    Parameters
    ----------
    schemas
        Name and schema of each file.
    merge
        The type that holds both of two types, or None where there is none.

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
            if merged is None:
                raise SchemaError(
                    f"{place}: column {field.name!r} is {field.type}, but {types[field.name]} in "
                    f"{owners[field.name]}; files of one stream must agree"
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
    for name in wanted.names:
        if name not in names:
            raise SchemaError(f"{place}: no column {name!r}{nearest(name, names)}")


def cast(records: pa.RecordBatch, schema: pa.Schema, place: str, row: int) -> pa.RecordBatch:
    """Return the columns of `schema`, in its order and types; equal types are not copied.

    Parameters
    ----------
    records
        Rows with at least those columns, or what they are part of.
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
    wanted = set(schema.names)
    found = dict(
        leaf
        for field, column in zip(records.schema, records.columns, strict=True)
        for leaf in _columns(field.name, column, wanted)
    )
    columns = [_cast(found[field.name], field, place, row) for field in schema]
    return pa.record_batch(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field, place: str, row: int) -> pa.Array:
    """Cast one column; on failure name the first value that cannot be cast."""
    if column.type == field.type:
        return column
    try:
        # A number that is learned from may be rounded; one that is counted, or a label, may not.
        is_rounded = pa.types.is_integer(column.type) and pa.types.is_floating(field.type)
        return column.cast(field.type, safe=not is_rounded)
    except pa.ArrowNotImplementedError as error:
        raise SchemaError(
            f"{place}: column {field.name!r} is {column.type} and cannot be read as {field.type}"
        ) from error
    except pa.ArrowInvalid as error:
        bad = _first_failure(column, field.type)
        value = shorten(str(column[bad].as_py()))
        raise RowError(
            f"{place}, row {row + bad}: column {field.name!r}: {value!r} ({column.type}) is not exactly a {field.type}"
        ) from error


def _first_failure(column: pa.Array, wanted: pa.DataType) -> int:
    """Return the index of the first value that does not cast, by halving: a prefix with none does cast."""
    good, bad = 0, len(column)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            column.slice(good, middle - good).cast(wanted)
        except pa.ArrowInvalid:
            bad = middle
        else:
            good = middle
    return good
