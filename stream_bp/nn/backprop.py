"""The forward pass (eq. 1-7) and the backward pass (eq. 29-54), on buffers for one minibatch width.

Samples are columns. Z⁽⁰⁾ = (X, 1). Every Z⁽ˡ⁾, l < K, is (n_l + 1, b), and its last row of ones is never overwritten.
So A⁽ˡ⁾ = W⁽ˡ⁾ Z⁽ˡ⁻¹⁾ is one matrix product, bias included.

Three slips of the source are corrected. The input z⁽⁰⁾ has its 1, too (eq. 7). The step to δ⁽ˡ⁻¹⁾ takes ψ′ of layer l-1
(Algorithm 1 has l). There is no δ⁽⁰⁾.
"""

from collections.abc import Sequence

import numpy as np

from stream_bp._arrays import Floats
from stream_bp.nn.activations import Activation, Scratch
from stream_bp.nn.layout import ParameterLayout

__all__ = ["Buffers", "backward", "forward"]


class Buffers:
    """The arrays that a minibatch of width b needs between its forward and its backward pass.

    Parameters
    ----------
    network
        The layer sizes.
    b
        Rows in the minibatch.
    dtype
        float32 or float64.

    Attributes
    ----------
    Z0 : Floats
        Buffer for Z⁽⁰⁾, (n_0 + 1, b), last row 1.
    Z : list of Floats
        Z⁽¹⁾ … Z⁽ᴷ⁻¹⁾, each (n_l + 1, b), last row 1.
    hidden : list of Floats
        The same without the row of ones: views (n_l, b).
    delta : list of Floats
        Δ⁽¹⁾ … Δ⁽ᴷ⁾, each (n_l, b).
    scratch : list of Scratch
        Work room of the hidden layers.
    a, output : Floats
        Buffers for a⁽ᴷ⁾ and ŷ, each (n_K, b).
    row : Floats
        Work room (1, b) of the output function.

    Notes
    -----
    A short minibatch gets buffers of its own width. A slice of wider ones would not be contiguous.
    """

    def __init__(self, network: ParameterLayout, b: int, dtype: np.dtype[np.floating]) -> None:
        n_inputs, *hidden_sizes, n_outputs = network.layer_sizes
        self.Z0 = np.ones((n_inputs + 1, b), dtype)
        self.Z = [np.ones((n + 1, b), dtype) for n in hidden_sizes]
        self.hidden = [z[:-1] for z in self.Z]
        self.delta = [np.empty((n, b), dtype) for n in network.layer_sizes[1:]]
        self.scratch = [Scratch(z) for z in self.hidden]
        self.a = np.empty((n_outputs, b), dtype)
        self.output = np.empty((n_outputs, b), dtype)
        self.row = np.empty((1, b), dtype)


def forward(W: Sequence[Floats], Z0: Floats, buffers: Buffers, out: Floats, *, psi: Activation) -> None:
    """Propagate one minibatch from the input to a⁽ᴷ⁾.

    Parameters
    ----------
    W
        W⁽¹⁾ … W⁽ᴷ⁾.
    Z0
        Z⁽⁰⁾ = (X, 1), shape (n_0 + 1, b), last row 1.
    buffers
        Receives Z⁽¹⁾ … Z⁽ᴷ⁻¹⁾.
    out
        Receives a⁽ᴷ⁾, shape (n_K, b).
    psi
        Activation function of the hidden layers.
    """
    below = Z0
    for weights, z, hidden, scratch in zip(W, buffers.Z, buffers.hidden, buffers.scratch, strict=False):
        np.dot(weights, below, hidden)  # (n_l, n_{l-1}+1) (n_{l-1}+1, b)
        psi.forward(hidden, scratch)
        below = z
    np.dot(W[-1], below, out)


def backward(
    W: Sequence[Floats],
    inner: Sequence[Floats],
    Z0: Floats,
    buffers: Buffers,
    grad: Sequence[Floats],
    *,
    psi: Activation,
) -> None:
    """Propagate δ⁽ᴷ⁾ back and write the gradient *sums* of every layer.

    Parameters
    ----------
    W
        W⁽¹⁾ … W⁽ᴷ⁾.
    inner
        Transposes of W⁽²⁾ … W⁽ᴷ⁾ without their bias columns, as views. The constant 1 has derivative 0.
    Z0
        Z⁽⁰⁾, as given to :func:`forward`.
    buffers
        Holds Z⁽ˡ⁾ and, in ``delta[-1]``, δ⁽ᴷ⁾. It receives Δ⁽ᴷ⁻¹⁾ … Δ⁽¹⁾.
    grad
        Receives Σ ∂L/∂W⁽ˡ⁾ over the minibatch, in the shapes of ``W``: ñ times eq. 30 and 54.
    psi
        Activation function of the hidden layers.
    """
    delta = buffers.delta
    for layer in range(len(W) - 1, 0, -1):
        np.dot(delta[layer], buffers.Z[layer - 1].T, grad[layer])  # (n_l, b) (b, n_{l-1}+1)
        np.dot(inner[layer - 1], delta[layer], delta[layer - 1])  # (n_{l-1}, n_l) (n_l, b)
        psi.backward(delta[layer - 1], buffers.hidden[layer - 1], buffers.scratch[layer - 1])  # eq. 52
    np.dot(delta[0], Z0.T, grad[0])
