"""The packed-θ gradient against central differences, for every activation, output and dtype."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_bp._arrays import DType, Floats
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.learner import Learner
from stream_bp.nn.losses import LOSSES


def targets(output: str, n_outputs: int, b: int, random: np.random.Generator) -> Floats:
    """Targets that suit the output function."""
    if output == "softmax":
        return np.eye(n_outputs)[:, random.integers(n_outputs, size=b)]
    if output == "sigmoid":
        return random.integers(2, size=(n_outputs, b)).astype(float)
    return random.normal(size=(n_outputs, b))


def total_loss(learner: Learner, X: Floats, Y: Floats) -> float:
    """Σ L over a minibatch, from the values of the loss alone."""
    probe = Learner(
        learner.n_inputs,
        learner.n_outputs,
        hidden_layers=learner.network.layer_sizes[1:-1],
        activation=next(name for name, psi in ACTIVATIONS.items() if psi is learner._psi),
        output=next(name for name, loss in LOSSES.items() if loss is learner._loss),
        dtype="float64",
    )
    probe.theta[:] = learner.theta
    return float(probe.learn(X, Y).loss.sum())


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=8, derandomize=True, deadline=None)
@given(
    hidden_layers=st.lists(st.integers(1, 5), max_size=3),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5)),
    seed=st.integers(0, 1000),
)
def test_gradient_is_the_slope_of_the_loss(
    *,
    activation: str,
    output: str,
    dtype: DType,
    backend: str,
    hidden_layers: list[int],
    sizes: tuple[int, int, int],
    seed: int,
) -> None:
    """Every component of the gradient sum is the central difference of the summed loss along that component."""
    n_inputs, n_outputs, b = sizes
    random = np.random.default_rng(seed)
    settings: dict[str, Any] = {"hidden_layers": hidden_layers, "activation": activation, "output": output}
    learner = Learner(n_inputs, n_outputs, dtype=dtype, backend=backend, **settings)
    learner.theta[:] = random.normal(size=learner.theta.size) * 0.8
    X, Y = random.normal(size=(n_inputs, b)), targets(output, n_outputs, b, random)
    assert learner.gradient(X, Y) == b
    found = learner.grad.astype(float)
    theta = learner.theta.astype(float)
    learner = Learner(n_inputs, n_outputs, dtype="float64", **settings)
    width = 1e-6
    for i in range(theta.size):
        slopes = []
        for sign in (1, -1):
            learner.theta[:] = theta
            learner.theta[i] += sign * width
            slopes.append(total_loss(learner, X, Y))
        numeric = (slopes[0] - slopes[1]) / (2 * width)
        assert found[i] == pytest.approx(numeric, rel=2e-4, abs=2e-4 if dtype == "float32" else 2e-6)
