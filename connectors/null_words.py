"""Words for a missing value, in columns of every type."""

from __future__ import annotations

import contextlib
import datetime
import re
from decimal import Decimal
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import numbers, texts

__all__ = ["WordSearch", "without_words"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_DIGITS = 76  # of the largest decimal


def without_words(column: pa.Array, words: tuple[str, ...], found: dict[str, int] | None = None) -> pa.Array:
    """Return a column in which the values that one of some words stands for are null.

    Parameters
    ----------
    column
        A column of a plain type.
    words
        The words. A text must be equal to one of them. A number is one that a word reads as, whatever its notation:
        ``-9999`` stands for -9999.0 too. A boolean, a date, a time or a moment is written as Arrow writes it.
    found
        Gets the first row of each word that occurs, unless it has an earlier one.
    """
    if not len(meant := _meant(column.type, words)):
        return column
    values = column if column.type == meant.type else column.cast(meant.type)
    is_meant = pc.is_in(values, value_set=meant)
    if not pc.any(is_meant).as_py():
        return column
    if found is not None:
        _note(values, words, column.type, found)
    return pc.if_else(is_meant, pa.nulls(1, column.type)[0], column)


def _note(values: pa.Array, words: tuple[str, ...], type_: pa.DataType, found: dict[str, int]) -> None:
    """Note the first row of each word that occurs."""
    for word in words:
        rows = [pc.index(values, value).as_py() for value in _meant(type_, (word,))]
        if rows and rows[0] >= 0:
            found[word] = min(rows[0], found.get(word, rows[0]))


class WordSearch:
    r"""Looks for words for a missing value in text, where each is a whole cell; a word is looked for until it is found.

    Parameters
    ----------
    words
        The words.
    around
        The characters that may stand next to a cell.

    Examples
    --------
    >>> search = WordSearch(("?", "NA"), ",")
    >>> search.first(b"who?,1\nwhy,?\n"), search.first(b"?,?")
    ({'?': 11}, {})
    """

    def __init__(self, words: tuple[str, ...], around: str) -> None:
        other = b"[^" + re.escape(f"{around}\r\n".encode()) + b"]"
        # The word comes first: a search for fixed bytes is fast.
        self._patterns = {
            word: re.compile(b"%b(?<!%b%b)(?!%b)" % (text, other, text, other))
            for word in words
            if (text := re.escape(word.encode("utf-8", "surrogatepass")))
        }

    def first(self, text: bytes) -> dict[str, int]:
        """Return where words that were not found before begin, each for the first time."""
        found = {word: match.start() for word, pattern in self._patterns.items() if (match := pattern.search(text))}
        for word in found:
            del self._patterns[word]
        return found


@lru_cache(maxsize=256)
def _meant(type_: pa.DataType, words: tuple[str, ...]) -> pa.Array:
    """Return the values of a type that some words stand for; a word that stands for none is left out."""
    # Arrow cannot look up values of the shorter types.
    wanted = pa.float32() if pa.types.is_float16(type_) else type_
    wanted = pa.decimal256(_DIGITS, type_.scale) if pa.types.is_decimal(type_) else wanted
    found = [pa.nulls(0, wanted)]
    for word in words:
        with contextlib.suppress(pa.ArrowException, OverflowError, ValueError):
            found.append(_value(type_, word).cast(wanted))
    return pa.concat_arrays(found)


def _value(type_: pa.DataType, word: str) -> pa.Array:
    """Return the value of a type that a word stands for, as a column of one row, or of none."""
    text, none = texts([word]), pa.nulls(0, type_)
    if pa.types.is_boolean(type_):
        return texts([word.lower()]).cast(type_) if word.lower() in {"true", "false"} else none
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return _number(type_, Decimal(word)) if _NUMBER.fullmatch(word) else none
    if pa.types.is_time(type_):
        time = datetime.time.fromisoformat(word)
        seconds = (time.hour * 60 + time.minute) * 60 + time.second
        return numbers(np.array([seconds * 1_000_000 + time.microsecond])).view(pa.time64("us")).cast(type_)
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        try:
            return text.cast(type_)
        except pa.ArrowInvalid:  # a moment with a zone may be written without; a day may be written as its first moment
            moment = text.cast(pa.timestamp(getattr(type_, "unit", None) or "us"))
            zone = getattr(type_, "tz", None)
            return pc.assume_timezone(moment, zone) if zone else moment
    return text if pa.types.is_string(type_) else none


def _number(type_: pa.DataType, number: Decimal) -> pa.Array:
    if pa.types.is_float16(type_):
        with np.errstate(over="ignore"):
            return numbers(np.array([number], np.float16).astype(np.float32))
    if pa.types.is_floating(type_):
        return numbers(np.array([float(number)])).cast(type_)
    if pa.types.is_decimal(type_):
        # Arrow reads more digits than there is room for as another number.
        fits = number.adjusted() + type_.scale < _DIGITS
        return texts([f"{number:f}"]).cast(pa.decimal256(_DIGITS, type_.scale)) if fits else pa.nulls(0, type_)
    if number != number.to_integral_value():
        return pa.nulls(0, type_)
    return numbers(np.array([int(number)], str(type_)))
