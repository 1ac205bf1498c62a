r"""Where records of CSV text end, and which are ill-formed: found by looking at the bytes, before anything is parsed.

Arrow's parser tells no byte offset, and a record cut in two between blocks can lose a byte in it. So text is cut here,
where a record ends, and the parser only ever sees whole records.

The rules are those of RFC 4180 as Arrow and Python's ``csv`` read them: a record ends with ``\n``, ``\r\n`` or ``\r``
outside quotes; a quote opens only as the first byte of a field, and is a letter like others elsewhere; a doubled
quote within quotes is one quote; a record without any byte is no record.

Every function takes text that begins where a record begins. ``is_last`` says that no text follows: then the end of the
text ends a record too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.formats.csv.dialect import Dialect

__all__ = ["count_fields", "count_lines", "count_records", "first_line", "misquoted", "record_ends", "whole_records"]

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LF, _CR = b"\n\r"
_USUAL = Dialect(",", '"', "utf-8")


def whole_records(text: bytes, is_last: bool, dialect: Dialect = _USUAL) -> int:
    """Return the length of the longest beginning made of whole records, blank ones at its end left out.

    A quote that is never closed reaches to the end of the text: what precedes its record is returned.
    """
    if _has_quotes(text, dialect):
        ends = record_ends(text, is_last, dialect)
        return int(ends[-1]) if len(ends) else 0
    # Whether a final \r stands alone or is half of \r\n is known only with the next byte.
    end = len(text) if is_last else 1 + max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1))
    while end and text[end - 1] in b"\r\n":
        end -= 1
    return end and end + _terminator_length(text, end)


def first_line(text: bytes, *, is_begun: bool = False) -> int:
    """Return the length of the first line that is not blank, with all before it and its terminator; 0 if it has none.

    A final carriage return may be half of a terminator: with it alone a line has none. Of a line that is begun, the
    text before was taken.
    """
    start = 0 if is_begun else len(text) - len(text.lstrip(b"\r\n"))
    ends = [end for end in (text.find(b"\n", start), text.find(b"\r", start, -1)) if end >= 0]
    return min(ends) + _terminator_length(text, min(ends)) if ends else 0


def count_lines(text: bytes) -> int:
    r"""Return the number of lines, blank ones and one without ``\n`` at the end included."""
    # NumPy lets other threads go on meanwhile, as bytes do not.
    return int(np.count_nonzero(_bytes(text) == _LF)) + (not text.endswith(b"\n"))


def count_records(text: bytes, is_last: bool, dialect: Dialect = _USUAL) -> int:
    """Return the number of records."""
    is_lf = _bytes(text) == _LF
    # A blank line shows as two terminators side by side; numpy finds these ten times as fast as bytes do.
    if _has_quotes(text, dialect) or b"\r" in text or is_lf[:1].any() or (is_lf[1:] & is_lf[:-1]).any():
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
    delimiters = np.flatnonzero(_bytes(text) == dialect.delimiter_byte[0])
    if _has_quotes(text, dialect):
        delimiters = delimiters[_outside_quotes(text, delimiters, dialect)]
    counts: Positions = (
        1 + np.bincount(np.searchsorted(ends, delimiters, side="right"), minlength=len(ends))[: len(ends)]
    )
    return counts


def misquoted(text: bytes, ends: Positions, dialect: Dialect = _USUAL) -> Flags:
    """Tell which records have something between a closing quote and the end of its field, shape (n_records,)."""
    found = np.zeros(len(ends), bool)
    if not _has_quotes(text, dialect):
        return found
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
    """Return where each record ends: the position after its terminator, or after the text for the last one.

    Shape (n_records,), increasing. Blank records are left out: the next one's bytes begin with theirs.
    """
    starts, stops = _terminators(text, is_last)
    if _has_quotes(text, dialect):
        is_outside = _outside_quotes(text, starts, dialect)
        starts, stops = starts[is_outside], stops[is_outside]
    tail = int(stops[-1]) if len(stops) else 0
    if is_last and tail < len(text) and not _is_open(text[tail:], dialect):
        starts, stops = np.append(starts, len(text)), np.append(stops, len(text))
    previous = np.concatenate(([0], stops[:-1])) if len(stops) else stops
    ends: Positions = stops[starts > previous]
    return ends


def _has_quotes(text: bytes, dialect: Dialect) -> bool:
    return dialect.quote_byte != b"" and dialect.quote_byte in text


def _neighbours(dialect: Dialect) -> list[int]:
    """Return what may stand beside a quote that opens or closes."""
    return [*dialect.delimiter_byte, *dialect.quote_byte, _LF, _CR]


def _terminators(text: bytes, is_last: bool) -> tuple[Positions, Positions]:
    """Return where each terminator starts and stops, within quotes or not."""
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


def _outside_quotes(text: bytes, positions: Positions, dialect: Dialect) -> Flags:
    """Tell which positions are outside quotes: those with an even number of quotes before them.

    Parity is right as long as each quote that opens stands at the beginning of a field, or doubles the one before it.
    """
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

    Slow, and right for any text.
    """
    position = 0
    while position < len(text):
        match = dialect.field.match(text, position)
        is_open = match is None or match[1] == b""
        end = len(text) if match is None or is_open else match.end()
        yield end, match is None or not match[1] or match.end() == match.end(1)
        position = end + 1


def _is_open(record: bytes, dialect: Dialect) -> bool:
    """Tell whether a record without terminator ends within quotes."""
    if not _has_quotes(record, dialect):
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
