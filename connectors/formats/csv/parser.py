"""Parse whole records of CSV text to typed columns with Arrow; if Arrow refuses, find the unreadable records."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import numbers
from connectors.errors import RowError, SchemaError
from connectors.fields import as_text, notation, source_column, with_notation
from connectors.formats.csv import arrow_csv
from connectors.formats.csv.cells import suspicious_cells
from connectors.formats.csv.dialect import WHITESPACE, Dialect
from connectors.formats.csv.header import without_headers
from connectors.formats.csv.hints import escape_hint, number_hint
from connectors.formats.csv.plain_text import PlainText, plain_text
from connectors.formats.csv.records import Positions, count_fields, count_lines, joined, misquoted, record_ends, span
from connectors.notations.numbers import NumberNotation
from connectors.null_words import WordSearch
from connectors.schemas import NOTHING, cast, failing, failures
from connectors.suggestions import shorten

__all__ = ["BadRecord", "Parsed", "RecordParser", "readable"]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read.

    Attributes
    ----------
    row
        Number of good records before it in the text.
    start, stop
        Range of its bytes in the text.
    kind, reason
        See `connectors.events.BadRow`.
    """

    row: int
    start: int
    stop: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """Result of parsing a text: its rows, and its unreadable records.

    Attributes
    ----------
    records
        The rows.
    bad
        The unreadable records; only the first one, if rows after it are not wanted.
    ends
        End of each row in the plain text; ``None`` if every record is a row.
    plain
        The text that was parsed.
    """

    records: pa.RecordBatch
    bad: list[BadRecord]
    ends: Positions | None
    plain: PlainText

    def end(self, n: int) -> int:
        """Return where row n - 1 ends in the text that was read."""
        ends = self.plain.record_ends() if self.ends is None else self.ends
        return self.plain.end(int(ends[n - 1]))


