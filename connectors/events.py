"""What a source says of its rows beside them: rows that cannot be read, and files that begin."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BadRow", "FileStart", "SourceEvent"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """What stands where a row should be and cannot be read; it is no row of the stream.

    Parameters
    ----------
    row
        Rows of the stream before it: it lies just before the row of this number.
    place
        The file, as it was given to the source.
    offset
        Where in the file it begins: a byte of text, or a row of a Parquet file.
    kind
        What is wrong, in a word: ``fields``, ``type``, ``quotes``, ``nul``, ``encoding``, ``long``, ``damage``, or
        ``late``: a file that came too late.
    reason
        What is wrong, in a line.
    content
        The bytes that stand there, as far as they can be had.
    n_rows
        How many rows are lost with it; 0 where nobody can know.
    """

    row: int
    place: str
    offset: int
    kind: str
    reason: str
    content: bytes
    n_rows: int = 1

    @property
    def n_counted(self) -> int:
        """As how many rows it counts: one where nobody can know how many are lost."""
        return max(1, self.n_rows)


@dataclass(frozen=True, slots=True)
class FileStart:
    """Where a file begins, and which columns it has.

    Parameters
    ----------
    row
        Rows of the stream before it.
    place
        The file, as it was given to the source.
    columns
        Names, in their order.
    """

    row: int
    place: str
    columns: tuple[str, ...]


SourceEvent = BadRow | FileStart
