"""Other versions, another BLAS kernel: refused by name, or gone on from and told ever after."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors import open_source
from stream_bp.errors import CheckpointError, NumericsError
from stream_bp.job.job import Job
from stream_bp.nn import reproducibility
from stream_bp.persistence.checkpoints import Checkpointer, load
from stream_bp.persistence.snapshot import Snapshot
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, comparable

OTHER = "other numerics"
HALF = {"max_minibatches": 10}
CONFIGURATION = CONFIGURATIONS["parquet"]
MATRIX: dict[str, tuple[str, Any]] = {
    "numpy": ("numpy", "1.0.0"),
    "machine": ("machine", "pdp11"),
    "backend": ("backend", "numba 0.1, llvmlite 0.1, pentium"),
    "libc": ("libc", "glibc 2.0"),
    "dtype": ("dtype", "float16"),
    "simd": ("simd", ["MMX"]),
    "blas threads": ("blas", [{"threads": 8}]),
    "blas architecture": ("blas", [{"architecture": "Prescott"}]),
    "blas version": ("blas", [{"version": "0.0.1"}]),
}


def with_numerics(run_dir: Path, key: str, value: Any) -> None:
    """Let the newest checkpoint say that it was learned under other numerics."""
    checkpointer = Checkpointer(run_dir / "checkpoints")
    loaded = checkpointer.newest()
    assert loaded is not None
    snapshot = loaded.snapshot
    saved = snapshot.state["fingerprint"]
    changed = [{**saved[key][0], **value[0]}] if key == "blas" else value
    assert changed != saved[key]
    state = {**snapshot.state, "fingerprint": {**saved, key: changed}}
    checkpointer.save(Snapshot(snapshot.step, snapshot.tensors, state))


@pytest.mark.parametrize("name", MATRIX)
def test_other_numerics_are_refused_or_told(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """The difference is named; once it is accepted, summary and checkpoint tell it from then on."""
    run_dir, key = tmp_path / "run", MATRIX[name][0]
    paths = CONFIGURATION.write(tmp_path, 200)
    Job(open_source(*paths), CONFIGURATION.config(run_dir, **HALF)).run()
    with_numerics(run_dir, *MATRIX[name])
    before = comparable(run_dir)
    with pytest.raises(NumericsError, match=f"other numerics: {key}.* was .* and is .*--allow-inexact-resume"):
        Job(open_source(*paths), CONFIGURATION.config(run_dir)).run()
    assert comparable(run_dir) == before
    config = CONFIGURATION.config(run_dir, max_minibatches=15)
    Job(open_source(*paths), config, allow_inexact_resume=True).run()
    later = Job(open_source(*paths), CONFIGURATION.config(run_dir)).run()
    [change] = later.numerics_changes
    assert change["rows"] == 80
    assert change["change"].startswith(key)
    assert load(run_dir).snapshot.state["numerics_changes"] == [change]
    campaign.tell(OTHER, differences=1, refused=1, told=1)


def test_the_dtype_is_another_job(tmp_path: Path, campaign: Campaign) -> None:
    """A dtype is asked for, not found: with another one it is not the same job, whatever is accepted."""
    paths = CONFIGURATION.write(tmp_path, 200)
    Job(open_source(*paths), CONFIGURATION.config(tmp_path / "run", **HALF)).run()
    job = Job(open_source(*paths), CONFIGURATION.config(tmp_path / "run", dtype="float64"), allow_inexact_resume=True)
    with pytest.raises(CheckpointError, match="dtype is float64 here and float32 there"):
        job.run()
    campaign.tell(OTHER, refused=1)


def test_the_same_numerics_are_not_refused(tmp_path: Path) -> None:
    """The control: where nothing differs, nothing is refused and nothing is told."""
    paths = CONFIGURATION.write(tmp_path, 200)
    Job(open_source(*paths), CONFIGURATION.config(tmp_path / "run", **HALF)).run()
    assert Job(open_source(*paths), CONFIGURATION.config(tmp_path / "run")).run().numerics_changes == []


def test_a_real_other_kernel(tmp_path: Path, campaign: Campaign) -> None:
    """A BLAS that takes another kernel is found out by the command line, and told on both streams."""
    architecture = reproducibility.fingerprint("float32")["blas"][0]["architecture"]
    (source,) = CONFIGURATION.write(tmp_path, 200)
    command = [sys.executable, "-m", "stream_bp", "train", source, "--target", "label"]
    command += ["--run-dir", str(tmp_path / "run")]
    other = {**os.environ, "OPENBLAS_CORETYPE": "Prescott"}
    half = [*command, "--max-minibatches", "3"]
    subprocess.run(half, check=True, capture_output=True)
    refused = subprocess.run(command, check=False, capture_output=True, text=True, env=other)
    assert refused.returncode == 3
    assert f"blas.0.architecture was '{architecture}' and is '" in refused.stderr
    accepted = [*command, "--allow-inexact-resume"]
    told = subprocess.run(accepted, check=True, capture_output=True, text=True, env=other)
    assert "under other numerics" in told.stderr
    assert "under other numerics" in told.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "stream_bp", "inspect", str(tmp_path / "run"), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    [change] = json.loads(shown.stdout)["numerics_changes"]
    assert change["rows"] == 96
    campaign.tell(OTHER, differences=1, refused=1, told=1)
