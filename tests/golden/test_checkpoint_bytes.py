"""The format does not drift: a checkpoint written once, kept beside this test, is what is written and read today."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy

from stream_bp.persistence.snapshot import Snapshot, decode, encode

GOLDEN = Path(__file__).with_name("tiny.safetensors")


def tiny() -> Snapshot:
    """Return the snapshot in the kept file."""
    tensors = {
        "W1": np.array([[0.5, -1.0, 0.0], [2.0, np.inf, 1e-30]], np.float32),
        "scaling.mean": np.array([1 / 3, -0.0]),
        "scaling.count": np.array(7, np.int64),
        "seen": np.array([True, False]),
    }
    state = {"epoch": 1, "labels": ["no", "sí"], "learning_rate": 0.1, "rng": 2**100 + 1, "schedule": None}
    return Snapshot(1200, tensors, state)


def test_the_bytes_are_those_once_written() -> None:
    """The same snapshot is the same bytes as in the first release; a change here needs a new format version."""
    assert encode(tiny()) == GOLDEN.read_bytes()


def test_the_kept_file_is_still_read() -> None:
    """A checkpoint of the first release comes back whole."""
    decoded = decode(GOLDEN.read_bytes(), GOLDEN)
    assert (decoded.step, decoded.state) == (tiny().step, tiny().state)
    for name, array in tiny().tensors.items():
        assert decoded.tensors[name].tobytes() == array.tobytes()


def test_another_process_writes_the_same_bytes() -> None:
    """Neither the seed of hashes nor anything else of a process reaches the file."""
    code = (
        "import sys; from tests.golden.test_checkpoint_bytes import tiny;"
        "from stream_bp.persistence.snapshot import encode;"
        "sys.stdout.buffer.write(encode(tiny()))"
    )
    root = Path(__file__).parents[2]
    for seed in ("1", "2"):
        written = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert written.stdout == GOLDEN.read_bytes()


def test_the_file_is_read_without_stream_bp() -> None:
    """Safetensors alone opens it, and the digest can be checked by the recipe in the documentation."""
    data = GOLDEN.read_bytes()
    np.testing.assert_array_equal(safetensors.numpy.load(data)["W1"], tiny().tensors["W1"])
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == ["stream_bp"]
    digest = json.loads(header["__metadata__"]["stream_bp"])["sha256"]
    zeroed = data.replace(digest.encode(), b"0" * 64, 1)
    assert hashlib.sha256(zeroed).hexdigest() == digest
