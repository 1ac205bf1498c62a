"""The dialect of a CSV file: delimiter, quotes and encoding are given, or inferred from the header.

The decimal mark and the words for a missing value are never inferred. Inference uses only the header, since it does not
change while a file grows. So later rows cannot change the dialect.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from functools import cached_property

from connectors.errors import SchemaError

__all__ = ["DELIMITERS", "MARKS", "QUOTES", "Dialect"]

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are tried, most common first."""

QUOTES = ('"', "'", "none")

MARKS = (".", ",")
"""Allowed decimal marks."""

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # must be tried before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_QUOTED = re.compile(r'(?:[^"\r\n]|"[^"]*")*(?=[\r\n])')
_SPECIAL = ("\n", "\r", "\0", '"', "'")


@dataclass(frozen=True)
class Dialect:
    r"""How text is cut into fields, and how fields are written.

    Parameters
    ----------
    delimiter
        Character between fields: one ASCII character; ``None`` to infer it from the header.
    quote
        Character around a field that holds a delimiter or a line break; ``none`` if fields are never quoted; ``None``
        to infer it from the header.
    encoding
        Encoding, as Python names it; ``None`` to infer it from the header.
    null_values
        Words for a missing value in a column of any type, exactly as written in a field. In columns of numbers those of
        `schemas.NOTHING` count too.
    decimal
        Decimal mark: ``.`` or ``,``.

    Raises
    ------
    SchemaError
        A value is not allowed.

    Examples
    --------
    >>> Dialect().told_by("straße;'größe'\n".encode("cp1252"))
    Dialect(delimiter=';', quote='"', encoding='cp1252', null_values=(), decimal='.')
    """

    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] = ()
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in _SPECIAL
        ):
            raise SchemaError(
                f"delimiter: expected one ASCII character other than a quote or line break, found {self.delimiter!r}"
            )
        if self.quote is not None and self.quote not in QUOTES:
            raise SchemaError(f"""quote: expected one of ", ' and none, found {self.quote!r}""")
        if self.decimal not in MARKS:
            raise SchemaError(f"decimal: expected . or , as the decimal mark, found {self.decimal!r}")
        if self.decimal == self.delimiter != ".":
            raise SchemaError(f"decimal: {self.decimal!r} is the delimiter already; choose another delimiter")
        if self.encoding is not None:
            try:
                decoder = codecs.getincrementaldecoder(self.encoding)("backslashreplace")
                is_text = decoder.decode("a\n".encode(self.encoding), final=True) == "a\n"
            except (AttributeError, AssertionError, LookupError, TypeError, UnicodeError, ValueError):
                is_text = False
            if not is_text:
                raise SchemaError(f"encoding: {self.encoding!r} is not a text encoding of Python; try utf-8 or cp1252")

    def told_by(self, header: bytes) -> Dialect:
        """Return the dialect with missing parts inferred from a header.

        Parameters
        ----------
        header
            The start of the file: at least its first line, and more if that line opens a quote.
        """
        encoding = self.encoding or _encoding(header)
        text = header.decode(encoding, "replace").lstrip("\ufeff\r\n")
        line = re.split(r"[\r\n]", text, maxsplit=1)[0]
        if line.count('"') % 2 and self.quote in {None, '"'} and (whole := _QUOTED.match(text)):
            line = whole[0]  # a column name contains a line break
        quote = self.quote or ("'" if '"' not in line and len(line) > 1 and line[0] == line[-1] == "'" else '"')
        outside = re.sub(f"{quote}[^{quote}]*{quote}", "", line)
        delimiter = self.delimiter or max((d for d in DELIMITERS if d != self.decimal), key=outside.count)
        return replace(self, delimiter=delimiter, quote=quote, encoding=encoding)

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


def _encoding(header: bytes) -> str:
    """Return the encoding of the byte order mark; else UTF-8 if the first line is valid, and cp1252 otherwise."""
    for mark, encoding in _BOMS.items():
        if header.startswith(mark):
            return encoding
    try:
        re.split(rb"[\r\n]", header.lstrip(b"\r\n"), maxsplit=1)[0].decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
