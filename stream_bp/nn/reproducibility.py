"""What decides the bits of a result, besides the program and its input.

The same additions in another order, or an exponential by another instruction, end in another last bit, and a network
learned for a million steps carries it everywhere. A :func:`fingerprint` names what decides: the versions of NumPy, of
its BLAS and of the C library, the kernel that the BLAS chose for this CPU, its threads, the vector instructions that
NumPy found, the machine and the dtype. A job keeps it in every checkpoint and asks :func:`difference` when it resumes.
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
        The dtype that the network is learned in.
    backend
        ``numpy`` or ``compiled``.

    Returns
    -------
    dict
        Call it within :func:`single_thread` if that is how the learner runs: the BLAS tells its threads of the moment.

    Notes
    -----
    The version of Python is left out: it decides no bit. Costs about a millisecond.

    Examples
    --------
    >>> difference(fingerprint("float32"), fingerprint("float64"))
    "dtype was 'float32' and is 'float64'"
    """
    return {
        "blas": _blas(threadpoolctl.threadpool_info()),
        "dtype": np.dtype(dtype).name,
        "backend": _engine(backend),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "simd": _simd(),
    }


def difference(saved: dict[str, Any], present: dict[str, Any]) -> str | None:
    """Name in one line what differs between two fingerprints.

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
    """Tell a person in a few words what computes.

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
    """Return a fingerprint of any release: 0.1.0 wrote the backend as its ``engine``, or left out the only one."""
    return {"backend": saved.get("engine", "numpy"), **{key: saved[key] for key in saved if key != "engine"}}


@contextmanager
def single_thread() -> Iterator[None]:
    """Let the BLAS use one thread only: two share a sum in another order than one.

    Notes
    -----
    Holds for the whole process until it is left; networks of a streaming size are also faster so. Costs some
    microseconds; the first time, when the libraries are looked for, some milliseconds.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> threadpoolctl.ThreadpoolController:
    """Look for the BLAS that NumPy has loaded; one that is loaded later decides no bit of ours."""
    return threadpoolctl.ThreadpoolController()


def _blas(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Describe the BLAS that NumPy calls, given all thread pools of the process."""
    libraries = [pool for pool in pools if pool["user_api"] == "blas"]
    # SciPy's wheel brings a BLAS of its own, there or not by what else was imported: it decides no bit of ours.
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


def _engine(name: str) -> str:
    """Describe what computes; code is compiled for one processor, by one compiler."""
    if name != "compiled":
        return name
    from stream_bp.nn import numba_backend  # noqa: PLC0415 - it takes Numba

    return numba_backend.describe()


def _simd() -> list[str]:
    # exp and tanh take another path, and end in other bits, with AVX-512 than without.
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
