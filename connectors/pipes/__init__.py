"""Rows from standard input or a named pipe."""

__all__: list[str] = []
