"""Optimisers: updates of θ on flat vectors. Their whole state is in slots with θ's layout.

Each takes the mean gradient g = ∂J̃/∂θ and the learning rate η, and changes θ in place:

| name     | slots | update                                                                            |
|----------|-------|-----------------------------------------------------------------------------------|
| sgd      | -     | θ ← θ - η g  (eq. 9)                                                              |
| momentum | v     | v ← 0.9 v + g;  θ ← θ - η v                                                       |
| nesterov | v     | v ← 0.9 v + g;  θ ← θ - η (g + 0.9 v)                                             |
| adagrad  | s     | s ← s + g²;  θ ← θ - η g / (√s + 1e-8)                                            |
| rmsprop  | s     | s ← 0.99 s + 0.01 g²;  θ ← θ - η g / (√s + 1e-8)                                  |
| adam     | m, s  | m ← 0.9 m + 0.1 g;  s ← 0.999 s + 0.001 g²;  θ ← θ - η m̂ / (√ŝ + 1e-8)            |

with m̂ = m / (1 - 0.9ᵗ⁺¹), ŝ = s / (1 - 0.999ᵗ⁺¹) at step t. Slots start at zero, also for weights that grow later.
"""

import math
from abc import ABC, abstractmethod
from functools import cache

import numpy as np
import numpy.typing as npt

from stream_bp import choices
from stream_bp._arrays import Floats
from stream_bp.choices import Choices

