"""Running sizes of δ and of the gradient, layer by layer. They show a vanishing or exploding gradient."""

import math
from collections.abc import Sequence

import numpy as np

from stream_bp._arrays import Floats
from stream_bp._state import StateDict

__all__ = ["KEEP", "SAMPLED_EVERY", "GradientStats"]

SAMPLED_EVERY = 16
"""Steps between two samples. The figures stay current, and the cost is negligible."""

KEEP = 0.99
"""The weight of all earlier samples when a new one is added."""


class GradientStats:
    """Running root mean square of Δ⁽ˡ⁾ and of ∂J̃/∂W⁽ˡ⁾ for every layer.

    Parameters
    ----------
    n_layers
        K.

    Notes
    -----
    Each figure is the root of an exponential mean of mean squares. A sample keeps 0.99 of the mean before it, and the
    start at zero is corrected. The step alone decides which steps are sampled. So the figures resume exactly.
    """

    def __init__(self, n_layers: int) -> None:
        # Plain floats: for a few layers they cost a fraction of what small arrays do.
        self._squares = [[0.0] * n_layers, [0.0] * n_layers]
        self._weights = [0.0, 0.0]

    def observe_delta(self, delta: Sequence[Floats], factor: float = 1) -> None:
        """Take one sample of Δ⁽¹⁾ … Δ⁽ᴷ⁾, each (n_l, b). The arrays hold these divided by ``factor``."""
        self._observe(0, delta, factor * factor)

    def observe_gradient(self, grad: Sequence[Floats]) -> None:
        """Take one sample of the *mean* gradient of every layer, each (n_l, n_{l-1}+1)."""
        self._observe(1, grad, 1)

    def _observe(self, figure: int, arrays: Sequence[Floats], factor: float) -> None:
        squares = self._squares[figure]
        for layer, array in enumerate(arrays):
            squares[layer] += (1 - KEEP) * (factor * _mean_square(array) - squares[layer])
        self._weights[figure] += (1 - KEEP) * (1 - self._weights[figure])

    def report(self) -> list[dict[str, float]]:
        """Return ``{"delta_rms": …, "gradient_rms": …}`` for layers 1 … K. All are zero before the first sample."""
        figures = [
            [math.sqrt(square / (weight or 1)) for square in squares]
            for squares, weight in zip(self._squares, self._weights, strict=True)
        ]
        return [{"delta_rms": delta, "gradient_rms": grad} for delta, grad in zip(*figures, strict=True)]

    def state_dict(self) -> StateDict:
        """Return the running means of squares of each layer, and the sum of their weights so far."""
        squares, weights = [list(layers) for layers in self._squares], [[weight] for weight in self._weights]
        return StateDict(values={"squares": squares, "weights": weights})

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        squares = np.array(state.values["squares"], dtype=float).reshape(np.shape(self._squares))
        self._squares = squares.tolist()
        self._weights = np.array(state.values["weights"], dtype=float).reshape(2).tolist()


def _mean_square(array: Floats) -> float:
    flat = array.ravel()
    return float(np.dot(flat, flat)) / max(flat.size, 1)
