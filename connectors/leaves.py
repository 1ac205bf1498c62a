"""Columns of nested and special types: the plain columns that they are read as, and their values.

| type                                              | read as                                       |
|---------------------------------------------------|-----------------------------------------------|
| string, large_string, string_view                 | string                                        |
| binary, large_binary, binary_view                 | binary                                        |
| dictionary, run-end encoded                       | its values                                    |
| UUID                                              | text such as ``0a1b2c3d-…``, in lower case    |
| another extension type                            | the type that it is stored as                 |
| struct                                            | one column for each field: ``place.city``     |
| list of a fixed size                              | one column for each element: ``pixel[0]``     |
| list of numbers, all of one length at the start   | one column for each element                   |
| anything else                                     | itself                                        |

A schema notes the lengths of such lists in its metadata, and for each column whether it is the index of a data frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "FIRST_ROWS",
    "Leaf",
    "are_row_numbers",
    "are_simple",
    "index_columns",
    "is_index",
    "is_number",
    "is_simple",
    "leaves",
    "list_lengths",
    "lists_to_measure",
    "lists_wanted",
    "mark_index",
    "n_stored",
    "note_lengths",
    "noted_lengths",
    "parts_of",
    "plain",
    "plain_type",
    "wrong_lengths",
]

FIRST_ROWS = 256
"""Rows that the lengths of lists are taken from; a fixed number, so that the cut into blocks does not matter."""

_INDEX = b"index"
_LENGTHS = b"list_lengths"
_STEPS = 0.9  # share of numbers that follow the one before
_ELEMENT = re.compile(r"\[(\d+)\]")

Lengths = Mapping[str, int]

_SIMPLE = frozenset(
    type_.id
    for type_ in (
        *(pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
        *(pa.string(), pa.binary(), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us")),
        *(pa.timestamp("us"), pa.duration("us"), pa.decimal128(1), pa.decimal256(1)),
    )
)


_NUMBERS = frozenset(type_.id for type_ in (pa.bool_(), pa.int32(), pa.int64(), pa.float32(), pa.float64()))


def is_number(type_: pa.DataType) -> bool:
    """Return whether a type is one of the usual types of numbers, whose values need no look; this is fast."""
    return type_.id in _NUMBERS


def is_simple(type_: pa.DataType) -> bool:
    """Return whether a column of a type is one plain column of that type; this is fast."""
    return type_.id in _SIMPLE


def are_simple(schema: pa.Schema) -> bool:
    """Return whether all columns are plain already: then no list, struct or special type need be looked for."""
    return all(type_.id in _SIMPLE for type_ in schema.types)


class Leaf(NamedTuple):
    """A plain column that a column expands to.

    Attributes
    ----------
    name, type
        Its name and type.
    stored
        The numbers of the columns of a Parquet file that hold it. Of a list, all its columns are needed.
    """

    name: str
    type: pa.DataType
    stored: range


def plain(schema: pa.Schema, lengths: Lengths | None = None) -> pa.Schema:
    """Return the columns that rows of a schema are read as.

    Parameters
    ----------
    schema
        Columns with different names.
    lengths
        By name, the lengths of lists that become one column for each element.
    """
    lengths = lengths or {}
    index = {*index_columns(schema)}
    if not index and are_simple(schema):
        return pa.schema(zip(schema.names, schema.types, strict=True))
    fields: dict[str, pa.Field] = {}
    at = 0
    for field in schema:
        for leaf in _leaves(field.name, field.type, at, None, lengths):
            # Of a column "a.b" and a field b of a struct "a", the first one has the name.
            if leaf.name not in fields:
                found = pa.field(leaf.name, leaf.type)
                fields[leaf.name] = mark_index(found) if field.name in index else found
        at += n_stored(field.type)
    return note_lengths(pa.schema(fields.values()), lengths)


def leaves(schema: pa.Schema, lengths: Lengths) -> dict[str, Leaf]:
    """Return the plain columns of a schema by name."""
    if are_simple(schema):
        pairs = zip(schema.names, schema.types, strict=True)
        return {name: Leaf(name, type_, range(at, at + 1)) for at, (name, type_) in enumerate(pairs)}
    found: dict[str, Leaf] = {}
    at = 0
    for field in schema:
        for leaf in _leaves(field.name, field.type, at, None, lengths):
            found.setdefault(leaf.name, leaf)
        at += n_stored(field.type)
    return found


def note_lengths(schema: pa.Schema, lengths: Lengths) -> pa.Schema:
    """Return a schema that notes the lengths of lists in its metadata."""
    return schema.with_metadata({_LENGTHS: json.dumps(dict(lengths))}) if lengths else schema


def noted_lengths(schema: pa.Schema) -> dict[str, int]:
    """Return the lengths of lists that a schema notes."""
    note = (schema.metadata or {}).get(_LENGTHS)
    return {} if note is None else {name: int(n) for name, n in json.loads(note).items()}


def lists_wanted(wanted: pa.Schema) -> dict[str, int]:
    """Return the lengths of lists: those noted in the schema, and those of lists with an element that is wanted.

    A length that is not noted follows from the last element that is wanted.
    """
    found: dict[str, int] = {}
    for name in wanted.names:
        for match in _ELEMENT.finditer(name) if "[" in name else ():
            stem = name[: match.start()]
            found[stem] = max(found.get(stem, 0), int(match[1]) + 1)
    return found | noted_lengths(wanted)


def index_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that pandas wrote as the index of a data frame; none for an index of row numbers."""
    if not (metadata := schema.metadata) or b"pandas" not in metadata:
        return []
    try:
        found = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        return []
    names = set(schema.names)
    return [name for name in found if isinstance(name, str) and name in names] if isinstance(found, list) else []


