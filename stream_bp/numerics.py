"""What decides the last bits of a sum: versions, the BLAS kernel, its threads, the dtype."""

import contextlib
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import threadpoolctl

__all__ = ["difference", "fingerprint", "single_thread"]


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS to one thread: small products gain nothing from more, and the number of threads changes the bits."""
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


def fingerprint(dtype: str) -> dict[str, Any]:
    """Return what must be equal for two runs to give the same bits, JSON-able. Take it under the threads of the run."""
    blas = [
        {key: library.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
        for library in threadpoolctl.threadpool_info()
        if library.get("user_api") == "blas" and "numpy" in str(library.get("filepath"))
    ]
    extensions: Any = np.show_config(mode="dicts")
    return {
        "numpy": np.__version__,
        "blas": blas,
        "dtype": dtype,
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "simd": extensions.get("SIMD Extensions", {}).get("found", []),
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Name the first thing in which two fingerprints differ, or return None."""
    for key in sorted({*there, *here}):
        if there.get(key) != here.get(key):
            return f"{key} was {there.get(key)}, is {here.get(key)}"
    return None
