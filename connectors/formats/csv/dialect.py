"""The dialect of a CSV file: delimiter, quotes and encoding are given, or inferred from its first lines.

All else is never inferred. Inference uses only the header and the first line after it, since they do not change while a
file grows. So later rows cannot change the dialect, and it does not depend on how text is cut into blocks.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from functools import cached_property

from connectors.errors import SchemaError
from connectors.formats.csv.beginning import Beginning, in_single_quotes

__all__ = ["DELIMITERS", "MARKS", "QUOTES", "SHORT_ROWS", "WHITESPACE", "Dialect"]

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are tried, most common first."""

QUOTES = ('"', "'", "none")

MARKS = (".", ",")
"""Allowed decimal marks."""

SHORT_ROWS = ("error", "pad")
"""What may happen to a row with too few fields."""

WHITESPACE = "whitespace"
"""The word for a delimiter of one or more blanks and tabs."""

_LONGEST = 8  # characters of a delimiter
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # must be tried before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_SPECIAL = {"\n", "\r", "\0", '"', "'"}


@dataclass(frozen=True)
class Dialect:
    r"""How text is cut into fields, and how fields are written.

    Parameters
    ----------
    delimiter
        What stands between fields: one to eight ASCII characters, or ``whitespace`` for any number of blanks and tabs;
        ``None`` to infer it from the header.
    quote
        Character around a field that holds a delimiter or a line break; ``none`` if fields are never quoted; ``None``
        to infer it. If the header has no quotes, the first line after it decides: single quotes around its fields.
    encoding
        Encoding, as Python names it; ``None`` to infer it from the header.
    null_values
        Words for a missing value in a column of any type, exactly as written in a field. In columns of numbers those of
        `schemas.NOTHING` count too.
    decimal
        Decimal mark: ``.`` or ``,``.
    names
        The columns of text without a header; empty if the first record is the header.
    skip_rows
        Number of lines before the header.
    comment
        First character of lines that are left out; ``None`` if all lines count.
    escape
        Character after which a quote, a delimiter or a line break is text; ``None`` if there is none.
    short_rows
        What happens to a row with too few fields: ``error``, it is a bad row; ``pad``, the missing ones are empty.

    Raises
    ------
    SchemaError
        A value is not allowed.

    Examples
    --------
    >>> told = Dialect().told_by("straße;'größe'\n".encode("cp1252"))
    >>> told.delimiter, told.quote, told.encoding
    (';', '"', 'cp1252')
    """

    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] = ()
    decimal: str = "."
    names: tuple[str, ...] = ()
    skip_rows: int = 0
    comment: str | None = None
    escape: str | None = None
    short_rows: str = "error"

    def __post_init__(self) -> None:
        if self.delimiter is not None and not _is_delimiter(self.delimiter):
            what = f"expected 1 to {_LONGEST} ASCII characters other than quotes and line breaks, or {WHITESPACE}"
            raise SchemaError(f"delimiter: {what}, found {self.delimiter!r}")
        if self.quote is not None and self.quote not in QUOTES:
            raise SchemaError(f"""quote: expected one of ", ' and none, found {self.quote!r}""")
        if self.decimal not in MARKS:
            raise SchemaError(f"decimal: expected . or , as the decimal mark, found {self.decimal!r}")
        if self.decimal == self.delimiter != ".":
            raise SchemaError(f"decimal: {self.decimal!r} is the delimiter already; choose another delimiter")
        if self.encoding is not None and not _is_encoding(self.encoding):
            raise SchemaError(f"encoding: {self.encoding!r} is not a text encoding of Python; try utf-8 or cp1252")
        self._check_lines()

    def _check_lines(self) -> None:
        """Refuse wrong settings about lines, names and marks."""
        for setting, mark in (("comment", self.comment), ("escape", self.escape)):
            if mark is not None and not _is_mark(mark):
                what = "expected one ASCII mark, no letter, digit, blank or quote"
                raise SchemaError(f"{setting}: {what}, found {mark!r}")
            if mark is not None and self.delimiter is not None and mark in self.delimiter:
                raise SchemaError(f"{setting}: {mark!r} is part of the delimiter {self.delimiter!r} already")
        if self.comment is not None and self.comment == self.escape:
            raise SchemaError(f"comment: {self.comment!r} is the escape already; choose another character")
        if self.skip_rows < 0:
            raise SchemaError(f"skip_rows: expected a number of lines, 0 or more, found {self.skip_rows}")
        if self.short_rows not in SHORT_ROWS:
            raise SchemaError(f"short_rows: expected one of {' and '.join(SHORT_ROWS)}, found {self.short_rows!r}")
        for name in self.names:
            if not name.strip() or self.names.count(name) > 1:
                raise SchemaError(f"names: expected names that differ, found {name!r}{' twice' * bool(name.strip())}")

    def beginning(self, data: bytes) -> Beginning:
        """Return the first lines of a file that begins with some bytes."""
        text = data.decode(self.encoding or self._encoding(data), "replace")
        return self._beginning(text)

    def _beginning(self, text: str) -> Beginning:
        is_quoted = self.quote in {None, '"'}
        return Beginning.of(text, skip_rows=self.skip_rows, comment=self.comment, is_quoted=is_quoted)

    def told_by(self, data: bytes) -> Dialect:
        """Return the dialect with missing parts inferred from the start of a file.

        Parameters
        ----------
        data
            The start: at least its first line, and more if that line opens a quote, or has no quotes; see `is_told`.
        """
        encoding = self.encoding or self._encoding(data)
        found = self._beginning(data.decode(encoding, "replace"))
        quote = self.quote or (None if self.names else _quote(found.header))
        around = quote or '"'
        outside = re.sub(f"{around}[^{around}]*{around}", "", found.header)
        delimiter = self.delimiter or found.separator
        delimiter = delimiter or max((d for d in DELIMITERS if d != self.decimal), key=outside.count)
        if quote is None:
            first = found.header if self.names else found.row
            quote = "'" if _is_in_single_quotes(first, delimiter) else '"'
        return replace(self, delimiter=delimiter, quote=quote, encoding=encoding)

    def is_told(self, data: bytes) -> bool:
        """Return whether more bytes after the start of a file cannot change what `told_by` returns."""
        return self.beginning(data).has_header and not self.awaits_row(data)

    def awaits_row(self, data: bytes) -> bool:
        """Return whether the start of a file has a header, but not yet the row that shows its quote."""
        found = self.beginning(data)
        is_settled = bool(self.quote or self.names or _quote(found.header))
        return found.has_header and not found.has_row and not is_settled

    def _encoding(self, data: bytes) -> str:
        """Return the encoding of the byte order mark; else UTF-8 if the first lines are valid, and cp1252 otherwise."""
        for mark, encoding in _BOMS.items():
            if data.startswith(mark):
                return encoding
        # Bytes as letters: positions in this text are those of bytes.
        end = self._beginning(data.decode("latin-1")).end
        try:
            data[:end].decode()
        except UnicodeDecodeError:
            return "cp1252"
        return "utf-8"

    @property
    def is_plain(self) -> bool:
        """Whether text of this dialect needs no translation: it has no comments, and a delimiter of one character."""
        return self.comment is None and len(self.delimiter or ",") == 1

    def plain(self, delimiter: str, quote: str | None = None) -> Dialect:
        """Return the dialect of the same values between a plain delimiter, with a header and without escapes."""
        found = replace(self, delimiter=delimiter, comment=None, names=(), skip_rows=0, short_rows="error")
        return replace(found, quote=quote, escape=None) if quote else found

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes of the file are UTF-8, with or without a byte order mark."""
        return codecs.lookup(self.encoding or "utf-8").name in {"utf-8", "utf-8-sig", "ascii"}

    @cached_property
    def delimiter_byte(self) -> bytes:
        """The delimiter as a byte."""
        return (self.delimiter or ",").encode()

    @cached_property
    def quote_byte(self) -> bytes:
        """The quote as a byte; empty if fields are never quoted."""
        return b"" if self.quote == "none" else (self.quote or '"').encode()

    @cached_property
    def field(self) -> re.Pattern[bytes]:
        """Pattern of one field; group 1 is its closing quote, or empty if that is missing."""
        # Possessive quantifiers never backtrack, so a broken quote cannot make the match quadratic.
        end = re.escape(self.delimiter_byte) + rb"\r\n"
        if not self.quote_byte:
            return re.compile(rb"(?!)()|[^" + end + rb"]*+")
        quote = self.quote_byte
        body = rb"(?:" + quote + rb"(?:[^" + quote + rb"]++|" + quote * 2 + rb")*+(" + quote + rb"?))?+"
        return re.compile(body + rb"[^" + end + rb"]*+")


def _is_delimiter(text: str) -> bool:
    return text == WHITESPACE or (0 < len(text) <= _LONGEST and text.isascii() and _SPECIAL.isdisjoint(text))


def _is_mark(text: str) -> bool:
    return len(text) == 1 and "!" <= text <= "~" and not text.isalnum() and text not in _SPECIAL


def _is_encoding(name: str) -> bool:
    try:
        decoder = codecs.getincrementaldecoder(name)("backslashreplace")
        return decoder.decode("a\n".encode(name), final=True) == "a\n"
    except (AttributeError, AssertionError, LookupError, TypeError, UnicodeError, ValueError):
        return False


def _quote(header: str) -> str | None:
    """Return the quote that a header shows; None if it has no quotes."""
    if '"' not in header and len(header) > 1 and header[0] == header[-1] == "'":
        return "'"
    return '"' if '"' in header or "'" in header else None


def _is_in_single_quotes(line: str, delimiter: str) -> bool:
    if delimiter == WHITESPACE:
        line, delimiter = " ".join(line.split()), " "
    return in_single_quotes(line, delimiter)
