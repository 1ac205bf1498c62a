"""The map from classes to outputs of a network."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stream_bp._arrays import Array, Floats, Ints, Mask
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.vocabulary import Value

__all__ = ["ClassMap"]


class ClassMap:
    """The classes that a network has learned, for each target of a classification. A regression has none.

    Parameters
    ----------
    encoder
        Targets and their labels. It may know more classes, because rows are encoded before they are learned.
    output
        ``softmax``: an output for each class of the one target. ``sigmoid``: one for each target, the probability of
        its second class. ``identity``: values.

    Attributes
    ----------
    known : tuple of int
        Number of classes learned so far, for each target.
    """

    def __init__(self, encoder: Encoder, output: str) -> None:
        self._encoder = encoder
        self.output = output
        self.known = (0,) * len(encoder.labels)

    @property
    def n_outputs(self) -> int:
        """Number of outputs so far, n_K."""
        return sum(self.known) if self.output == "softmax" else len(self._encoder.targets)

    @property
    def labels(self) -> list[list[Value]]:
        """The learned classes of each target, by code."""
        return [words.values[:n] for words, n in zip(self._encoder.labels, self.known, strict=True)]

    def first_new(self, rows: Encoded, start: int, stop: int) -> int | None:
        """Return the first of rows[start:stop] with a class that was not learned, or ``None``."""
        found = [
            words.first_beyond(n, codes[start:stop])
            for codes, n, words in zip(rows.y, self.known, self._encoder.labels, strict=False)
        ]
        return min((start + first for first in found if first is not None), default=None)

    def grow(self, y: Array) -> int:
        """Add the classes of codes (n_targets, n), and return how many more outputs the network needs."""
        n_before = self.n_outputs
        self.known = tuple(max(n, int(codes.max()) + 1) for n, codes in zip(self.known, y, strict=False))
        return self.n_outputs - n_before

    def know_all(self) -> int:
        """Add every class of the encoder, and return how many more outputs the network needs."""
        n_before = self.n_outputs
        self.known = tuple(map(len, self._encoder.labels))
        return self.n_outputs - n_before

    def one_hot(self, codes: Ints, dtype: "np.dtype[np.floating[Any]]") -> tuple[Floats, Mask]:
        """Return the targets of the outputs, given codes (n_targets, T, b).

        Returns
        -------
        Y : Floats
            Shape (T, n_K, b): 1 for the class of the row, else 0.
        is_present : Mask
            Which rows have a target, shape (T, n_targets, b).
        """
        # A missing code, -1, equals the code of no output, so its column is all zeros.
        by_minibatch = codes.swapaxes(0, 1)
        which = 1 if self.output == "sigmoid" else np.arange(self.n_outputs)[:, None]
        return (by_minibatch == which).astype(dtype), by_minibatch >= 0

    def probabilities(self, output: Floats, known: Sequence[int] | None = None) -> list[Floats]:
        """Return for each target the probabilities (known, n) of its classes, which sum to 1.

        Parameters
        ----------
        output
            ŷ, shape (n_K, n).
        known
            Number of classes of each target to include. Default: all that were learned.
        """
        every = [output] if self.output == "softmax" else [np.stack([1 - p, p]) for p in output]
        # Classes that were new in this minibatch are left out, because no prediction could name them.
        counts = self.known if known is None else known
        return [_renormalised(p[:n]) if n < len(p) else p for p, n in zip(every, counts, strict=True)]


def _renormalised(p: Floats) -> Floats:
    """Scale the columns of p (n_known, n) to sum 1. Where all are 0, all become equal."""
    total = p.sum(axis=0)
    even = np.full_like(p, 1 / max(len(p), 1))
    shares: Floats = np.divide(p, total, out=even, where=total > 0)
    return shares
