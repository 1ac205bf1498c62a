"""Columns and types: one schema out of many files, columns that must be there, values cast exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from connectors.errors import RowError, SchemaError
from connectors.wording import nearest, shorten

__all__ = ["cast", "check_names", "plain", "require", "same_type", "unify"]

Merge = Callable[[pa.DataType, pa.DataType], pa.DataType | None]


def check_names(names: list[str], place: str) -> None:
    """Refuse columns that cannot be told apart, or have no name."""
    for index, name in enumerate(names):
        if not name.strip():
            raise SchemaError(f"{place}: column {index + 1} of {len(names)} has no name; name it in the file")
        if name in names[:index]:
            raise SchemaError(f"{place}: column {name!r} occurs twice; rename one of them in the file")


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the schema with dictionary-encoded columns as the type of their values, without metadata."""
    types = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    return pa.schema(list(zip(schema.names, types, strict=True)))


def same_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Merge two types of one column where files declare their types: equal, or one without any value."""
    if pa.types.is_null(first):
        return second
    return first if first == second or pa.types.is_null(second) else None


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
        Rows with at least those columns.
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
    columns = [_cast(records.column(field.name), field, place, row) for field in schema]
    return pa.record_batch(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field, place: str, row: int) -> pa.Array:
    """Cast one column; on failure name the first value that cannot be cast."""
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
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
