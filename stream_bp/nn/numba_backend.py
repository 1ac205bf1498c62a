"""The second backend: whole minibatches, row after row, in code compiled by Numba.

It is for small minibatches, where the calls of NumPy cost more than the arithmetic. The arithmetic is that of
:mod:`stream_bp.nn.backprop`, :mod:`stream_bp.nn.losses` and :mod:`stream_bp.nn.optimizers`. They are the reference in
its tests. Its sums run in another order, so its last bits differ from theirs. On one machine they are always the same.
One kernel serves every layer, activation, output and optimiser. It branches outside the loops over weights.

Numba caches the compiled code beside this file, or in the user's cache folder if it cannot write there.
"""

import math
from importlib.metadata import version
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
from numba import njit

from stream_bp._arrays import Array, Floats
from stream_bp._state import StateDict
from stream_bp.nn.backend import UpdateConfig
from stream_bp.nn.gradient_stats import KEEP, SAMPLED_EVERY, GradientStats
from stream_bp.nn.layout import ParameterLayout
from stream_bp.nn.scaler import CLIP, LEAST_VARIANCE, NextRow
from stream_bp.nn.schedules import BOOST, BOOST_STEPS, Schedule

__all__ = ["NumbaBackend", "describe", "prepare"]

# Indices are unsigned. With signed ones, compiled code checks at each access whether they count from the end.
_U = np.uint64
_0, _1, _2, _3, _4 = map(_U, range(5))

_FORWARD, _BACKWARD, _UPDATE = 1, 2, 4  # phases
_Schedule = tuple[int, bool, float, int, int, int, int]  # the fields of a schedule, and the optimiser's first step

# The compiled forms. The kernel branches on these codes. stream_bp.choices lists the choices that have a branch, but
# not their codes. Numba's cache notices changes of this file only. If the codes were there and changed, a cached kernel
# would run another optimiser.
_RELU, _SIGMOID, _TANH, _LINEAR = range(4)
_PSI = {"relu": _RELU, "sigmoid": _SIGMOID, "tanh": _TANH, "identity": _LINEAR}
_SOFTMAX, _LABELS, _VALUES = range(3)
_OUTPUT = {"softmax": _SOFTMAX, "sigmoid": _LABELS, "identity": _VALUES}
_CONSTANT, _INVERSE_TIME, _INVERSE_SQRT, _COSINE = range(4)
_DECAY = {"constant": _CONSTANT, "inverse-time": _INVERSE_TIME, "inverse-sqrt": _INVERSE_SQRT, "cosine": _COSINE}
_SGD, _MOMENTUM, _NESTEROV, _ADAGRAD, _RMSPROP, _ADAM = range(6)
_OPTIMIZER = {
    "sgd": _SGD,
    "momentum": _MOMENTUM,
    "nesterov": _NESTEROV,
    "adagrad": _ADAGRAD,
    "rmsprop": _RMSPROP,
    "adam": _ADAM,
}


def describe() -> str:
    """Return what decides the bits of compiled code: the compiler and the target processor."""
    return f"numba {version('numba')}, llvmlite {version('llvmlite')}, {llvmlite.binding.get_host_cpu_name()}"


def prepare(dtype: str) -> None:
    """Compile the kernel that learns rows, or load it from the cache. This takes seconds, or a fifth of one."""
    network = ParameterLayout((1, 1))
    theta = np.zeros(network.n_parameters, dtype)
    rule = UpdateConfig("identity", "identity", "sgd", Schedule("constant", 1.0), None, 0.0)
    backend = NumbaBackend(network, rule, GradientStats(1), theta=theta, grad=theta.copy(), slots=theta[None].copy())
    X, Y, a, y_hat = np.zeros((4, 1, 1, 1), dtype)
    backend.learn(X, Y, None, np.ones(1), step=0, a=a, y_hat=y_hat)


# No fastmath. The compiler may then neither reorder a sum nor fuse a product into it, so fresh code and cached code
# give the same bits. With fastmath they differed in the last bit.
_part_of_kernel = njit(error_model="numpy", nogil=True)


def _kernel(function: Any) -> Any:
    try:
        return njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # no cache folder is writable, so every process compiles anew
        return _part_of_kernel(function)


