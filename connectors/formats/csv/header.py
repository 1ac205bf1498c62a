"""Column names, from the first record of a file."""

from __future__ import annotations

import csv

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import Dialect
from connectors.schemas import check_names

__all__ = ["parse_header"]


def parse_header(text: bytes, name: str, dialect: Dialect) -> list[str]:
    """Return the column names in the first record of file `name`; a column without a name is called by its number."""
    quoting = {"quoting": csv.QUOTE_NONE} if not dialect.quote_byte else {"quotechar": dialect.quote_byte.decode()}
    try:
        line = text.decode().strip("\r\n")
        names = next(csv.reader([line], delimiter=dialect.delimiter or ",", strict=True, **quoting))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{name}: the header cannot be read: {error}") from error
    numbered = [f"column {number}" for number in range(1, len(names) + 1)]
    # pandas and R write row numbers without a name, and some tools end each line with a delimiter. If another column
    # already has the name, this one stays without, and `check_names` refuses it.
    names = [
        number if not called.strip() and number not in names else called
        for called, number in zip(names, numbered, strict=True)
    ]
    check_names(names, name)
    return names
