"""Activation functions ψ of the hidden layers (§5.6): ψ in place, and ψ′ from the layer's own output.

| name     | ψ(a)             | ψ′ from z = ψ(a)      | saturates |
|----------|------------------|-----------------------|-----------|
| relu     | max(a, 0)        | 1 where z > 0, else 0 | no        |
| sigmoid  | 1 / (1 + exp -a) | z (1 - z)             | yes       |
| tanh     | tanh a           | 1 - z²                | yes       |
| identity | a                | 1                     | no        |

The source's eq. 56 swaps the two values of the ReLU derivative. Here ψ′(0) = 0 for ReLU. Where ψ saturates, δ shrinks
from layer to layer towards the input. This is the vanishing gradient.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from stream_bp import choices
from stream_bp._arrays import Floats, Mask
from stream_bp.choices import Choices

__all__ = ["ACTIVATIONS", "Activation", "Identity", "ReLU", "Scratch", "Sigmoid", "Tanh", "sigmoid"]


@dataclass(slots=True)
class Scratch:
    """Work room for the intermediate values of one layer. It is allocated once, so a step allocates nothing.

    Parameters
    ----------
    like
        An array of the shape and type of the layer's activations, (n_l, b).
    """

    like: Floats
    zeros: Floats = field(init=False)
    ones: Floats = field(init=False)
    work: Floats = field(init=False)
    mask: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.zeros = np.zeros_like(self.like)
        self.ones = np.ones_like(self.like)
        self.work = np.empty_like(self.like)
        self.mask = np.empty(self.like.shape, bool)


class Activation(ABC):
    """An activation function ψ and its derivative ψ′, elementwise and in place.

    Derive from it to add your own to :data:`ACTIVATIONS`.
    """

    gain = 1.0
    """Variance of an initial weight times its fan-in: 2 for ReLU (He), 1 otherwise (Glorot)."""

    @abstractmethod
    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Replace a by ψ(a).

        Parameters
        ----------
        a
            Shape (n_l, b), overwritten.
        scratch
            Work room of the layer.
        """

    @abstractmethod
    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Multiply δ by ψ′ (eq. 52), computed from the layer's output z.

        Parameters
        ----------
        delta
            Shape (n_l, b), overwritten.
        z
            ψ(a), same shape.
        scratch
            Work room of the layer.
        """


class ReLU(Activation):
    """The rectifier max(a, 0)."""

    gain = 2.0

    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Replace a by max(a, 0)."""
        # An array of zeros runs three times faster than the scalar 0.
        np.maximum(a, scratch.zeros, out=a)

    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Keep δ where z > 0."""
        np.greater(z, scratch.zeros, out=scratch.mask)
        np.multiply(delta, scratch.mask, out=delta)


class Sigmoid(Activation):
    """The logistic function 1 / (1 + exp(-a))."""

    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Replace a by 1 / (1 + exp(-a))."""
        sigmoid(a, a)

    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Multiply δ by z (1 - z)."""
        np.multiply(delta, z, out=delta)
        np.subtract(scratch.ones, z, out=scratch.work)
        np.multiply(delta, scratch.work, out=delta)


class Tanh(Activation):
    """The hyperbolic tangent tanh(a)."""

    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Replace a by tanh(a)."""
        np.tanh(a, out=a)

    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Multiply δ by 1 - z²."""
        np.multiply(z, z, out=scratch.work)
        np.subtract(scratch.ones, scratch.work, out=scratch.work)
        np.multiply(delta, scratch.work, out=delta)


class Identity(Activation):
    """The identity: a linear layer."""

    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Leave a unchanged."""

    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Leave δ unchanged."""


ACTIVATIONS: Choices[Activation] = choices.ACTIVATIONS
"""Activation functions by name. :meth:`~stream_bp.choices.Choices.register` adds one."""


def sigmoid(a: Floats, out: Floats) -> None:
    """Write 1 / (1 + exp(-a)) to ``out``. ``a`` and ``out`` may be the same array.

    Notes
    -----
    It is computed as ½ (1 + tanh(a/2)), which cannot overflow.
    """
    np.multiply(a, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, 0.5, out=out)