@_part_of_kernel
def _forward(
    theta: Floats, sizes: Array, psi: int, g: int, t: Any, X: Floats, Z: Floats, a: Floats, y_hat: Floats
) -> None:
    """Propagate minibatch t (eq. 1-7).

    Parameters
    ----------
    theta
        W⁽¹⁾ … W⁽ᴷ⁾, packed.
    sizes
        n_0 … n_K.
    psi, g
        Codes of the activation and of the output function.
    X
        Inputs, (T, n_0, b).
    Z
        Receives Z⁽⁰⁾ … Z⁽ᴷ⁻¹⁾ of each row in turn, each with its last 1. It has b Σ (n_l + 1) numbers.
    a, y_hat
        Receive a⁽ᴷ⁾ and ŷ, (T, n_K, b).
    """
    n_layers = _U(len(sizes) - 1)
    n_inputs, n_outputs = sizes[_0], sizes[n_layers]
    zero, half, one = theta.dtype.type(0), theta.dtype.type(0.5), theta.dtype.type(1)
    below = _0
    for r in range(_U(X.shape[2])):
        for j in range(n_inputs):
            Z[below + j] = X[t, j, r]
        at = _0
        for layer in range(n_layers):
            n_in, n_out = sizes[layer] + _1, sizes[layer + _1]
            above = below + n_in
            Z[above - _1] = one
            is_last = layer + _1 == n_layers
            i = _0
            while i + _4 <= n_out:  # four independent sums: the processor adds them in parallel
                first, second, third, fourth = zero, zero, zero, zero
                w1, w2, w3 = at + n_in, at + n_in * _2, at + n_in * _3
                for j in range(n_in):
                    z = Z[below + j]
                    first += theta[at + j] * z
                    second += theta[w1 + j] * z
                    third += theta[w2 + j] * z
                    fourth += theta[w3 + j] * z
                at = w3 + n_in
                if is_last:
                    a[t, i, r], a[t, i + _1, r], a[t, i + _2, r], a[t, i + _3, r] = first, second, third, fourth
                else:
                    Z[above + i], Z[above + i + _1], Z[above + i + _2], Z[above + i + _3] = first, second, third, fourth
                i += _4
            while i < n_out:
                total = zero
                for j in range(n_in):
                    total += theta[at + j] * Z[below + j]
                at += n_in
                if is_last:
                    a[t, i, r] = total
                else:
                    Z[above + i] = total
                i += _1
            below = above
            if is_last:
                break
            if psi == _RELU:
                for j in range(n_out):
                    # NaN must stay NaN, or a diverged network would look finite.
                    Z[above + j] = Z[above + j] if Z[above + j] > zero or Z[above + j] != Z[above + j] else zero
            elif psi == _SIGMOID:
                for j in range(n_out):
                    Z[above + j] = half * (math.tanh(half * Z[above + j]) + one)
            elif psi == _TANH:
                for j in range(n_out):
                    Z[above + j] = math.tanh(Z[above + j])
        if g == _SOFTMAX:
            highest, total = a[t, _0, r], zero
            for k in range(n_outputs):
                highest = max(highest, a[t, k, r])
            for k in range(n_outputs):
                y_hat[t, k, r] = math.exp(a[t, k, r] - highest)
                total += y_hat[t, k, r]
            for k in range(n_outputs):
                y_hat[t, k, r] /= total
        elif g == _LABELS:
            for k in range(n_outputs):
                y_hat[t, k, r] = half * (math.tanh(half * a[t, k, r]) + one)
        else:
            for k in range(n_outputs):
                y_hat[t, k, r] = a[t, k, r]


