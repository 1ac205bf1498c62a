"""How a CSV file is written: its delimiter, its quotes, its encoding; told from its header, unless somebody says so.

The decimal mark, and words that mean that there is nothing, somebody has to say.

The header alone decides, since it stays what it is while a file grows: rows that come later change nothing.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from functools import cached_property

from connectors.errors import SchemaError

__all__ = ["DELIMITERS", "MARKS", "QUOTES", "Dialect"]

DELIMITERS = (",", ";", "\t", "|")
"""What separates fields, most usual first."""

QUOTES = ('"', "'", "none")

MARKS = (".", ",")
"""What separates the fraction of a number."""

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_QUOTED = re.compile(r'(?:[^"\r\n]|"[^"]*")*(?=[\r\n])')
_SPECIAL = ("\n", "\r", "\0", '"', "'")


@dataclass(frozen=True)
class Dialect:
    r"""How text is cut into fields, and how these are written.

    Parameters
    ----------
    delimiter
        What separates them: one ASCII character; ``None`` to be told from the header.
    quote
        What encloses one that holds a delimiter or a line break, ``none`` where nothing does; ``None`` to be told.
    encoding
        As Python names it; ``None`` to be told.
    null_values
        Words that mean that there is nothing, whatever the column is, beside `schemas.NOTHING` among numbers; exactly
        as they stand in a field.
    decimal
        What separates the fraction of a number: ``.`` or ``,``.

    Raises
    ------
    SchemaError
        One of them cannot be.

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
                f"delimiter: expected one ASCII character, no quote or line break, found {self.delimiter!r}"
            )
        if self.quote is not None and self.quote not in QUOTES:
            raise SchemaError(f"""quote: expected one of ", ' and none, found {self.quote!r}""")
        if self.decimal not in MARKS:
            raise SchemaError(f"decimal: expected . or , as the decimal mark, found {self.decimal!r}")
        if self.decimal == self.delimiter != ".":
            raise SchemaError(f"decimal: {self.decimal!r} separates fields already; choose another delimiter")
        if self.encoding is not None:
            try:
                decoder = codecs.getincrementaldecoder(self.encoding)("backslashreplace")
                is_text = decoder.decode("a\n".encode(self.encoding), final=True) == "a\n"
            except (AttributeError, AssertionError, LookupError, TypeError, UnicodeError, ValueError):
                is_text = False
            if not is_text:
                raise SchemaError(f"encoding: {self.encoding!r} is no encoding of text that Python knows")

    def told_by(self, header: bytes) -> Dialect:
        """Return the dialect with everything told that was not said.

        Parameters
        ----------
        header
            The beginning of the file, with at least its first line; with more, if that opens a quote.
        """
        encoding = self.encoding or _encoding(header)
        text = header.decode(encoding, "replace").lstrip("\ufeff\r\n")
        line = re.split(r"[\r\n]", text, maxsplit=1)[0]
        if line.count('"') % 2 and self.quote in {None, '"'} and (whole := _QUOTED.match(text)):
            line = whole[0]  # a name with a line break
        quote = self.quote or ("'" if '"' not in line and len(line) > 1 and line[0] == line[-1] == "'" else '"')
        outside = re.sub(f"{quote}[^{quote}]*{quote}", "", line)
        delimiter = self.delimiter or max((d for d in DELIMITERS if d != self.decimal), key=outside.count)
        return replace(self, delimiter=delimiter, quote=quote, encoding=encoding)

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes of the file are those of the text; a mark at the beginning is left out."""
        return codecs.lookup(self.encoding or "utf-8").name in {"utf-8", "utf-8-sig", "ascii"}

    @cached_property
    def delimiter_byte(self) -> bytes:
        """What separates fields."""
        return (self.delimiter or ",").encode()

    @cached_property
    def quote_byte(self) -> bytes:
        """What encloses fields; empty where nothing does."""
        return b"" if self.quote == "none" else (self.quote or '"').encode()

    @cached_property
    def field(self) -> re.Pattern[bytes]:
        """One field from its first byte on, whatever it holds: group 1 is its closing quote, empty if it has none.

        Possessive, so that a text is walked through but once.
        """
        end = re.escape(self.delimiter_byte) + rb"\r\n"
        if not self.quote_byte:
            return re.compile(rb"(?!)()|[^" + end + rb"]*+")
        quote = self.quote_byte
        body = rb"(?:" + quote + rb"(?:[^" + quote + rb"]++|" + quote * 2 + rb")*+(" + quote + rb"?))?+"
        return re.compile(body + rb"[^" + end + rb"]*+")


def _encoding(header: bytes) -> str:
    """Return what a mark says; UTF-8 where the first line is; else what text of Windows and Latin-1 is written in."""
    for mark, encoding in _BOMS.items():
        if header.startswith(mark):
            return encoding
    try:
        re.split(rb"[\r\n]", header.lstrip(b"\r\n"), maxsplit=1)[0].decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
