"""What is settled before NumPy and Arrow are imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream_bp.cli import environment as cli_environment

FLAGS = "flags\t\t: fpu sse2 avx2 avx512f avx512cd avx512bw avx512dq avx512vl"
ZEN = ["processor\t: 0", "vendor_id\t: AuthenticAMD", "model name\t: AMD EPYC", FLAGS]


@pytest.mark.parametrize(
    ("processor", "kernel"),
    [
        (ZEN, "SkylakeX"),
        ([*ZEN[:3], FLAGS.replace("avx512bw", "")], None),  # an older one
        ([ZEN[0], "vendor_id\t: GenuineIntel", FLAGS], None),  # OpenBLAS knows those
        (["Features : fp asimd"], None),
        ([], None),
    ],
)
def test_openblas_is_told_of_processors_that_it_does_not_know(processor: list[str], kernel: str | None) -> None:
    """AMD's with AVX-512 have the kernels for it; nothing is said of others."""
    assert cli_environment.blas_kernel(processor) == kernel


def test_what_the_environment_says_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is not set is set, and the kernel not at all where it is to be kept."""
    monkeypatch.setattr(cli_environment, "_processor", lambda: ZEN)
    monkeypatch.setattr(os, "environ", {"OPENBLAS_NUM_THREADS": "2"})
    cli_environment.prepare_libraries(keeps_kernel=True)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"
    assert "OPENBLAS_CORETYPE" not in os.environ
    cli_environment.prepare_libraries()
    assert os.environ["OPENBLAS_CORETYPE"] == "SkylakeX"
    os.environ["OPENBLAS_CORETYPE"] = "Haswell"
    cli_environment.prepare_libraries()
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def kernel_of_a_job(path: Path, environment: dict[str, str], *options: str) -> str:
    """Return the kernel that the summary of a job tells."""
    command = [sys.executable, "-m", "stream_bp", *options, "train", str(path), "--target", "y", "--json"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**inherited, **environment})
    [blas] = json.loads(done.stdout)["numerics"]["blas"]
    assert blas["threads"] == 1
    return str(blas["architecture"])


def test_a_job_tells_the_kernel_that_it_was_given(tmp_path: Path) -> None:
    """The command line speaks before NumPy is imported, and what the user chose wins."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": [0.0, 1.0] * 50, "y": ["no", "yes"] * 50}), path)
    unknown = kernel_of_a_job(path, {}, "--keep-blas-kernel")
    if unknown not in {"Haswell", "SkylakeX", "Zen"}:
        pytest.skip(f"OpenBLAS has other kernels for this processor: {unknown}")
    assert kernel_of_a_job(path, {}) == (cli_environment.blas_kernel(cli_environment._processor()) or unknown)
    assert kernel_of_a_job(path, {"OPENBLAS_CORETYPE": "Nehalem"}) == "Nehalem"
