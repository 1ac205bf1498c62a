"""Values of special types as plain ones: text that is checked, dictionaries, UUIDs and other extension types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.leaves import plain_type

__all__ = ["failures", "plain_values"]

_SHORT = 4_096  # rows; to look at each text of so few is faster
_FIRST_BYTE = -64  # as int8: smaller ones continue a character
_DASHES = (8, 13, 18, 23)  # of a UUID


def plain_values(column: pa.Array) -> pa.Array | list[tuple[int, bytes]]:
    """Return a column as its plain type, or the index and the bytes of each text that is not valid UTF-8.

    `leaves.plain_type` names the type.
    """
    type_ = column.type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        if not _is_utf8(column):
            return _invalid(column)
        return column if pa.types.is_string(type_) else column.cast(pa.string())
    if isinstance(type_, pa.BaseExtensionType):
        return _of_extension(column)
    if pa.types.is_dictionary(type_):
        return _of_dictionary(column)
    if pa.types.is_run_end_encoded(type_):
        return plain_values(pc.run_end_decode(column))
    return column if plain_type(type_) == type_ else column.cast(pa.binary())


def _of_dictionary(column: pa.DictionaryArray) -> pa.Array | list[tuple[int, bytes]]:
    words = plain_values(column.dictionary)
    if isinstance(words, list):
        # A word that is not valid may be in no row: other row groups may share the dictionary.
        return _invalid(column.dictionary.cast(pa.binary()).take(column.indices))
    return column.dictionary_decode() if words.type == column.type.value_type else words.take(column.indices)


def _is_utf8(column: pa.Array) -> bool:
    """Return whether all texts of a column are valid."""
    is_long = len(column) > _SHORT
    if is_long and pa.types.is_string(column.type) and (answer := _is_utf8_together(column)) is not None:
        return answer
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8_together(column: pa.Array) -> bool | None:
    """Return whether all texts are valid; None if only a look at each of them can say so.

    The bytes of a whole column are read up to five times as fast as text by text. They are valid together, and no text
    begins within a character: then each of them is valid.
    """
    _, offsets, text = column.buffers()
    if text is None or not len(column):
        return True
    ends = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1]
    first, last = ends[0], ends[-1]
    if not 0 <= first <= last <= text.size:  # from memory, and damaged
        return None
    values = np.frombuffer(text, np.int8)[first:last]
    if not len(values) or values.min() >= 0:  # ASCII
        return True
    whole = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends[[0, -1]].copy()), text])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return None
    starts = ends[: np.searchsorted(ends, last)] - first
    return None if np.take(values, starts, mode="clip").min() < _FIRST_BYTE else True


def _invalid(column: pa.Array) -> pa.Array | list[tuple[int, bytes]]:
    """Return the index and the bytes of each text that is not valid; if all are, the column as text."""
    values = column.cast(pa.binary())
    bad = failures(values, pa.string())
    return [(row, values[row].as_py()) for row in bad] if bad else values.cast(pa.string())


def _of_extension(column: pa.ExtensionArray) -> pa.Array | list[tuple[int, bytes]]:
    name, storage = column.type.extension_name, column.storage
    if name == "arrow.uuid":
        return _uuid_text(storage)
    if name == "arrow.bool8":
        return pc.not_equal(storage, pa.scalar(0, pa.int8()))
    return plain_values(storage)


def _uuid_text(column: pa.Array) -> pa.Array:
    """Return UUIDs as text, in lower case: 8, 4, 4, 4 and 12 digits."""
    n = len(column)
    raw = np.frombuffer(column.buffers()[1] or b"", np.uint8)[16 * column.offset :][: 16 * n].reshape(n, 16)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.full((n, 36), ord("-"), np.uint8)
    text[:, [i for i in range(36) if i not in _DASHES]] = digits[np.stack([raw >> 4, raw & 15], 2).reshape(n, 32)]
    ends = pa.py_buffer(np.arange(0, 36 * (n + 1), 36, dtype=np.int32))
    found = pa.Array.from_buffers(pa.string(), n, [None, ends, pa.py_buffer(text.tobytes())])
    return pc.if_else(pc.is_valid(column), found, pa.nulls(1, pa.string())[0]) if column.null_count else found


def failures(column: pa.Array, wanted: pa.DataType, start: int = 0) -> list[int]:
    """Return the indices of the values that cannot be cast."""
    # Arrow does not say which value fails, so halve the column until single values remain.
    try:
        column.cast(wanted)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return [start]
        middle = len(column) // 2
        return [
            *failures(column.slice(0, middle), wanted, start),
            *failures(column.slice(middle), wanted, start + middle),
        ]
    return []
