"""Every error that a source raises; foreign errors (Arrow's, the system's) are mapped to these at the edge.

The tree::

    ConnectorError
    ├── SourceError (OSError)        a place cannot be found, opened or read
    │   └── UnavailableError         a store does not hand it over, whatever it holds: it is not reached, or refuses
    ├── SchemaError (ValueError)     columns or types are not those expected
    │   └── NewColumnsError          a file has columns that nobody knows
    ├── RowError (ValueError)        a row cannot be decoded
    └── CursorError (ValueError)     a position does not fit the source: replaced, truncated, edited
        └── ContinuedError           what ended a file was taken for a whole record, and goes on

A message is one line: what, where (file, row, column, byte), found, expected, and the way out. Rows are counted from 0
over the whole stream, as in a cursor; lines from 1 in a file, as in an editor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ConnectorError",
    "ContinuedError",
    "CursorError",
    "NewColumnsError",
    "RowError",
    "SchemaError",
    "SourceError",
    "UnavailableError",
    "foreign_errors",
    "is_of_system",
]


class ConnectorError(Exception):
    """Base of every error that a source raises."""


class SourceError(ConnectorError, OSError):
    """A place cannot be found, opened or read."""


class UnavailableError(SourceError):
    """A store does not hand over what it may well hold: nothing is known of the rows, not even that they are bad."""


class SchemaError(ConnectorError, ValueError):
    """Columns or types are not those expected."""


class NewColumnsError(SchemaError):
    """A file has columns that nobody knows.

    Parameters
    ----------
    place
        The file.
    schema
        The columns, with their types.
    row
        Rows of the stream before it.
    """

    def __init__(self, place: str, schema: pa.Schema, row: int) -> None:
        super().__init__(f"{place}: new columns {', '.join(schema.names)}")
        self.place, self.schema, self.row = place, schema, row


class RowError(ConnectorError, ValueError):
    """A row cannot be decoded."""


class CursorError(ConnectorError, ValueError):
    """A position does not fit the source: it was replaced, truncated or edited."""


class ContinuedError(CursorError):
    """What ended a file was taken for a whole record, and goes on."""


@contextmanager
def foreign_errors(place: str) -> Iterator[None]:
    """Turn what Arrow or the system raises within into a `SourceError` that names `place`.

    Examples
    --------
    >>> with foreign_errors("a.csv"):
    ...     raise FileNotFoundError(2, "No such file or directory", "/tmp/a.csv")
    Traceback (most recent call last):
    connectors.errors.SourceError: a.csv: no such file or directory
    """
    import pyarrow as pa  # noqa: PLC0415 - whoever only tells the errors apart needs no Arrow

    try:
        yield
    except ConnectorError:
        raise
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        raise SourceError(f"{place}: {_reason(error)}") from error


def is_of_system(error: BaseException | None) -> bool:
    """Tell whether an error is one of the system's, which says nothing of what a file holds.

    Arrow, and what decompresses, raise an OSError for damage, too; that has no number.
    """
    return isinstance(error, OSError) and error.errno is not None


def _reason(error: BaseException) -> str:
    """Return why, on one line: the system's words without its path, or the first line of Arrow's."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = (words.strip() or type(error).__name__).splitlines()[0]
    return line[:1].lower() + line[1:]
