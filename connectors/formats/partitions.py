"""Columns from the names of folders, as Hive, Spark and DuckDB write them: ``year=2023/month=01/part-0.parquet``.

The columns of a file are those of the folders in its place, and of the partitions directly above the place. So one
partition, or one file of it, has the same columns as the whole. Keys and values are percent-decoded.
``__HIVE_DEFAULT_PARTITION__`` and an empty value are null. A column of whole numbers is int64, so ``01`` is 1. One of
ISO 8601 dates is date32; any other one is text. The type is decided over all files. If a file has a column of the same
name, the folder decides.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from urllib.parse import unquote

import pyarrow as pa

from connectors.errors import RowError, SchemaError, SourceError
from connectors.fields import source_column
from connectors.formats.base import FileChunk, FileFacts, FileReader, Format, Samples
from connectors.formats.file_cursor import FileIdentity
from connectors.schemas import cast, refuse_strangers
from connectors.stores.address import is_address
from connectors.stores.storage import Status
from connectors.suggestions import ignored

__all__ = ["PartitionColumns", "partition_values"]

_PARTITION = re.compile(r"([^=._][^=]*)=(.*)", re.DOTALL)
_NULL = ("__HIVE_DEFAULT_PARTITION__", "")
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def partition_values(name: str, root: str) -> dict[str, str | None]:
    """Return the columns that the folders of a file give it, as text; None is a missing value.

    Parameters
    ----------
    name
        The file.
    root
        The part of its name up to the folder of the place.

    Examples
    --------
    >>> partition_values("hive/year=2023/city=New%20York/a.csv", "hive/")
    {'year': '2023', 'city': 'New York'}
    """
    if is_address(name):
        above, below = root.rstrip("/").split("/"), name[len(root) :].split("/")[:-1]
        if name.startswith("http"):  # the names of its files are percent-encoded once more
            above, below = [unquote(one) for one in above], [unquote(one) for one in below]
    else:
        above = os.path.abspath(root or ".").split("/")  # noqa: PTH100 - must not resolve links
        below = name[len(root) :].split("/")[:-1]
    first = len(above)
    while first and _PARTITION.fullmatch(above[first - 1]):
        first -= 1
    values: dict[str, str | None] = {}
    for folder in (*above[first:], *below):
        if (match := _PARTITION.fullmatch(folder)) is None:
            continue
        key, value = unquote(match[1]), unquote(match[2])
        if key in values:
            raise SourceError(f"{name}: two folders of its path are named {key}=…; rename one of them")
        values[key] = None if value in _NULL else value
    return values


class PartitionColumns:
    """The columns from folder names, over all files of a source.

    Parameters
    ----------
    root
        The part of the names up to the folder of the place; ``None`` if each file is noted with its own.

    Attributes
    ----------
    types : dict
        Column name → type that fits the values noted so far.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = root
        self._roots: dict[str, str] = {}
        self._first: list[str] = []
        self.types: dict[str, pa.DataType] = {}

    def values(self, name: str) -> dict[str, str | None]:
        """Return the values for a file, by column, as text."""
        root = self._roots.get(name, self._root)
        if root is None or not {"=", "%"}.intersection(name + os.path.abspath(root)):  # noqa: PTH100 - as below
            return {}
        return partition_values(name, root)

    def note(self, name: str, root: str | None = None) -> None:
        """Take the values of a file into account for the types."""
        if root is not None and name not in self._roots:
            self._roots[name] = root
        for column, value in self.values(name).items():
            self.types[column] = _wider(self.types.get(column, pa.null()), _type_of(value))

    def wrap(self, inner: Format) -> Format:
        """Return a format that adds the columns; the format itself if there are none."""
        return _PartitionedFormat(inner, self) if self.types else inner

    def refuse_strangers(self, columns: list[str], name: str) -> None:
        """Refuse a file that shares no column with the first one, apart from those of the folders."""
        if not self._first:
            self._first = columns
        elif columns:
            refuse_strangers(self._first, columns, name)


def _type_of(value: str | None) -> pa.DataType:
    if value is None:
        return pa.null()
    if _WHOLE.fullmatch(value) and -(2**63) <= int(value) < 2**63:
        return pa.int64()
    if _DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            date.fromisoformat(value)
            return pa.date32()
    return pa.string()


