"""Column names, from the first record of a file."""

from __future__ import annotations

import csv

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import Dialect
from connectors.notations.numbers import is_number_like
from connectors.schemas import unique_names

__all__ = ["data_among", "parse_header"]


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


def data_among(names: list[str], cells: dict[str, list[str]]) -> str:
    """Return what in the first line looks like data, if it is hardly a line of names; else an empty text.

    Parameters
    ----------
    names
        The column names.
    cells
        For each column, some of its distinct cells.

    Examples
    --------
    >>> data_among(["red", "0", "yes"], {"red": ["blue", "red"], "0": ["1"], "yes": ["no", "yes"]})
    "'red' and 'yes' are cells of their columns, too"
    >>> data_among(["color", "n", "y"], {"color": ["blue"], "n": ["1"], "y": ["n", "y"]})
    ''
    """
    recurring = [name for name in names if name in cells[name]]
    if all(map(is_number_like, names)):
        return f"{names[0]!r} is a number"
    if 2 * len(recurring) < len(names) or len(recurring) < min(2, len(names)):
        return ""
    shown = " and ".join(map(repr, recurring[:2]))
    return f"{shown} {'are cells of their columns' if recurring[1:] else 'is a cell'}, too"
