"""Every error that a source raises; foreign errors (Arrow's, the system's) are mapped to these at the edge.

The tree::

    ConnectorError
    ├── SourceError (OSError)        a place cannot be found, opened or read
    ├── SchemaError (ValueError)     columns or types are not those expected
    ├── RowError (ValueError)        a row cannot be decoded
    └── CursorError (ValueError)     a position does not fit the source: replaced, truncated, edited

A message is one line: what, where (file, row, column, byte), found, expected, and the way out.
"""

__all__ = ["ConnectorError", "CursorError", "RowError", "SchemaError", "SourceError"]


class ConnectorError(Exception):
    """Base of every error that a source raises."""


class SourceError(ConnectorError, OSError):
    """A place cannot be found, opened or read."""


class SchemaError(ConnectorError, ValueError):
    """Columns or types are not those expected."""


class RowError(ConnectorError, ValueError):
    """A row cannot be decoded."""


class CursorError(ConnectorError, ValueError):
    """A position does not fit the source: it was replaced, truncated or edited."""
