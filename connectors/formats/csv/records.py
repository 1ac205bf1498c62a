r"""Find the ends of records in CSV text, and malformed records, from the bytes alone, before any parse.

Arrow's parser does not report byte offsets, and it can lose a byte of a record that is split between two blocks. So
text is cut here, at record boundaries, and the parser sees only whole records.

The rules are those of RFC 4180 as Arrow and Python's ``csv`` apply them:

- A record ends with ``\n``, ``\r\n`` or ``\r`` outside quotes.
- A quote opens only as the first byte of a field. Elsewhere it is an ordinary character.
- A doubled quote within quotes is one quote.
- The character after an escape is text, within quotes and outside.
- An empty line is not a record.

Every function takes text that begins at the start of a record. ``is_last`` means that no text follows, so the end of
the text ends a record too. The dialect must be plain (`Dialect.is_plain`); see `plain_text` for all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.formats.csv.dialect import Dialect

__all__ = [
    "count_fields",
    "count_lines",
    "count_records",
    "first_line",
    "has_quotes",
    "joined",
    "misquoted",
    "outside_quotes",
    "record_ends",
    "span",
    "terminators",
    "unescaped",
    "whole_records",
]

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LF, _CR = b"\n\r"
_USUAL = Dialect(",", '"', "utf-8")


def whole_records(text: bytes, is_last: bool, dialect: Dialect = _USUAL) -> int:
    """Return the length of the whole records at the start of the text, without blank lines at their end.

    An unclosed quote reaches to the end of the text, so its record and all after it are not counted.
    """
    if has_quotes(text, dialect):
        ends = record_ends(text, is_last, dialect)
        return int(ends[-1]) if len(ends) else 0
    text = unescaped(text, dialect)
    # A final \r may be half of \r\n; only the next byte decides.
    end = len(text) if is_last else 1 + max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1))
    while end and text[end - 1] in b"\r\n":
        end -= 1
    return end and end + _terminator_length(text, end)


def first_line(text: bytes, *, is_begun: bool = False) -> int:
    """Return the length up to the end of the first line that is not blank; 0 if that line has no terminator.

    A final carriage return does not count as a terminator, since a line feed may follow. With ``is_begun``, the text
    starts in the middle of a line.
    """
    start = 0 if is_begun else len(text) - len(text.lstrip(b"\r\n"))
    ends = [end for end in (text.find(b"\n", start), text.find(b"\r", start, -1)) if end >= 0]
    return min(ends) + _terminator_length(text, min(ends)) if ends else 0


def count_lines(text: bytes) -> int:
    r"""Return the number of lines, including blank lines and a last line without ``\n``."""
    # NumPy releases the interpreter lock during the count; `bytes.count` does not.
    return int(np.count_nonzero(_bytes(text) == _LF)) + (not text.endswith(b"\n"))


def count_records(text: bytes, is_last: bool, dialect: Dialect = _USUAL) -> int:
    """Return the number of records."""
    text = unescaped(text, dialect)
    is_lf = _bytes(text) == _LF
    # Two adjacent terminators mean a blank line. NumPy finds them ten times as fast as a search in the bytes.
    if has_quotes(text, dialect) or b"\r" in text or is_lf[:1].any() or (is_lf[1:] & is_lf[:-1]).any():
        return len(record_ends(text, is_last, dialect))
    has_tail = is_last and text != b"" and not is_lf[-1]
    return int(np.count_nonzero(is_lf)) + has_tail


def count_fields(text: bytes, ends: Positions, dialect: Dialect = _USUAL) -> Positions:
    r"""Return the number of fields of each record, shape (n_records,).

    Examples
    --------
    >>> text = b'a,"b,c",\nd'
    >>> count_fields(text, record_ends(text, is_last=True)).tolist()
    [3, 1]
    """
    text = unescaped(text, dialect)
    delimiters = np.flatnonzero(_bytes(text) == dialect.delimiter_byte[0])
    if has_quotes(text, dialect):
        delimiters = delimiters[outside_quotes(text, delimiters, dialect)]
    counts: Positions = (
        1 + np.bincount(np.searchsorted(ends, delimiters, side="right"), minlength=len(ends))[: len(ends)]
    )
    return counts


def misquoted(text: bytes, ends: Positions, dialect: Dialect = _USUAL) -> Flags:
    """Return which records have text between a closing quote and the end of its field, shape (n_records,)."""
    found = np.zeros(len(ends), bool)
    if not has_quotes(text, dialect):
        return found
    text = unescaped(text, dialect)
    quotes = np.flatnonzero(_bytes(text) == dialect.quote_byte[0])
    if _are_proper(text, quotes[::2], dialect):
        closing = quotes[1::2]
        closing = closing[closing + 1 < len(text)]
        bad = closing[~np.isin(_bytes(text)[closing + 1], _neighbours(dialect))]
    else:
        bad = np.array([end - 1 for end, is_clean in _walk(text, dialect) if not is_clean], np.int64)
    of_record = np.searchsorted(ends, bad, side="right")
    found[of_record[of_record < len(ends)]] = True
    return found


def record_ends(text: bytes, is_last: bool, dialect: Dialect = _USUAL) -> Positions:
    """Return the end of each record: the position after its terminator, or after the text for the last one.

    Shape (n_records,), increasing. A blank line is not a record: its bytes belong to the next record.
    """
    text = unescaped(text, dialect)
    starts, stops = terminators(text, is_last)
    if has_quotes(text, dialect):
        is_outside = outside_quotes(text, starts, dialect)
        starts, stops = starts[is_outside], stops[is_outside]
    tail = int(stops[-1]) if len(stops) else 0
    if is_last and tail < len(text) and not _is_open(text[tail:], dialect):
        starts, stops = np.append(starts, len(text)), np.append(stops, len(text))
    previous = np.concatenate(([0], stops[:-1])) if len(stops) else stops
    ends: Positions = stops[starts > previous]
    return ends


def span(text: bytes, ends: Positions, record: int) -> tuple[int, int]:
    """Return the start and end of a record, without the blank lines before it."""
    start, stop = int(ends[record - 1]) if record else 0, int(ends[record])
    return stop - len(text[start:stop].lstrip(b"\r\n")), stop


def joined(text: bytes, ends: Positions, which: Positions) -> bytes:
    """Return some records as one text; only the last one may lack a terminator."""
    if not len(which):
        return b""
    breaks = np.flatnonzero(np.diff(which) != 1)
    first = which[np.concatenate(([0], breaks + 1))]
    last = which[np.concatenate((breaks, [len(which) - 1]))]
    starts = np.where(first > 0, ends[first - 1], 0)
    return b"".join(text[start:stop] for start, stop in zip(starts.tolist(), ends[last].tolist(), strict=True))


def has_quotes(text: bytes, dialect: Dialect) -> bool:
    """Return whether a quote occurs that may open a field."""
    return dialect.quote_byte != b"" and dialect.quote_byte in text


def _neighbours(dialect: Dialect) -> list[int]:
    """Return the bytes that may be next to an opening or closing quote."""
    return [*dialect.delimiter_byte, *dialect.quote_byte, _LF, _CR]


def unescaped(text: bytes, dialect: Dialect, others: str = "") -> bytes:
    r"""Return text of the same length with a letter for each escape and the character after it.

    Parameters
    ----------
    text, dialect
        Text that begins at the start of a record.
    others
        Characters that the letter must not be.

    Examples
    --------
    >>> unescaped(b'a\\\\,b', Dialect(escape="\\"))
    b'a__,b'
    """
    if dialect.escape is None or (mark := dialect.escape.encode()) not in text:
        return text
    buffer = _bytes(text)
    found = np.flatnonzero(buffer == mark[0])
    # Of several in a row, the first one escapes the second.
    begins = np.diff(found, prepend=-2) != 1
    first = np.maximum.accumulate(np.where(begins, np.arange(len(found)), 0))
    escapes = found[(np.arange(len(found)) - first) % 2 == 0]
    masked = buffer.copy()
    special = {*others, *(dialect.delimiter or ","), dialect.quote}
    letter = ord(next(character for character in "_.:0x-+=!~" if character not in special))
    masked[escapes] = masked[np.minimum(escapes + 1, len(text) - 1)] = letter
    return masked.tobytes()


def terminators(text: bytes, is_last: bool) -> tuple[Positions, Positions]:
    """Return the start and stop of each terminator, including those within quotes."""
    buffer = _bytes(text)
    lf = np.flatnonzero(buffer == _LF)
    if b"\r" not in text:
        return lf, lf + 1
    follows_cr = (lf > 0) & (buffer[lf - 1] == _CR)
    cr = np.flatnonzero(buffer == _CR)
    if not is_last and cr[-1] == len(text) - 1:
        cr = cr[:-1]
    alone = cr[buffer[np.minimum(cr + 1, len(text) - 1)] != _LF]
    starts = np.concatenate((lf - follows_cr, alone))
    stops = np.concatenate((lf + 1, alone + 1))
    order = np.argsort(starts)
    return starts[order], stops[order]


def outside_quotes(text: bytes, positions: Positions, dialect: Dialect) -> Flags:
    """Return which positions are outside quotes: those with an even number of quotes before them.

    Each of them must be a delimiter or part of a terminator. Escapes must be masked: see `unescaped`.
    """
    # Parity is right only if each opening quote is at the start of a field, or doubles the quote before it.
    quotes = np.flatnonzero(_bytes(text) == dialect.quote_byte[0])
    if _are_proper(text, quotes[::2], dialect):
        is_even: Flags = np.searchsorted(quotes, positions) % 2 == 0
        return is_even
    return np.isin(positions, np.fromiter((end for end, _ in _walk(text, dialect)), np.int64))


def _are_proper(text: bytes, opening: Positions, dialect: Dialect) -> bool:
    before = _bytes(text)[opening - 1]
    return bool(((opening == 0) | np.isin(before, _neighbours(dialect))).all())


def _walk(text: bytes, dialect: Dialect) -> Iterator[tuple[int, bool]]:
    """Yield the position of every byte that ends a field, outside quotes, and whether the field was well quoted.

    It is slow, but correct for any text.
    """
    position = 0
    while position < len(text):
        match = dialect.field.match(text, position)
        is_open = match is None or match[1] == b""
        end = len(text) if match is None or is_open else match.end()
        yield end, match is None or not match[1] or match.end() == match.end(1)
        position = end + 1


def _is_open(record: bytes, dialect: Dialect) -> bool:
    """Return whether a record without terminator ends within quotes."""
    if not has_quotes(record, dialect):
        return False
    position = 0
    while position <= len(record):
        match = dialect.field.match(record, position)
        if match is None or match[1] == b"":
            return True
        position = match.end() + 1
    return False


def _terminator_length(text: bytes, position: int) -> int:
    return 2 if text.startswith(b"\r\n", position) else int(position < len(text))


def _bytes(text: bytes) -> npt.NDArray[Any]:
    return np.frombuffer(text, dtype=np.uint8)
