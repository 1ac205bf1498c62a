"""The first lines of a text file: what stands before its first record, its header, and its first row.

The dialect is inferred from them alone. They do not change while a file grows, so later rows cannot change the dialect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LONG_HEADER", "Beginning", "in_single_quotes", "length_before", "separator_of"]

LONG_HEADER = 1 << 16
"""Characters after which a quote in the header counts as never closed."""

_MARK = b"\xef\xbb\xbf"
_QUOTED = re.compile(r'(?:[^"\r\n]|"[^"]*")*(?=[\r\n])')
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_SEPARATOR = re.compile(r'"?sep=([!-~\t])"?')


@dataclass(frozen=True, slots=True)
class Beginning:
    r"""The first lines of a text, as far as they decide the dialect.

    Attributes
    ----------
    separator
        The delimiter that a first line such as ``sep=;`` names; None without such a line.
    header
        The first record, as far as it is known; empty if there is none yet.
    row
        The first line after it.
    end
        Where the first line of the header ends.
    has_header, has_row
        Whether the header, and the line after it, are complete.

    Examples
    --------
    >>> Beginning.of("sep=;\n# by hand\na;b\n1;2\n", comment="#")
    Beginning(separator=';', header='a;b', row='1;2', end=19, has_header=True, has_row=True)
    """

    separator: str | None
    header: str
    row: str
    end: int
    has_header: bool
    has_row: bool

    @classmethod
    def of(cls, text: str, *, skip_rows: int = 0, comment: str | None = None, is_quoted: bool = True) -> Beginning:
        """Find the first lines in a text.

        Parameters
        ----------
        text
            The start of a file; it may begin with a byte order mark.
        skip_rows
            Lines before the header.
        comment
            The character with which a comment begins.
        is_quoted
            Whether a name in double quotes may hold a line break.
        """
        at = len(text) - len(text.lstrip("\ufeff"))
        separator = separator_of(_line(text, at))
        for _ in range(skip_rows or int(separator is not None)):
            at += len(_line(text, at))
        at = _next(text, at, comment)
        line = _line(text, at)
        header, is_ended = line.rstrip("\r\n"), _is_ended(line)
        end = at + len(header)
        if is_quoted and header.count('"') % 2:
            whole = _QUOTED.match(text, at, at + LONG_HEADER)
            is_ended = whole is not None or len(text) - at > LONG_HEADER
            header = header if whole is None else whole[0]  # a column name contains a line break
        row = _line(text, _next(text, at + len(header), comment)) if is_ended else ""
        return cls(separator, header, row.rstrip("\r\n"), end, is_ended, _is_ended(row))


def separator_of(line: str) -> str | None:
    """Return the delimiter that a line of Excel names; None for another line.

    Examples
    --------
    >>> separator_of("sep=;")
    ';'
    """
    found = _SEPARATOR.fullmatch(line.rstrip("\r\n"))
    return None if found is None or found[1] in "\"'" else found[1]


def length_before(text: bytes, skip_rows: int) -> int:
    """Return the length of what stands before the header and its comments: a mark, and lines to skip.

    Parameters
    ----------
    text
        The start of a file, in UTF-8.
    skip_rows
        Lines before the header.
    """
    letters = text.decode("latin-1")
    at = len(_MARK) if text.startswith(_MARK) else 0
    for _ in range(skip_rows or int(separator_of(_line(letters, at)) is not None)):
        at += len(_line(letters, at))
    return at


def in_single_quotes(line: str, delimiter: str) -> bool:
    """Return whether single quotes stand around fields of a line, and nowhere else.

    Examples
    --------
    >>> in_single_quotes("1,'a,b','it''s'", ","), in_single_quotes("1,it's,'90s", ",")
    (True, False)
    """
    between = re.escape(delimiter)
    rest, n_fields = re.subn(rf"(?:^|(?<={between}))'(?:[^']|'')*'(?={between}|$)", "", line)
    return n_fields > 0 and '"' not in line and "'" not in rest


def _line(text: str, at: int) -> str:
    """Return the line that begins at a position, with its end."""
    found = _LINE.match(text, at)
    return "" if found is None else found[0]


def _is_ended(line: str) -> bool:
    return line.endswith(("\r", "\n"))


def _next(text: str, at: int, comment: str | None) -> int:
    """Return where the next line begins that is neither blank nor a comment."""
    while line := _line(text, at):
        if line.strip(" \r\n") and not (comment and line.startswith(comment)):
            break
        at += len(line)
    return at