class RecordParser:
    """Parse records of one file into the wanted columns.

    Parameters
    ----------
    header
        Names of the file's columns.
    schema
        The columns wanted, each with its type; a column that the file lacks is null.
    name
        The file, for messages.
    dialect
        The dialect of the file.
    repeated
        How a record is written that repeats the header, so that it is left out; see `header.spellings`.

    Raises
    ------
    SchemaError
        One of the types cannot be read from text.
    """

    def __init__(
        self, header: list[str], schema: pa.Schema, name: str, dialect: Dialect, repeated: tuple[bytes, ...] = ()
    ) -> None:
        self.header, self._name, self._dialect, self._repeated = header, name, dialect, repeated
        self._cells = as_text(schema)  # as Arrow parses them; then they are converted to the schema
        self._schema = _with_decimal_marks(schema, self._cells, dialect)
        self._is_converted = self._cells.names != schema.names or self._cells.types != schema.types
        for field in self._cells:
            try:
                _probe(field.type, dialect)
            except pa.ArrowNotImplementedError as error:
                raise SchemaError(f"{name}: column {field.name!r} cannot be read from text as {field.type}") from error
        self._options = arrow_csv.convert_options(self._cells, dialect)
        self._options_without_blanks = arrow_csv.convert_options(self._cells, dialect, NOTHING)
        self._options_without_words = arrow_csv.convert_options(self._cells, dialect, ("",))
        # In columns of numbers, a header fails; only where it is readable it must be looked for.
        headers = (self._read_plain(line + b"\n") for line in repeated)
        self._signs = {_sign(header) for header in headers if header is not None}

    def _read_plain(self, text: bytes) -> pa.RecordBatch | None:
        plain = plain_text(text, self._dialect)
        return self._of(plain)._read(plain.text)

    def _of(self, plain: PlainText) -> RecordParser:
        """Return the parser of a plain text; its delimiter may differ from text to text."""
        if plain.dialect is self._dialect:
            return self
        parser = copy(self)
        parser._dialect = plain.dialect
        return parser

    def parse(self, text: bytes, keeps_bad_rows: bool) -> Parsed:
        """Parse one or more whole records; any thread may call this.

        Parameters
        ----------
        text
            The records.
        keeps_bad_rows
            Whether rows after an unreadable record are wanted.
        """
        plain = plain_text(text, self._dialect)
        rows = self._of(plain)._read(plain.text)
        if (rows is None or self._may_hold_header(rows)) and (mended := self._mended(plain, text)) is not plain:
            plain = mended
            rows = self._of(plain)._read(plain.text)
        return self._of(plain)._sorted_out(plain, keeps_bad_rows) if rows is None else Parsed(rows, [], None, plain)

    def _may_hold_header(self, rows: pa.RecordBatch) -> bool:
        """Return whether one of some rows may be a header; this is far cheaper than a search in the text."""
        return any(
            name is None or pc.any(pc.starts_with(rows.column(name), text)).as_py() for name, text in self._signs
        )

    def _mended(self, plain: PlainText, text: bytes) -> PlainText:
        """Return text without repeated headers, and with the missing fields of short records, if they may lack."""
        plain = without_headers(plain, text, self._repeated)
        return plain.padded(len(self.header)) if self._dialect.short_rows == "pad" else plain

    def _sorted_out(self, plain: PlainText, keeps_bad_rows: bool) -> Parsed:
        """Return the rows of a text with unreadable records."""
        ends = plain.record_ends()
        complaints = self._complaints(plain.text, ends)
        if not keeps_bad_rows and complaints:
            first = next(iter(complaints))
            complaints, stop = {first: complaints[first]}, first
        else:
            stop = len(ends)
        kept = np.setdiff1d(np.arange(stop), np.fromiter(complaints, np.int64))
        bad = []
        for record, (kind, reason) in complaints.items():
            start, end = span(plain.text, ends, record)
            start, end = plain.start(start), plain.end(end)
            bad.append(BadRecord(int(np.searchsorted(kept, record)), start, end, kind, reason))
        return Parsed(self._rows(plain.text, ends, kept), bad, ends[kept], plain)

    def refused(self, text: bytes, kind: str, reason: str) -> Parsed:
        """Return the result for text that is not a record."""
        start = len(text) - len(text.lstrip(b"\r\n"))
        none = np.empty(0, np.int64)
        bad = BadRecord(0, start, len(text), kind, reason)
        return Parsed(self._rows(text, none, none), [bad], none, PlainText(text, self._dialect))

    def word_search(self) -> WordSearch:
        """Return a search for the dialect's words for a missing value."""
        delimiter = self._dialect.delimiter or ","
        between = " \t" if delimiter == WHITESPACE else delimiter
        return WordSearch(self._dialect.null_values, between + self._dialect.quote_byte.decode())

    def n_bad(self, text: bytes) -> int:
        """Return the number of unreadable records."""
        if self._read(text) is not None:
            return 0
        return len(self._complaints(text, record_ends(text, is_last=True, dialect=self._dialect)))

    def _rows(self, text: bytes, ends: Positions, which: Positions) -> pa.RecordBatch:
        """Parse some of the records; all of these are readable."""
        if not len(which):
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        rows = self._read(joined(text, ends, which))
        if rows is None:
            raise RowError(f"{self._name}: records parse one by one, but not together; check the file for stray quotes")
        return rows

    def _read(self, text: bytes) -> pa.RecordBatch | None:
        """Return whole records as rows; None if one of them is unreadable."""
        table = self._table(text)
        if table is None:
            return None
        columns = [arrow_csv.text_to_null(column.combine_chunks(), self._dialect) for column in table.columns]
        rows = pa.record_batch(columns, schema=self._cells)
        try:
            return cast(rows, self._schema, self._name, 0) if self._is_converted else rows
        except RowError:
            return None

    def _table(self, text: bytes) -> pa.Table | None:
        """Return whole records as Arrow parses them; None if one of them cannot be parsed."""
        if b"\0" in text:
            return None
        # To compare every cell with the null words takes a seventh of the time. Each of these words has an n, so text
        # without an n needs no comparison. Blanks count as null only if the parse fails otherwise.
        may_have_words = b"n" in text or b"N" in text
        options = [self._options_without_blanks if may_have_words else self._options_without_words]
        if b" " in text or b"\t" in text:
            options.append(self._options)
        table = None
        for option in options:
            with contextlib.suppress(pa.ArrowInvalid):
                table = arrow_csv.read_records(text, self.header, option, self._dialect)
                break
        if table is None:
            return None
        # Counting lines is faster than counting records. The numbers agree if no quote and no blank line occurs.
        n_records = count_lines(text)
        quote = self._dialect.quote_byte
        is_quoted = quote != b"" and quote in text
        if is_quoted or b"\r" in text or n_records != table.num_rows:
            ends = record_ends(text, is_last=True, dialect=self._dialect)
            n_records = len(ends)
            if is_quoted and misquoted(text, ends, self._dialect).any():
                return None
        return table if table.num_rows == n_records else None

    def _complaints(self, text: bytes, ends: Positions) -> dict[int, tuple[str, str]]:
        """Return the kind and the reason for each unreadable record, in order."""
        found = self._ill_formed(text, ends)
        rest = np.setdiff1d(np.arange(len(ends)), np.fromiter(found, np.int64))
        for record, complaint in self._mistyped(text, ends, rest):
            found.setdefault(record, complaint)
        rest = np.setdiff1d(rest, np.fromiter(found, np.int64))
        # Every bad record should be known by now; this catches records that Arrow cuts in another way than we do.
        failing = _failing(text, ends, rest, lambda records: self._read(records) is not None)
        found |= dict.fromkeys(failing, ("quotes", "cannot be split into fields"))
        return dict(sorted(found.items()))

    def _ill_formed(self, text: bytes, ends: Positions) -> dict[int, tuple[str, str]]:
        """Return the problems of records that do not depend on the types of columns."""
        n_fields, n_wanted = count_fields(text, ends, self._dialect), len(self.header)
        complaints = {}
        for record in np.flatnonzero(n_fields != n_wanted).tolist():
            content = text[slice(*span(text, ends, record))]
            hint = escape_hint(content, self._dialect)
            hint = hint or number_hint(content, self._dialect, is_short=n_fields[record] < n_wanted)
            complaints[record] = ("fields", f"expected {n_wanted} fields, found {n_fields[record]}{hint}")
        for record in np.flatnonzero(misquoted(text, ends, self._dialect)).tolist():
            hint = escape_hint(text[slice(*span(text, ends, record))], self._dialect)
            complaints[record] = ("quotes", f"text between a closing quote and the end of its field{hint}")
        nul = np.searchsorted(ends, np.flatnonzero(np.frombuffer(text, np.uint8) == 0), side="right")
        damaged = ("nul", "a NUL byte, or a byte that is invalid in its encoding; check the file, or set --encoding")
        return complaints | dict.fromkeys(nul[nul < len(ends)].tolist(), damaged)

    def _mistyped(self, text: bytes, ends: Positions, which: Positions) -> Iterator[tuple[int, tuple[str, str]]]:
        """Yield the problems of cells in well-formed records, column by column."""
        as_bytes = arrow_csv.convert_options(
            [pa.field(field.name, pa.binary()) for field in self._cells], self._dialect
        )
        some = joined(text, ends, which)
        try:
            cells = arrow_csv.read_records(some, self.header, as_bytes, self._dialect) if some else None
        except pa.ArrowInvalid:
            return
        if cells is None or cells.num_rows != len(which):
            return
        names = set(self.header)
        for field, column in zip(self._cells, cells.columns, strict=True):
            if field.name not in names:
                continue
            cells = column.combine_chunks()
            yield from self._unconvertible(field.name, cells, which)
            suspicious = suspicious_cells(cells, field.type, self._dialect)
            # Equal cells fail alike, so each distinct value is parsed once.
            words = cells.take(numbers(suspicious)).dictionary_encode()
            word_of = np.from_dlpack(words.indices)
            _, first = np.unique(word_of, return_index=True)
            failing = _failing(text, ends, which[suspicious[first]], partial(self._column_parses, field))
            is_bad = np.isin(which[suspicious[first]], failing)[word_of]
            for i in suspicious[is_bad]:
                yield int(which[i]), _complaint(field, cells[int(i)].as_py())

    def _unconvertible(self, name: str, cells: pa.Array, which: Positions) -> Iterator[tuple[int, tuple[str, str]]]:
        """Yield the problems of cells that are text at first, and cannot be converted to a field of the schema."""
        if not self._is_converted or self._cells.field(name).type != pa.string():
            return
        invalid = set(failures(cells, pa.string()))  # they are reported as such
        kept = [None if i in invalid else i for i in range(len(cells))] if invalid else None
        texts = (cells if kept is None else cells.take(pa.array(kept, pa.int64()))).cast(pa.string())
        texts = arrow_csv.text_to_null(texts, self._dialect)
        for field in self._schema:
            if source_column(field) == name:
                for i in failing(texts, field):
                    yield int(which[i]), _complaint(field, cells[i].as_py())

    def _column_parses(self, field: pa.Field, text: bytes) -> bool:
        try:
            arrow_csv.read_records(text, self.header, arrow_csv.convert_options([field], self._dialect), self._dialect)
        except pa.ArrowInvalid:
            return False
        return True


