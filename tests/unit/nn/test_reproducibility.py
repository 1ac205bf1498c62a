"""The numeric fingerprint: what is in it, what is not, and how a difference is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_bp.nn.reproducibility import _blas, difference, fingerprint, single_thread


def test_a_fingerprint_survives_json() -> None:
    """What a checkpoint gives back does not differ from what was saved."""
    mark = fingerprint(np.float32)
    assert difference(json.loads(json.dumps(mark)), mark) is None
    assert mark["numpy"] == np.__version__
    assert mark["dtype"] == "float32"


def test_one_thread_is_seen_and_given_back() -> None:
    """The fingerprint tells one thread within `single_thread`, and what it was before, after."""
    before = fingerprint("float32")
    with single_thread():
        assert {library["threads"] for library in fingerprint("float32")["blas"]} == {1}
    assert fingerprint("float32") == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"numpy": "2.0.0"}, f"numpy was '2.0.0' and is '{np.__version__}'"),
        ({"dtype": "float64"}, "dtype was 'float64' and is 'float32'"),
        ({"simd": ["X86_V2"]}, "simd was ['X86_V2'] and is"),
        ({"blas": []}, "blas"),
        ({"libm": "1"}, "libm was '1' and is None"),
    ],
)
def test_a_difference_is_named(change: dict[str, Any], told: str) -> None:
    """Each part that differs is told, with what it was and what it is."""
    present = fingerprint("float32")
    line = difference(present | change, present)
    assert line is not None
    assert told in line
    assert "\n" not in line


def test_the_kernel_and_threads_of_the_blas_are_told_apart() -> None:
    """A change within the BLAS is told by its own name and no other part is."""
    saved, present = fingerprint("float32"), fingerprint("float32")
    if not saved["blas"]:
        pytest.skip("this NumPy's BLAS does not tell its settings")
    saved["blas"][0]["architecture"] = "Prescott"
    line = difference(saved, present)
    assert line is not None
    assert line.startswith("blas.0.architecture was 'Prescott' and is ")
    assert ";" not in line


def test_another_kernel_is_seen() -> None:
    """The fingerprint is of the kernel that runs, not of the library on the disk."""
    code = "from stream_bp.nn.reproducibility import fingerprint; print(fingerprint('float32')['blas'])"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[3],
            env={"OPENBLAS_CORETYPE": kernel},
            capture_output=True,
            check=True,
        ).stdout
        for kernel in ("Nehalem", "Sandybridge")
    }
    if any(b"openblas" not in one for one in told) or "x86" not in fingerprint("float32")["machine"]:
        pytest.skip("the BLAS is no OpenBLAS for this kind of CPU")
    assert len(told) == 2


def test_the_blas_of_another_library_is_left_out() -> None:
    """Whether SciPy happens to be imported does not change the fingerprint."""
    pool = {"user_api": "blas", "internal_api": "openblas", "num_threads": 2, "architecture": "Haswell"}
    numpys = pool | {"filepath": "/site-packages/numpy.libs/libscipy_openblas64_.so", "version": "0.3.31"}
    scipys = pool | {"filepath": "/site-packages/scipy.libs/libscipy_openblas.so", "version": "0.3.30"}
    threads = {"user_api": "openmp", "internal_api": "openmp", "num_threads": 2, "filepath": "/x", "version": None}
    assert [library["version"] for library in _blas([scipys, threads, numpys])] == ["0.3.31"]
    systems = pool | {"filepath": "/lib/libopenblas.so.0", "version": "0.3.21"}
    assert [library["version"] for library in _blas([systems])] == ["0.3.21"]
