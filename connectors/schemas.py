"""Columns and types: name the columns, merge the schemas of files, require columns.

`leaves` says which columns nested and special types become, and `casting` converts their values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa

from connectors.casting import NOTHING, bounded, cast, cast_what_can_be, failing, failures, in_us, is_of_ns
from connectors.errors import SchemaError
from connectors.fields import columns_of
from connectors.leaves import (
    are_simple,
    index_columns,
    is_index,
    list_lengths,
    lists_to_measure,
    mark_index,
    note_lengths,
    noted_lengths,
    plain,
    plain_type,
)
from connectors.suggestions import ignored, nearest

__all__ = [
    "NOTHING",
    "bounded",
    "cast",
    "cast_what_can_be",
    "doubt",
    "doubtful",
    "exception",
    "failing",
    "failures",
    "is_among",
    "is_index",
    "like",
    "mark_index",
    "plain",
    "plain_columns",
    "refuse_strangers",
    "require",
    "tell_apart",
    "unify",
    "unique_names",
    "wider_type",
    "with_exception",
]

_DOUBT, _EXCEPTION = b"doubt", b"exception"

Merge = Callable[[pa.DataType, pa.DataType], pa.DataType | None]


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
    if len(set(names)) == len(names) and all(map(str.strip, names)):
        return list(names), []
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


def tell_apart(schema: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """Return a schema with unique names, and a line about each kind of change; see `unique_names`."""
    names, remarks = unique_names(schema.names)
    if not remarks:
        return schema, []
    fields = [field.with_name(name) for field, name in zip(schema, names, strict=True)]
    return pa.schema(fields, schema.metadata), remarks


def plain_columns(
    schema: pa.Schema,
    first_rows: Callable[[list[str]], Iterable[pa.RecordBatch]],
    known: dict[str, int | None] | None = None,
) -> tuple[pa.Schema, list[str]]:
    """Return the plain columns of a place with typed columns, and lines for `FileFacts.remarks`.

    Parameters
    ----------
    schema
        The columns as they are stored. Metadata of pandas says which of them are an index.
    first_rows
        Returns the first rows, from the names of the lists that they must hold; called only if there are such lists.
    known
        By list, the length in an earlier file, or None if it varies there. New lengths are added.
    """
    named, remarks = tell_apart(schema)
    index = index_columns(named)
    if not index and are_simple(named):  # nearly always, and fast
        return pa.schema(zip(named.names, named.types, strict=True)), remarks
    known = {} if known is None else known
    lists = lists_to_measure(named)
    if new := [name for name in lists if name not in known]:
        found = list_lengths(first_rows(new), new)
        known |= {name: found.get(name) for name in new}
    lengths = {name: n for name in lists if (n := known[name]) is not None}
    lines = [f"column {name!r} is the index of a data frame" for name in index]
    return plain(named, lengths), [*remarks, *(f"{line}; it is left out unless --features names it" for line in lines)]


def like(wanted: pa.Schema, source: pa.Schema) -> pa.Schema:
    """Return wanted columns with the notes about lists in the schema of their source."""
    return note_lengths(wanted, noted_lengths(source) | noted_lengths(wanted))


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


def wider_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of two types; None if they are of different kinds."""
    if first == second or (first := plain_type(first)) == (second := plain_type(second)):
        return first
    if is_of_ns(first) != is_of_ns(second) and type(first) is type(second):
        # Nanoseconds end in the year 2262, and files often write a later year for "never expires".
        first, second = (in_us(type_) if is_of_ns(type_) else type_ for type_ in (first, second))
    schemas = [pa.schema([("", first)]), pa.schema([("", second)])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


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
        Two files disagree on the type of a column, or on the length of a list.
    """
    types: dict[str, pa.DataType] = {}
    said: dict[str, Any] = {}
    index: set[str] = set()
    owners: dict[str, str] = {}
    schemas = list(schemas)
    lengths = _common_lengths(schemas, ignore)
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
            # What a file says of its column holds only while the type stays; an index stays one.
            note = field.metadata
            if merged == types[field.name]:
                said[field.name] = said.get(field.name) or note
            else:
                said[field.name] = note if merged == field.type else None
            types[field.name] = merged
            if note and is_index(field) and owners[field.name] == place:
                index.add(field.name)
    if not any(said.values()) and not lengths and not index:  # nearly always, and fast
        return pa.schema(list(types.items()))
    found = pa.schema([pa.field(name, type_, metadata=said[name]) for name, type_ in types.items()])
    for i in sorted(map(found.get_field_index, index)):
        found = found.set(i, mark_index(found.field(i)))
    return note_lengths(found, lengths)


def _common_lengths(schemas: Iterable[tuple[str, pa.Schema]], ignore: Collection[str]) -> dict[str, int]:
    """Return the lengths of lists, in which all files must agree."""
    lengths: dict[str, tuple[str, int]] = {}
    for place, schema in schemas:
        for name, n in noted_lengths(schema).items():
            owner, expected = lengths.setdefault(name, (place, n))
            if n != expected and not is_among(name, ignore):
                what = f"column {name!r} has lists of {n} values here, but of {expected} in {owner}"
                raise SchemaError(f"{place}: {what}; all files must agree, or leave it out with {ignored(name)}")
    return {name: n for name, (_, n) in lengths.items()}


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
