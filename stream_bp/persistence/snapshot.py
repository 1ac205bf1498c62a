r"""A snapshot of arrays and JSON, and the verified bytes of the file that holds it.

The file
--------
A checkpoint ``step-000000001200.safetensors`` is one `safetensors <https://github.com/huggingface/safetensors>`_ file,
which any framework can open::

    8 bytes             n, the size of the header: unsigned, little-endian, at most 100 MB
    n bytes             the header: JSON in UTF-8, padded with spaces
    the rest            the tensors, little-endian, C order, without gaps

The header maps the name of each tensor to its dtype, shape and place. It maps ``__metadata__`` to exactly one entry,
``stream_bp``: safetensors would write several entries in another order in every process. The value is a string with
canonical JSON (keys sorted, no white space, ASCII, no NaN or infinity)::

    {"format":1,"sha256":"<64 hexadecimal digits>","state":{...},"step":1200}

``format``
    The version of this layout. A reader refuses other versions.
``sha256``
    The digest of the whole file, computed with these 64 digits set to ``0``. In the file they follow the first
    ``\"sha256\":\"`` (JSON inside JSON escapes its quotes).
``state``
    Everything that is not an array: the JSON of the caller.
``step``
    The number of updates learned, equal to the number in the file's name.

The same snapshot gives the same bytes in every process. Nothing is pickled. No name in a file is used as a path. No
tensor is built before the digest is verified. Reading takes memory in proportion to the size of the file.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from stream_bp.errors import CheckpointError

__all__ = ["Snapshot", "decode", "encode", "refuse_foreign"]

FORMAT = 1
METADATA_KEY = "stream_bp"
MAX_HEADER_BYTES = 100_000_000
# Far deeper than any state needs, and far below Python's own recursion limit.
MAX_DEPTH = 100
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, *FLOATS)
NO_DIGEST = "0" * 64
DIGEST_PREFIX = rb"\"sha256\":\""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything that a job needs to resume, at one minibatch boundary.

    Parameters
    ----------
    step
        Updates learned so far, 0 or more.
    tensors
        Arrays of any shape by name: booleans, integers, or floats of 16, 32 or 64 bits.
    state
        The rest: dicts with string keys, lists, strings, numbers, booleans and None. No NaN, no infinity. A tuple
        is read back as a list.
    """

    step: int
    tensors: dict[str, NDArray[Any]]
    state: dict[str, Any]


