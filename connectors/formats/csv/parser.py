"""Whole records of CSV text to typed columns, by Arrow; and where the first mistake is, when Arrow finds one.

An empty cell is null, whatever the type; so is a word that the dialect names. In a number or truth value so are blanks,
and Arrow's usual words (NA, NaN, null …); in a string they are strings: ``NA`` is Namibia.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.errors import RowError, SchemaError
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.records import Positions, count_fields, count_lines, misquoted, record_ends
from connectors.schemas import NOTHING, check_names, doubtful, failures
from connectors.suggestions import shorten

__all__ = ["BadRecord", "Parsed", "RecordParser", "infer_schema", "parse_header", "readable"]

# Arrow would cancel a parse at a signal: a job asked to stop would end with an error instead of a checkpoint.
pa.enable_signal_handlers(False)

_INFERRED = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.time32("s"))
_BOM = b"\xef\xbb\xbf"
_MOST = 0.99  # of the cells with a value; the rest are mistakes then
_MANY = 0.5  # of them that are numbers: most words are none then, or mean nothing
_BLANKS = (*(" " * n for n in range(1, 17)), "\t")
_NUMBER = r"-?[0-9]{1,17}"
_DECIMAL = r"[+-]?(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_ZONE = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
# What a column of words is, if nearly all of its cells are so; the first that fits. See `_written` for the mark.
_LIKELY = (
    (pa.bool_(), "true|false"),
    (pa.int64(), _NUMBER),
    (pa.float64(), _DECIMAL),
    (pa.date32(), _DAY),
    (pa.time32("s"), "[0-9]{2}:[0-9]{2}(?::[0-9]{2})?"),
    (pa.timestamp("us"), f"{_DAY}(?:[ T]{_HOUR})?"),
    (pa.timestamp("ns"), f"{_DAY}(?:[ T]{_HOUR})?"),
    (pa.timestamp("us", "UTC"), f"{_DAY}[ T]{_HOUR}{_ZONE}"),
    (pa.timestamp("ns", "UTC"), f"{_DAY}[ T]{_HOUR}{_ZONE}"),
)
# What certainly is of a type.
_PLAIN = (
    (pa.types.is_int64, _NUMBER),
    (pa.types.is_floating, r"-?[0-9]{1,17}(?:{mark}[0-9]{1,17})?"),
    (pa.types.is_boolean, "true|false"),
)


def parse_header(text: bytes, name: str, dialect: Dialect) -> list[str]:
    """Return the names of the columns from the first record of file `name`; one without is called by its number."""
    quoting = {"quoting": csv.QUOTE_NONE} if not dialect.quote_byte else {"quotechar": dialect.quote_byte.decode()}
    try:
        line = text.decode().strip("\r\n")
        names = next(csv.reader([line], delimiter=dialect.delimiter or ",", strict=True, **quoting))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{name}: the header cannot be read: {error}") from error
    numbered = [f"column {number}" for number in range(1, len(names) + 1)]
    # As tables write the numbers of their rows, and what ends each line with a delimiter. A name that is taken is none.
    names = [
        number if not called.strip() and number not in names else called
        for called, number in zip(names, numbered, strict=True)
    ]
    check_names(names, name)
    return names


def infer_schema(text: bytes, header: list[str], dialect: Dialect) -> pa.Schema:
    """Return the type of each column, as far as these records tell; those that cannot be read tell nothing.

    It is null, bool, int64, double, or string; or a date, a time or a timestamp, where they are written as in ISO 8601:
    other formats are too many to guess. A column of numbers remains one where a word in a hundred stands among them;
    that of one with more carries a `schemas.doubt`.
    """
    as_bytes = pa.schema([(column, pa.binary()) for column in header])
    good = RecordParser(header, as_bytes, "", dialect).good(text)
    if not good:
        return pa.schema([(column, pa.null()) for column in header])
    found = _read(good, header, _convert([], dialect, NOTHING), dialect)
    # What a column is to be is asked of the text of it alone: to parse all the text again takes as long for each of
    # them as for all.
    moments = [pa.field(field.name, pa.string()) for field in found.schema if pa.types.is_timestamp(field.type)]
    words = _read(good, header, _convert(moments, dialect), dialect) if moments else found
    as_words = {field.name for field in moments}
    alone = replace(dialect, delimiter=";", quote='"')  # see `_alone`
    return pa.schema(
        [
            _settled(field, words[field.name] if field.name in as_words else column, alone)
            for field, column in zip(found.schema, found.columns, strict=True)
        ]
    )


def _settled(found: pa.Field, words: pa.ChunkedArray, dialect: Dialect) -> pa.Field:
    """Return the column of records like these: of a timestamp, one with room for any year and for fractions."""
    if found.type in _INFERRED:
        return found
    if pa.types.is_timestamp(found.type):
        finer = pa.timestamp("us", found.type.tz)
        try:
            _read(_alone(words), [""], _convert([pa.field("", finer)], dialect, NOTHING), dialect)
        except pa.ArrowInvalid:  # it has fractions of nine digits
            return found
        return found.with_type(finer)
    if not pa.types.is_string(found.type):
        return found.with_type(pa.string())
    has_value, is_number = _has_value(words, dialect), _is_like(words, _DECIMAL, dialect)
    n_values = pc.sum(has_value).as_py() or 0
    for type_, pattern in _LIKELY:
        is_like = is_number if pattern is _DECIMAL else _is_like(words, pattern, dialect)
        if (pc.sum(is_like).as_py() or 0) >= _MOST * n_values:
            # What looks like it may yet be none: a moment beyond the years of its unit, a truth value between blanks.
            parser = RecordParser([""], pa.schema([("", type_)]), "", dialect)
            if parser.n_bad(_alone(words)) <= (1 - _MOST) * n_values:
                return found.with_type(type_)
    return _doubted(found, words, has_value, is_number)


def _doubted(
    found: pa.Field, words: pa.ChunkedArray, has_value: pa.ChunkedArray, is_number: pa.ChunkedArray
) -> pa.Field:
    """Return a column of words, with a doubt if most of those that are values are numbers."""
    n_values, n_numbers = (pc.sum(those).as_py() or 0 for those in (has_value, pc.and_(has_value, is_number)))
    if n_numbers < _MANY * n_values or n_numbers in {0, n_values}:
        return found
    word = words.filter(pc.and_not(has_value, is_number))[0].as_py()
    return doubtful(
        found,
        f"column {found.name!r} is taken for categories, though {n_numbers / n_values:.0%} of its cells are numbers; "
        f"others are like {shorten(word)!r}: --null-values says that such a word means nothing, --numeric that all are "
        "numbers",
    )


def _alone(words: pa.ChunkedArray) -> bytes:
    """Return records of one column, each in quotes."""
    text = io.BytesIO()
    pacsv.write_csv(pa.table({"": words}), text, pacsv.WriteOptions(include_header=False))
    return text.getvalue()


def _has_value(words: pa.ChunkedArray, dialect: Dialect) -> pa.ChunkedArray:
    """Tell which of some words are not such as mean that there is nothing."""
    return pc.invert(pc.match_substring_regex(words, _nothing(dialect.null_values)))


@lru_cache(maxsize=256)
def _nothing(null_values: tuple[str, ...]) -> str:
    """Return the pattern of what means that there is nothing: once, and not for each column."""
    return "^(?:" + "|".join(map(re.escape, (*NOTHING, *_BLANKS, *null_values))) + ")$"


def _is_like(words: pa.ChunkedArray, pattern: str, dialect: Dialect) -> pa.ChunkedArray:
    """Tell which of some words are as a pattern says, but for blanks."""
    return pc.match_substring_regex(words, rf"^\s*(?:{_marked(pattern, dialect.decimal)})\s*$")


@lru_cache(maxsize=256)
def _marked(pattern: str, decimal: str) -> str:
    """Return a pattern with the decimal mark that numbers are written with."""
    return pattern.replace("{mark}", re.escape(decimal))


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read.

    Attributes
    ----------
    row
        Good ones before it, in its text.
    start, stop
        Where its bytes stand there.
    kind, reason
        See `connectors.notes.BadRow`.
    """

    row: int
    start: int
    stop: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of some text: its rows, and the records that are none.

    Attributes
    ----------
    records
        The rows.
    bad
        What cannot be read; the first of it alone, where that ends the rows.
    ends
        Where each row ends; ``None`` where every record is a row.
    dialect
        How the text is cut.
    """

    records: pa.RecordBatch
    bad: list[BadRecord]
    ends: Positions | None
    dialect: Dialect

    def end(self, text: bytes, n: int) -> int:
        """Return where row n - 1 ends in the text."""
        ends = record_ends(text, is_last=True, dialect=self.dialect) if self.ends is None else self.ends
        return int(ends[n - 1])


class RecordParser:
    """Parse records of one file into the columns wanted.

    Parameters
    ----------
    header
        Names of the file's columns.
    schema
        The columns wanted, each with its type; one that the file lacks is null.
    name
        The file, for messages.
    dialect
        How it is written.

    Raises
    ------
    SchemaError
        Text cannot be read as one of the types.
    """

    def __init__(self, header: list[str], schema: pa.Schema, name: str, dialect: Dialect) -> None:
        self.header, self._schema, self._name, self._dialect = header, schema, name, dialect
        for field in schema:
            try:
                _probe(field.type, dialect)
            except pa.ArrowNotImplementedError as error:
                raise SchemaError(f"{name}: column {field.name!r} cannot be read from text as {field.type}") from error
        self._options = _convert(schema, dialect)
        self._options_without_blanks = _convert(schema, dialect, NOTHING)
        self._options_without_words = _convert(schema, dialect, ("",))

    def parse(self, text: bytes, keeps_bad_rows: bool) -> Parsed:
        """Parse whole records, at least one, in any thread.

        Parameters
        ----------
        text
            The records.
        keeps_bad_rows
            Whether rows that follow one which cannot be read are wanted.
        """
        table = self._table(text)
        if table is not None:
            return Parsed(self._as_rows(table), [], None, self._dialect)
        ends = record_ends(text, is_last=True, dialect=self._dialect)
        complaints = self._complaints(text, ends)
        if not keeps_bad_rows and complaints:
            first = next(iter(complaints))
            complaints, stop = {first: complaints[first]}, first
        else:
            stop = len(ends)
        kept = np.setdiff1d(np.arange(stop), np.fromiter(complaints, np.int64))
        bad = []
        for record, (kind, reason) in complaints.items():
            start, end = self._span(text, ends, record)
            bad.append(BadRecord(int(np.searchsorted(kept, record)), start, end, kind, reason))
        return Parsed(self._rows(text, ends, kept), bad, ends[kept], self._dialect)

    def refused(self, text: bytes, kind: str, reason: str) -> Parsed:
        """Return what comes of text that is no record."""
        start = len(text) - len(text.lstrip(b"\r\n"))
        none = np.empty(0, np.int64)
        bad = BadRecord(0, start, len(text), kind, reason)
        return Parsed(self._rows(text, none, none), [bad], none, self._dialect)

    def good(self, text: bytes) -> bytes:
        """Return the records that can be read."""
        if not text or self._table(text) is not None:
            return text
        ends = record_ends(text, is_last=True, dialect=self._dialect)
        bad = np.fromiter(self._complaints(text, ends), np.int64)
        return self._joined(text, ends, np.setdiff1d(np.arange(len(ends)), bad))

    def n_bad(self, text: bytes) -> int:
        """Return how many records cannot be read."""
        if self._table(text) is not None:
            return 0
        return len(self._complaints(text, record_ends(text, is_last=True, dialect=self._dialect)))

    def _rows(self, text: bytes, ends: Positions, which: Positions) -> pa.RecordBatch:
        """Parse some of the records, all of which can be read."""
        if not len(which):
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        table = self._table(self._joined(text, ends, which))
        if table is None:
            raise RowError(f"{self._name}: records that parse one by one do not parse together; look for stray quotes")
        return self._as_rows(table)

    def _table(self, text: bytes) -> pa.Table | None:
        """Return what Arrow makes of whole records, None where one of them cannot be read."""
        if b"\0" in text:
            return None
        # To compare every cell with the words for null takes a seventh of the time, and all of them have an n; where
        # blanks are meant, all else fails.
        may_have_words = b"n" in text or b"N" in text
        options = [self._options_without_blanks if may_have_words else self._options_without_words]
        if b" " in text or b"\t" in text:
            options.append(self._options)
        table = None
        for option in options:
            with contextlib.suppress(pa.ArrowInvalid):
                table = _read(text, self.header, option, self._dialect)
                break
        if table is None:
            return None
        # Lines are counted faster than records, and are as many where nothing is quoted and no line is blank.
        n_records = count_lines(text)
        quote = self._dialect.quote_byte
        is_quoted = quote != b"" and quote in text
        if is_quoted or b"\r" in text or n_records != table.num_rows:
            ends = record_ends(text, is_last=True, dialect=self._dialect)
            n_records = len(ends)
            if is_quoted and misquoted(text, ends, self._dialect).any():
                return None
        return table if table.num_rows == n_records else None

    def _as_rows(self, table: pa.Table) -> pa.RecordBatch:
        columns = [_nothing_to_null(column.combine_chunks(), self._dialect) for column in table.columns]
        return pa.record_batch(columns, schema=self._schema)

    def _complaints(self, text: bytes, ends: Positions) -> dict[int, tuple[str, str]]:
        """Return for each record that cannot be read, in order, a word and a line of why."""
        found = self._ill_formed(text, ends)
        rest = np.setdiff1d(np.arange(len(ends)), np.fromiter(found, np.int64))
        for record, complaint in self._mistyped(text, ends, rest):
            found.setdefault(record, complaint)
        rest = np.setdiff1d(rest, np.fromiter(found, np.int64))
        # All is found by now, unless Arrow reads a record in another way than we do.
        failing = self._failing(text, ends, rest, lambda records: self._table(records) is not None)
        found |= dict.fromkeys(failing, ("quotes", "its fields cannot be told apart"))
        return dict(sorted(found.items()))

    def _ill_formed(self, text: bytes, ends: Positions) -> dict[int, tuple[str, str]]:
        """Return what is wrong with records whatever their columns are."""
        n_fields, n_wanted = count_fields(text, ends, self._dialect), len(self.header)
        complaints = {
            int(record): ("fields", f"expected {n_wanted} fields, found {n_fields[record]}")
            for record in np.flatnonzero(n_fields != n_wanted)
        }
        stray = ("quotes", "text between a closing quote and the end of its field")
        complaints |= dict.fromkeys(np.flatnonzero(misquoted(text, ends, self._dialect)).tolist(), stray)
        nul = np.searchsorted(ends, np.flatnonzero(np.frombuffer(text, np.uint8) == 0), side="right")
        damaged = ("nul", "a NUL byte, or one that is no text in its encoding; is the file damaged? (see --encoding)")
        return complaints | dict.fromkeys(nul[nul < len(ends)].tolist(), damaged)

    def _mistyped(self, text: bytes, ends: Positions, which: Positions) -> Iterator[tuple[int, tuple[str, str]]]:
        """Yield what is wrong with the cells of records that are well-formed, column by column."""
        as_bytes = _convert([pa.field(field.name, pa.binary()) for field in self._schema], self._dialect)
        joined = self._joined(text, ends, which)
        try:
            cells = _read(joined, self.header, as_bytes, self._dialect) if joined else None
        except pa.ArrowInvalid:
            return
        if cells is None or cells.num_rows != len(which):
            return
        names = set(self.header)
        for field, column in zip(self._schema, cells.columns, strict=True):
            if field.name not in names:
                continue
            cells = column.combine_chunks()
            suspicious = _suspicious(cells, field.type, self._dialect)
            # What is wrong with one cell is wrong with all that are the same.
            indices = pa.Array.from_buffers(pa.int64(), len(suspicious), [None, pa.py_buffer(suspicious)])
            words = cells.take(indices).dictionary_encode()
            word_of = np.from_dlpack(words.indices)
            _, first = np.unique(word_of, return_index=True)
            failing = self._failing(text, ends, which[suspicious[first]], partial(self._column_parses, field))
            is_bad = np.isin(which[suspicious[first]], failing)[word_of]
            for i in suspicious[is_bad]:
                yield int(which[i]), _complaint(field, cells[int(i)].as_py())

    def _column_parses(self, field: pa.Field, text: bytes) -> bool:
        try:
            _read(text, self.header, _convert([field], self._dialect), self._dialect)
        except pa.ArrowInvalid:
            return False
        return True

    def _failing(self, text: bytes, ends: Positions, which: Positions, parses: Callable[[bytes], bool]) -> list[int]:
        """Return which of some records do not parse, by halving: all do if and only if each does."""
        if not len(which) or parses(self._joined(text, ends, which)):
            return []
        if len(which) == 1:
            return [int(which[0])]
        middle = len(which) // 2
        first, second = which[:middle], which[middle:]
        return [*self._failing(text, ends, first, parses), *self._failing(text, ends, second, parses)]

    def _span(self, text: bytes, ends: Positions, record: int) -> tuple[int, int]:
        """Return where a record begins and ends, without the blank lines before it."""
        start, stop = int(ends[record - 1]) if record else 0, int(ends[record])
        return stop - len(text[start:stop].lstrip(b"\r\n")), stop

    def _joined(self, text: bytes, ends: Positions, which: Positions) -> bytes:
        """Return some records as one text; one without terminator is the last one."""
        if not len(which):
            return b""
        breaks = np.flatnonzero(np.diff(which) != 1)
        first = which[np.concatenate(([0], breaks + 1))]
        last = which[np.concatenate((breaks, [len(which) - 1]))]
        starts = np.where(first > 0, ends[first - 1], 0)
        return b"".join(text[start:stop] for start, stop in zip(starts.tolist(), ends[last].tolist(), strict=True))


@lru_cache(maxsize=256)
def _probe(type_: pa.DataType, dialect: Dialect) -> None:
    """Let Arrow raise if it reads no text as a type: once for each type, and not for each column of each file."""
    # Where nothing is quoted, two quotes are a word.
    with contextlib.suppress(pa.ArrowInvalid):
        _read(b'""', [""], _convert([pa.field("", type_)], dialect), dialect)


def _convert(
    wanted: Iterable[pa.Field], dialect: Dialect, nothing: Sequence[str] = (*NOTHING, *_BLANKS)
) -> pacsv.ConvertOptions:
    """Return how cells become values; of no column wanted, Arrow tells the types of all."""
    types = {field.name: field.type for field in wanted}
    return pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        include_missing_columns=True,
        null_values=[*nothing, *dialect.null_values],
        decimal_point=dialect.decimal,
    )


def _suspicious(cells: pa.Array, type_: pa.DataType, dialect: Dialect) -> Positions:
    """Return the indices of cells that are not plainly of a type: where some are not, nearly all others are."""
    if pa.types.is_binary(type_):
        return np.empty(0, np.int64)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return np.array(failures(cells, pa.string()), np.int64)
    pattern = next((pattern for is_it, pattern in _PLAIN if is_it(type_)), None)
    if pattern is None:
        return np.arange(len(cells))
    plain = pc.match_substring_regex(cells, f"^(?:{_marked(pattern, dialect.decimal)})?$")
    return np.flatnonzero(~np.from_dlpack(plain.cast(pa.uint8())).view(bool))


def _complaint(field: pa.Field, cell: bytes) -> tuple[str, str]:
    """Say what is wrong with one cell."""
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        return "encoding", f"column {field.name!r}: {readable(cell)!r} is not valid UTF-8 (see --encoding)"
    return "type", f"column {field.name!r}: expected {field.type}, found {readable(cell)!r}"


def _read(text: bytes, header: list[str], convert: pacsv.ConvertOptions, dialect: Dialect) -> pa.Table:
    """Parse in one piece and one thread, so that nothing is cut but by us."""
    if text.startswith(_BOM):  # Arrow would leave it out; behind a blank line it is text like other text
        text = b"\n" + text
    return pacsv.read_csv(
        pa.py_buffer(text),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.delimiter or ",",
            quote_char=dialect.quote_byte.decode() or False,
            newlines_in_values=True,
        ),
        convert_options=convert,
    )


def _nothing_to_null(column: pa.Array, dialect: Dialect) -> pa.Array:
    """Let what is empty, or a word for it, be null: by a new bitmap, for a scalar would make Arrow import pandas."""
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not is_text or column.null_count:  # a column that the file lacks is null already
        return column
    is_filled = np.from_dlpack(pc.binary_length(column)) > 0
    if dialect.null_values:
        is_word = pc.is_in(column, value_set=pa.array(dialect.null_values, column.type))
        is_filled &= ~np.from_dlpack(is_word.cast(pa.uint8())).view(bool)
    if is_filled.all():
        return column
    bitmap = pa.py_buffer(np.packbits(is_filled, bitorder="little"))
    _, offsets, text = column.buffers()
    return pa.Array.from_buffers(column.type, len(column), [bitmap, offsets, text])


def readable(text: bytes) -> str:
    """Return text for a message, on one line."""
    return shorten(text.decode(errors="backslashreplace").strip("\r\n"))
