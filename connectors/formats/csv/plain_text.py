r"""Translate text to a plain dialect, in which every byte between records and fields is a single character.

Arrow parses plain text only, and `records` cuts it. Here comments go, a delimiter of several characters becomes one
byte, and short records get their missing fields. Each byte of the plain text has an origin in the text that was read,
so offsets in cursors and bad rows are those of the file.

Nothing depends on how text is cut into blocks: a record is translated alike, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.errors import RowError
from connectors.formats.csv import records
from connectors.formats.csv.dialect import WHITESPACE, Dialect
from connectors.formats.csv.records import Flags, Positions, outside_quotes, unescaped

__all__ = ["PlainText", "first_end", "plain_text", "record_ends", "whole_records"]

_SUBSTITUTES = bytes([31, 30, 29, 28, *range(1, 9), 11, 12, *range(14, 28), 127])
"""Bytes that may stand for a delimiter; the first is the unit separator, which is made for this."""

_SHORT = 1 << 12  # bytes within which most records end

Origins = tuple[Positions, Positions]
"""For each byte of a plain text, where it starts and stops in the text that was read."""


class PlainText:
    """Whole records in a plain dialect.

    Parameters
    ----------
    text
        The records.
    dialect
        Their dialect.
    origins
        Returns where each byte of the text was read; None if this is the text that was read.
    """

    def __init__(self, text: bytes, dialect: Dialect, origins: Callable[[], Origins] | None = None) -> None:
        self.text, self.dialect = text, dialect
        self._origins = None if origins is None else cache(origins)

    def start(self, position: int) -> int:
        """Return where the byte at a position was read."""
        return position if self._origins is None else int(self._origins()[0][position])

    def ends(self, ends: Positions) -> Positions:
        """Return where records end in the text that was read, from their ends in this text."""
        return ends if self._origins is None or not len(ends) else self._origins()[1][ends - 1]

    def end(self, end: int) -> int:
        """Return where a record ends in the text that was read."""
        return end if self._origins is None or not end else int(self._origins()[1][end - 1])

    def record_ends(self, is_last: bool = True) -> Positions:
        """Return the end of each record in this text."""
        return records.record_ends(self.text, is_last, self.dialect)

    def without(self, spans: Iterable[tuple[int, int]]) -> PlainText:
        """Return the text without some of its bytes."""
        kept = np.ones(len(self.text), bool)
        for start, stop in spans:
            kept[start:stop] = False
        return self.kept(kept)

    def kept(self, kept: Flags, delimiters: Positions | None = None, width: int = 1) -> PlainText:
        """Return some of the bytes.

        Parameters
        ----------
        kept
            Which bytes are kept.
        delimiters, width
            Where delimiters begin that become one byte, and how long they are.
        """
        text = _bytes(self.text)
        if delimiters is not None:
            text = text.copy()
            text[delimiters] = self.dialect.delimiter_byte[0]
        found = text[kept].tobytes()

        def origins() -> Origins:
            starts, stops = self._where()
            if delimiters is not None:
                stops = stops.copy()
                stops[delimiters] += width - 1
            kept_stops = stops[kept]
            # Blanks after a last record without a line break belong to it, as they do before a line break.
            if delimiters is not None and not found.endswith((b"\r", b"\n")) and len(kept_stops):
                kept_stops[-1] = stops[-1]
            return starts[kept], kept_stops

        return PlainText(found, self.dialect, origins)

    def _where(self) -> Origins:
        if self._origins is not None:
            return self._origins()
        starts = np.arange(len(self.text))
        return starts, starts + 1

    def padded(self, n_fields: int) -> PlainText:
        """Return the text in which every record has at least a number of fields; the same object if all have."""
        ends = self.record_ends()
        n_missing = np.maximum(0, n_fields - records.count_fields(self.text, ends, self.dialect))
        if not n_missing.any():
            return self
        masked = _bytes(unescaped(self.text, self.dialect))
        last, before = masked[ends - 1], masked[np.maximum(ends - 2, 0)]
        n_last = np.where(last == 10, 1 + (before == 13), last == 13)  # bytes of the terminator
        places = np.repeat(ends - n_last, n_missing)
        text = np.insert(_bytes(self.text), places, self.dialect.delimiter_byte[0]).tobytes()

        def origins() -> Origins:
            starts, stops = self._where()
            return np.insert(starts, places, stops[places - 1]), np.insert(stops, places, stops[places - 1])

        return PlainText(text, self.dialect, origins)


def plain_text(text: bytes, dialect: Dialect) -> PlainText:
    """Return text that begins at the start of a record, in a plain dialect.

    Raises
    ------
    RowError
        The text holds every byte that could stand for a delimiter of several characters.
    """
    if dialect.is_plain:
        return PlainText(text, dialect)
    delimiter = dialect.delimiter or ","
    if len(delimiter) == 1:
        return _without_comments(text, dialect, dialect.plain(delimiter))
    substitute = next((byte for byte in _SUBSTITUTES if byte not in text), None)
    if substitute is None:
        raise RowError(f"binary data; delimiter {delimiter!r} is for text; check the file, or set --encoding")
    plain = _without_comments(text, dialect, dialect.plain(chr(substitute)))
    return _with_substitute(plain, delimiter, substitute)


def record_ends(text: bytes, is_last: bool, dialect: Dialect) -> Positions:
    """Return the end of each record, in any dialect; see `records.record_ends`."""
    plain = plain_text(text, dialect)
    return plain.ends(plain.record_ends(is_last))


def first_end(text: bytes, is_last: bool, dialect: Dialect) -> int:
    """Return the end of the first record, in any dialect; 0 if it is incomplete."""
    for n_bytes, is_whole in ((_SHORT, False), (len(text), is_last)):
        if len(ends := record_ends(text[:n_bytes], is_whole, dialect)):
            return int(ends[0])
    return 0


def whole_records(text: bytes, is_last: bool, dialect: Dialect) -> int:
    """Return the length of the whole records at the start of the text, in any dialect; see `records.whole_records`."""
    if dialect.delimiter != WHITESPACE and not records.has_quotes(text, dialect) and not _has_marks(text, dialect):
        # Without quotes, no delimiter matters.
        return records.whole_records(text, is_last, dialect if dialect.is_plain else dialect.plain("\x1f"))
    plain = plain_text(text, dialect)
    return plain.end(records.whole_records(plain.text, is_last, plain.dialect))


def _without_comments(text: bytes, dialect: Dialect, plain: Dialect) -> PlainText:
    """Return text without the lines that begin with the comment character, outside quotes."""
    found = PlainText(text, plain)
    if dialect.comment is None or not _has_marks(text, dialect):
        return found
    starts, stops = _lines_of(text, dialect.comment.encode())
    is_comment = _are_comments(text, starts, stops, dialect)
    edges = np.zeros(len(text) + 1, np.int8)
    edges[starts[is_comment]] += 1
    edges[stops[is_comment]] -= 1
    return found.kept(np.cumsum(edges[:-1], dtype=np.int8) == 0)


def _has_marks(text: bytes, dialect: Dialect) -> bool:
    """Return whether a line begins as a comment does."""
    mark = (dialect.comment or "").encode()
    if not mark or mark not in text:
        return False
    return text.startswith(mark) or b"\n" + mark in text or (b"\r" in text and b"\r" + mark in text)


def _lines_of(text: bytes, mark: bytes) -> tuple[Positions, Positions]:
    """Return the start and the stop of each line that begins with a character."""
    buffer = _bytes(text)
    found = np.flatnonzero(buffer == mark[0])
    before = buffer[found - 1]
    found = found[(found == 0) | (before == 10) | (before == 13)]
    _, ends = records.terminators(text, is_last=True)
    ends = np.append(ends, len(text))
    return found, ends[np.searchsorted(ends, found, side="right")]


def _are_comments(text: bytes, starts: Positions, stops: Positions, dialect: Dialect) -> Flags:
    """Return which lines are comments, and not part of a quoted field or after an escaped line break.

    All of them are taken for comments at first. The first one that then lies within quotes does so indeed, since all
    before it are known. So do those after it, up to one whose own quotes or escapes could change what follows.
    """
    is_comment = np.ones(len(starts), bool)
    marks = [mark for mark in (dialect.quote_byte, (dialect.escape or "").encode()) if mark and mark in text]
    if not marks:
        return is_comment
    changes = np.array([any(mark in text[a:b] for mark in marks) for a, b in zip(starts, stops, strict=True)])
    while True:
        is_inside = is_comment & _are_inside(text, starts, stops, is_comment, dialect)
        if not is_inside.any():
            return is_comment
        changing = np.flatnonzero(is_inside & changes)
        is_inside[changing[0] + 1 if len(changing) else len(starts) :] = False
        is_comment &= ~is_inside


def _are_inside(text: bytes, starts: Positions, stops: Positions, is_comment: Flags, dialect: Dialect) -> Flags:
    """Return which lines begin within a field, if some of them are comments."""
    blanked = np.frombuffer(bytearray(text), np.uint8)
    for start, stop in zip(starts[is_comment].tolist(), stops[is_comment].tolist(), strict=True):
        blanked[start:stop] = 10
    delimiter = dialect.delimiter or ","
    masked = unescaped(blanked.tobytes(), dialect, delimiter)
    before = np.maximum(starts - 1, 0)
    is_escaped = ~np.isin(_bytes(masked)[before], (10, 13))
    plain = dialect.plain(delimiter if len(delimiter) == 1 else "\x1f")
    if len(delimiter) > 1 and records.has_quotes(masked, plain):
        plain, masked = _marked(masked, delimiter, next(byte for byte in _SUBSTITUTES if byte not in masked), plain)
    is_inside = ~outside_quotes(masked, before, plain) if records.has_quotes(masked, plain) else is_escaped
    return (is_inside | is_escaped) & (starts > 0)


def _marked(masked: bytes, delimiter: str, substitute: int, plain: Dialect) -> tuple[Dialect, bytes]:
    """Return text of the same length in which a byte stands for each character of a delimiter."""
    byte = bytes([substitute])
    if delimiter == WHITESPACE:
        return plain.plain(chr(substitute)), masked.translate(bytes.maketrans(b" \t", byte * 2))
    return plain.plain(chr(substitute)), masked.replace(delimiter.encode(), byte * len(delimiter))


def _with_substitute(plain: PlainText, delimiter: str, substitute: int) -> PlainText:
    """Return text with one byte in place of each delimiter outside quotes; blanks around records go."""
    masked = unescaped(plain.text, plain.dialect, delimiter + " \t")
    _, marked = _marked(masked, delimiter, substitute, plain.dialect)
    found = np.flatnonzero(_bytes(marked) == substitute)
    width = 1 if delimiter == WHITESPACE else len(delimiter)
    found = found[::width]
    if records.has_quotes(marked, plain.dialect):
        found = found[outside_quotes(marked, found, plain.dialect)]
    if delimiter == WHITESPACE:
        begins = found[np.diff(found, prepend=-2) != 1]
        ends = found[np.diff(found, append=len(marked) + 1) != 1] + 1
        buffer = _bytes(marked)
        is_first = (begins == 0) | np.isin(buffer[begins - 1], (10, 13))
        is_last = (ends == len(marked)) | np.isin(buffer[np.minimum(ends, len(marked) - 1)], (10, 13))
        delimiters = begins[~(is_first | is_last)]
        dropped = np.setdiff1d(found, delimiters, assume_unique=True)
    else:
        delimiters = found
        dropped = (found[:, None] + np.arange(1, width)).ravel()
    kept = np.ones(len(marked), bool)
    kept[dropped] = False
    return plain.kept(kept, delimiters, width)


def _bytes(text: bytes) -> npt.NDArray[Any]:
    return np.frombuffer(text, dtype=np.uint8)
