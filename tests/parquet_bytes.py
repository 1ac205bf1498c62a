"""Edits the bytes of a Parquet file, as damage or another writer would: its footer, and the headers of its pages.

Both are structs of Thrift's compact protocol. A struct is read as a list of ``[field, type, value]`` and written back.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["column_chunk", "edit_footer", "edit_page", "field", "row_group"]

Struct = list[list[Any]]

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12


def field(struct: Struct, number: int) -> list[Any]:
    """Return the entry ``[field, type, value]`` of a field."""
    return next(entry for entry in struct if entry[0] == number)


def row_group(footer: Struct, group: int) -> Struct:
    """Return a row group of a footer; field 3 is its number of rows."""
    found: Struct = field(footer, 4)[2][1][group]
    return found


def column_chunk(footer: Struct, group: int, column: int) -> Struct:
    """Return a column chunk of a footer; field 5 is its number of values, field 9 the offset of its first data page."""
    found: Struct = field(field(row_group(footer, group), 1)[2][1][column], 3)[2]
    return found


def edit_footer(path: Path, edit: Callable[[Struct], None]) -> None:
    """Change the footer of a file."""
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = _read_struct(io.BytesIO(content[start:-8]))
    edit(footer)
    out = io.BytesIO()
    _write_struct(out, footer)
    size = len(out.getvalue()).to_bytes(4, "little")
    path.write_bytes(content[:start] + out.getvalue() + size + content[-4:])


def edit_page(path: Path, offset: int, edit: Callable[[Struct], None]) -> None:
    """Change the header of the page at an offset; it must keep its length."""
    content = path.read_bytes()
    stream = io.BytesIO(content[offset:])
    header = _read_struct(stream)
    length = stream.tell()
    edit(header)
    out = io.BytesIO()
    _write_struct(out, header)
    assert len(out.getvalue()) == length
    path.write_bytes(content[:offset] + out.getvalue() + content[offset + length :])


def _read_varint(stream: io.BytesIO) -> int:
    found = shift = 0
    while True:
        byte = stream.read(1)[0]
        found |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return found


def _write_varint(out: io.BytesIO, number: int) -> None:
    while number >= 128:
        out.write(bytes([number & 127 | 128]))
        number >>= 7
    out.write(bytes([number]))


def _read_struct(stream: io.BytesIO) -> Struct:
    entries, number = [], 0
    while head := stream.read(1)[0]:
        kind, step = head & 15, head >> 4
        number = number + step if step else _signed(_read_varint(stream))
        entries.append([number, kind, _read(stream, kind)])
    return entries


def _read(stream: io.BytesIO, kind: int) -> Any:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE
    if kind == _BYTE:
        return stream.read(1)
    if kind == _DOUBLE:
        return stream.read(8)
    if kind == _BINARY:
        return stream.read(_read_varint(stream))
    if kind == _LIST:
        head = stream.read(1)[0]
        n = head >> 4 if head >> 4 < 15 else _read_varint(stream)
        inner = head & 15
        return inner, [stream.read(1) if inner in {_TRUE, _FALSE} else _read(stream, inner) for _ in range(n)]
    return _read_struct(stream) if kind == _STRUCT else _signed(_read_varint(stream))


def _write_struct(out: io.BytesIO, entries: Struct) -> None:
    before = 0
    for number, type_, value in entries:
        kind = (_TRUE if value else _FALSE) if type_ in {_TRUE, _FALSE} else type_
        if 0 < number - before < 16:
            out.write(bytes([(number - before) << 4 | kind]))
        else:
            out.write(bytes([kind]))
            _write_varint(out, _unsigned(number))
        if kind not in {_TRUE, _FALSE}:
            _write(out, kind, value)
        before = number
    out.write(b"\0")


def _write(out: io.BytesIO, kind: int, value: Any) -> None:
    if kind == _BINARY:
        _write_varint(out, len(value))
        out.write(value)
    elif kind == _LIST:
        inner, elements = value
        n = len(elements)
        out.write(bytes([min(n, 15) << 4 | inner]))
        if n >= 15:
            _write_varint(out, n)
        for element in elements:
            if inner in {_TRUE, _FALSE}:
                out.write(element)
            else:
                _write(out, inner, element)
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind in {_BYTE, _DOUBLE}:
        out.write(value)
    else:
        _write_varint(out, _unsigned(value))


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)


def _unsigned(number: int) -> int:
    return (number << 1 ^ number >> 63) & (1 << 64) - 1
