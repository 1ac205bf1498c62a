"""What decides the last bits of a result, besides the program and its input.

Additions in another order, or another instruction for an exponential, change the last bit. A network carries this bit
through all later steps. A :func:`fingerprint` names the causes: the versions of NumPy, its BLAS and the C library, the
BLAS kernel for this CPU and its threads, NumPy's vector instructions, the machine and the dtype. A job keeps it in
every checkpoint and calls :func:`difference` when it resumes.
"""

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import DTypeLike

__all__ = ["describe", "difference", "fingerprint", "single_thread"]


def fingerprint(dtype: DTypeLike, backend: str = "numpy") -> dict[str, Any]:
    """Describe the numerics of this process as plain JSON.

    Parameters
    ----------
    dtype
        The dtype of the network.
    backend
        ``numpy`` or ``compiled``.

    Returns
    -------
    dict
        Versions, libraries, instructions and dtype.

    Notes
    -----
    Call it within :func:`single_thread` if the learner runs there: the BLAS reports its present number of threads.
    Python's version is left out, because it does not change any bit. A call takes about a millisecond.

    Examples
    --------
    >>> difference(fingerprint("float32"), fingerprint("float64"))
    "dtype was 'float32' and is 'float64'"
    """
    return {
        "blas": _blas(threadpoolctl.threadpool_info()),
        "dtype": np.dtype(dtype).name,
        "backend": _backend(backend),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "simd": _simd(),
    }


def difference(saved: dict[str, Any], present: dict[str, Any]) -> str | None:
    """Describe in one line how two fingerprints differ.

    Parameters
    ----------
    saved
        The fingerprint in a checkpoint.
    present
        The fingerprint of this process.

    Returns
    -------
    str or None
        None if the same computation gives the same bits under both.
    """
    old, new = _flat(_with_backend(saved)), _flat(present)
    changes = [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    return "; ".join(changes) or None


def describe(fingerprint: dict[str, Any]) -> str:
    """Describe in a few words the software that computes.

    Examples
    --------
    >>> blas = {"architecture": "SkylakeX", "name": "openblas", "threads": 1, "version": "0.3.31"}
    >>> describe({"backend": "numpy", "numpy": "2.4.6", "dtype": "float32", "blas": [blas]})
    'numpy 2.4.6, float32, openblas 0.3.31 for SkylakeX with 1 thread'
    """
    fingerprint = _with_backend(fingerprint)
    backend = fingerprint["backend"]
    words = [f"numpy {fingerprint['numpy']}" if backend == "numpy" else backend, fingerprint["dtype"]]
    for blas in fingerprint["blas"]:
        kernel = f" for {blas['architecture']}" if blas["architecture"] else ""
        threads = "1 thread" if blas["threads"] == 1 else f"{blas['threads']} threads"
        words.append(f"{blas['name']} {blas['version']}{kernel} with {threads}")
    return ", ".join(words)


def _with_backend(saved: dict[str, Any]) -> dict[str, Any]:
    """Return a fingerprint in today's form. Release 0.1.0 called the backend ``engine``, or left out the only one."""
    return {"backend": saved.get("engine", "numpy"), **{key: saved[key] for key in saved if key != "engine"}}


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit the BLAS to one thread. Two threads add in another order than one.

    Notes
    -----
    The limit holds for the whole process until the context ends. Networks of a streaming size also run faster. Entering
    takes some microseconds. The first time takes some milliseconds, to find the libraries.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> threadpoolctl.ThreadpoolController:
    """Find the BLAS that NumPy has loaded. A BLAS that is loaded later does not change any of our bits."""
    return threadpoolctl.ThreadpoolController()


def _blas(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Describe the BLAS that NumPy calls, given all thread pools of the process."""
    libraries = [pool for pool in pools if pool["user_api"] == "blas"]
    # SciPy's wheel brings its own BLAS. Whether it is loaded depends on other imports, and it changes none of our bits.
    bundled = [pool for pool in libraries if Path(pool["filepath"]).parent.name in {"numpy.libs", ".dylibs"}]
    return [
        {
            "architecture": pool.get("architecture"),
            "name": pool["internal_api"],
            "threads": pool["num_threads"],
            "version": pool["version"],
        }
        for pool in sorted(bundled or libraries, key=lambda pool: str(pool["filepath"]))
    ]


def _backend(name: str) -> str:
    """Describe a backend. Compiled code depends on the compiler and on the processor."""
    if name != "compiled":
        return name
    from stream_bp.nn import numba_backend  # noqa: PLC0415 - it imports Numba

    return numba_backend.describe()


def _simd() -> list[str]:
    # With AVX-512, exp and tanh take another path, and their last bits differ.
    config: Mapping[str, Any] = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {})
    return sorted([*extensions.get("baseline", []), *extensions.get("found", [])])


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Turn nested dicts and lists into one dict of dotted keys."""
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    return {key: leaf for name, item in items for key, leaf in _flat(item, f"{prefix}.{name}".lstrip(".")).items()}
