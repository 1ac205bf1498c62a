"""Errors that sources raise. Errors of Arrow and of the operating system are converted to these.

The tree::

    ConnectorError
    ├── SourceError (OSError)        a place cannot be found, opened or read
    │   └── UnavailableError         a store cannot be reached, or denies access
    ├── SchemaError (ValueError)     columns or types are not those expected
    │   └── NewColumnsError          a file has columns that were unknown so far
    ├── RowError (ValueError)        a row cannot be decoded
    └── CursorError (ValueError)     a position does not fit the source: replaced, truncated, edited
        └── ContinuedError           a record was read as complete, and was incomplete

A message is one line: what is wrong, where (file, row, column, byte), what was found, what was expected, and what to
do. Rows are counted from 0 over the whole stream, as in a cursor. Lines are counted from 1 in a file, as in an editor.
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
    """A store cannot be reached or denies access. Nothing is known about the rows."""


class SchemaError(ConnectorError, ValueError):
    """Columns or types are not those expected."""


class NewColumnsError(SchemaError):
    """A file has columns that were unknown so far.

    Parameters
    ----------
    place
        The file.
    schema
        The columns, with their types.
    row
        Number of rows before it in the stream.
    """

    def __init__(self, place: str, schema: pa.Schema, row: int) -> None:
        super().__init__(f"{place}: new columns {', '.join(schema.names)}")
        self.place, self.schema, self.row = place, schema, row


class RowError(ConnectorError, ValueError):
    """A row cannot be decoded."""


class CursorError(ConnectorError, ValueError):
    """A position does not fit the source: it was replaced, truncated or edited."""


class ContinuedError(CursorError):
    """The last record of a file was read as complete, and has been continued since."""


@contextmanager
def foreign_errors(place: str) -> Iterator[None]:
    """Convert errors of Arrow and of the operating system into a `SourceError` that names `place`.

    Examples
    --------
    >>> with foreign_errors("a.csv"):
    ...     raise FileNotFoundError(2, "No such file or directory", "/tmp/a.csv")
    Traceback (most recent call last):
    connectors.errors.SourceError: a.csv: no such file or directory
    """
    import pyarrow as pa  # noqa: PLC0415 - code that only catches these errors need not load Arrow

    try:
        yield
    except ConnectorError:  # a `SourceError` is an OSError too, and must not be wrapped again
        raise
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        raise SourceError(f"{place}: {_reason(error)}") from error


def is_of_system(error: BaseException | None) -> bool:
    """Return whether an error is the operating system's, and so says nothing about the content of a file."""
    # Arrow and gzip raise an OSError for damaged content too, but without a number.
    return isinstance(error, OSError) and error.errno is not None


def _reason(error: BaseException) -> str:
    """Return the reason on one line: the system's words without the path, or the first line of Arrow's."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = (words.strip() or type(error).__name__).splitlines()[0]
    return line[:1].lower() + line[1:]
