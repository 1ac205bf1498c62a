"""Values met in a stream, numbered in the order of their first appearance; beyond a bound, by their hash."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from stream_bp._arrays import Array, Ints

__all__ = ["NO_PLACE", "Value", "Vocabulary", "hash_words"]

Value: TypeAlias = str | int | float | bool

NO_PLACE = -2
"""The code of a value that a vocabulary has no place for; -1 is that of a missing one."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


class Vocabulary:
    """A list of distinct values that only grows, up to a bound; what comes later shares a fixed number of buckets.

    Parameters
    ----------
    values
        Those known at the start, in the order of their codes.
    limit
        Most values it takes.
    n_buckets
        Codes, after those of the values, for words that found no place.

    Attributes
    ----------
    has_overflown : bool
        Whether there was such a word; set by the code that looks words up. The first one creates all buckets.

    Notes
    -----
    Encoding runs ahead of learning, so a vocabulary may know values from rows that were not learned yet. Whoever
    saves it saves the prefix that was learned: reading the rest of the stream again finds the rest again.

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
        """Return the number of codes that have been given."""
        return self.limit + self.n_buckets if self.has_overflown else len(self.values)

    @property
    def is_full(self) -> bool:
        """Whether a further value has no place."""
        return len(self.values) >= self.limit

    def extend(self, values: Sequence[Value]) -> None:
        """Append new distinct values, as many as there is room for."""
        self.values.extend(values[: self.limit - len(self.values)])

    def buckets(self, text: Array, offsets: Ints) -> Ints:
        """Return the codes of n words that have no place; see :func:`hash_words`."""
        # Without buckets a late word has no input, as in release 0.1.0.
        if not self.n_buckets:
            return np.full(len(offsets) - 1, NO_PLACE)
        return self.limit + (hash_words(text, offsets) % np.uint64(self.n_buckets)).astype(np.int64)

    def bucket(self, word: str) -> int:
        """Return the code of one word that has no place."""
        # A label from Python may hold half of a surrogate pair, which strict UTF-8 refuses.
        text = word.encode("utf-8", "surrogatepass")
        return int(self.buckets(np.frombuffer(text, np.uint8), np.array([0, len(text)]))[0])

    def grown(self, highest: int) -> int:
        """Return how many codes have an input once the highest one has: with one bucket, all have."""
        return self.limit + self.n_buckets if highest >= self.limit else highest + 1

    def first_beyond(self, n: int, codes: Ints) -> int | None:
        """Return where the first of some codes (m,) stands that is not among the first n codes; ``None`` for none."""
        if len(self) <= n:
            return None
        # Codes only grow, so most blocks are decided by the line above.
        is_beyond = codes >= n
        return int(np.argmax(is_beyond)) if is_beyond.any() else None

    def name(self, code: int) -> str:
        """Return what a code stands for: ``=value``, or ``#3``, a bucket."""
        return f"={self.values[code]}" if code < self.limit else f"#{code - self.limit}"


def hash_words(text: Array, offsets: Ints) -> Array:
    """Return a hash of each of n words: the same on every machine, in every run.

    Parameters
    ----------
    text
        Their UTF-8, one after the other, uint8.
    offsets
        Where each begins, and where the last one ends, shape (n + 1,); no word is empty.

    Returns
    -------
    Array
        Shape (n,), uint64: Σ (byte + 1)·p^position mod 2^64, stirred as splitmix64 does.
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