def _failing(text: bytes, ends: Positions, which: Positions, parses: Callable[[bytes], bool]) -> list[int]:
    """Return the records that do not parse, by halving: several parse together if and only if each parses alone."""
    if not len(which) or parses(joined(text, ends, which)):
        return []
    if len(which) == 1:
        return [int(which[0])]
    middle = len(which) // 2
    first, second = which[:middle], which[middle:]
    return [*_failing(text, ends, first, parses), *_failing(text, ends, second, parses)]


def _with_decimal_marks(schema: pa.Schema, cells: pa.Schema, dialect: Dialect) -> pa.Schema:
    """Return a schema whose numbers have the decimal mark of the dialect, where they are text at first."""
    spec = NumberNotation(dialect.decimal).spec
    return pa.schema(
        [
            with_notation(field, spec)
            if dialect.decimal != "."
            and pa.types.is_floating(field.type)
            and pa.types.is_string(cells.field(source_column(field)).type)
            and notation(field) is None
            else field
            for field in schema
        ]
    )


def _sign(row: pa.RecordBatch) -> tuple[str | None, str]:
    """Return the first column of a row that has text, and its text; None if no column has."""
    for name, cells in zip(row.schema.names, row.columns, strict=True):
        if pa.types.is_string(cells.type) and not cells.null_count:
            return name, cells[0].as_py()
    return None, ""


@lru_cache(maxsize=256)
def _probe(type_: pa.DataType, dialect: Dialect) -> None:
    """Let Arrow raise an error if it cannot read text as a type; cached for each type and dialect."""
    dialect = dialect if dialect.is_plain else dialect.plain(";")
    # In a dialect without quotes, the two quotes are a word, and most types refuse it.
    with contextlib.suppress(pa.ArrowInvalid):
        arrow_csv.read_records(b'""', [""], arrow_csv.convert_options([pa.field("", type_)], dialect), dialect)


def _complaint(field: pa.Field, cell: bytes) -> tuple[str, str]:
    """Return the kind and the reason for one bad cell."""
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        return "encoding", f"column {field.name!r}: {readable(cell)!r} is not valid UTF-8; set --encoding"
    name, how = source_column(field), notation(field)
    wanted = f"{field.type}" if how is None else f"{field.type} written as {how.spec}"
    return "type", f"column {name!r}: expected {wanted}, found {readable(cell)!r}"


def readable(text: bytes) -> str:
    """Return text for a message, on one line."""
    return shorten(text.decode(errors="backslashreplace").strip("\r\n"))
