"""Infer column types from the first records of a stream.

A type is null, bool, int64, double or string; or a date, a time or a timestamp in the format of ISO 8601. Numbers and
dates in other notations are recognised if they leave no doubt. A column of numbers or dates remains one if at most one
cell in a hundred is a word. What may surprise becomes a `schemas.doubt` of the column.
"""

from __future__ import annotations

import io
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.arrays import numbers, texts
from connectors.fields import with_notation
from connectors.formats.csv import arrow_csv
from connectors.formats.csv.cells import DECIMAL, ISO, LIKELY, are_like, values_of
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.parser import RecordParser
from connectors.formats.csv.sample import Column, Sample
from connectors.notations.dates import DateNotation, guess_dates
from connectors.notations.numbers import NumberNotation, guess_number, is_number_like
from connectors.schemas import NOTHING, doubtful, with_exception
from connectors.suggestions import quoted, shorten, typed

__all__ = ["infer_schema"]

_INFERRED = (pa.null(), pa.bool_(), pa.float64(), pa.date32(), pa.time32("s"))
_MOST = 0.99  # share of cells with a value that decides the type; the others then count as bad cells
_MANY = 0.5  # share of numbers from which a column of words gets a warning
_GUESSED_FROM = 1_000  # distinct cells
_FEW = 20  # cells
_DAY = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"


def infer_schema(sample: Sample, dialect: Dialect) -> pa.Schema:
    """Return the columns of a sample with their inferred types, notations and doubts.

    Parameters
    ----------
    sample
        The first cells.
    dialect
        Decimal mark and words for a missing value.
    """
    columns = {name: sample.column(name) for name in sample.names}
    n_rows = max((len(column.cells) for column in columns.values()), default=0)
    if not n_rows:
        return pa.schema([(name, pa.null()) for name in columns])
    arrays = [
        pa.concat_arrays([*c.cells.chunks, pa.nulls(n_rows - len(c.cells), pa.string())]) for c in columns.values()
    ]
    alone = dialect.plain(";", '"')  # `_written` has this dialect; a comma may be the decimal mark
    numbered = [str(i) for i in range(len(arrays))]
    text = _written(pa.table(arrays, names=numbered))
    found = arrow_csv.read_records(text, numbered, arrow_csv.convert_options([], alone, NOTHING), alone)
    return pa.schema(
        [
            _Inference(name, columns[name], type_, alone, sample.delimiter).field
            for name, type_ in zip(columns, found.schema.types, strict=True)
        ]
    )


