"""The choice of the backend where the settings leave it open."""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

from stream_bp.errors import ConfigError

__all__ = ["choose_backend"]

# Below these limits of b, and of b² times the number of parameters, NumPy loses more time in calls than it saves in
# products. Measured with tanh and Adam, both are equally fast at b = 31 with 418 parameters, at 14 with 2,114, and at 4
# with 85,002.
_FEW_ROWS, _SMALL = 16, 400_000


def choose_backend(backend: str, batch_size: int, layer_sizes: Sequence[int]) -> str:
    """Return ``numpy`` or ``compiled``; for ``auto`` the one that is faster for such minibatches, if it is installed.

    Parameters
    ----------
    backend
        ``numpy``, ``compiled`` or ``auto``.
    batch_size
        Rows in a minibatch.
    layer_sizes
        n_0 … n_K as known before the first row.

    Raises
    ------
    ConfigError
        If the compiled backend is chosen and Numba is not installed.
    """
    is_installed = find_spec("numba") is not None
    if backend == "auto":
        n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))
        is_small = batch_size <= _FEW_ROWS and batch_size**2 * n_parameters <= _SMALL
        return "compiled" if is_installed and is_small else "numpy"
    if backend == "compiled" and not is_installed:
        raise ConfigError(
            "backend: compiled needs Numba, which is not installed; pip install 'stream-bp[fast]', or choose numpy"
        )
    return backend
