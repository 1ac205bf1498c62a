"""Which backend computes, where the settings leave it open."""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

from stream_bp.errors import ConfigError

__all__ = ["choose_backend"]

# Up to so many rows, and b² times the number of parameters, NumPy's calls cost more than its products save: they are as
# fast at b = 31 with 418 parameters, at 14 with 2,114, at 4 with 85,002 (measured with tanh and Adam).
_FEW_ROWS, _SMALL = 16, 400_000


def choose_backend(backend: str, batch_size: int, layer_sizes: Sequence[int]) -> str:
    """Return ``numpy`` or ``compiled``; for ``auto`` the one that is faster for such minibatches, where it is there.

    Parameters
    ----------
    backend
        What the settings say.
    batch_size
        Rows in a minibatch.
    layer_sizes
        n_0 … n_K, as far as they are known.

    Raises
    ------
    ConfigError
        If the compiled engine is asked for and Numba is not installed.
    """
    is_there = find_spec("numba") is not None
    if backend == "auto":
        n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))
        is_small = batch_size <= _FEW_ROWS and batch_size**2 * n_parameters <= _SMALL
        return "compiled" if is_there and is_small else "numpy"
    if backend == "compiled" and not is_there:
        raise ConfigError(
            "backend: the compiled one needs Numba, which is not installed: pip install 'stream-bp[fast]'"
        )
    return backend