@_part_of_kernel
def _backward(
    theta: Floats,
    grad: Floats,
    sizes: Array,
    psi: int,
    t: Any,
    Z: Floats,
    y_hat: Floats,
    Y: Floats,
    masks: Floats,
    count: float,
    work: Floats,
    squares: Floats,
) -> None:
    """Propagate δ⁽ᴷ⁾ back (eq. 22, 50, 52). Write the gradient sums (eq. 29-54) of minibatch t, divided by ``count``.

    Parameters
    ----------
    theta, sizes, psi, t, Z, y_hat
        The arguments of :func:`_forward`, after its call.
    grad
        Receives the sums, in θ's layout.
    Y
        Targets, (T, n_K, b).
    masks
        Factors of δ⁽ᴷ⁾, (T, n_K or 1, b). T = 0 means no mask.
    count
        Divisor of δ⁽ᴷ⁾.
    work
        Work room for two δ: twice max n_l + 1 numbers.
    squares
        Receives the sum of the squares of each Δ⁽ˡ⁾, (K,).
    """
    n_layers = _U(len(sizes) - 1)
    n_outputs, b = sizes[n_layers], _U(Y.shape[2])
    zero, one, share = theta.dtype.type(0), theta.dtype.type(1), theta.dtype.type(1 / count)
    is_masked, has_own_masks = len(masks) > 0, masks.shape[1] > 1
    end_of_row = _0
    for i in range(n_layers):
        squares[i] = 0.0
        end_of_row += sizes[i] + _1
    width = end_of_row
    for r in range(b):
        delta, below_delta = _0, _U(len(work)) // _2
        for k in range(n_outputs):
            difference = y_hat[t, k, r] - Y[t, k, r]
            if is_masked:
                difference *= masks[t, k if has_own_masks else _0, r]
            work[k] = difference * share
        end, below, layer = _U(len(theta)), end_of_row, n_layers
        while layer > _0:
            n_in, n_out = sizes[layer - _1] + _1, sizes[layer]
            start = end - n_in * n_out
            below -= n_in
            square, at = zero, start
            for i in range(n_out):
                d = work[delta + i]
                square += d * d
                if r == _0:  # the first row writes, so no pass sets the gradient to zero
                    for j in range(n_in):
                        grad[at + j] = d * Z[below + j]
                else:
                    for j in range(n_in):
                        grad[at + j] += d * Z[below + j]
                at += n_in
            squares[layer - _1] += square
            if layer > _1:
                for j in range(n_in):
                    work[below_delta + j] = zero
                at = start
                for i in range(n_out):
                    d = work[delta + i]
                    for j in range(n_in):
                        work[below_delta + j] += d * theta[at + j]
                    at += n_in
                if psi == _RELU:
                    for j in range(n_in - _1):
                        work[below_delta + j] = work[below_delta + j] if Z[below + j] > zero else zero
                elif psi == _SIGMOID:
                    for j in range(n_in - _1):
                        work[below_delta + j] *= Z[below + j] * (one - Z[below + j])
                elif psi == _TANH:
                    for j in range(n_in - _1):
                        work[below_delta + j] *= one - Z[below + j] * Z[below + j]
                delta, below_delta = below_delta, delta
            end = start
            layer -= _1
        end_of_row += width


@_part_of_kernel
def _clip(grad: Floats, most: float) -> None:
    square = 0.0
    for i in range(len(grad)):
        square += np.float64(grad[i]) * np.float64(grad[i])
    norm = math.sqrt(square)
    # Squares may have underflowed or overflowed in a float64: scale them first, as nn.optimizers.clip does.
    if not 1e-15 < norm < np.inf:
        largest = 0.0
        for i in range(len(grad)):
            largest = max(largest, abs(np.float64(grad[i])))
        if not 0.0 < largest < np.inf:
            return
        square = 0.0
        for i in range(len(grad)):
            square += (np.float64(grad[i]) / largest) ** 2
        norm = largest * math.sqrt(square)
    if norm > most:
        factor = grad.dtype.type(most / norm)
        for i in range(len(grad)):
            grad[i] *= factor


@_part_of_kernel
def _rate(schedule: _Schedule, step: int) -> float:
    """Return η⁽ᵗ⁾, as :class:`~stream_bp.nn.schedules.Schedule` does."""
    decay, climbs, rate, decay_steps, warmup_steps, boosted, _ = schedule
    boost = 1.0
    if boosted >= 0 and step < boosted + BOOST_STEPS:
        boost = 1 + (BOOST - 1) * (1 - (step - boosted) / BOOST_STEPS)
    if climbs:
        if step < warmup_steps:
            return rate * (step + 1) / warmup_steps * boost
        step -= warmup_steps
    u = step / decay_steps
    if decay == _INVERSE_TIME:
        return rate / (1 + u) * boost
    if decay == _INVERSE_SQRT:
        return rate / math.sqrt(1 + u) * boost
    if decay == _COSINE:
        return rate * max(0.01, (1 + math.cos(math.pi * min(u, 1.0))) / 2) * boost
    return rate * boost


