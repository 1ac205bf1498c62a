r"""Where records of CSV text end: found by looking at the bytes, before anything is parsed.

Arrow's parser tells no byte offset, and a record cut in two between blocks can lose a byte in it. So text is cut here,
where a record ends, and the parser only ever sees whole records.

The rules are those of RFC 4180 as Arrow and Python's ``csv`` read them: a record ends with ``\n``, ``\r\n`` or ``\r``
outside quotes; a quote opens only as the first byte of a field, and is a letter like others elsewhere; a doubled
quote within quotes is one quote; a record without any byte is no record.

Every function takes text that begins where a record begins. ``is_last`` says that no text follows: then the end of the
text ends a record too.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["count_fields", "count_lines", "count_records", "record_ends", "whole_records"]

Positions = npt.NDArray[np.int64]

_QUOTE, _COMMA, _LF, _CR = b'",\n\r'
# One field from its first byte on, whatever it holds; possessive, so that a text is walked through but once.
_FIELD = re.compile(rb'(?:"(?:[^"]++|"")*+("?))?+[^,\r\n]*+')


def whole_records(text: bytes, is_last: bool) -> int:
    """Return the length of the longest beginning made of whole records, blank ones at its end left out.

    A quote that is never closed reaches to the end of the text: what precedes its record is returned.
    """
    if b'"' in text:
        ends = record_ends(text, is_last)
        return int(ends[-1]) if len(ends) else 0
    # Whether a final \r stands alone or is half of \r\n is known only with the next byte.
    end = len(text) if is_last else 1 + max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1))
    while end and text[end - 1] in b"\r\n":
        end -= 1
    return end and end + _terminator_length(text, end)


def count_lines(text: bytes) -> int:
    r"""Return the number of lines, blank ones and one without ``\n`` at the end included."""
    # NumPy lets other threads go on meanwhile, as bytes do not.
    return int(np.count_nonzero(_bytes(text) == _LF)) + (not text.endswith(b"\n"))


def count_records(text: bytes, is_last: bool) -> int:
    """Return the number of records."""
    is_lf = _bytes(text) == _LF
    # A blank line shows as two terminators side by side; numpy finds these ten times as fast as bytes do.
    if b'"' in text or b"\r" in text or is_lf[:1].any() or (is_lf[1:] & is_lf[:-1]).any():
        return len(record_ends(text, is_last))
    has_tail = is_last and text != b"" and not is_lf[-1]
    return int(np.count_nonzero(is_lf)) + has_tail


def count_fields(record: bytes) -> int:
    """Return the number of fields of one record, however long they are.

    Examples
    --------
    >>> count_fields(b'a,"b,c",')
    3
    """
    return len(_walk(record.strip(b"\r\n") + b"\n"))


def record_ends(text: bytes, is_last: bool) -> Positions:
    """Return where each record ends: the position after its terminator, or after the text for the last one.

    Shape (n_records,), increasing. Blank records are left out: the next one's bytes begin with theirs.
    """
    starts, stops = _terminators(text, is_last)
    if b'"' in text:
        is_outside = _outside_quotes(text, starts)
        starts, stops = starts[is_outside], stops[is_outside]
    tail = int(stops[-1]) if len(stops) else 0
    if is_last and tail < len(text) and not _is_open(text[tail:]):
        starts, stops = np.append(starts, len(text)), np.append(stops, len(text))
    previous = np.concatenate(([0], stops[:-1])) if len(stops) else stops
    ends: Positions = stops[starts > previous]
    return ends


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


def _outside_quotes(text: bytes, positions: Positions) -> npt.NDArray[np.bool_]:
    """Tell which positions are outside quotes: those with an even number of quotes before them.

    Parity is right as long as each quote that opens stands at the beginning of a field, or doubles the one before it.
    """
    buffer = _bytes(text)
    quotes = np.flatnonzero(buffer == _QUOTE)
    opening = quotes[::2]
    before = buffer[opening - 1]
    is_proper = (opening == 0) | np.isin(before, (_COMMA, _LF, _CR, _QUOTE))
    if is_proper.all():
        is_even: npt.NDArray[np.bool_] = np.searchsorted(quotes, positions) % 2 == 0
        return is_even
    return np.isin(positions, _walk(text))


def _walk(text: bytes) -> Positions:
    """Return the position of every byte that ends a field, outside quotes: slow, and right for any text."""
    ends, position = [], 0
    while position < len(text):
        match = _FIELD.match(text, position)
        position = len(text) if match is None or match[1] == b"" else match.end()
        ends.append(position)
        position += 1
    return np.array(ends, dtype=np.int64)


def _is_open(record: bytes) -> bool:
    """Tell whether a record without terminator ends within quotes."""
    if b'"' not in record:
        return False
    position = 0
    while position <= len(record):
        match = _FIELD.match(record, position)
        if match is None or match[1] == b"":
            return True
        position = match.end() + 1
    return False


def _terminator_length(text: bytes, position: int) -> int:
    return 2 if text.startswith(b"\r\n", position) else int(position < len(text))


def _bytes(text: bytes) -> npt.NDArray[Any]:
    return np.frombuffer(text, dtype=np.uint8)
