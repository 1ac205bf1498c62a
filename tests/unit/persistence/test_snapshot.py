"""The bytes of a checkpoint: what is refused, and with which words."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from stream_bp.errors import CheckpointError
from stream_bp.persistence import snapshot as snapshot_module
from stream_bp.persistence.snapshot import Snapshot, decode, encode

TINY = Snapshot(3, {"W1": np.arange(2, dtype=np.float32)}, {"epoch": 0})


def reencoded(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a tiny checkpoint whose body was changed, under a digest that agrees."""
    body = {"format": 1, "sha256": "0" * 64, "state": {}, "step": 3}
    change(body)
    return signed(safetensors.numpy.save({}, {"stream_bp": json.dumps(body, separators=(",", ":"))}))


def signed(data: bytes) -> bytes:
    """Put the digest that agrees in the place of the zeros."""
    start = snapshot_module._digest_start(data, "0" * 64)
    return data[:start] + snapshot_module._digest_at(data, start).encode() + data[start + 64 :] if start > 0 else data


def file_of(header: bytes, body: bytes = b"") -> bytes:
    """Return a safetensors file with a header of our choice."""
    return len(header).to_bytes(8, "little") + header + body


def refusal(data: bytes) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        decode(data, "tiny")
    message = str(caught.value)
    assert message.startswith("checkpoint tiny ")
    assert "\n" not in message
    return message


def test_every_flipped_bit_is_refused() -> None:
    """Not one bit of a file can change unseen, and the file itself is accepted."""
    data = encode(TINY)
    assert decode(data, "tiny").step == 3
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            refusal(bytes(flipped))


def test_every_truncation_is_refused() -> None:
    """No prefix of a file passes for the file, and neither does the file with something after it."""
    data = encode(TINY)
    for size in range(len(data)):
        refusal(data[:size])
    refusal(data + b"\0")


def test_a_signed_body_is_accepted() -> None:
    """The helper that signs the malformed files below makes good ones too, so that they fail for their own reason."""
    assert decode(reencoded(lambda body: body.update(step=5)), "tiny").step == 5


@pytest.mark.parametrize("version", [0, 2, True, "1", None])
def test_an_unknown_format_tells_which_is_read(version: object) -> None:
    """A file of another version is refused with the version that this release reads."""
    assert "reads format 1 only" in refusal(reencoded(lambda body: body.update(format=version)))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(step=-1),
        lambda body: body.update(step=True),
        lambda body: body.update(step=1.0),
        lambda body: body.update(state=[]),
        lambda body: body.update(extra=0),
        lambda body: body.pop("state"),
    ],
)
def test_a_body_of_other_fields_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    """A digest that agrees does not excuse fields that are missing, too many, or of another type."""
    assert "has other fields" in refusal(reencoded(change))


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_foreign_file_is_called_foreign(metadata: dict[str, str] | None) -> None:
    """A valid safetensors file of another program is refused as such."""
    data = safetensors.numpy.save({"W1": np.zeros(2)}, metadata)
    assert "was not written by stream-bp" in refusal(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "found 0 bytes"),
        (b"PK\x03\x04 some archive, or any other file", "not a safetensors file"),
        (file_of(b"[]"), "expected an object"),
        (file_of(b"\xff\xfe{}"), "not valid JSON"),
        (file_of(b'{"a":1,"a":2}'), "a key occurs twice"),
        (file_of(b"[" * 100_000), "nested too deeply"),
        (file_of(b'{"__metadata__":{"stream_bp":"{\\"format\\":1,\\"format\\":1}"}}'), "a key occurs twice"),
        (file_of(b'{"__metadata__":{"stream_bp":"\\ud800"}}'), "not valid JSON"),
        (file_of(b'{"__metadata__":[]}'), "was not written by stream-bp"),
        ((10**9).to_bytes(8, "little") + bytes(100), "claims 1,000,000,000 bytes"),
    ],
)
def test_a_malformed_header_is_refused(data: bytes, reason: str) -> None:
    """Each way for a header to be wrong is told in its own words."""
    assert reason in refusal(data)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
        {"dtype": "U8", "shape": [1], "data_offsets": [0, 2]},
        {"dtype": "U8", "shape": [1, 3], "data_offsets": [0, 3]},
        {"dtype": "U8", "shape": [0, 2**63, 2**63], "data_offsets": [0, 0]},
    ],
)
def test_a_malformed_tensor_under_a_good_digest_is_refused(tensor: dict[str, Any]) -> None:
    """What safetensors or NumPy cannot read is our error, though the digest agrees."""
    body = '{"format":1,"sha256":"' + "0" * 64 + '","state":{},"step":3}'
    header = json.dumps({"__metadata__": {"stream_bp": body}, "a": tensor}, separators=(",", ":")).encode()
    assert "is not a valid safetensors file" in refusal(signed(file_of(header, bytes(2))))


def test_the_digest_is_checked_before_the_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library parses a tensor of a file whose digest does not agree."""
    monkeypatch.setattr(safetensors.numpy, "load", lambda _: pytest.fail("parsed"))
    data = encode(TINY)
    assert "SHA-256" in refusal(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({1: "one"}, "key 1 is not a string"),
        ({"deep": [{"a": {2.0: 0}}]}, "key 2.0 is not a string"),
        ({"loss": float("nan")}, "not JSON compliant"),
        ({"count": np.int64(3)}, "int64"),
        ({"set": {1}}, "set"),
    ],
)
def test_a_state_that_would_not_come_back_is_refused(state: dict[str, Any], reason: str) -> None:
    """What JSON would change in silence, or cannot say, is an error when it is saved."""
    with pytest.raises(CheckpointError, match=reason):
        encode(Snapshot(0, {}, state))


def test_a_state_within_itself_is_refused() -> None:
    """A cycle ends in an error and not in a crash."""
    state: dict[str, Any] = {}
    state["self"] = state
    with pytest.raises(CheckpointError, match="within itself"):
        encode(Snapshot(0, {}, state))


def test_a_state_too_large_to_be_read_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that no reader would take is an error when it is written."""
    monkeypatch.setattr(snapshot_module, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(CheckpointError, match="expected at most 1,000"):
        encode(Snapshot(0, {}, {"labels": "x" * 1000}))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("W1", np.array(["text"])),
        ("W1", np.array([None])),
        ("W1", np.zeros(1, np.complex128)),
        ("W1", np.zeros(1, np.longdouble)),
        ("__metadata__", np.zeros(1)),
        ("\ud800", np.zeros(1)),
    ],
)
def test_a_tensor_that_would_not_come_back_is_refused(name: str, array: NDArray[Any]) -> None:
    """Dtypes and names that the format does not have are errors when they are saved; nothing is ever pickled."""
    with pytest.raises(CheckpointError, match="cannot encode"):
        encode(Snapshot(0, {name: array}, {}))


def test_strides_and_byte_order_do_not_reach_the_file() -> None:
    """Views, transposes and big-endian arrays come back with their values, and arrays of no dimensions with none."""
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = {"T": base.T, "every_other": base[:, ::2], "big": base.astype(">f4"), "scalar": np.array(2.5)}
    decoded = decode(encode(Snapshot(0, tensors, {})), "memory").tensors
    for name, array in tensors.items():
        assert decoded[name].shape == array.shape
        np.testing.assert_array_equal(decoded[name], array)


def test_decoded_arrays_belong_to_the_caller() -> None:
    """What is decoded can be learned on: its arrays are writable."""
    decoded = decode(encode(TINY), "memory").tensors["W1"]
    decoded += 1
    np.testing.assert_array_equal(decoded, [1, 2])
