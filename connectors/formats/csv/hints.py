"""What to do about text that may be written in another dialect than it is read in."""

from __future__ import annotations

from connectors.formats.csv.dialect import Dialect

__all__ = ["escape_hint", "short_row_hint"]


def escape_hint(record: bytes, dialect: Dialect) -> str:
    r"""Return a hint if a record has quotes behind backslashes, and no escape is known; else an empty text."""
    if dialect.escape is not None or not dialect.quote_byte or b"\\" + dialect.quote_byte not in record:
        return ""
    return rf"; if \{dialect.quote_byte.decode()} is a quote within a field, add --escape '\'"


def short_row_hint(n_found: int, n_wanted: int) -> str:
    """Return a hint for a record with too few fields; else an empty text."""
    return "; --short-rows pad reads the missing ones as empty" if n_found < n_wanted else ""
