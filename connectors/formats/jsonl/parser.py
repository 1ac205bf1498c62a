"""Parse lines of JSON to typed columns with Arrow; lines of a block that Arrow refuses are decoded in Python.

A line is good if Arrow reads it, or if Python does; both give the same values. So it does not matter which other lines
are in its block.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from connectors.arrays import is_text
from connectors.errors import RowError, SchemaError
from connectors.fields import as_text
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.parser import BadRecord, Parsed
from connectors.formats.csv.plain_text import PlainText
from connectors.formats.csv.records import Positions, first_line, record_ends
from connectors.formats.jsonl.values import BadValueError, Number, convert, decode, find, physical
from connectors.null_words import WordSearch, without_words
from connectors.schemas import NOTHING, cast, cast_what_can_be

__all__ = ["LINES", "LineParser"]

LINES = Dialect(delimiter=",", quote="none")
"""The dialect in which a record is a line."""

_MINUS_ZERO = re.compile(rb"-0\s*[,}]")
_OPEN, _CLOSE, _LF, _CR = b"{}\n\r"


class LineParser:
    """Parse lines of one file into the wanted columns.

    Parameters
    ----------
    schema
        The columns wanted, each with its type; a key that a record lacks is null.
    name
        The file, for messages.
    null_values
        Strings that mean a missing value.
    names
        Returns the names of all columns of the file.

    Raises
    ------
    SchemaError
        A column is wanted both as a value and as an object.
    """

    def __init__(
        self, schema: pa.Schema, name: str, null_values: tuple[str, ...], names: Callable[[], list[str]]
    ) -> None:
        self._schema, self._name, self._null_values, self._names = schema, name, null_values, names
        self._physical = pa.schema([(field.name, physical(field.type)) for field in as_text(schema)])
        self._words = [null_values if is_text(field.type) else (*null_values, *NOTHING) for field in as_text(schema)]
        self._options = _options(self._physical, name)
        self._variants: dict[frozenset[str], tuple[pa.Schema, pj.ParseOptions]] = {}

    @cached_property
    def header(self) -> list[str]:
        """Names of all columns of the file."""
        return self._names()

    def parse(self, text: bytes, keeps_bad_rows: bool) -> Parsed:
        """Parse one or more whole lines; any thread may call this."""
        batch = self._read(text)
        if batch is not None:
            records, failed = self._typed(batch)
            if not failed:
                return Parsed(records, [], None, PlainText(text, LINES))
        ends = record_ends(text, is_last=True, dialect=LINES)
        starts = np.concatenate(([0], ends[:-1]))
        lines = [text[start:stop] for start, stop in zip(starts.tolist(), ends.tolist(), strict=True)]
        if batch is None:
            batch, rows, complaints = self._one_by_one(lines)
        else:
            rows, complaints = np.arange(len(ends)), {}
        records, failed = self._typed(batch)
        complaints |= {int(rows[at]): (kind, reason) for at, kind, reason in failed}
        kept = np.setdiff1d(rows, np.fromiter(complaints, np.int64))
        if complaints and not keeps_bad_rows:
            first = min(complaints)
            complaints, kept = {first: complaints[first]}, kept[kept < first]
            records = records.slice(0, len(kept))
        bad = [
            BadRecord(
                int(np.searchsorted(kept, line)),
                int(ends[line]) - len(lines[line].lstrip(b"\r\n")),
                int(ends[line]),
                *complaints[line],
            )
            for line in sorted(complaints)
        ]
        return Parsed(records, bad, ends[kept], PlainText(text, LINES))

    def refused(self, text: bytes, kind: str, reason: str) -> Parsed:
        """Return the result for text that is not a line."""
        start = len(text) - len(text.lstrip(b"\r\n"))
        records = pa.RecordBatch.from_pylist([], schema=self._schema)
        bad = BadRecord(0, start, len(text), kind, reason)
        return Parsed(records, [bad], np.empty(0, np.int64), PlainText(text, LINES))

    def _read(self, text: bytes) -> pa.RecordBatch | None:
        """Return whole lines as Arrow parses them, in physical types; None if one of them is unreadable."""
        n_lines = _count_objects(text)
        if n_lines is None or b"\0" in text:
            return None
        batch = self._arrow(text, self._physical, self._options)
        if batch is None and (integers := self._integers(text)):
            batch = self._with_integers(text, integers)
        # Several objects on one line are as many rows.
        return batch if batch is not None and batch.num_rows == n_lines else None

    def _arrow(self, text: bytes, columns: pa.Schema, options: pj.ParseOptions) -> pa.RecordBatch | None:
        read_options = pj.ReadOptions(use_threads=False, block_size=len(text) + 64)
        try:
            table = pj.read_json(pa.BufferReader(text), read_options=read_options, parse_options=options)
            batch = _flat(table.combine_chunks(), columns)
            batch.validate(full=True)  # Arrow reads strings that are not UTF-8
        except pa.ArrowInvalid:
            return None
        return batch

    def _integers(self, text: bytes) -> frozenset[str]:
        """Return the columns of strings that have an integer on the first line; such text is read faster."""
        first = text[: first_line(text) or len(text)]
        if _MINUS_ZERO.search(text):  # the only integer that would not keep its text
            return frozenset()
        found = set[str]()
        with contextlib.suppress(BadValueError):
            record = decode(first)
            for field in self._physical:
                value = find(record, field.name) if pa.types.is_string(field.type) else None
                if isinstance(value, Number) and value.removeprefix("-").isdigit():
                    found.add(field.name)
        return frozenset(found)

    def _with_integers(self, text: bytes, names: frozenset[str]) -> pa.RecordBatch | None:
        """Return lines in which some columns of strings hold integers alone, as text."""
        if names not in self._variants:
            types = [pa.int64() if field.name in names else field.type for field in self._physical]
            columns = pa.schema(list(zip(self._physical.names, types, strict=True)))
            self._variants[names] = columns, _options(columns, self._name)
        batch = self._arrow(text, *self._variants[names])
        return None if batch is None else batch.cast(self._physical)

    def _one_by_one(self, lines: list[bytes]) -> tuple[pa.RecordBatch, Positions, dict[int, tuple[str, str]]]:
        """Decode lines in Python; return the good ones, their numbers, and the problems of the others."""
        rows: list[int] = []
        values: list[list[object]] = [[] for _ in self._physical]
        complaints: dict[int, tuple[str, str]] = {}
        for number, line in enumerate(lines):
            if not line.strip():  # a line of blanks is not a record
                continue
            try:
                record = decode(line)
                found = [self._value(record, field) for field in self._physical]
            except BadValueError as error:
                alone = self._read(line)
                if alone is None:
                    complaints[number] = error.args[0], error.args[1]
                    continue
                found = [column[0].as_py() for column in alone.columns]
            rows.append(number)
            for column, value in zip(values, found, strict=True):
                column.append(value)
        arrays = [pa.array(column, field.type) for column, field in zip(values, self._physical, strict=True)]
        return pa.record_batch(arrays, schema=self._physical), np.array(rows, np.int64), complaints

    def word_search(self) -> WordSearch:
        """Return a search for the words for a missing value."""
        return WordSearch(self._null_values, ' \t":,[]{}')

    def _value(self, record: dict[str, Any], field: pa.Field) -> Any:
        """Return the value of a column in a record."""
        value = find(record, field.name)
        # A number is compared once it has its type.
        is_word = isinstance(value, str) and not isinstance(value, Number) and value in self._null_values
        return None if is_word else convert(value, field.name, field.type)

    def _typed(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, str, str]]]:
        """Return the rows that have the wanted types, and index, kind and reason of the others."""
        columns = [without_words(*pair) for pair in zip(batch.columns, self._words, strict=True)]
        batch = pa.record_batch(columns, schema=self._physical)
        try:
            return cast(batch, self._schema, self._name, 0), []
        except RowError:
            records, failed = cast_what_can_be(batch, self._schema, self._name)
            return records, [(value.row, value.kind, value.reason) for value in failed]


def _options(columns: pa.Schema, place: str) -> pj.ParseOptions:
    """Return how Arrow reads lines with these columns."""
    return pj.ParseOptions(
        explicit_schema=_nested(columns, place), newlines_in_values=False, unexpected_field_behavior="ignore"
    )


def _flat(table: pa.Table, wanted: pa.Schema) -> pa.RecordBatch:
    """Return the wanted columns of nested rows."""
    columns = []
    for field in wanted:
        found = _column(table, [field.name])
        if "." in field.name:
            nested = _column(table, field.name.split("."))
            found = pc.coalesce(found, nested) if nested.null_count < len(nested) else found
        columns.append(found)
    return pa.record_batch(columns, schema=wanted)


def _count_objects(text: bytes) -> int | None:
    """Return the number of lines if each begins and ends as an object does; otherwise None.

    Then no object reaches over two lines: between two objects in an array there is a comma.
    """
    buffer = np.frombuffer(text, np.uint8)
    is_end = buffer == _LF
    if b"\r" in text:
        is_end |= buffer == _CR
    breaks = np.flatnonzero(is_end)
    starts = np.concatenate(([0], breaks + 1))
    stops = np.append(breaks, len(text))
    is_filled = starts < stops
    starts, stops = starts[is_filled], stops[is_filled]
    is_whole = (buffer[starts] == _OPEN) & (buffer[stops - 1] == _CLOSE)
    return len(starts) if is_whole.all() else None


def _column(table: pa.Table, path: list[str]) -> pa.Array:
    """Return the values at a path; null where a part of it is missing."""
    here: pa.Array = table.column(path[0]).combine_chunks()
    for key in path[1:]:
        # `flatten` makes the fields of a missing object null.
        here = here.flatten()[here.type.get_field_index(key)]
    return here


def _nested(flat: pa.Schema, place: str) -> pa.Schema:
    """Return the columns with every name also as a path of objects, since a dot may be either."""
    tree: dict[str, object] = {}
    for field in flat:
        tree[field.name] = field.type
    for field in flat:
        *path, last = field.name.split(".")
        here = tree
        for key in path:
            below = here.setdefault(key, {})
            if not isinstance(below, dict):
                raise SchemaError(
                    f"{place}: column {field.name!r} is in an object, and {key!r} is a column of values too; leave one "
                    "of them out with --ignore"
                )
            here = below
        if path:
            here[last] = field.type
    return pa.schema([(name, _struct(below)) for name, below in tree.items()])


def _struct(below: object) -> pa.DataType:
    if not isinstance(below, dict):
        return below
    return pa.struct([(name, _struct(one)) for name, one in below.items()])
