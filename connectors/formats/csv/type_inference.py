"""The types of columns, inferred from the first records of a file."""

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
_MOST = 0.99  # of the cells with a value; the rest are mistakes then
_MANY = 0.5  # of them that are numbers: most words are none then, or mean nothing


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
    found = arrow_csv.read_records(good, header, arrow_csv.convert_options([], dialect, NOTHING), dialect)
    # What a column is to be is asked of the text of it alone: to parse all the text again takes as long for each of
    # them as for all.
    moments = [pa.field(field.name, pa.string()) for field in found.schema if pa.types.is_timestamp(field.type)]
    words = (
        arrow_csv.read_records(good, header, arrow_csv.convert_options(moments, dialect), dialect) if moments else found
    )
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
            arrow_csv.read_records(
                _alone(words), [""], arrow_csv.convert_options([pa.field("", finer)], dialect, NOTHING), dialect
            )
        except pa.ArrowInvalid:  # it has fractions of nine digits
            return found
        return found.with_type(finer)
    if not pa.types.is_string(found.type):
        return found.with_type(pa.string())
    has_value, is_number = have_value(words, dialect), are_like(words, DECIMAL, dialect)
    n_values = pc.sum(has_value).as_py() or 0
    for type_, pattern in LIKELY:
        is_like = is_number if pattern is DECIMAL else are_like(words, pattern, dialect)
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
