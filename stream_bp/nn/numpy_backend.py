"""The reference backend: the steps of the method as NumPy calls, one operation at a time.

A backend has no state of its own except work room. It changes the arrays that it was given: θ, the gradient and the
optimiser's slots. The other backend, :mod:`stream_bp.nn.numba_backend`, runs whole minibatches in compiled code.
"""

import numpy as np

from stream_bp._arrays import Floats
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.backend import UpdateConfig
from stream_bp.nn.backprop import Buffers, backward, forward
from stream_bp.nn.gradient_stats import SAMPLED_EVERY, GradientStats
from stream_bp.nn.layout import ParameterLayout
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.optimizers import OPTIMIZERS, clip
from stream_bp.nn.scaler import NextRow

__all__ = ["NumPyBackend"]


class NumPyBackend:
    """A :class:`~stream_bp.nn.backend.Backend` of NumPy calls, on buffers made once for each minibatch width.

    Parameters
    ----------
    network
        The layer sizes.
    rule
        How to compute.
    diagnostics
        Takes samples of δ and of the gradient.
    theta, grad, slots
        θ, the buffer for its gradient, and the optimiser's slots. The last row of slots is work room.
    """

    def __init__(
        self,
        network: ParameterLayout,
        rule: UpdateConfig,
        diagnostics: GradientStats,
        *,
        theta: Floats,
        grad: Floats,
        slots: Floats,
    ) -> None:
        self._network = network
        self._theta, self._grad, self._slots = theta, grad, slots
        self._W = network.views(theta)
        # Views made once, so a step makes none.
        self._inner = [W[:, :-1].T for W in self._W[1:]]
        self._grad_views = network.views(grad)
        self._psi, self._loss = ACTIVATIONS[rule.activation], LOSSES[rule.output]
        self._optimizer = OPTIMIZERS[rule.optimizer]
        self._schedule, self._clip_norm, self._weight_decay = rule.schedule, rule.clip_norm, rule.weight_decay
        self._restarted = rule.restarted
        self._diagnostics = diagnostics
        self._buffers: dict[int, Buffers] = {}
        self._last = Buffers(network, 0, theta.dtype)

    def predict(self, X: Floats) -> Floats:
        """Return ŷ of rows."""
        # Not kept: callers predict any number of rows, and each number would keep its own buffers.
        buffers = Buffers(self._network, X.shape[1], self._theta.dtype)
        buffers.Z0[:-1] = X
        self._forward(buffers.Z0, buffers.a, buffers.output, buffers)
        return buffers.output

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ of a minibatch."""
        buffers = self._last = self._buffers_of(X.shape[1])
        buffers.Z0[:-1] = X
        self._forward(buffers.Z0, buffers.a, buffers.output, buffers)
        return buffers.output

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale a row, and return its ŷ."""
        return self.propagate(row.scale(x))

    def backward(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Write the gradient sum of the minibatch that was propagated last."""
        self._backward(self._last.Z0, Y, self._last.output, mask, self._last, count=1, step=step)

    def learn_propagated(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Learn the minibatch that was propagated last."""
        buffers = self._last
        self._backward(buffers.Z0, Y, buffers.output, mask, buffers, count=Y.shape[1], step=step)
        self._update(step)

    def learn(
        self, X: Floats, Y: Floats, masks: Floats | None, counts: Floats, *, step: int, a: Floats, y_hat: Floats
    ) -> int:
        """Predict, then learn, T minibatches in turn."""
        Z0, buffers = self._with_ones(X), self._buffers_of(X.shape[2])
        each = [None] * len(X) if masks is None else list(masks)
        for z, y, to, said, mask, n in zip(Z0, Y, a, y_hat, each, counts.tolist(), strict=True):
            self._forward(z, to, said, buffers)
            if n:
                self._backward(z, y, said, mask, buffers, count=n, step=step)
                self._update(step)
                step += 1
        return step

    def _buffers_of(self, b: int) -> Buffers:
        """Return the buffers for minibatches of b rows. They are made once."""
        buffers = self._buffers.get(b)
        if buffers is None:
            buffers = self._buffers[b] = Buffers(self._network, b, self._theta.dtype)
        return buffers

    def _with_ones(self, X: Floats) -> Floats:
        """Return Z⁽⁰⁾ of T minibatches: (T, n_0 + 1, b) with a last row of ones."""
        n_minibatches, n_inputs, b = X.shape
        Z0 = np.empty((n_minibatches, n_inputs + 1, b), self._theta.dtype)
        Z0[:, :-1] = X
        Z0[:, -1] = 1
        return Z0

    def _forward(self, Z0: Floats, a: Floats, y_hat: Floats, buffers: Buffers) -> None:
        """Fill a⁽ᴷ⁾ and ŷ."""
        forward(self._W, Z0, buffers, a, psi=self._psi)
        self._loss.output(a, y_hat, buffers.row)

    def _backward(
        self,
        Z0: Floats,
        Y: Floats,
        y_hat: Floats,
        mask: Floats | None,
        buffers: Buffers,
        *,
        count: float,
        step: int,
    ) -> None:
        """Fill every δ and the gradient sums, both divided by ``count``. The buffers hold the forward pass.

        Dividing δ⁽ᴷ⁾ by ñ makes all gradients means. It is a pass over n_K b numbers instead of over θ.
        """
        delta = buffers.delta[-1]
        np.subtract(y_hat, Y, out=delta)  # eq. 22, 50
        if mask is not None:
            np.multiply(delta, mask, out=delta)
        if count != 1:
            np.multiply(delta, 1 / count, out=delta)
        backward(self._W, self._inner, Z0, buffers, self._grad_views, psi=self._psi)
        if step % SAMPLED_EVERY == 0 and (mask is None or mask.any()):
            self._diagnostics.observe_delta(buffers.delta, count)

    def apply(self, count: float, step: int) -> None:
        """Take one optimiser step with the gradient sum (eq. 9, 31)."""
        if count != 1:
            np.multiply(self._grad, 1 / count, out=self._grad)
        self._update(step)

    def _update(self, step: int) -> None:
        """Take one optimiser step with the mean gradient."""
        if step % SAMPLED_EVERY == 0:
            self._diagnostics.observe_gradient(self._grad_views)
        if self._clip_norm is not None:
            clip(self._grad, self._clip_norm)
        rate = self._schedule(step)
        if self._weight_decay:
            for W in self._W:
                W[:, :-1] *= 1 - rate * self._weight_decay
        self._optimizer.update(self._theta, self._grad, self._slots, rate, step - self._restarted)