class _Inference:
    """Settles the type of one column.

    Parameters
    ----------
    name, column
        The column and its cells.
    found
        The type that Arrow infers: that of all cells.
    dialect
        The dialect of `_written`.
    delimiter
        The delimiter of the files.
    """

    def __init__(self, name: str, column: Column, found: pa.DataType, dialect: Dialect, delimiter: str | None) -> None:
        self._name, self._column, self._found, self._dialect = name, column, found, dialect
        self._words, self._delimiter = column.cells, delimiter

    @property
    def field(self) -> pa.Field:
        """The column with its type, its notation and its doubt."""
        found, field = self._found, pa.field(self._name, self._found)
        if found == pa.int64() and not self._any("0[xX][0-9a-fA-F]+"):
            return self._with_doubt_of_integers(field)
        if found == pa.float64() and self._all("[+-]?[0-9]+"):
            line = f"column {self._name!r} is read as text, since whole numbers of more than 18 digits would be rounded"
            return doubtful(field.with_type(pa.string()), f"{line}; {typed(self._name, 'number')} rounds them")
        if found == pa.float64():
            return self._with_doubt_of_zeros(field) or self._with_doubt_of_dots(field)
        if found in _INFERRED:
            return field
        if pa.types.is_timestamp(found):
            return field.with_type(self._timestamp(found))
        return self._of_words(field.with_type(pa.string()))

    def _with_doubt_of_integers(self, field: pa.Field) -> pa.Field:
        if self._all(_DAY):
            line = f"column {self._name!r} is read as numbers, but looks like dates"
            return doubtful(field, f"{line}; {typed(self._name, 'date:%Y%m%d')} reads dates")
        return self._with_doubt_of_zeros(field) or field

    def _with_doubt_of_zeros(self, field: pa.Field) -> pa.Field | None:
        """Return a column of numbers that may be codes; None if no number is written in two ways."""
        if self._begin("[+-]?0[0-9]"):
            line = f"column {self._name!r} has leading zeros, and is read as numbers, so 01 and 1 are equal"
        elif twins := self._twins():
            line = f"column {self._name!r} is read as numbers, so {twins[0]} and {twins[1]} are equal"
        else:
            return None
        return doubtful(field, f"{line}; {typed(self._name, 'text')} reads text")

    def _twins(self) -> tuple[str, str] | None:
        """Return two cells such as 1.1 and 1.10, which are the same number. Longer ones are seldom versions."""
        if not self._all("[0-9]{1,3}{mark}[0-9]{1,2}"):
            return None
        cells: dict[float, str] = {}
        for cell in pc.unique(pc.utf8_trim_whitespace(self._values)).to_pylist():
            if (first := cells.setdefault(float(cell.replace(self._dialect.decimal, ".")), cell)) != cell:
                return first, cell
        return None

    def _with_doubt_of_dots(self, field: pa.Field) -> pa.Field:
        """Return a column of numbers; in a file of a country with decimal commas, dots may mark thousands."""
        if self._delimiter != ";" or self._dialect.decimal != "." or not self._all(r"-?[1-9][0-9]{0,2}(?:\.[0-9]{3})?"):
            return field
        line = f"column {self._name!r} is read with decimal dots, but they may mark thousands"
        return doubtful(field, f"{line}; {typed(self._name, 'number:1.234,5')} reads 1.234 as 1234")

    def _timestamp(self, found: pa.DataType) -> pa.DataType:
        """Return a timestamp with room for any year and for fractions of a second."""
        finer = pa.timestamp("us", found.tz)
        options = arrow_csv.convert_options([pa.field("", finer)], self._dialect, NOTHING)
        try:
            arrow_csv.read_records(_written(pa.table({"": self._words})), [""], options, self._dialect)
        except pa.ArrowInvalid:  # a fraction has nine digits, so microseconds are too coarse
            return found
        return finer

    def _of_words(self, field: pa.Field) -> pa.Field:
        """Return the column of a type that nearly all cells have, in any notation; else of strings."""
        values = self._values
        for type_, pattern in LIKELY:
            if (is_like := self._like_most(pattern)) is None:
                continue
            # A cell may match the pattern and still not parse: a year outside the range, or a boolean between blanks.
            parser = RecordParser([""], pa.schema([("", type_)]), "", self._dialect)
            if parser.n_bad(_written(pa.table({"": self._words}))) <= (1 - _MOST) * len(values):
                return self._with_exception(field.with_type(type_), is_like)
        if not len(values):
            return field
        return self._in_notation(field, values) or self._doubted(field, values)

    def _like_most(self, pattern: str) -> pa.ChunkedArray | None:
        """Return which values match a pattern; None if too few of them do."""
        n_others = (1 - _MOST) * len(self._values)
        first = self._values[: 2 * int(n_others) + _FEW]
        for values in (first, self._values):  # of most columns the first values are enough
            is_like = are_like(values, pattern, self._dialect)
            if len(values) - _count(is_like) > n_others:
                return None
        return is_like

    def _in_notation(self, field: pa.Field, values: pa.ChunkedArray) -> pa.Field | None:
        """Return a column of numbers or dates in the notation that nearly all cells have; None if there is none."""
        distinct = _first_distinct(values)
        dates = guess_dates(distinct) or guess_dates(distinct, _MANY)
        if len(dates) > 1:
            formats = typed(self._name, *(one.spec for one in dates))
            return doubtful(field, f"column {self._name!r} is read as categories, but looks like dates; set {formats}")
        number = guess_number([cell for cell in distinct if is_number_like(cell)], self._dialect.decimal)
        notation: DateNotation | NumberNotation | None = dates[0] if dates else number
        if notation is None:
            return None
        is_bad = self._bad_in(notation)
        if is_bad.sum() > (1 - _MOST) * len(values):
            return None
        field = with_notation(field.with_type(notation.type), notation.spec)
        read, _ = notation.parse(texts(distinct))
        longest = max(range(len(distinct)), key=lambda i: (read[i].is_valid, len(distinct[i])))
        shown, value = distinct[longest], read[longest].as_py()
        value = f"{value:.15g}" if isinstance(value, float) else value
        what = "numbers" if isinstance(notation, NumberNotation) else "dates"
        line = f"column {self._name!r} is read as {what}: {shorten(shown)!r} is {value}"
        if is_bad.any():
            word = values[int(is_bad.argmax())].as_py()
            field = with_exception(field, word)
            line += (
                f"; {is_bad.sum():,} other cells, such as {shorten(word)!r} in {self._place_of(word)}, make bad rows"
            )
        return doubtful(field, f"{line}; {typed(self._name, 'text')} keeps the text")

    def _with_exception(self, field: pa.Field, is_like: pa.ChunkedArray) -> pa.Field:
        """Return a column whose few cells of other types will be bad rows."""
        values = self._values
        others = values.filter(pc.invert(is_like))
        if not len(others):
            return field
        word = others[0].as_py()
        line = (
            f"column {self._name!r} is read as {field.type}, but {len(others):,} of {len(values):,} cells are like "
            f"{shorten(word)!r} ({self._place_of(word)}), which makes a bad row; --null-values={quoted(word)} reads it "
            f"as missing, {typed(self._name, 'text')} the column as text"
        )
        return with_exception(doubtful(field, line), word)

    def _doubted(self, field: pa.Field, values: pa.ChunkedArray) -> pa.Field:
        """Return a column of words, with a warning if most of its values look like numbers or dates."""
        is_number = are_like(values, DECIMAL, self._dialect)
        if _MANY * len(values) <= _count(is_number) < len(values):
            return self._with_others(field, values.filter(pc.invert(is_number)), "numbers", "number")
        if self._all("'.*'"):
            line = f"column {self._name!r} has its cells in single quotes, and keeps them"
            return doubtful(field, f'{line}; --quote "\'" takes them off')
        distinct = _first_distinct(values)
        if dates := guess_dates(distinct, _MANY):
            others = values.take(numbers(np.flatnonzero(self._bad_in(dates[0]))))
            if 0 < len(others) <= _MANY * len(values):
                return self._with_others(field, others, "dates", dates[0].spec)
        is_date = are_like(values, ISO, self._dialect)  # dates and moments, which no single format fits
        if _MANY * len(values) <= _count(is_date) < len(values):
            return self._with_others(field, values.filter(pc.invert(is_date)), "dates", "date")
        likely = {cell for cell in distinct if is_number_like(cell)}
        cells = values.slice(0, _GUESSED_FROM).to_pylist() if likely else []
        if likely and sum(cell in likely for cell in cells) >= _MANY * len(cells):
            line = f"column {self._name!r} is read as categories, but its cells look like numbers"
            option = f"{typed(self._name, 'number:1234.5')} with an example of yours reads numbers"
            return doubtful(field, f"{line}, such as {shorten(min(likely))!r}; {option}")
        return field

    def _with_others(self, field: pa.Field, others: pa.ChunkedArray, what: str, spec: str) -> pa.Field:
        """Return a column of which most cells are of one kind, and some are not."""
        word, n_values = others[0].as_py(), len(self._values)
        return doubtful(
            field,
            f"column {self._name!r} is read as categories, but {1 - len(others) / n_values:.0%} of its cells are "
            f"{what}; others are like {shorten(word)!r} ({self._place_of(word)}); add such words to --null-values, or "
            f"declare the column: {typed(self._name, spec)}",
        )

    def _place_of(self, word: str) -> str:
        return self._column.place_of(pc.index(self._words, pa.scalar(word, pa.string())).as_py())

    @cached_property
    def _values(self) -> pa.ChunkedArray:
        """The cells that are values."""
        return values_of(self._words, self._dialect)

    def _bad_in(self, notation: DateNotation | NumberNotation) -> npt.NDArray[np.bool_]:
        """Return which values a notation cannot read."""
        cells = self._values.combine_chunks()
        return notation.parse(cells if isinstance(cells, pa.Array) else cells.chunk(0))[1]

    def _begin(self, pattern: str) -> bool:
        """Return whether a cell begins as a pattern says."""
        return bool(pc.any(pc.match_substring_regex(self._words, rf"^\s*{pattern}")).as_py())

    def _any(self, pattern: str) -> bool:
        return bool(pc.any(are_like(self._words, pattern, self._dialect)).as_py())

    def _all(self, pattern: str) -> bool:
        """Return whether there are values, and all of them match a pattern."""
        parts = (self._values[:_FEW], self._values)  # the first ones nearly always decide
        return len(self._values) > 0 and all(pc.all(are_like(part, pattern, self._dialect)).as_py() for part in parts)


def _count(flags: pa.ChunkedArray) -> int:
    return pc.sum(flags).as_py() or 0


def _first_distinct(values: pa.ChunkedArray) -> list[str]:
    return [str(cell) for cell in pc.unique(values.slice(0, 20 * _GUESSED_FROM)).slice(0, _GUESSED_FROM).to_pylist()]


def _written(table: pa.Table) -> bytes:
    """Return cells as records, each cell in quotes."""
    text = io.BytesIO()
    pacsv.write_csv(table, text, pacsv.WriteOptions(include_header=False, delimiter=";"))
    return text.getvalue()