@_part_of_kernel
def _apply(
    theta: Floats,
    grad: Floats,
    slots: Floats,
    sizes: Array,
    optimizer: int,
    rate: float,
    decay: float,
    step: int,
) -> None:
    """Change θ and the slots, given the mean gradient."""
    of = theta.dtype.type
    if decay:
        keep, at = of(1 - rate * decay), _0
        for layer in range(_U(len(sizes) - 1)):
            for _ in range(sizes[layer + _1]):
                for j in range(sizes[layer]):
                    theta[at + j] *= keep
                at += sizes[layer] + _1
    eta, epsilon = of(rate), of(1e-8)
    n = len(theta)
    if optimizer == _SGD:
        for p in range(n):
            theta[p] -= eta * grad[p]
    elif optimizer == _MOMENTUM:
        v, beta = slots[0], of(0.9)
        for p in range(n):
            v[p] = beta * v[p] + grad[p]
            theta[p] -= eta * v[p]
    elif optimizer == _NESTEROV:
        v, beta = slots[0], of(0.9)
        for p in range(n):
            v[p] = beta * v[p] + grad[p]
            theta[p] -= eta * (grad[p] + beta * v[p])
    elif optimizer == _ADAGRAD:
        s = slots[0]
        for p in range(n):
            s[p] += grad[p] * grad[p]
            theta[p] -= eta * (grad[p] / (of(math.sqrt(s[p])) + epsilon))
    elif optimizer == _RMSPROP:
        s, old, new = slots[0], of(0.99), of(1 - 0.99)
        for p in range(n):
            s[p] = old * s[p] + new * grad[p] * grad[p]
            theta[p] -= eta * (grad[p] / (of(math.sqrt(s[p])) + epsilon))
    else:
        m, s = slots[0], slots[1]
        eta = of(rate / (1 - math.pow(0.9, step + 1.0)))
        root = of(1 / (1 - math.pow(0.999, step + 1.0)))
        for p in range(n):
            m[p] = of(0.9) * m[p] + of(1 - 0.9) * grad[p]
            s[p] = of(0.999) * s[p] + of(1 - 0.999) * grad[p] * grad[p]
            theta[p] -= eta * (m[p] / (of(math.sqrt(s[p] * root)) + epsilon))


@_kernel
def _run(
    phases: int,
    theta: Floats,
    grad: Floats,
    slots: Floats,
    sizes: Array,
    codes: tuple[int, int, int],
    schedule: _Schedule,
    clip_norm: float,
    decay: float,
    X: Floats,
    Y: Floats,
    masks: Floats,
    counts: Floats,
    room: tuple[Floats, Floats],
    a: Floats,
    y_hat: Floats,
    step: int,
    mean_squares: Floats,
    sampled: Floats,
) -> int:
    """Predict, then learn, T minibatches in turn. Return the step after them.

    Parameters
    ----------
    phases
        The phases to run: a sum of the constants ``_FORWARD``, ``_BACKWARD`` and ``_UPDATE``.
    theta, slots
        Changed in place, once for each minibatch with a target.
    grad
        Receives the gradient sum. A change of θ overwrites it.
    sizes, codes
        n_0 … n_K, and the codes of the activation, the output function and the optimiser.
    schedule
        As for :func:`_rate`.
    clip_norm
        Largest norm of the gradient. Infinity does not clip.
    decay
        λ.
    X, Y
        (T, n_0, b) and (T, n_K, b).
    masks, counts
        (T, n_K or 1, b) and (T,). Masks have T = 0 where nothing is missing.
    room
        Z and two δ, as for :func:`_backward`.
    a, y_hat
        Receive a⁽ᴷ⁾ and ŷ from before each update, (T, n_K, b).
    step
        t of the first minibatch.
    mean_squares, sampled
        Running figures of :class:`~stream_bp.nn.gradient_stats.GradientStats`, (2, K) and (2,), updated in place.
    """
    psi, g, optimizer = codes
    Z, work = room
    n_layers = _U(len(sizes) - 1)
    squares = np.zeros(n_layers)
    for t in range(_U(len(counts))):
        if phases & _FORWARD:
            _forward(theta, sizes, psi, g, t, X, Z, a, y_hat)
        if not counts[t]:
            continue
        is_sampled = step % SAMPLED_EVERY == 0
        if phases & _BACKWARD:
            divisor = counts[t] if phases & _UPDATE else 1.0
            _backward(theta, grad, sizes, psi, t, Z, y_hat, Y, masks, divisor, work, squares)
            if is_sampled and (not len(masks) or masks[t].any()):
                for layer in range(n_layers):
                    mean = squares[layer] * divisor * divisor / (sizes[layer + _1] * _U(a.shape[2]))
                    mean_squares[_0, layer] += (1 - KEEP) * (mean - mean_squares[_0, layer])
                sampled[0] += (1 - KEEP) * (1 - sampled[0])
        if phases & _UPDATE:
            if counts[t] != 1 and not phases & _BACKWARD:
                share = theta.dtype.type(1 / counts[t])
                for p in range(len(grad)):
                    grad[p] *= share
            if is_sampled:
                end = _0
                for layer in range(n_layers):
                    start, end, square = end, end + (sizes[layer] + _1) * sizes[layer + _1], 0.0
                    for p in range(start, end):
                        square += grad[p] * grad[p]
                    mean_squares[_1, layer] += (1 - KEEP) * (square / (end - start) - mean_squares[_1, layer])
                sampled[1] += (1 - KEEP) * (1 - sampled[1])
            if clip_norm < np.inf:
                _clip(grad, clip_norm)
            _apply(theta, grad, slots, sizes, optimizer, _rate(schedule, step), decay, step - schedule[6])
            step += 1
    return step


