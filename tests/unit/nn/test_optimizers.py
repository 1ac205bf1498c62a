"""Each optimiser against its written formula, and the invariants of clipping and decay."""

import numpy as np
import numpy.typing as npt
import pytest

from stream_bp.errors import ConfigError
from stream_bp.nn.learner import Learner
from stream_bp.nn.optimizers import OPTIMIZERS, clip

Doubles = npt.NDArray[np.float64]


def written_formula(name: str, theta: Doubles, gradients: list[Doubles], rate: float) -> Doubles:
    """Follow the table of the module's docstring, in the plainest form."""
    theta, v, m, s = theta.copy(), np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients):
        if name in {"momentum", "nesterov"}:
            v = 0.9 * v + g
        if name == "sgd":
            theta = theta - rate * g
        elif name == "momentum":
            theta = theta - rate * v
        elif name == "nesterov":
            theta = theta - rate * (g + 0.9 * v)
        elif name == "adagrad":
            s = s + g**2
            theta = theta - rate * g / (np.sqrt(s) + 1e-8)
        elif name == "rmsprop":
            s = 0.99 * s + 0.01 * g**2
            theta = theta - rate * g / (np.sqrt(s) + 1e-8)
        else:
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
            theta = theta - rate * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(s / (1 - 0.999 ** (t + 1))) + 1e-8)
    return theta


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_follows_its_formula(name: str) -> None:
    """Five updates agree with the formula to rounding."""
    random = np.random.default_rng(3)
    start = random.normal(size=20)
    gradients = [random.normal(size=20) for _ in range(5)]
    optimizer = OPTIMIZERS[name]
    theta, slots = start.copy(), np.zeros((optimizer.n_slots + 1, 20))
    for step, grad in enumerate(gradients):
        optimizer.update(theta, grad.copy(), slots, 0.01, step)
    np.testing.assert_allclose(theta, written_formula(name, start, gradients, 0.01), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_clipped_norm_is_the_bound(scale: float) -> None:
    """A longer gradient is cut to the bound and keeps its direction; a shorter one stays as it was."""
    grad = np.random.default_rng(0).normal(size=50) * scale
    clipped = grad.copy()
    bound = float(np.linalg.norm(grad)) / 2
    clip(clipped, bound)
    assert np.linalg.norm(clipped) == pytest.approx(bound)
    assert np.allclose(clipped / scale, grad / scale / 2)
    clip(clipped, bound * 2)
    assert np.linalg.norm(clipped) == pytest.approx(bound)


def test_clipping_survives_squares_that_overflow() -> None:
    """A float32 gradient of 1e30 is clipped although its square is not a float32."""
    grad = np.full(4, 1e30, np.float32)
    clip(grad, 1.0)
    np.testing.assert_allclose(grad, 0.5)


def test_weight_decay_leaves_the_biases() -> None:
    """With a gradient of zero, a step multiplies weights by 1 - ηλ and biases by 1."""
    learner = Learner(3, 2, hidden_layers=(4,), weight_decay=0.1, learning_rate=0.5, dtype="float64")
    learner.theta[:] = 1
    learner.grad[:] = 0
    learner.apply(1)
    for W in learner.W:
        np.testing.assert_allclose(W[:, :-1], 0.95)
        assert (W[:, -1] == 1).all()


@pytest.mark.parametrize(
    "setting", [{"optimizer": "adamm"}, {"learning_rate": 0.0}, {"hidden_layers": (4, 0)}, {"activation": "x"}]
)
def test_wrong_setting_is_named(setting: dict[str, object]) -> None:
    """A setting out of range is one ConfigError that begins with its name."""
    with pytest.raises(ConfigError, match=f"^{next(iter(setting))}: expected"):
        Learner(2, 2, **setting)  # type: ignore[arg-type]
