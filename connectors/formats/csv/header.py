"""Column names: those that are given, or those in the first record of a file; and records that repeat a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import WHITESPACE, Dialect
from connectors.formats.csv.plain_text import PlainText, plain_text
from connectors.notations.numbers import is_number_like
from connectors.schemas import unique_names

__all__ = ["is_header", "line_of_names", "parse_header", "spellings", "without_headers"]

_AROUND = " \t\ufeff\u200b\u00a0\u2060"
"""What may stand around a name unseen."""


def parse_header(text: bytes, name: str, dialect: Dialect) -> tuple[list[str], list[str]]:
    """Return the column names of file `name`, from its first record, and remarks about names that are the same.

    Blanks and other invisible characters around a name are dropped. A column without a name is called by its number.
    pandas and R write row numbers without a name, and some tools end each line with a delimiter.

    Raises
    ------
    SchemaError
        The record cannot be read, or the names that the dialect gives do not fit it.
    """
    if dialect.names and not is_header(text, dialect):
        _check_number(text, name, dialect)
        return list(dialect.names), []
    try:
        names = [_cleaned(field, dialect) for field in _fields(text, dialect)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{name}: the header cannot be read: {error}") from error
    unique, remarks = unique_names(names)
    named = [called for called in names if called]
    return unique, remarks if len(set(named)) < len(named) else []


def is_header(text: bytes, dialect: Dialect) -> bool:
    """Return whether the first record has the names that the dialect gives, in any order, so that it is a header."""
    try:
        return sorted(_cleaned(field, dialect) for field in _fields(text, dialect)) == sorted(dialect.names)
    except (UnicodeDecodeError, csv.Error):
        return False


def line_of_names(text: bytes, dialect: Dialect) -> bytes:
    """Return a header that shows the names and the quote of a dialect.

    Parameters
    ----------
    text
        The first record of a file.
    dialect
        Its dialect, with names if the record is none of the names.
    """
    if not dialect.names and (dialect.quote != "'" or b"'" in text):
        return text.strip(b"\r\n")
    quote, escape = dialect.quote_byte.decode(), dialect.escape
    names = list(dialect.names) if dialect.names and not is_header(text, dialect) else _fields(text, dialect)
    if escape:
        names = [name.replace(escape, escape * 2) for name in names]
    if quote:
        names = [f"{quote}{name.replace(quote, quote * 2)}{quote}" for name in names]
    return _written(dialect).join(name.encode() for name in names)


def spellings(text: bytes, dialect: Dialect) -> tuple[bytes, ...]:
    """Return how a header may be written where it is repeated; empty if such a line may be a row.

    With one column, or a number among the names, a record that is equal to the header may well be data.

    Parameters
    ----------
    text, dialect
        The header, and the dialect of the file.
    """
    if dialect.names and not is_header(text, dialect):
        return ()
    try:
        names = _fields(text, dialect)
    except (UnicodeDecodeError, csv.Error):
        return ()
    if len(names) < 2 or any(map(is_number_like, names)):
        return ()
    plain = plain_text(text, dialect)
    quote, delimiter = plain.dialect.quote_byte, _written(dialect)
    bare = delimiter.join(name.encode() for name in names)
    quoted = delimiter.join(quote + name.encode() + quote for name in names)
    return tuple(dict.fromkeys((text.strip(b"\r\n"), bare, quoted)))


def without_headers(plain: PlainText, text: bytes, headers: tuple[bytes, ...]) -> PlainText:
    """Return text without the records that repeat the header; the same object if there are none.

    Parameters
    ----------
    plain, text
        Whole records in a plain dialect, and as they were read.
    headers
        The spellings of the header.
    """
    places = [place for header in headers for place in _lines(text, header)]
    if not places:
        return plain
    ends = plain.record_ends()
    known = plain.ends(ends)
    spans = []
    for place in places:
        record = int(np.searchsorted(known, place, side="right"))
        if record == len(ends):
            continue
        start, stop = int(ends[record - 1]) if record else 0, int(ends[record])
        content = plain.text[start:stop].lstrip(b"\r\n")
        if plain.start(stop - len(content)) == place and text[place : known[record]].strip(b"\r\n") in headers:
            spans.append((start, stop))
    return plain.without(spans) if spans else plain


def _lines(text: bytes, line: bytes) -> Iterator[int]:
    """Yield the places where a line begins with some text."""
    if text.startswith(line):
        yield 0
    for wanted in (b"\n" + line, b"\r" + line) if b"\r" in text else (b"\n" + line,):
        place = text.find(wanted)
        while place >= 0:
            yield place + 1
            place = text.find(wanted, place + 1)


def _fields(text: bytes, dialect: Dialect) -> list[str]:
    """Return the fields of one record, as Python's ``csv`` reads them."""
    plain = plain_text(text, dialect)
    how: dict[str, Any] = {"delimiter": plain.dialect.delimiter, "escapechar": plain.dialect.escape, "strict": True}
    quote = plain.dialect.quote_byte.decode()
    how |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    return next(csv.reader([plain.text.decode().strip("\r\n")], **how), [])


def _cleaned(name: str, dialect: Dialect) -> str:
    """Return a name without what stands around it unseen, and without quotes that stand after blanks.

    Where rows have single quotes, the names may still have the double quotes of the program that wrote them.
    """
    bare, quote = name.strip(_AROUND), dialect.quote_byte.decode()
    quotes = ("" if bare == name else quote) + ('"' if quote == "'" else "")
    is_quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in quotes
    return bare[1:-1].strip(_AROUND) if is_quoted else bare


def _check_number(text: bytes, name: str, dialect: Dialect) -> None:
    """Refuse names of which there are more or fewer than fields in the first record."""
    try:
        found, expected = len(_fields(text, dialect)), len(dialect.names)
    except (UnicodeDecodeError, csv.Error):  # it is a bad row, and its number of fields says nothing
        return
    if not found or found == expected or (found < expected and dialect.short_rows == "pad"):
        return
    names, fields = f"{expected} name{'s' * (expected != 1)}", f"{found} field{'s' * (found != 1)}"
    raise SchemaError(f"{name}: --names gives {names}, but the first row has {fields}")


def _written(dialect: Dialect) -> bytes:
    """Return the delimiter of a dialect as it is most often written."""
    return b" " if dialect.delimiter == WHITESPACE else dialect.delimiter_byte