__all__ = ["OPTIMIZERS", "SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "Optimizer", "RMSProp", "clip"]

_BETA = 0.9
_EPSILON = 1e-8
_SMALLEST_SQUARE = 1e-30  # below it a squared norm may have lost digits, in either dtype


class Optimizer(ABC):
    """A rule that turns a gradient into a change of θ.

    Examples
    --------
    >>> class SignSGD(Optimizer):
    ...     def update(self, theta, grad, slots, learning_rate, step):
    ...         theta -= learning_rate * np.sign(grad)
    >>> OPTIMIZERS.register("sign-sgd", SignSGD())
    >>> "sign-sgd" in OPTIMIZERS
    True
    >>> OPTIMIZERS.unregister("sign-sgd")
    """

    n_slots = 0
    """Number of vectors of θ's length that it keeps."""

    default_learning_rate = 0.03
    """Default rate for classes on standardised features."""

    default_learning_rate_of_values = 0.03
    """Default rate for squared error."""

    @abstractmethod
    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Change θ and the slots in place.

        Parameters
        ----------
        theta
            Shape (n_parameters,).
        grad
            Mean gradient, same shape. It is overwritten.
        slots
            Shape (n_slots + 1, n_parameters): the state, and a last row of work room.
        learning_rate
            η⁽ᵗ⁾.
        step
            t, counted from 0 where the slots were empty.
        """


class SGD(Optimizer):
    """Plain stochastic gradient descent."""

    # The curvature of squared error along a is 1, that of the cross-entropies at most 1/4. So its stable steps are four
    # times smaller.
    default_learning_rate_of_values = 0.0075

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply θ ← θ - η g."""
        np.multiply(grad, learning_rate, out=grad)
        np.subtract(theta, grad, out=theta)


class Momentum(Optimizer):
    """Gradient descent with heavy-ball momentum 0.9."""

    n_slots = 1
    default_learning_rate = 0.003
    default_learning_rate_of_values = 0.00075

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply v ← 0.9 v + g; θ ← θ - η v."""
        velocity, work = slots
        _accelerate(velocity, grad)
        np.multiply(velocity, learning_rate, out=work)
        np.subtract(theta, work, out=theta)


class Nesterov(Optimizer):
    """Gradient descent with Nesterov's momentum 0.9."""

    n_slots = 1
    default_learning_rate = 0.003
    default_learning_rate_of_values = 0.00075

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply v ← 0.9 v + g; θ ← θ - η (g + 0.9 v)."""
        velocity, work = slots
        _accelerate(velocity, grad)
        np.multiply(velocity, _like(work, _BETA), out=work)
        np.add(work, grad, out=work)
        np.multiply(work, learning_rate, out=work)
        np.subtract(theta, work, out=theta)


class AdaGrad(Optimizer):
    """A rate per weight that falls with the sum of its squared gradients."""

    n_slots = 1

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply s ← s + g²; θ ← θ - η g / (√s + ε)."""
        squares, work = slots
        np.multiply(grad, grad, out=work)
        np.add(squares, work, out=squares)
        _scaled_step(theta, grad, squares, work, learning_rate)


class RMSProp(Optimizer):
    """A rate per weight from a running mean of its squared gradients."""

    n_slots = 1
    default_learning_rate = 0.005
    default_learning_rate_of_values = 0.00125

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply s ← 0.99 s + 0.01 g²; θ ← θ - η g / (√s + ε)."""
        squares, work = slots
        _running_square(squares, grad, work, 0.99)
        _scaled_step(theta, grad, squares, work, learning_rate)


class Adam(Optimizer):
    """Running means of the gradient and of its square, corrected for their start at zero."""

    n_slots = 2
    default_learning_rate = 0.001
    default_learning_rate_of_values = 0.001

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply θ ← θ - η m̂ / (√ŝ + ε)."""
        mean, squares, work = slots
        _running_square(squares, grad, work, 0.999)
        np.multiply(mean, _like(mean, _BETA), out=mean)
        np.multiply(grad, _like(grad, 1 - _BETA), out=grad)
        np.add(mean, grad, out=mean)
        np.divide(squares, 1 - 0.999 ** (step + 1), out=work)
        np.sqrt(work, out=work)
        np.add(work, _like(work, _EPSILON), out=work)
        np.divide(mean, work, out=work)
        np.multiply(work, learning_rate / (1 - _BETA ** (step + 1)), out=work)
        np.subtract(theta, work, out=theta)


OPTIMIZERS: Choices[Optimizer] = choices.OPTIMIZERS
"""Optimisers by name. :meth:`~stream_bp.choices.Choices.register` adds one. They have no state: the slots do."""


def clip(grad: Floats, max_norm: float) -> None:
    """Scale a gradient down, in place, so that its Euclidean norm is at most ``max_norm``.

    Parameters
    ----------
    grad
        Shape (n_parameters,).
    max_norm
        The bound, > 0.

    Notes
    -----
    Where squares would overflow or underflow, the norm is computed from g / max|g|.
    """
    square = _squared_norm(grad)
    if _SMALLEST_SQUARE < square < np.inf:
        norm = math.sqrt(square)
    else:
        largest = float(np.max(np.abs(grad)))
        if not 0 < largest < np.inf:
            return
        norm = largest * float(np.linalg.norm(grad / largest))
    if norm > max_norm:
        np.multiply(grad, max_norm / norm, out=grad)


def _squared_norm(grad: Floats) -> float:
    if grad.itemsize == 8:  # NumPy may warn of an overflow beyond 1e154
        return float(grad.dot(grad))
    with np.errstate(over="ignore"):
        return float(grad.dot(grad))


@cache
def _constant(value: float, dtype: npt.DTypeLike) -> Floats:
    constant: Floats = np.array(value, dtype)
    return constant


def _like(array: Floats, value: float) -> Floats:
    """Return a constant in an array's dtype. A Python number as operand costs as much as the operation."""
    return _constant(value, array.dtype)


def _accelerate(velocity: Floats, grad: Floats) -> None:
    np.multiply(velocity, _like(velocity, _BETA), out=velocity)
    np.add(velocity, grad, out=velocity)


def _running_square(squares: Floats, grad: Floats, work: Floats, beta: float) -> None:
    np.multiply(grad, grad, out=work)
    np.multiply(work, _like(work, 1 - beta), out=work)
    np.multiply(squares, _like(squares, beta), out=squares)
    np.add(squares, work, out=squares)


def _scaled_step(theta: Floats, grad: Floats, squares: Floats, work: Floats, learning_rate: float) -> None:
    np.sqrt(squares, out=work)
    np.add(work, _like(work, _EPSILON), out=work)
    np.divide(grad, work, out=work)
    np.multiply(work, learning_rate, out=work)
    np.subtract(theta, work, out=theta)