def mark_index(field: pa.Field) -> pa.Field:
    """Return a column marked as the index of a data frame; it is a feature only if a setting names it."""
    return field.with_metadata({**(field.metadata or {}), _INDEX: b"1"})


def is_index(field: pa.Field) -> bool:
    """Return whether a column is marked as the index of a data frame."""
    return _INDEX in (field.metadata or {})


def are_row_numbers(column: pa.Array) -> bool:
    """Return whether whole numbers can be those of rows: none is missing or negative, and none occurs twice.

    Numbers that begin again, such as those of frames that were written one after the other, are row numbers too.
    """
    if not pa.types.is_integer(column.type) or column.null_count or len(column) < 2:
        return False
    numbers = np.from_dlpack(column)
    steps = np.count_nonzero(np.diff(numbers) == 1)
    return bool(numbers.min() >= 0 and (len(np.unique(numbers)) == len(numbers) or steps >= _STEPS * len(numbers)))


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type that values of a type are read as, if these are neither structs nor lists."""
    if type_.id in _SIMPLE:
        return type_
    if isinstance(type_, pa.BaseExtensionType):
        return _EXTENSIONS.get(type_.extension_name) or plain_type(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return plain_type(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    return type_


_EXTENSIONS = {"arrow.uuid": pa.string(), "arrow.bool8": pa.bool_()}


def _storage(type_: pa.DataType) -> pa.DataType:
    """Return the type that an extension type is stored as, if it is read as that; otherwise the type itself."""
    while isinstance(type_, pa.BaseExtensionType) and type_.extension_name not in _EXTENSIONS:
        type_ = type_.storage_type
    return type_


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_binary(type_))


def _leaves(name: str, type_: pa.DataType, at: int, whole: range | None, lengths: Lengths) -> Iterator[Leaf]:
    """Yield the columns that a column expands to; its first stored column is `at`, unless all of `whole` is needed."""
    type_ = _storage(type_)
    if pa.types.is_struct(type_):
        for field in type_:
            yield from _leaves(f"{name}.{field.name}", field.type, at, whole, lengths)
            at += n_stored(field.type)
    elif pa.types.is_fixed_size_list(type_) or (_is_list(type_) and name in lengths):
        # Parquet can read a single field of a struct, but only a whole list.
        whole, inner = whole or range(at, at + n_stored(type_)), type_.value_type
        elements = range(type_.list_size if pa.types.is_fixed_size_list(type_) else lengths[name])
        if is_simple(inner):
            yield from (Leaf(f"{name}[{i}]", inner, whole) for i in elements)
            return
        for i in elements:
            yield from _leaves(f"{name}[{i}]", inner, at, whole, lengths)
    else:
        yield Leaf(name, plain_type(type_), whole or range(at, at + n_stored(type_)))


def n_stored(type_: pa.DataType) -> int:
    """Return the number of columns of a Parquet file that hold a column."""
    if type_.id in _SIMPLE:
        return 1
    if isinstance(type_, pa.BaseExtensionType):
        return n_stored(type_.storage_type)
    if pa.types.is_struct(type_):
        return sum(n_stored(field.type) for field in type_)
    if pa.types.is_map(type_):
        return n_stored(type_.key_type) + n_stored(type_.item_type)
    if pa.types.is_nested(type_) and not pa.types.is_run_end_encoded(type_) and not pa.types.is_dictionary(type_):
        return sum(n_stored(type_.field(i).type) for i in range(type_.num_fields))
    return 1


def lists_to_measure(schema: pa.Schema, known: Container[str] = ()) -> list[str]:
    """Return the names of the lists whose length is not in their type."""
    if are_simple(schema):
        return []
    return [name for field in schema for name, _ in _lists(field.name, field.type, None) if name not in known]


def list_lengths(first: Iterable[pa.RecordBatch], names: Collection[str]) -> dict[str, int]:
    """Return the lengths of lists that are equal in the first rows; a list that varies there has none.

    Parameters
    ----------
    first
        The first `FIRST_ROWS` rows, or more.
    names
        The lists, as `lists_to_measure` returns them.
    """
    found: dict[str, set[int]] = {}
    n_left = FIRST_ROWS
    for records in first:
        part = records.slice(0, n_left)
        n_left -= part.num_rows
        for field, column in zip(part.schema, part.columns, strict=True):
            for name, values in _lists(field.name, field.type, column):
                if name in names and values is not None:
                    found.setdefault(name, set()).update(
                        pc.unique(pc.list_value_length(values).drop_null()).to_pylist()
                    )
        if n_left <= 0:
            break
    return {name: n for name, (n, *others) in found.items() if not others and n}


def _lists(name: str, type_: pa.DataType, column: pa.Array | None) -> Iterator[tuple[str, pa.Array | None]]:
    """Yield the name and the values of each list in a column, whose length is not in its type."""
    type_ = _storage(type_)
    if pa.types.is_struct(type_):
        children = _bare(column).flatten() if column is not None else [None] * type_.num_fields
        for field, child in zip(type_, children, strict=True):
            yield from _lists(f"{name}.{field.name}", field.type, child)
    elif _is_list(type_) and is_simple(type_.value_type) and not _is_text(type_.value_type):
        # Lists of words, such as tags, differ in length sooner or later; they stay lists.
        yield name, None if column is None else _bare(column)


def _bare(column: pa.Array) -> pa.Array:
    """Return an array of an extension type as it is stored."""
    while isinstance(column, pa.ExtensionArray) and column.type.extension_name not in _EXTENSIONS:
        column = column.storage
    return column


def parts_of(name: str, column: pa.Array, wanted: Container[str], lengths: Lengths) -> Iterator[tuple[str, pa.Array]]:
    """Yield the wanted parts of a column; where a struct or a list is null, all its parts are null."""
    column = _bare(column)
    type_ = column.type
    if pa.types.is_struct(type_):
        for field, child in zip(type_, column.flatten(), strict=True):
            yield from parts_of(f"{name}.{field.name}", child, wanted, lengths)
    elif pa.types.is_fixed_size_list(type_) or (_is_list(type_) and name in lengths):
        for i in range(type_.list_size if pa.types.is_fixed_size_list(type_) else lengths[name]):
            yield from parts_of(f"{name}[{i}]", pc.list_element(column, i), wanted, lengths)
    elif name in wanted:
        yield name, column


def wrong_lengths(records: pa.RecordBatch, lengths: Lengths) -> dict[int, tuple[str, int, int]]:
    """Return, for each row with a list of another length, the name of the list and the lengths expected and found."""
    wrong: dict[int, tuple[str, int, int]] = {}
    if not lengths:
        return wrong
    for field, column in zip(records.schema, records.columns, strict=True):
        for name, values in _lists(field.name, field.type, column):
            if (n := lengths.get(name)) is None or values is None:
                continue
            found = pc.list_value_length(values)
            differs = pc.fill_null(pc.not_equal(found, n), False)
            for row in np.flatnonzero(np.from_dlpack(differs.cast(pa.uint8()))).tolist():
                wrong.setdefault(row, (name, n, found[row].as_py()))
    return wrong
