"""Whole records of CSV text to typed columns, by Arrow; and where the first mistake is, when Arrow finds one.

An empty cell is null, whatever the type. In a number or truth value so are Arrow's usual words (NA, NaN, null …); in a
string they are strings: ``NA`` is Namibia.
"""

from __future__ import annotations

import csv
from concurrent.futures import Future
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.csv_records import count_fields, count_lines, count_records, record_ends
from connectors.csv_text import line_number
from connectors.errors import RowError, SchemaError
from connectors.schemas import check_names
from connectors.wording import shorten

__all__ = ["RecordParser", "infer_schema", "parse_header"]

# Arrow would cancel a parse at a signal: a job asked to stop would end with an error instead of a checkpoint.
pa.enable_signal_handlers(False)

_INFERRED = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.time32("s"))


def parse_header(text: bytes, name: str) -> list[str]:
    """Return the names of the columns from the first record of file `name`."""
    try:
        names = next(csv.reader([text.decode().strip("\r\n")], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{name}: the header cannot be read: {error}") from error
    check_names(names, name)
    return names


def infer_schema(text: bytes, header: list[str], name: str, offset: int) -> pa.Schema:
    """Return the type of each column, as far as these records tell.

    It is null, bool, int64, double, or string; or a date, a time or a timestamp, where they are written as in ISO 8601:
    other formats are too many to guess.
    """
    if not text:
        return pa.schema([(column, pa.null()) for column in header])
    try:
        found = _read(text, header, pacsv.ConvertOptions()).schema
    except pa.ArrowInvalid as error:
        schema = pa.schema([(column, pa.binary()) for column in header])
        raise RecordParser(header, schema, name).mistake(text, offset, row=None) from error
    return pa.schema([(field.name, _settled(field, text, header)) for field in found])


def _settled(field: pa.Field, text: bytes, header: list[str]) -> pa.DataType:
    """Return the type for records like these: of a timestamp, one with room for any year and for fractions."""
    if not pa.types.is_timestamp(field.type):
        return field.type if field.type in _INFERRED else pa.string()
    type_ = pa.timestamp("us", field.type.tz)
    try:
        _read(text, header, pacsv.ConvertOptions(column_types={field.name: type_}, include_columns=[field.name]))
    except pa.ArrowInvalid:  # it has fractions of nine digits
        return field.type
    return type_


class RecordParser:
    """Parse records of one file into the columns wanted.

    Parameters
    ----------
    header
        Names of the file's columns.
    schema
        The columns wanted, each with its type.
    name
        The file, for messages.

    Raises
    ------
    SchemaError
        Text cannot be read as one of the types.
    """

    def __init__(self, header: list[str], schema: pa.Schema, name: str) -> None:
        self._header, self._schema, self._name = header, schema, name
        for field in schema:
            self._probe(field)
        self._options = self._convert(list(schema))
        self._options_without_words = self._convert(list(schema))
        self._options_without_words.null_values = [""]

    def _probe(self, field: pa.Field) -> None:
        try:
            _read(b'""', [field.name], self._convert([field]))
        except pa.ArrowNotImplementedError as error:
            raise SchemaError(
                f"{self._name}: column {field.name!r} cannot be read from text as {field.type}"
            ) from error

    def _convert(self, wanted: list[pa.Field]) -> pacsv.ConvertOptions:
        names = [field.name for field in wanted]
        return pacsv.ConvertOptions(column_types={field.name: field.type for field in wanted}, include_columns=names)

    def parse(self, text: bytes) -> pa.Table:
        """Parse whole records, at least one, in any thread; an Arrow error where one of them does not parse."""
        # To compare every cell with the words for null takes a seventh of the time, and all of them have an n.
        may_have_words = b"n" in text or b"N" in text
        return _read(text, self._header, self._options if may_have_words else self._options_without_words)

    def records(
        self, table: Future[pa.Table], text: bytes, offset: int, row: int
    ) -> tuple[pa.RecordBatch | None, RowError | None]:
        """Return as rows what was parsed of a text.

        Parameters
        ----------
        table
            What came of it.
        text
            Whole records.
        offset, row
            Where they begin, in the file and in the stream; for messages.

        Returns
        -------
        rows : pa.RecordBatch or None
            Every record; or those before the first that does not parse, if there are any.
        error : RowError or None
            What is wrong with that one: too many or too few fields, or a cell that is not of its column's type.

        Raises
        ------
        RowError
            Arrow sees other records than there are.
        """
        try:
            return self._as_rows(table.result(), text, offset, row), None
        except pa.ArrowInvalid as cause:
            ends = record_ends(text, is_last=True)
            bad = self._first_failure(text, ends)
            error = self._mistake(text, ends, bad, offset, row)
            error.__cause__ = cause
        if not bad:
            return None, error
        good = text[: ends[bad - 1]]
        return self._as_rows(self.parse(good), good, offset, row), error

    def _as_rows(self, parsed: pa.Table, text: bytes, offset: int, row: int) -> pa.RecordBatch:
        # Lines are counted faster than records, and are as many where nothing is quoted and no line is blank.
        n_records = count_lines(text)
        if b'"' in text or b"\r" in text or n_records != parsed.num_rows:
            n_records = count_records(text, is_last=True)
        if parsed.num_rows != n_records:
            raise RowError(
                f"{self._name}, row {row} (byte {offset}): {n_records} records begin here, but Arrow parses "
                f"{parsed.num_rows}; look for stray quotes"
            )
        columns = [_empty_to_null(column.combine_chunks()) for column in parsed.columns]
        return pa.record_batch(columns, schema=self._schema)

    def mistake(self, text: bytes, offset: int, row: int | None) -> RowError:
        """Return the error that names the first record of `text` that does not parse, and what is wrong with it."""
        ends = record_ends(text, is_last=True)
        return self._mistake(text, ends, self._first_failure(text, ends), offset, row)

    def _mistake(self, text: bytes, ends: Any, bad: int, offset: int, row: int | None) -> RowError:
        start = int(ends[bad - 1]) if bad else 0
        record = text[start : ends[bad]]
        start += len(record) - len(record.lstrip(b"\r\n"))
        line = line_number(self._name, offset + start)
        where = f"line {line}" if row is None else f"row {row + bad} (line {line})"
        return RowError(f"{self._name}, {where}: {self._complaint(record)}")

    def _first_failure(self, text: bytes, ends: Any) -> int:
        """Return the index of the first bad record, by halving: records parse if and only if each of them does."""
        good, bad = 0, len(ends)
        while bad - good > 1:
            middle = (good + bad) // 2
            start = int(ends[good - 1]) if good else 0
            if self._fails(text[start : ends[middle - 1]], list(self._schema)):
                bad = middle
            else:
                good = middle
        return good

    def _fails(self, text: bytes, wanted: list[pa.Field]) -> bool:
        try:
            _read(text, self._header, self._convert(wanted))
        except pa.ArrowInvalid:
            return True
        return False

    def _complaint(self, record: bytes) -> str:
        """Say what is wrong with one record."""
        field = next((field for field in self._schema if self._fails(record, [field])), self._schema.field(0))
        try:
            as_bytes = self._convert([pa.field(field.name, pa.binary())])
            cell = _read(record, self._header, as_bytes).column(0)[0].as_py()
        except pa.ArrowInvalid:
            return f"expected {len(self._header)} fields, found {count_fields(record)}: {_readable(record)!r}"
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            return f"column {field.name!r}: {_readable(cell)!r} is not valid UTF-8"
        return f"column {field.name!r}: expected {field.type}, found {_readable(cell)!r}"


def _read(text: bytes, header: list[str], convert: pacsv.ConvertOptions) -> pa.Table:
    """Parse in one piece and one thread, so that nothing is cut but by us."""
    return pacsv.read_csv(
        pa.py_buffer(text),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=convert,
    )


def _empty_to_null(column: pa.Array) -> pa.Array:
    """Let what is empty be null, by a new bitmap: a scalar would make Arrow import pandas, if that is installed."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    is_filled = np.from_dlpack(pc.binary_length(column)) > 0
    if is_filled.all():
        return column
    bitmap = pa.py_buffer(np.packbits(is_filled, bitorder="little"))
    _, offsets, text = column.buffers()
    return pa.Array.from_buffers(column.type, len(column), [bitmap, offsets, text])


def _readable(text: bytes) -> str:
    return shorten(text.decode(errors="backslashreplace").strip("\r\n"))