@_kernel
def _propagate_row(
    x: Floats,
    sums: Floats,
    shift: Floats,
    after: Floats,
    theta: Floats,
    sizes: Array,
    codes: tuple[int, int, int],
    X: Floats,
    Z: Floats,
    a: Floats,
    y_hat: Floats,
) -> bool:
    """Scale a row and propagate it. The bits are those of :meth:`stream_bp.nn.scaler.NextRow.scale`.

    Returns False, and propagates nothing, if a value is missing or is the first of its column.

    Parameters
    ----------
    x, sums, shift
        (n_0, 1), (3, n_0, 1), (n_0, 1).
    after
        Receives the sums with the row.
    X
        Receives the scaled row, (1, n_0, 1).
    theta, sizes, codes, Z, a, y_hat
        As for :func:`_run`, T = b = 1.
    """
    for i in range(_U(len(x))):
        distance = x[i, _0] - shift[i, _0]
        if not abs(distance) < np.inf:
            return False
        after[_0, i, _0] = sums[_0, i, _0] + 1
        after[_1, i, _0] = sums[_1, i, _0] + distance
        after[_2, i, _0] = sums[_2, i, _0] + distance * distance
        about = after[_1, i, _0] / after[_0, i, _0]
        variance = after[_2, i, _0] / after[_0, i, _0] - about * about
        z = (distance - about) / math.sqrt(max(variance, LEAST_VARIANCE))
        X[_0, i, _0] = max(min(z, CLIP), -CLIP)
    _forward(theta, sizes, codes[0], codes[1], _0, X, Z, a, y_hat)
    return True


