"""The settings that NumPy and Arrow read from the environment, once, when they are imported.

A variable that is already set stays as it is.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["blas_kernel", "prepare_libraries"]

# Products are small, and threads would change the order of their sums: the BLAS gets one.
# Arrow's own allocator keeps more memory than it saves time.
_SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # what the kernels for SkylakeX need


def prepare_libraries(*, keeps_kernel: bool = False) -> None:
    """Compute in one thread, with the kernels that suit the processor.

    Parameters
    ----------
    keeps_kernel
        Whether OpenBLAS chooses its kernels itself. It takes newer processors of AMD for older ones without AVX-512,
        and then multiplies at half the speed. The choice changes the last bits of results.

    Notes
    -----
    It has no effect once NumPy and Arrow are imported.
    """
    settings = dict(_SETTINGS)
    if not keeps_kernel and (kernel := blas_kernel(_processor())) is not None:
        settings["OPENBLAS_CORETYPE"] = kernel
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def blas_kernel(processor: Iterable[str]) -> str | None:
    """Return the OpenBLAS name of the kernels to use; None to let OpenBLAS choose.

    Parameters
    ----------
    processor
        Lines of ``/proc/cpuinfo``.

    Examples
    --------
    >>> flags = "flags : fpu avx2 avx512f avx512cd avx512bw avx512dq avx512vl"
    >>> blas_kernel(["vendor_id : AuthenticAMD", flags]), blas_kernel(["vendor_id : GenuineIntel", flags])
    ('SkylakeX', None)
    """
    found = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in processor)}
    is_amd = found.get("vendor_id") == ["AuthenticAMD"]
    return "SkylakeX" if is_amd and set(found.get("flags", ())) >= _AVX512 else None


def _processor() -> list[str]:
    """Return the lines of ``/proc/cpuinfo`` about the first processor."""
    if sys.platform != "linux":
        return []
    try:
        with Path("/proc/cpuinfo").open(errors="replace") as file:
            return file.read(1 << 14).split("\n\n", 1)[0].splitlines()  # to describe hundreds takes the system a while
    except OSError:
        return []
