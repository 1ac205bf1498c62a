"""Running standardisation against NumPy on the rows seen so far."""

import numpy as np
import pytest

from stream_bp.errors import CheckpointError
from stream_bp.nn.scaler import CLIP, Scaler


def rows(n_minibatches: int, b: int, *, missing: float = 0.0) -> np.ndarray:
    """Three columns: a large mean, a drifting one, and a constant."""
    random = np.random.default_rng(2)
    x = random.normal(size=(3, n_minibatches, b))
    x[0] += 1e6
    x[1] += np.arange(n_minibatches)[:, None]
    x[2] = 4.5
    x[random.random(x.shape) < missing] = np.nan
    return x


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("b", [1, 8])
def test_moments_are_those_of_the_rows_so_far(b: int, missing: float) -> None:
    """Each border has the mean and deviation of everything before it, missing values left out."""
    x = rows(30, b, missing=missing)
    _, moments = Scaler(3).observe(x)
    for t in (3, 10, 30):
        seen = x[:, :t].reshape(3, -1)
        np.testing.assert_allclose(moments.mean[:, t], np.nanmean(seen, axis=1), rtol=1e-12)
        np.testing.assert_allclose(moments.deviation[:, t], np.nanstd(seen, axis=1), rtol=1e-6, atol=1e-12)
    assert not moments.deviation[2].any()


@pytest.mark.parametrize("b", [1, 3, 64])
def test_blocks_do_not_show_in_the_bits(b: int) -> None:
    """Observing block by block gives the same scaled values and state, bit for bit, as all at once."""
    x = rows(50, b, missing=0.1)
    whole, pieces = Scaler(3), Scaler(3)
    scaled, _ = whole.observe(x)
    parts = [pieces.observe(x[:, a:z])[0].copy() for a, z in [(0, 1), (1, 20), (20, 21), (21, 50)]]
    assert scaled.tobytes() == np.concatenate(parts, axis=1).tobytes()
    for name, vector in whole.state_dict().arrays.items():
        assert vector.tobytes() == pieces.state_dict().arrays[name].tobytes()


def test_scaled_values_are_bounded_and_missing_is_the_mean() -> None:
    """One wild value stays within the clip; NaN and constants become 0."""
    x = np.array([[[0.0, 1.0] * 500 + [1e9]], [[np.nan] * 1001], [[3.0] * 1001]])
    z, _ = Scaler(3).observe(x)
    assert z.max() == CLIP
    assert not z[1:].any()


def test_unscale_knows_nothing_of_its_own_minibatch() -> None:
    """A prediction is put into the user's units by the moments from before its rows."""
    y = np.array([[[0.0, 2.0], [100.0, 100.0]]])
    _, moments = Scaler(1).observe(y)
    assert moments.unscale(np.ones((1, 2, 2))).tolist() == [[[0.0, 0.0], [2.0, 2.0]]]


def test_restore_refuses_another_width() -> None:
    """A state of other columns is refused."""
    with pytest.raises(CheckpointError, match="scaler's count"):
        Scaler(2).load_state_dict(Scaler(3).state_dict())
