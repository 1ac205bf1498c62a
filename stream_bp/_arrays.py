"""Array types for annotations, selection of arrays by prefix, and a running sum."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "DType", "Floats", "Ints", "Mask", "running_sum", "under"]

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
DType: TypeAlias = Literal["float32", "float64"]


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays whose names start with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def running_sum(so_far: float, terms: Floats) -> float:
    """Add terms (n,), float64, strictly one after the other.

    Notes
    -----
    ``np.sum`` adds in pairs, so its last bits depend on how a stream is cut into calls. The bits of this sum do not.
    """
    return float(np.add.accumulate(np.concatenate(([so_far], terms)))[-1])
