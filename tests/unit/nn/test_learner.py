"""The learner: learning, partitions, growth, missing targets, state, divergence."""

import copy
import pickle

import numpy as np
import pytest

from stream_bp._arrays import Floats
from stream_bp.errors import CheckpointError, DivergenceError
from stream_bp.nn.learner import Learner
from stream_bp.nn.optimizers import OPTIMIZERS


def stream(n_minibatches: int, b: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Minibatches X (T, 5, b) and one-hot Y (T, 3, b) of a learnable rule."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_minibatches, 5, b))
    classes = X[:, :3].argmax(axis=1)
    return X, (classes[:, None] == np.arange(3)[None, :, None]).astype(float)


@pytest.mark.parametrize("b", [1, 7, 32])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_segments_do_not_show_in_the_bits(optimizer: str, b: int) -> None:
    """Learning T minibatches in one call, or one by one, gives the same θ, outputs and losses."""
    X, Y = stream(40, b)
    whole, pieces = (
        Learner(5, 3, hidden_layers=(8, 6), optimizer=optimizer, clip_norm=1.0, weight_decay=1e-3) for _ in "12"
    )
    learned = whole.learn(X, Y)
    parts = [pieces.learn(X[a:z], Y[a:z]) for a, z in [(0, 1), (1, 2), (2, 17), (17, 40)]]
    assert whole.theta.tobytes() == pieces.theta.tobytes()
    assert learned.output.tobytes() == np.concatenate([part.output for part in parts]).tobytes()
    assert learned.loss.tobytes() == np.concatenate([part.loss for part in parts]).tobytes()
    assert whole.state_dict().values == pieces.state_dict().values


def test_output_of_learning_is_the_prediction_from_before() -> None:
    """The first minibatch is scored with the weights from before it was learned."""
    X, Y = stream(1, 16)
    learner = Learner(5, 3, hidden_layers=(8,), dtype="float64")
    learner.learn(*stream(20, 16, seed=5))
    before = learner.predict(X[0])
    learned = learner.learn(X, Y)
    np.testing.assert_allclose(learned.output[0], before, rtol=1e-12)
    assert not np.allclose(learner.predict(X[0]), before, rtol=1e-6)


def test_predict_is_the_same_for_any_number_of_columns() -> None:
    """Predicting 2500 columns agrees with predicting them one by one, to rounding."""
    learner = Learner(5, 3, hidden_layers=(8,), dtype="float64")
    learner.learn(*stream(20, 16))
    X = np.random.default_rng(1).normal(size=(5, 2500))
    together = learner.predict(X)
    singly = np.hstack([learner.predict(X[:, i : i + 1]) for i in range(0, 2500, 250)])
    np.testing.assert_allclose(together[:, ::250], singly)
    np.testing.assert_allclose(together.sum(axis=0), 1)


def test_gradient_sums_of_two_workers_make_the_step_of_one() -> None:
    """Adding gradient sums and counts of two halves gives the update of the whole minibatch."""
    X, Y = stream(1, 10)
    one, two = (Learner(5, 3, hidden_layers=(8,), dtype="float64", learning_rate=0.1) for _ in "12")
    one.learn(X, Y)
    count = two.gradient(X[0, :, :4], Y[0, :, :4])
    total = two.grad.copy()
    count += two.gradient(X[0, :, 4:], Y[0, :, 4:])
    two.grad += total
    two.apply(count)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)


