"""What to do about text that may be written in another dialect than it is read in."""

from __future__ import annotations

import re

from connectors.formats.csv.dialect import Dialect
from connectors.suggestions import typed

__all__ = ["escape_hint", "number_hint", "type_hint"]

_FRACTION = re.compile(r"column '(.*)': expected int64, found '?[+-]?[0-9]*[.][0-9]+'?")


def escape_hint(record: bytes, dialect: Dialect) -> str:
    r"""Return a hint if a record has quotes after backslashes, and no escape is known; else an empty text."""
    if dialect.escape is not None or not dialect.quote_byte or b"\\" + dialect.quote_byte not in record:
        return ""
    return rf"; if \{dialect.quote_byte.decode()} is a quote within a field, add --escape '\'"


def number_hint(record: bytes, dialect: Dialect, *, is_short: bool) -> str:
    """Return a hint for a record with too few or too many fields.

    Parameters
    ----------
    record, dialect
        The record, and its plain dialect.
    is_short
        Whether fields are missing.
    """
    if is_short:
        return "; --short-rows pad reads the missing ones as empty"
    if dialect.quote_byte and dialect.delimiter_byte + b" " + dialect.quote_byte in record:
        return f"; if a blank follows each delimiter, add --delimiter '{dialect.delimiter} '"
    return ""


def type_hint(reason: str) -> str:
    """Return a hint for a value of another type than its column.

    Parameters
    ----------
    reason
        What is wrong with the value.

    Examples
    --------
    >>> type_hint("column 'n': expected int64, found '0.5'")
    '; --types n=number reads fractions'
    """
    if (found := _FRACTION.fullmatch(reason)) is not None:
        return f"; {typed(found[1], 'number')} reads fractions"
    return "; --types reads the column as text, --null-values the word as missing"
