"""Infer column types from the first records of a file."""

from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.formats.csv import arrow_csv
from connectors.formats.csv.cells import DECIMAL, LIKELY, are_like, have_value
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.parser import RecordParser
from connectors.schemas import NOTHING, doubtful
from connectors.suggestions import shorten

__all__ = ["infer_schema"]

_INFERRED = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.time32("s"))
_MOST = 0.99  # share of cells with a value that decides the type; the others then count as bad cells
_MANY = 0.5  # share of numbers from which a column of words gets a warning


def infer_schema(text: bytes, header: list[str], dialect: Dialect) -> pa.Schema:
    """Return the type of each column, inferred from these records; unreadable records are ignored.

    A type is null, bool, int64, double or string; or a date, a time or a timestamp in the format of ISO 8601. A column
    of numbers remains one if at most one cell in a hundred is a word. With more words it is a column of strings, and
    carries a `schemas.doubt`.
    """
    as_bytes = pa.schema([(column, pa.binary()) for column in header])
    good = RecordParser(header, as_bytes, "", dialect).good(text)
    if not good:
        return pa.schema([(column, pa.null()) for column in header])
    found = arrow_csv.read_records(good, header, arrow_csv.convert_options([], dialect, NOTHING), dialect)
    # Each further question is put to the text of one column: a parse of the whole text costs the same for one column
    # as for all.
    moments = [pa.field(field.name, pa.string()) for field in found.schema if pa.types.is_timestamp(field.type)]
    words = (
        arrow_csv.read_records(good, header, arrow_csv.convert_options(moments, dialect), dialect) if moments else found
    )
    as_words = {field.name for field in moments}
    alone = replace(dialect, delimiter=";", quote='"')  # `_alone` writes this dialect; a comma may be the decimal mark
    return pa.schema(
        [
            _settled(field, words[field.name] if field.name in as_words else column, alone)
            for field, column in zip(found.schema, found.columns, strict=True)
        ]
    )


def _settled(found: pa.Field, words: pa.ChunkedArray, dialect: Dialect) -> pa.Field:
    """Return the final type of a column; a timestamp gets room for any year and for fractions of a second."""
    if found.type in _INFERRED:
        return found
    if pa.types.is_timestamp(found.type):
        finer = pa.timestamp("us", found.type.tz)
        try:
            arrow_csv.read_records(
                _alone(words), [""], arrow_csv.convert_options([pa.field("", finer)], dialect, NOTHING), dialect
            )
        except pa.ArrowInvalid:  # a fraction has nine digits, so microseconds are too coarse
            return found
        return found.with_type(finer)
    if not pa.types.is_string(found.type):
        return found.with_type(pa.string())
    has_value, is_number = have_value(words, dialect), are_like(words, DECIMAL, dialect)
    n_values = pc.sum(has_value).as_py() or 0
    for type_, pattern in LIKELY:
        is_like = is_number if pattern is DECIMAL else are_like(words, pattern, dialect)
        if (pc.sum(is_like).as_py() or 0) >= _MOST * n_values:
            # A cell may match the pattern and still not parse: a year outside the range, or a boolean between blanks.
            parser = RecordParser([""], pa.schema([("", type_)]), "", dialect)
            if parser.n_bad(_alone(words)) <= (1 - _MOST) * n_values:
                return found.with_type(type_)
    return _doubted(found, words, has_value, is_number)


def _doubted(
    found: pa.Field, words: pa.ChunkedArray, has_value: pa.ChunkedArray, is_number: pa.ChunkedArray
) -> pa.Field:
    """Return a column of words, with a warning if most of its values are numbers."""
    n_values, n_numbers = (pc.sum(those).as_py() or 0 for those in (has_value, pc.and_(has_value, is_number)))
    if n_numbers < _MANY * n_values or n_numbers in {0, n_values}:
        return found
    word = words.filter(pc.and_not(has_value, is_number))[0].as_py()
    return doubtful(
        found,
        f"column {found.name!r} is read as categories, but {n_numbers / n_values:.0%} of its cells are numbers; others "
        f"are like {shorten(word)!r}; add such words to --null-values, or declare the column with --numeric",
    )


def _alone(words: pa.ChunkedArray) -> bytes:
    """Return words as records of a single column, each in quotes."""
    text = io.BytesIO()
    pacsv.write_csv(pa.table({"": words}), text, pacsv.WriteOptions(include_header=False))
    return text.getvalue()
