r"""A snapshot of arrays and JSON, and the verified bytes of the file that holds it.

The file
--------
A checkpoint ``step-000000001200.safetensors`` is one `safetensors <https://github.com/huggingface/safetensors>`_ file,
which any framework can open::

    8 bytes             n, the size of the header: an unsigned little-endian integer, at most 100 MB
    n bytes             the header: JSON in UTF-8, padded with spaces
    the rest            the tensors, little-endian, C order, without gaps

The header maps each tensor's name to its dtype, shape and place, and ``__metadata__`` to exactly one entry,
``stream_bp``: with several, safetensors would write them in another order in every process. Its value is a string,
itself canonical JSON (keys sorted, no white space, ASCII, no NaN or infinity)::

    {"format":1,"sha256":"<64 hexadecimal digits>","state":{...},"step":1200}

``format``
    The version of this layout. A reader refuses a version that it does not know.
``sha256``
    The digest of the whole file, from its first byte to its last, taken with these 64 digits set to ``0``. In the file
    they are the digits after the first ``\"sha256\":\"`` (as JSON inside JSON escapes its quotes).
``state``
    Everything that is not an array: JSON as the caller gave it.
``step``
    The number of updates learned, equal to the number in the file's name.

The same snapshot gives the same bytes in every process. Nothing is pickled, no name in a file leads to a path, and no
tensor is built before the digest agrees. Reading takes memory in proportion to the size of the file.
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
# Far deeper than any state needs, and far from where Python's own recursion ends.
MAX_DEPTH = 100
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, *FLOATS)
NO_DIGEST = "0" * 64
DIGEST_PREFIX = rb"\"sha256\":\""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything a job needs in order to go on, at one boundary between two minibatches.

    Parameters
    ----------
    step
        Updates learned so far, 0 or more.
    tensors
        Arrays of any shape by name: booleans, integers, or floats of 16, 32 or 64 bits.
    state
        The rest: dicts with string keys, lists, strings, numbers, booleans and None. No NaN, no infinity. A tuple
        comes back as a list.
    """

    step: int
    tensors: dict[str, NDArray[Any]]
    state: dict[str, Any]


class _MalformedError(Exception):
    """What is wrong with the bytes at hand; the file's name is added where it is known."""


def encode(snapshot: Snapshot) -> bytes:
    """Turn a snapshot into the bytes of a checkpoint file.

    Parameters
    ----------
    snapshot
        What to save. It is copied: the caller may go on learning.

    Returns
    -------
    bytes
        The file described at the top of this module.

    Raises
    ------
    CheckpointError
        If the snapshot holds something that would not come back as it was.

    Notes
    -----
    Holds up to three copies of the tensors for a moment.

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
        # One metadata entry: several would be written in another order by every process.
        data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: body})
    except (SafetensorError, UnicodeEncodeError) as error:
        raise CheckpointError(f"cannot encode the tensors of step {snapshot.step}: {error}") from error
    header_size = int.from_bytes(data[:8], "little")
    if header_size > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"cannot encode step {snapshot.step}: its state takes {header_size:,} bytes as JSON, expected at most "
            f"{MAX_HEADER_BYTES:,}; keep large values in arrays, or bound the vocabularies"
        )
    # The digest covers the header that holds it, so it is taken over zeros in its place.
    start = _digest_start(data, NO_DIGEST)
    digest = _digest_at(data, start)
    return b"".join([memoryview(data)[:start], digest.encode(), memoryview(data)[start + len(digest) :]])


def decode(data: bytes, name: str | Path) -> Snapshot:
    """Verify the bytes of a checkpoint file and turn them into a snapshot.

    Parameters
    ----------
    data
        The whole file.
    name
        What to call it in an error.

    Returns
    -------
    Snapshot
        Its arrays are writable and belong to the caller; their order is the file's, not that of the dict once saved.

    Raises
    ------
    CheckpointError
        If a single bit is not as it was written, or the file is foreign or of an unknown version.
    """
    try:
        body = _body(_header(data))
        _verify_digest(data, body["sha256"])
        return Snapshot(step=body["step"], tensors=_tensors(data), state=body["state"])
    except _MalformedError as error:
        raise CheckpointError(f"checkpoint {name} {error}") from error


def refuse_foreign(head: bytes, name: str | Path) -> None:
    """Refuse a file that cannot be a checkpoint by its first bytes alone, before the rest of it is read.

    Parameters
    ----------
    head
        At least its first 8 bytes, if it has as many.
    name
        What to call it in an error.

    Raises
    ------
    CheckpointError
        If its header would be larger than any.
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
    # safetensors copies memory from the first byte on, whatever the strides say. (np.ascontiguousarray would give an
    # array of no dimensions one.)
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
    """Refuse what JSON would change in silence (keys that are no strings) or could not be read back (depth)."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}, or within itself")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is no string")
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
            f"is damaged or no safetensors file: its header claims {size:,} bytes, expected at most {most:,}"
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
    # Their types are checked before the digest, so that nothing malformed needs to be foreseen after it.
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
        raise _MalformedError(f"is damaged or no safetensors file: its {part} is no valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise _MalformedError(f"is damaged: its {part} is a JSON {type(value).__name__}, expected an object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Two readers could each believe another one of the two values.
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
        # The digest agrees, so this was not written by `encode`. KeyError: a dtype that NumPy does not have.
        raise _MalformedError(f"is no valid safetensors file: {' '.join(str(error).split())}") from error