def _wider(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if first == second or second == pa.null():
        return first
    return second if first == pa.null() else pa.string()


class _PartitionedFormat:
    """A format whose files also have the columns of their folders."""

    def __init__(self, inner: Format, columns: PartitionColumns) -> None:
        self.inner, self._columns = inner, columns
        self.name, self.guesses_types, self.is_text = inner.name, inner.guesses_types, inner.is_text

    def peek(self, name: str, samples: Samples | None = None) -> FileFacts:
        """Return facts about a file; its schema ends with the columns of all folders of the place."""
        facts = self.inner.peek(name, samples)
        if facts.schema is None:
            return facts
        here, types = self._columns.values(name), self._columns.types
        self._columns.refuse_strangers(facts.schema.names, name)
        own = [field for field in facts.schema if field.name not in here]
        added = [pa.field(column, type_) for column, type_ in types.items() if column not in {f.name for f in own}]
        said = [f"{_listed(list(types))} from the folder names"]
        if both := [column for column in facts.schema.names if column in here]:
            said.append(f"{_listed(both)} from the folder names; the values in the files are not read")
        return replace(facts, schema=pa.schema([*own, *added]), remarks=(*facts.remarks, *said))

    def infer(self, samples: Samples) -> pa.Schema:
        """Infer as the format of the files does."""
        return self.inner.infer(samples)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Merge as the format of the files does."""
        return self.inner.merge(first, second)

    def open(
        self,
        name: str,
        schema: pa.Schema,
        row: int,
        seen: FileIdentity | None,
        *,
        is_growing: bool = False,
        until: int | None = None,
    ) -> FileReader | None:
        """Open a file; the columns of its folders are not asked from it."""
        values = self._columns.values(name)
        given = [field for field in schema if source_column(field) in values]
        constants = {field.name: _constant(values[source_column(field)], field, name, row) for field in given}
        inner = pa.schema([field for field in schema if field.name not in constants])
        if not len(inner):
            inner = self._any_column(name)
        reader = self.inner.open(name, inner, row, seen, is_growing=is_growing, until=until)
        if reader is None:
            return None
        try:
            self._columns.refuse_strangers(list(reader.columns), name)
        except SchemaError:
            reader.close()
            raise
        return _PartitionedReader(reader, schema, constants, tuple(values))

    def _any_column(self, name: str) -> pa.Schema:
        """Return a column of the file, to count its rows where none of its own columns is wanted."""
        schema = self.inner.peek(name).schema
        if schema is None:
            return pa.schema([("", pa.string())])
        # Text can hold whatever is written there, so that no row is bad because of a column that is not wanted.
        return pa.schema([pa.field(schema.names[0], pa.string() if self.guesses_types else schema.types[0])])

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of a file's first rows."""
        return self.inner.head(name)

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Check that a file still holds what was read of it."""
        self.inner.compare(name, seen, may_grow=may_grow)


class _PartitionedReader(Iterator[FileChunk]):
    """An open file, whose chunks get constant columns."""

    def __init__(
        self, inner: FileReader, schema: pa.Schema, constants: Mapping[str, pa.Scalar], added: tuple[str, ...]
    ) -> None:
        self._inner, self._schema, self._constants, self._added = inner, schema, constants, added

    def __next__(self) -> FileChunk:
        chunk = next(self._inner)
        n_rows, found = chunk.records.num_rows, chunk.records
        arrays = [
            pa.repeat(self._constants[name], n_rows) if name in self._constants else found.column(name)
            for name in self._schema.names
        ]
        return replace(chunk, records=pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the file, and of its folders."""
        own = self._inner.columns
        return (*(name for name in own if name not in self._added), *self._added) if own else ()

    @property
    def whole(self) -> FileIdentity | None:
        """The identity that the file must keep."""
        return self._inner.whole

    @property
    def is_growing(self) -> bool:
        """Whether the file may still grow."""
        return self._inner.is_growing

    @property
    def has_rest(self) -> bool:
        """Whether the last record is incomplete."""
        return self._inner.has_rest

    @property
    def read_to(self) -> int:
        """Offset up to which the file was read."""
        return self._inner.read_to

    @property
    def is_rewritten(self) -> bool:
        """Whether the file was truncated and rewritten."""
        return self._inner.is_rewritten

    def identity(self) -> FileIdentity:
        """Return the identity of the part that was read."""
        return self._inner.identity()

    def status_now(self) -> Status:
        """Return the present status of the open file."""
        return self._inner.status_now()

    def settle(self, until: int | None) -> None:
        """Treat the file as complete."""
        self._inner.settle(until)

    def close(self) -> None:
        """Release the file."""
        self._inner.close()


def _constant(value: str | None, field: pa.Field, name: str, row: int) -> pa.Scalar:
    """Return the value of a column in a file, with the type that is wanted."""
    column = source_column(field)
    try:
        return cast(pa.record_batch({column: pa.array([value], pa.string())}), pa.schema([field]), name, row)[0][0]
    except RowError:
        raise RowError(
            f"{name}, row {row}: column {column!r}: expected {field.type}, found {value!r} in the name of its "
            f"folder; rename the folder, or leave the column out with {ignored(column)}"
        ) from None


def _listed(names: list[str]) -> str:
    """Return the begin of a sentence about columns: ``year and month are columns``."""
    head, last = ", ".join(names[:-1]), names[-1]
    return f"{head} and {last} are columns" if head else f"{last} is a column"
