"""Schedules against their formulas; losses at the edges of the number range."""

import math

import numpy as np
import pytest

from stream_bp.nn.activations import ACTIVATIONS, Scratch
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.schedules import SCHEDULES, Schedule


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("constant", 10**9, 1.0),
        ("inverse-time", 300, 0.25),
        ("inverse-sqrt", 300, 0.5),
        ("cosine", 50, 0.5),
        ("cosine", 10**6, 0.01),
        ("warmup-cosine", 9, 1.0),
        ("warmup-cosine", 60, 0.5),
        ("warmup-inverse-sqrt", 310, 0.5),
    ],
)
def test_schedule_value(name: str, step: int, expected: float) -> None:
    """Each schedule has its written value at a chosen step."""
    assert Schedule(name, 1.0, decay_steps=100, warmup_steps=10)(step) == pytest.approx(expected)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_stays_positive_and_never_above_its_rate(name: str) -> None:
    """0 < η⁽ᵗ⁾ ≤ η at every step."""
    rate = Schedule(name, 0.3, decay_steps=50, warmup_steps=20)
    assert all(0 < rate(step) <= 0.3 for step in range(1000))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [0.0, 1.0, 80.0, 1e4, 1e15])
def test_losses_and_outputs_do_not_overflow(name: str, size: float) -> None:
    """At any a, ŷ and the loss are finite, and the loss is not negative."""
    a = np.array([[size, -size, 0.0], [-size, size, size]], np.float32)
    Y = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    y_hat, work = np.empty_like(a), np.empty((1, 3), np.float32)
    LOSSES[name].output(a, y_hat, work)
    terms = LOSSES[name].terms(a, Y)
    assert np.isfinite(y_hat).all()
    assert np.isfinite(terms).all()
    assert (terms >= 0).all()


def test_loss_values() -> None:
    """Three hand-computed values: log 3, 2 log 2, ½ (4 + 1)."""
    zeros = np.zeros((3, 1))
    one_hot = np.array([[1.0], [0.0], [0.0]])
    assert LOSSES["softmax"].terms(zeros, one_hot).sum() == pytest.approx(math.log(3))
    assert LOSSES["sigmoid"].terms(zeros[:2], one_hot[:2]).sum() == pytest.approx(2 * math.log(2))
    assert LOSSES["identity"].terms(np.array([[2.0], [1.0]]), zeros[:2]).sum() == pytest.approx(2.5)


def test_relu_is_the_right_way_round_and_zero_at_zero() -> None:
    """ReLU passes what is positive, forward and backward; its derivative at 0 is 0."""
    a = np.array([[-1.0, 0.0, 2.0]])
    scratch = Scratch(a)
    ACTIVATIONS["relu"].forward(a, scratch)
    assert a.tolist() == [[0, 0, 2]]
    delta = np.ones_like(a)
    ACTIVATIONS["relu"].backward(delta, a, scratch)
    assert delta.tolist() == [[0, 0, 1]]
