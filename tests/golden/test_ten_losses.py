"""Numbers that must not change by accident: a change here is a change of the method."""

import numpy as np
import pytest

from stream_bp.nn.learner import Learner


def test_ten_losses_at_a_fixed_seed() -> None:
    """Start, forward, backward and update of a small network give the ten losses they gave."""
    random = np.random.Generator(np.random.Philox(key=11))
    X = random.standard_normal((10, 3, 4))
    Y = (X.argmax(axis=1)[:, None] == np.arange(3)[None, :, None]).astype(float)
    learner = Learner(3, 3, hidden_layers=(5, 4), learning_rate=0.5, dtype="float64", seed=2)
    losses = learner.learn(X, Y).loss.mean(axis=1)
    assert losses.tolist() == pytest.approx(
        [
            1.09861228866811,
            0.74553342537602,
            1.38223025234756,
            0.530655529386658,
            0.522091510599356,
            1.07306999209634,
            1.34237798885687,
            0.913484455648941,
            0.786322660206624,
            0.45932177860166,
        ],
        rel=1e-12,
    )
