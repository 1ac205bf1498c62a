"""Arrow arrays from Python and NumPy, and back, through buffers.

When Arrow itself converts values of Python, it imports pandas, which takes a fifth of a second and 30 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["are_equal", "filled", "flags", "is_text", "numbers", "texts", "with_nulls"]

Flags = npt.NDArray[np.bool_]


def texts(words: Sequence[str], type_: pa.DataType | None = None) -> pa.Array:
    """Return words as an array of strings, or of another type of text.

    Examples
    --------
    >>> texts(["a", "straße"]).to_pylist()
    ['a', 'straße']
    """
    encoded = [word.encode("utf-8", "surrogatepass") for word in words]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    array = pa.Array.from_buffers(pa.string(), len(words), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])
    return array if type_ in {None, pa.string()} else array.cast(type_)


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """Return numbers as an array of the same type, without a copy."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def flags(array: pa.Array) -> Flags:
    """Return an array of booleans as NumPy's; null is False.

    Examples
    --------
    >>> flags(pa.array([True, None, False])).tolist()
    [True, False, False]
    """
    is_valid = pc.is_valid(array)
    return np.from_dlpack(pc.if_else(is_valid, array, is_valid).cast(pa.uint8())).view(bool)


def filled(cells: pa.Array, word: str = "") -> pa.Array:
    """Return strings with a word in place of each null.

    Examples
    --------
    >>> filled(pa.array(["a", None])).to_pylist()
    ['a', '']
    """
    return pc.coalesce(cells, _scalar(word))


def are_equal(cells: pa.Array, word: str) -> Flags:
    """Return which strings are equal to a word; null is not."""
    return flags(pc.equal(cells, _scalar(word)))


@lru_cache(maxsize=64)
def _scalar(word: str) -> pa.Scalar:
    return texts([word])[0]


def with_nulls(array: pa.Array, is_valid: Flags) -> pa.Array:
    """Return an array without nulls, and without an offset, with nulls where it is not valid."""
    bitmap = pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    return pa.Array.from_buffers(array.type, len(array), [bitmap, *array.buffers()[1:]])


def is_text(type_: pa.DataType) -> bool:
    """Return whether values of a type are text, and stored one after the other."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))
