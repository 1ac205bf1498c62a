"""What a source reports beside its rows: rows that cannot be read, starts of files, words for missing values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BadRow", "FileStart", "NullWord", "SourceEvent"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; it does not count as a row of the stream.

    Parameters
    ----------
    row
        Number of rows before it in the stream: it precedes the row with this number.
    place
        The file, as it was given to the source.
    offset
        Where it begins in the file: a byte of text, or a row of a Parquet file.
    kind
        The kind of problem: ``fields``, ``type``, ``quotes``, ``nul``, ``encoding``, ``long``, ``damage``, or ``late``
        (the file appeared too late).
    reason
        The problem, as one line.
    content
        Its bytes, as far as they could be read.
    n_rows
        Number of rows that are lost with it; 0 where it is unknown.
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
        """As how many rows it counts: 1 where the number is unknown."""
        return max(1, self.n_rows)


@dataclass(frozen=True, slots=True)
class FileStart:
    """The start of a file, and the columns of the file.

    Parameters
    ----------
    row
        Number of rows before it in the stream.
    place
        The file, as it was given to the source.
    columns
        Names of the columns, in the order of the file.
    """

    row: int
    place: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NullWord:
    """One of the words that were given for a missing value occurs, for the first time in a file or later again.

    Parameters
    ----------
    row
        Number of rows before the one that has it.
    word
        The word.
    """

    row: int
    word: str


SourceEvent = BadRow | FileStart | NullWord
