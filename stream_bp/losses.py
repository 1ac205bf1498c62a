"""Output function g and loss L, in the three pairs whose δ⁽ᴷ⁾ is ŷ - y (eq. 16-23).

| output   | loss                 | value for one row                              | target y         |
|----------|----------------------|------------------------------------------------|------------------|
| softmax  | cross-entropy        | log Σ exp a_k - yᵀa  (eq. 19)                  | one-hot class    |
| sigmoid  | binary cross-entropy | Σ_k max(a_k, 0) - a_k y_k + log1p(exp(-|a_k|)) | 0 or 1 per label |
| identity | squared error        | ½ ‖a - y‖²                                     | real vector      |

δ⁽ᴷ⁾ = ŷ - y in all three (eq. 22, 50): changing the pair changes ŷ and the value of the loss, nothing else. The
values are in nats (cross-entropies) or squared target units, and cannot overflow at any finite a.

Arrays may have any number of leading axes: outputs are axis -2, rows of the stream are axis -1.
"""

from abc import ABC, abstractmethod

import numpy as np

from stream_bp.activations import sigmoid
from stream_bp.arrays import Floats

__all__ = ["LOSSES", "BinaryCrossEntropy", "CrossEntropy", "Loss", "SquaredError"]


class Loss(ABC):
    """One output function with the loss that goes with it."""

    rate_scale = 1.0
    """What a default learning rate is multiplied by, where the optimiser does not scale its steps itself."""

    @abstractmethod
    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write ŷ = g(a) to ``out``.

        Parameters
        ----------
        a
            a⁽ᴷ⁾, shape (n_K, b).
        out
            Shape (n_K, b); may be ``a`` itself.
        work
            Shape (1, b), overwritten.
        """

    @abstractmethod
    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return what each output adds to the loss of each row, shape (…, n_K, b).

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
        np.maximum.reduce(a, axis=0, keepdims=True, out=work)
        np.subtract(a, work, out=out)
        np.exp(out, out=out)
        np.add.reduce(out, axis=0, keepdims=True, out=work)
        np.divide(out, work, out=out)

    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return y_k (log Σ exp a - a_k): the sum over k is eq. 19."""
        shifted = a - a.max(axis=-2, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-2, keepdims=True))
        terms: Floats = Y * (log_sum - shifted)
        return terms


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

    # Its curvature along a is 1, that of the cross-entropies at most 1/4: a stable step is four times as short.
    rate_scale = 0.25

    def output(self, a: Floats, out: Floats, work: Floats) -> None:
        """Write a."""
        if out is not a:
            np.copyto(out, a)

    def terms(self, a: Floats, Y: Floats) -> Floats:
        """Return ½ (a - y)²."""
        return 0.5 * np.square(a - Y)


LOSSES: dict[str, Loss] = {"softmax": CrossEntropy(), "sigmoid": BinaryCrossEntropy(), "identity": SquaredError()}
"""The pairs by the name of their output function."""
