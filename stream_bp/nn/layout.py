"""The layout of θ: layer sizes, the views W⁽ˡ⁾, initial weights, and growth.

θ is one vector. W⁽ˡ⁾ of shape (n_l, n_{l-1}+1) follows W⁽ˡ⁻¹⁾ without a gap. It is stored row by row, and its last
column is the bias. The gradient and every optimiser slot have the same layout::

    θ = [ W⁽¹⁾ row 0 | W⁽¹⁾ row 1 | … | W⁽²⁾ row 0 | … | W⁽ᴷ⁾ row n_K - 1 ]

The initial weights of a column of W⁽¹⁾ follow from the seed and the *name* of its input. So the order of the inputs
does not matter. The rows of W⁽ᴷ⁾ start at zero.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_bp._arrays import Floats

__all__ = ["ParameterLayout", "initial_columns", "initial_theta"]


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """The sizes of the layers, and the layout of θ that follows from them.

    Parameters
    ----------
    layer_sizes
        (n_0, n_1, …, n_K): inputs, units of each hidden layer, outputs.

    Examples
    --------
    >>> network = ParameterLayout((3, 4, 2))
    >>> network.shapes, network.n_parameters
    (((4, 4), (2, 5)), 26)
    """

    layer_sizes: tuple[int, ...]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape (n_l, n_{l-1}+1) of every W⁽ˡ⁾, from l = 1 to K."""
        return tuple((n_out, n_in + 1) for n_in, n_out in itertools.pairwise(self.layer_sizes))

    @property
    def n_parameters(self) -> int:
        """Length of θ."""
        return sum(rows * columns for rows, columns in self.shapes)

    def views(self, theta: Floats) -> list[Floats]:
        """Return W⁽¹⁾ … W⁽ᴷ⁾ as views of a vector with θ's layout.

        Parameters
        ----------
        theta
            Contiguous vector of shape (n_parameters,): θ, a gradient, or one optimiser slot.

        Notes
        -----
        The views share memory with ``theta``. They do not follow a copy of it.
        """
        ends = list(itertools.accumulate(rows * columns for rows, columns in self.shapes))
        starts = [0, *ends[:-1]]
        return [theta[a:z].reshape(shape) for a, z, shape in zip(starts, ends, self.shapes, strict=True)]

    def regrow(self, vector: Floats, grown: "ParameterLayout", at: int) -> Floats:
        """Copy a vector of this network into the layout of a wider one. New entries are zero.

        Parameters
        ----------
        vector
            Shape (n_parameters,), with this network's layout.
        grown
            The same hidden layers with at least as many inputs and outputs. New outputs come after the old rows.
        at
            The place of the first new input, 0 to n_0. Old inputs from there on, and the bias, move after the new ones.

        Returns
        -------
        Floats
            Shape (grown.n_parameters,), a new array.
        """
        wide = np.zeros(grown.n_parameters, vector.dtype)
        for old, new in zip(self.views(vector), grown.views(wide), strict=True):
            first = new[: len(old)]
            # The bias is the last column, so it moves together with the old inputs after the new ones.
            n_after = old.shape[1] - at
            first[:, :at] = old[:, :at]
            first[:, first.shape[1] - n_after :] = old[:, at:]
            at = 0  # only the first layer has new inputs
        return wide


def initial_theta(
    network: ParameterLayout,
    inputs: Sequence[str],
    *,
    gain: float,
    fan_in: int,
    seed: int,
    dtype: np.dtype[np.floating],
) -> Floats:
    """Draw θ at step 0: normal weights (He or Glorot), with biases and the output layer at zero.

    Parameters
    ----------
    network
        The layout.
    inputs
        Name of every input, shape (n_0,).
    gain
        Variance of a weight times the number of values that feed its unit: 2 for ReLU, 1 otherwise.
    fan_in
        Inputs that are active at once: the number of source columns. A category counts once.
    seed
        Seed of the draw.
    dtype
        float32 or float64.

    Returns
    -------
    Floats
        Shape (n_parameters,).
    """
    theta = np.zeros(network.n_parameters, dtype)
    hidden = network.views(theta)[:-1]
    for layer, W in enumerate(hidden, start=1):
        n_out, n_in = W.shape[0], W.shape[1] - 1
        if layer == 1:
            W[:, :-1] = initial_columns(inputs, n_out, gain=gain, fan_in=fan_in, seed=seed)
        else:
            W[:, :-1] = _normal(f"{seed}/layer {layer}", (n_out, n_in)) * np.sqrt(gain / n_in)
    return theta


def initial_columns(inputs: Sequence[str], n_units: int, *, gain: float, fan_in: int, seed: int) -> Floats:
    """Draw one column of W⁽¹⁾ for each named input.

    Parameters
    ----------
    inputs
        Names, shape (n,).
    n_units
        n_1, units of the first hidden layer.
    gain, fan_in, seed
        As in :func:`initial_theta`.

    Returns
    -------
    Floats
        Shape (n_1, n), float64. A column depends only on its name, the seed and the scale.
    """
    columns = [_normal(f"{seed}/input {name}", (n_units,)) for name in inputs]
    return np.stack(columns, axis=1) * np.sqrt(gain / max(fan_in, 1)) if columns else np.empty((n_units, 0))


def _normal(key: str, shape: tuple[int, ...]) -> Floats:
    """Draw standard normal values that are a function of a text. A hash of the text seeds the generator."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    # 16 bytes, the size of a Philox key.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little"))).standard_normal(shape)