class _MalformedError(Exception):
    """A fault of the bytes. The caller adds the name of the file."""


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of a checkpoint file.

    Parameters
    ----------
    snapshot
        The snapshot. It is copied, so the caller may continue to learn.

    Returns
    -------
    bytes
        The file that this module describes.

    Raises
    ------
    CheckpointError
        If a part of the snapshot could not be read back unchanged.

    Notes
    -----
    It holds up to three copies of the tensors for a moment.

    Examples
    --------
    >>> import numpy as np
    >>> data = encode(Snapshot(7, {"theta": np.arange(3.0)}, {"epoch": 0}))
    >>> decode(data, "memory").tensors["theta"]
    array([0., 1., 2.])
    """
    tensors = {name: _portable(name, array) for name, array in snapshot.tensors.items()}
    body = _canonical_body(snapshot)
    try:
        # One metadata entry only: the order of several would differ in every process.
        data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: body})
    except (SafetensorError, UnicodeEncodeError) as error:
        raise CheckpointError(f"cannot encode the tensors of step {snapshot.step}: {error}") from error
    header_size = int.from_bytes(data[:8], "little")
    if header_size > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"cannot encode step {snapshot.step}: its state takes {header_size:,} bytes as JSON, expected at most "
            f"{MAX_HEADER_BYTES:,}; keep large values in arrays, or bound the vocabularies"
        )
    # The header holds the digest and is covered by it, so zeros take its place in the computation.
    start = _digest_start(data, NO_DIGEST)
    digest = _digest_at(data, start)
    return b"".join([memoryview(data)[:start], digest.encode(), memoryview(data)[start + len(digest) :]])


def decode(data: bytes, name: str | Path) -> Snapshot:
    """Verify the bytes of a checkpoint file and return its snapshot.

    Parameters
    ----------
    data
        The whole file.
    name
        Its name for errors.

    Returns
    -------
    Snapshot
        Its arrays are writable and belong to the caller. They are in the order of the file.

    Raises
    ------
    CheckpointError
        If a bit has changed, or the file is foreign or of an unknown version.
    """
    try:
        body = _body(_header(data))
        _verify_digest(data, body["sha256"])
        return Snapshot(step=body["step"], tensors=_tensors(data), state=body["state"])
    except _MalformedError as error:
        raise CheckpointError(f"checkpoint {name} {error}") from error


def refuse_foreign(head: bytes, name: str | Path) -> None:
    """Refuse a file whose first bytes show that it is not a checkpoint.

    Parameters
    ----------
    head
        At least its first 8 bytes; fewer if the file is shorter.
    name
        Its name for errors.

    Raises
    ------
    CheckpointError
        If the claimed size of the header is too large.
    """
    try:
        _header_size(head, MAX_HEADER_BYTES)
    except _MalformedError as error:
        raise CheckpointError(f"checkpoint {name} {error}") from error


def _portable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name not in DTYPES or name == "__metadata__":
        raise CheckpointError(
            f"cannot encode tensor {name!r} of dtype {array.dtype}; expected another name than '__metadata__', and one "
            f"of {', '.join(DTYPES)}"
        )
    # safetensors ignores strides and copies memory from the first byte on. (np.ascontiguousarray would add a dimension
    # to a scalar.)
    return np.asarray(array, order="C")


def _canonical_body(snapshot: Snapshot) -> str:
    step = snapshot.step
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**63:
        raise CheckpointError(f"cannot encode step {step!r}; expected an integer of at least 0")
    try:
        _check_json(snapshot.state)
        body = {"format": FORMAT, "sha256": NO_DIGEST, "state": snapshot.state, "step": step}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"cannot encode the state of step {step} as JSON: {error}") from error


def _check_json(value: object, depth: int = 0) -> None:
    """Refuse keys that are not strings, which JSON would convert silently, and deep nesting, which fails to load."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}, or within itself")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
            _check_json(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_json(item, depth + 1)


def _header(data: bytes) -> dict[str, Any]:
    if len(data) < 8:
        raise _MalformedError(f"is damaged: found {len(data)} bytes, expected at least the 8 of a safetensors file")
    size = _header_size(data, min(len(data) - 8, MAX_HEADER_BYTES))
    return _parse_object(data[8 : 8 + size], "header")


def _header_size(data: bytes, most: int) -> int:
    size = int.from_bytes(data[:8], "little")
    if size > most:
        raise _MalformedError(
            f"is damaged or not a safetensors file: its header claims {size:,} bytes, expected at most {most:,}"
        )
    return size


def _body(header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise _MalformedError(f"was not written by stream-bp: its header holds no {METADATA_KEY!r} metadata")
    body = _parse_object(text.encode("utf-8", "surrogatepass"), "metadata")
    version = body.get("format")
    if type(version) is not int or version != FORMAT:
        raise _MalformedError(f"has format {version!r:.40}, but this release of stream-bp reads format {FORMAT} only")
    # The types are checked before the digest, so the code after it need not expect malformed values.
    kinds = {key: type(value) for key, value in body.items()}
    if kinds != {"format": int, "sha256": str, "state": dict, "step": int} or body["step"] < 0:
        raise _MalformedError("is damaged: its metadata has other fields than format, sha256, state and step")
    try:
        _check_json(body["state"])
    except ValueError as error:
        raise _MalformedError(f"is damaged: its state is {error}") from None
    return body


def _parse_object(text: bytes, part: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise _MalformedError(f"is damaged: its {part} is nested too deeply") from None
    except ValueError as error:
        raise _MalformedError(f"is damaged or not a safetensors file: its {part} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise _MalformedError(f"is damaged: its {part} is a JSON {type(value).__name__}, expected an object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # JSON readers differ in which of two equal keys they use, so a duplicate could hide a value.
        raise ValueError("a key occurs twice in one object")
    return value


def _verify_digest(data: bytes, expected: str) -> None:
    start = _digest_start(data, expected)
    found = _digest_at(data, start) if start >= 0 and len(expected) == len(NO_DIGEST) else "none"
    if found != expected:
        raise _MalformedError(f"is damaged: its content has SHA-256 {found:.12}…, expected {expected[:12]!r}…")


def _digest_start(data: bytes, digest: str) -> int:
    end = 8 + int.from_bytes(data[:8], "little")
    start = data.find(DIGEST_PREFIX + digest.encode("ascii", "replace"), 8, end)
    return start + len(DIGEST_PREFIX) if start >= 0 else -1


def _digest_at(data: bytes, start: int) -> str:
    sha256 = hashlib.sha256(memoryview(data)[:start])
    sha256.update(NO_DIGEST.encode())
    sha256.update(memoryview(data)[start + len(NO_DIGEST) :])
    return sha256.hexdigest()


def _tensors(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        return safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        # The digest is right, so `encode` did not write this file. KeyError: a dtype that NumPy does not have.
        raise _MalformedError(f"is not a valid safetensors file: {' '.join(str(error).split())}") from error
