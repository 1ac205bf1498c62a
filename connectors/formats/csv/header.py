"""Column names, from the first record of a file."""

from __future__ import annotations

import csv

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import Dialect
from connectors.schemas import unique_names

__all__ = ["parse_header"]


def parse_header(text: bytes, name: str, dialect: Dialect) -> tuple[list[str], list[str]]:
    """Return the column names in the first record of file `name`, and a remark if some are the same.

    A column without a name is called by its number. pandas and R write row numbers without a name, and some tools end
    each line with a delimiter.
    """
    quoting = {"quoting": csv.QUOTE_NONE} if not dialect.quote_byte else {"quotechar": dialect.quote_byte.decode()}
    try:
        line = text.decode().strip("\r\n")
        names = next(csv.reader([line], delimiter=dialect.delimiter or ",", strict=True, **quoting))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{name}: the header cannot be read: {error}") from error
    unique, remarks = unique_names(names)
    named = [called for called in names if called.strip()]
    return unique, remarks if len(set(named)) < len(named) else []
