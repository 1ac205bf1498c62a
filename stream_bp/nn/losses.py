"""Output functions g and their losses L, in three pairs with δ⁽ᴷ⁾ = ŷ - y (eq. 16-23).

| output   | loss                 | value for one row                              | target y         |
|----------|----------------------|------------------------------------------------|------------------|
| softmax  | cross-entropy        | log Σ exp a_k - yᵀa  (eq. 19)                  | one-hot class    |
| sigmoid  | binary cross-entropy | Σ_k max(a_k, 0) - a_k y_k + log1p(exp(-|a_k|)) | 0 or 1 per label |
| identity | squared error        | ½ ‖a - y‖²                                     | real vector      |

All three have δ⁽ᴷ⁾ = ŷ - y (eq. 22, 50), so the pair changes ŷ and the value of the loss only. Cross-entropies are in
nats, squared errors in squared target units. No value overflows at a finite a.

Arrays may have any number of leading axes. Outputs are axis -2, rows of the stream are axis -1.
"""

import math
from abc import ABC, abstractmethod

import numpy as np

from stream_bp import choices
from stream_bp._arrays import Floats
from stream_bp.choices import Choices
from stream_bp.nn.activations import sigmoid

__all__ = ["LOSSES", "BinaryCrossEntropy", "CrossEntropy", "Loss", "SquaredError"]


_FEW = 10  # classes


class Loss(ABC):
    """An output function with its loss.

    Derive from it to add your own to :data:`LOSSES`.
    """

    @abstractmethod
    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write ŷ = g(a) to ``out``.

        Parameters
        ----------
        a
            a⁽ᴷ⁾, shape (n_K, b).
        out
            Shape (n_K, b). It may be ``a`` itself.
        work
            Work room of shape (1, b), overwritten.
        """

    @abstractmethod
    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return the share of each output in the loss of each row, shape (…, n_K, b).

        Parameters
        ----------
        a
            a⁽ᴷ⁾, shape (…, n_K, b).
        Y
            Targets of the same shape.
        """


class CrossEntropy(Loss):
    """Softmax with cross-entropy: one class among n_K."""

    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write softmax(a) (eq. 18), after subtracting each column's maximum."""
        if a.size <= _FEW and a.shape[1] == 1:
            out[:, 0] = _softmax_of_one(a[:, 0].tolist())
            return
        # Without the maximum, exp overflows for large a. The softmax is the same.
        np.maximum.reduce(a, axis=0, keepdims=True, out=work)
        np.subtract(a, work, out=out)
        np.exp(out, out=out)
        np.add.reduce(out, axis=0, keepdims=True, out=work)
        np.divide(out, work, out=out)

    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return y_k (log Σ exp a - a_k). The sum over k is eq. 19."""
        shifted = a - a.max(axis=-2, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-2, keepdims=True))
        terms: Floats = Y * (log_sum - shifted)
        return terms


def _softmax_of_one(a: list[float]) -> list[float]:
    """Return the softmax of one row. With few classes, NumPy's calls cost four times as much as the arithmetic."""
    highest = max(a)
    powers = [math.exp(value - highest) for value in a]
    total = sum(powers)
    return [power / total for power in powers]


class BinaryCrossEntropy(Loss):
    """Sigmoid with binary cross-entropy: one yes-or-no label per output."""

    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write σ(a)."""
        sigmoid(a, out)

    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return max(a, 0) - a y + log1p(exp(-|a|))."""
        return np.maximum(a, 0) - a * Y + np.log1p(np.exp(-np.abs(a)))


class SquaredError(Loss):
    """Identity with half the squared error: real values."""

    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write a."""
        if out is not a:
            np.copyto(out, a)

    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return ½ (a - y)²."""
        return 0.5 * np.square(a - Y)


LOSSES: Choices[Loss] = choices.LOSSES
"""Output functions by name, each with its loss. :meth:`~stream_bp.choices.Choices.register` adds one."""
