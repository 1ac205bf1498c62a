"""Number the values of a stream in order of their first appearance. Beyond a limit, number them by hash."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from stream_bp._arrays import Array, Ints

__all__ = ["NO_PLACE", "Value", "Vocabulary", "hash_words"]

Value: TypeAlias = str | int | float | bool

NO_PLACE = -2
"""The code of a value without a place in the vocabulary. The code of a missing value is -1."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


class Vocabulary:
    """A list of distinct values that only grows, up to a limit. Later values share a fixed number of buckets.

    Parameters
    ----------
    values
        Those known at the start, in the order of their codes.
    limit
        Largest number of values.
    n_buckets
        Number of codes after those of the values, for words without a place.

    Attributes
    ----------
    has_overflown : bool
        Whether there was such a word. The code that looks words up sets it. The first one creates all buckets.

    Notes
    -----
    Encoding runs ahead of learning, so a vocabulary may have values from rows that were not learned yet. A checkpoint
    saves only the learned prefix. After a resume, the rest of the stream adds the other values again.

    Examples
    --------
    >>> words = Vocabulary(["red", "blue"], limit=2, n_buckets=4)
    >>> words.bucket("green"), words.name(words.bucket("green"))
    (5, '#3')
    """

    def __init__(self, values: Sequence[Value] = (), *, limit: int, n_buckets: int = 0) -> None:
        self.values = list(values)
        self.limit = limit
        self.n_buckets = n_buckets
        self.has_overflown = False

    def __len__(self) -> int:
        """Return the number of codes that exist."""
        return self.limit + self.n_buckets if self.has_overflown else len(self.values)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another value."""
        return len(self.values) >= self.limit

    def extend(self, values: Sequence[Value]) -> None:
        """Append new distinct values, as many as there is room for."""
        self.values.extend(values[: self.limit - len(self.values)])

    def buckets(self, text: Array, offsets: Ints) -> Ints:
        """Return the codes of n words without a place; see :func:`hash_words`."""
        # Without buckets, a late word has no input, as in release 0.1.0.
        if not self.n_buckets:
            return np.full(len(offsets) - 1, NO_PLACE)
        return self.limit + (hash_words(text, offsets) % np.uint64(self.n_buckets)).astype(np.int64)

    def bucket(self, word: str) -> int:
        """Return the code of one word without a place."""
        # A Python string may contain half of a surrogate pair, which strict UTF-8 refuses.
        text = word.encode("utf-8", "surrogatepass")
        return int(self.buckets(np.frombuffer(text, np.uint8), np.array([0, len(text)]))[0])

    def grown(self, highest: int) -> int:
        """Return how many codes have an input, given the highest one that has. If one bucket has an input, all have."""
        return self.limit + self.n_buckets if highest >= self.limit else highest + 1

    def first_beyond(self, n: int, codes: Ints) -> int | None:
        """Return the index of the first of codes (m,) that is not among the first n codes, or ``None``."""
        if len(self) <= n:
            return None
        # Codes only grow, so for most blocks the line above decides.
        is_beyond = codes >= n
        return int(np.argmax(is_beyond)) if is_beyond.any() else None

    def name(self, code: int) -> str:
        """Return the meaning of a code: ``=value``, or ``#3``, a bucket."""
        return f"={self.values[code]}" if code < self.limit else f"#{code - self.limit}"


def hash_words(text: Array, offsets: Ints) -> Array:
    """Return a hash of each of n words. It is the same on every machine and in every run.

    Parameters
    ----------
    text
        Their UTF-8 bytes, one word after the other, uint8.
    offsets
        The start of each word, and the end of the last one, shape (n + 1,). No word is empty.

    Returns
    -------
    Array
        Shape (n,), uint64: Σ (byte + 1)·p^position mod 2^64, mixed as in splitmix64.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    powers = np.full(lengths.max(initial=0), _BASE)
    powers[:1] = 1
    np.multiply.accumulate(powers, out=powers)
    positions = np.arange(offsets[0], offsets[-1]) - np.repeat(starts, lengths)
    terms = (text[offsets[0] : offsets[-1]].astype(np.uint64) + np.uint64(1)) * powers[positions]
    found: Array = np.add.reduceat(terms, starts - offsets[0]) if len(starts) else np.empty(0, np.uint64)
    for shift, factor in zip(_SHIFTS, _MIX, strict=False):
        found = (found ^ (found >> shift)) * factor
    found ^= found >> _SHIFTS[2]
    return found
