"""The layout of θ, its views, its start and its growth."""

import numpy as np
import pytest

from stream_bp.nn.layout import ParameterLayout, initial_columns, initial_theta


def test_views_cover_theta_once_in_order() -> None:
    """Every element of θ belongs to exactly one weight matrix."""
    network = ParameterLayout((3, 5, 4, 2))
    theta = np.arange(network.n_parameters, dtype=np.float64)
    views = network.views(theta)
    assert [W.shape for W in views] == [(5, 4), (4, 6), (2, 5)]
    assert np.concatenate([W.ravel() for W in views]).tolist() == theta.tolist()
    assert all(np.shares_memory(W, theta) for W in views)


def test_start_does_not_depend_on_the_order_of_inputs() -> None:
    """A column of W1 is a function of its input's name."""
    columns = initial_columns(["a", "b", "c"], 6, gain=2, fan_in=3, seed=7)
    swapped = initial_columns(["c", "a", "b"], 6, gain=2, fan_in=3, seed=7)
    assert np.array_equal(columns[:, [2, 0, 1]], swapped)
    assert not np.array_equal(columns, initial_columns(["a", "b", "c"], 6, gain=2, fan_in=3, seed=8))


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_start_has_the_variance_it_promises_and_no_biases(gain: float) -> None:
    """Hidden weights have variance gain / fan-in; biases and the output layer start at zero."""
    network = ParameterLayout((200, 300, 100, 3))
    theta = initial_theta(
        network, [f"x{i}" for i in range(200)], gain=gain, fan_in=200, seed=1, dtype=np.dtype(np.float64)
    )
    W1, W2, W3 = network.views(theta)
    assert W1[:, :-1].var() * 200 == pytest.approx(gain, rel=0.03)
    assert W2[:, :-1].var() * 300 == pytest.approx(gain, rel=0.03)
    assert not W1[:, -1].any()
    assert not W2[:, -1].any()
    assert not W3.any()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_regrow_keeps_every_old_weight_in_its_place(at: int) -> None:
    """Growing by two inputs, anywhere, and one output leaves the old entries and adds zeros."""
    small, wide = ParameterLayout((2, 3, 1)), ParameterLayout((4, 3, 2))
    theta = np.arange(1.0, small.n_parameters + 1)
    old_W1, old_W2 = small.views(theta)
    W1, W2 = wide.views(small.regrow(theta, wide, at))
    new = slice(at, at + 2)
    assert np.array_equal(np.delete(W1, new, axis=1), old_W1)
    assert not W1[:, new].any()
    assert np.array_equal(W2[:1], old_W2)
    assert not W2[1].any()