class NumbaBackend:
    """A :class:`~stream_bp.nn.backend.Backend` of compiled steps.

    Parameters
    ----------
    network, rule, diagnostics, theta, grad, slots
        As for :class:`~stream_bp.nn.numpy_backend.NumPyBackend`.
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
        self._theta = theta
        self._sizes = np.array(network.layer_sizes, np.uint64)
        self._codes = _PSI[rule.activation], _OUTPUT[rule.output], _OPTIMIZER[rule.optimizer]
        # The arguments that are the same in every call of _run, in its order.
        self._settings = (
            theta,
            grad,
            slots,
            self._sizes,
            self._codes,
            (
                _DECAY[rule.schedule.decay],
                rule.schedule.climbs,
                float(rule.schedule.learning_rate),
                rule.schedule.decay_steps,
                rule.schedule.warmup_steps,
                rule.schedule.boosted,
                rule.restarted,
            ),
            np.inf if rule.clip_norm is None else float(rule.clip_norm),
            float(rule.weight_decay),
        )
        self._diagnostics = diagnostics
        self._unsampled = np.zeros((2, len(self._sizes) - 1)), np.zeros(2)
        self._none, self._count = np.empty((0, 0, 0), theta.dtype), np.empty(1)
        self._work = np.empty(2 * (max(network.layer_sizes) + 1), theta.dtype)
        self._row = np.empty((1, network.layer_sizes[0], 1), theta.dtype)
        self._rooms: dict[int, _Room] = {}
        self._last = self._new_room(1)

    def predict(self, X: Floats) -> Floats:
        """Return ŷ of rows."""
        return self._propagate(X, self._new_room(X.shape[1]))

    def propagate(self, X: Floats) -> Floats:
        """Return ŷ of a minibatch."""
        self._last = self._room(X.shape[1])
        return self._propagate(X, self._last)

    def propagate_row(self, x: Floats, row: NextRow) -> Floats:
        """Scale a row, and return its ŷ."""
        room = self._last = self._room(1)
        (Z, _), a, y_hat = room
        network = self._theta, self._sizes, self._codes
        if not _propagate_row(x, row.sums, row.shift, row.after, *network, self._row, Z, a, y_hat):
            return self._propagate(row.scale(x), room)
        row.scaled_elsewhere()
        answer: Floats = y_hat[0]
        return answer

    def _propagate(self, X: Floats, room: "_Room") -> Floats:
        self._part(_FORWARD, room, X=X)
        y_hat: Floats = room.y_hat[0]
        return y_hat

    def backward(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Write the gradient sum of the minibatch that was propagated last."""
        self._part(_BACKWARD, self._last, Y=Y, mask=mask, count=1, step=step)

    def apply(self, count: float, step: int) -> None:
        """Change θ by the gradient sum over ``count`` rows."""
        self._part(_UPDATE, self._last, count=count, step=step)

    def learn_propagated(self, Y: Floats, mask: Floats | None, step: int) -> None:
        """Learn the minibatch that was propagated last."""
        self._part(_BACKWARD + _UPDATE, self._last, Y=Y, mask=mask, count=Y.shape[1], step=step)

    def _part(
        self,
        phases: int,
        room: "_Room",
        *,
        X: Floats | None = None,
        Y: Floats | None = None,
        mask: Floats | None = None,
        count: float = 0,
        step: int = 0,
    ) -> None:
        """Run some phases on one minibatch."""
        none = self._none
        X = none if X is None else self._plain(X)[None]
        Y = none if Y is None else self._plain(Y)[None]
        masks = none if mask is None else self._plain(mask)[None]
        self._count[0] = count
        is_sampled = phases != _FORWARD and step % SAMPLED_EVERY == 0
        figures = self._lent() if is_sampled else self._unsampled
        _run(phases, *self._settings, X, Y, masks, self._count, room.rows, room.a, room.y_hat, step, *figures)
        if is_sampled:
            self._take_back(figures)

    def learn(
        self, X: Floats, Y: Floats, masks: Floats | None, counts: Floats, *, step: int, a: Floats, y_hat: Floats
    ) -> int:
        """Predict, then learn, T minibatches in turn."""
        X, Y = self._plain(X), self._plain(Y)
        masks = self._none if masks is None else self._plain(masks)
        rows, phases, figures = self._room(X.shape[2]).rows, _FORWARD + _BACKWARD + _UPDATE, self._lent()
        after = _run(phases, *self._settings, X, Y, masks, counts, rows, a, y_hat, step, *figures)
        self._take_back(figures)
        return int(after)

    def _lent(self) -> tuple[Floats, Floats]:
        """Return the running figures of the diagnostics as arrays. The kernel updates them."""
        state = self._diagnostics.state_dict().values
        return np.array(state["squares"]), np.array(state["weights"]).ravel()

    def _take_back(self, figures: tuple[Floats, Floats]) -> None:
        self._diagnostics.load_state_dict(StateDict(values={"squares": figures[0], "weights": figures[1]}))

    def _plain(self, array: Floats) -> Floats:
        """Return an array in the one dtype and layout that the kernel is compiled for."""
        flags = array.flags
        if array.dtype == self._theta.dtype and flags.c_contiguous and flags.writeable:
            return array  # np.require would take as long as the kernel takes for a row
        return np.require(array, self._theta.dtype, ["C", "W"])

    def _room(self, b: int) -> "_Room":
        """Return the buffers for minibatches of b rows. They are made once."""
        room = self._rooms.get(b)
        if room is None:
            room = self._rooms[b] = self._new_room(b)
        return room

    def _new_room(self, b: int) -> "_Room":
        *inner, n_outputs = self._sizes.tolist()
        Z = np.empty(b * (sum(inner) + len(inner)), self._theta.dtype)
        return _Room((Z, self._work), *np.empty((2, 1, n_outputs, b), Z.dtype))


class _Room(NamedTuple):
    """The buffers of one minibatch, kept between its phases: Z and two δ; a⁽ᴷ⁾ and ŷ, each (1, n_K, b)."""

    rows: tuple[Floats, Floats]
    a: Floats
    y_hat: Floats