def test_missing_targets_are_left_out() -> None:
    """A minibatch with missing targets learns as the smaller one without them; an empty one is no step."""
    X, Y = stream(1, 10)
    weights = np.ones_like(Y)
    weights[:, :, 6:] = 0
    masked, smaller = (Learner(5, 3, hidden_layers=(8,), dtype="float64") for _ in "12")
    learned = masked.learn(X, Y, weights)
    smaller.learn(X[:, :, :6], Y[:, :, :6])
    np.testing.assert_allclose(masked.theta, smaller.theta, rtol=1e-12)
    assert learned.count.tolist() == [6]
    assert not learned.loss[0, 6:].any()
    theta = masked.theta.copy()
    masked.learn(X, Y, np.zeros_like(Y))
    assert masked.step == 1
    assert np.array_equal(theta, masked.theta)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_growth_does_not_disturb_the_others(optimizer: str) -> None:
    """After growing, old outputs on old inputs are what they were, and the old slots too."""
    learner = Learner(5, 3, hidden_layers=(8,), optimizer=optimizer, output="identity", dtype="float64")
    X, Y = stream(20, 8)
    learner.learn(X, Y)
    before, slots = learner.predict(X[0]), learner.state_dict().arrays["optimizer"]
    learner.grow(inputs=["new"], n_outputs=2)
    wide = np.vstack([X[0], np.zeros((1, 8))])
    after = learner.predict(wide)
    np.testing.assert_allclose(after[:3], before, rtol=1e-12)
    assert not after[3:].any()
    grown = learner.state_dict().arrays["optimizer"]
    assert sorted(grown[grown != 0]) == sorted(slots[slots != 0])
    assert learner.W[0][:, 5].any()
    learner.learn(wide[None], np.zeros((1, 5, 8)))
    assert all(np.shares_memory(W, learner.theta) for W in learner.W)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_restored_learner_goes_on_to_the_same_bits(optimizer: str) -> None:
    """tensors() and state() carry everything."""
    X, Y = stream(60, 4)
    whole, first, second = (
        Learner(5, 3, hidden_layers=(8,), optimizer=optimizer, lr_schedule="warmup-cosine") for _ in "123"
    )
    whole.learn(X, Y)
    first.learn(X[:23], Y[:23])
    second.load_state_dict(first.state_dict())
    second.learn(X[23:], Y[23:])
    assert whole.theta.tobytes() == second.theta.tobytes()
    assert whole.state_dict().values == second.state_dict().values


def test_restore_refuses_other_shapes() -> None:
    """Arrays of another network are refused by name."""
    state = Learner(5, 3, hidden_layers=(8,)).state_dict()
    with pytest.raises(CheckpointError, match="W1: expected float32 \\(9, 6\\), found float32 \\(8, 6\\)"):
        Learner(5, 3, hidden_layers=(9,)).load_state_dict(state)


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda learner: pickle.loads(pickle.dumps(learner))])  # noqa: S301
def test_copies_have_views_of_their_own_theta(copy_of) -> None:  # type: ignore[no-untyped-def]
    """A copied learner learns by itself and leaves the original alone."""
    X, Y = stream(10, 4)
    learner = Learner(5, 3, hidden_layers=(8,))
    learner.learn(X, Y)
    twin = copy_of(learner)
    assert all(np.shares_memory(W, twin.theta) for W in twin.W)
    assert not np.shares_memory(twin.theta, learner.theta)
    before = learner.theta.copy()
    twin.learn(X, Y)
    assert np.array_equal(before, learner.theta)
    learner.learn(X, Y)
    assert learner.theta.tobytes() == twin.theta.tobytes()


def test_divergence_names_step_and_row() -> None:
    """A target that cannot be learned stops with the step and the row where the loss stopped being finite."""
    learner = Learner(1, 1, hidden_layers=(), output="identity", learning_rate=1.0)
    X, Y = np.ones((6, 1, 2)), np.zeros((6, 1, 2))
    Y[4, 0, 1] = 1e30
    with pytest.raises(DivergenceError, match="loss is not finite at step 4, row 9;"):
        learner.learn(X, Y)


def test_weight_that_overflows_in_the_last_step_is_seen() -> None:
    """θ is looked at too: the last step of a call has no later loss to show it."""
    learner = Learner(1, 1, hidden_layers=(), output="identity", learning_rate=1e38)
    with pytest.raises(DivergenceError, match="a weight is not finite after step 0, row 0"):
        learner.learn(np.full((1, 1, 1), 8.0), np.full((1, 1, 1), 1e3))


def test_step_allocates_nothing_that_grows_with_the_number_of_steps() -> None:
    """Buffers are made once for each width: learning on does not make new ones."""
    learner = Learner(5, 3, hidden_layers=(8,))
    learner.learn(*stream(3, 16))
    room = learner.propagate(stream(1, 16)[0][0])
    learner.learn(*stream(30, 16))
    assert learner.propagate(stream(1, 16)[0][0]) is room


def test_vanishing_gradient_shows_in_the_figures() -> None:
    """Eight sigmoid layers: δ of the first layer is a thousandth of the last one's."""
    learner = Learner(5, 3, hidden_layers=(8,) * 8, activation="sigmoid", learning_rate=0.5)
    learner.learn(*stream(500, 8))
    report = learner.diagnostics.report()
    assert len(report) == 9
    assert 0 < report[0]["delta_rms"] < report[-1]["delta_rms"] / 1000
    assert 0 < report[0]["gradient_rms"] < report[-1]["gradient_rms"]
