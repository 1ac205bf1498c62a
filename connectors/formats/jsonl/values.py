"""Decode one line of JSON in Python, and convert its values: for samples, and for lines that Arrow refuses.

Numbers stay text until the type of their column is known. So a label such as 1.10 is copied as written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from connectors.schemas import NOTHING
from connectors.suggestions import shorten

__all__ = ["BadValueError", "Number", "convert", "decode", "find", "physical"]

_INTEGER = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NOTHING = frozenset(NOTHING)


class BadValueError(Exception):
    """A line, or a value in it, cannot be read; the arguments are the kind and the reason, as in `BadRow`."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class _Repeated(dict[str, Any]):
    """An object with keys that occur twice, which are in `twice`."""

    twice: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    repeated = _Repeated(found)
    repeated.twice = frozenset(key for key in found if keys.count(key) > 1)
    return repeated


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number)


def decode(line: bytes) -> dict[str, Any]:
    """Return the object on a line.

    Raises
    ------
    BadValueError
        It is not an object.
    """
    if b"\0" in line:
        raise BadValueError("nul", "a NUL byte; check the file, or set --encoding")
    try:
        # A byte that is not UTF-8 matters only in a wanted column.
        found = _DECODER.decode(line.decode("utf-8", "surrogateescape").strip(" \t\r\n\ufeff"))
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg.lower()} at character {error.pos + 1}"
        raise BadValueError("fields", reason) from error
    except RecursionError as error:
        raise BadValueError("fields", "not JSON that can be read: nested too deeply") from error
    if not isinstance(found, dict):
        raise BadValueError("fields", f"expected a JSON object, found {_shown(found)}")
    return found


def find(record: dict[str, Any], name: str) -> Any:
    """Return the value of a column: of the key with its name, or else of an object in an object; None if missing.

    Raises
    ------
    BadValueError
        The key occurs twice, or has a value where an object is expected.
    """
    found = _get(record, name, name)
    if found is not None or "." not in name:
        return found
    here: Any = record
    *path, last = name.split(".")
    for key in path:
        here = _get(here, key, name)
        if here is None:
            return None
        if not isinstance(here, dict):
            if name in record:
                return None
            raise BadValueError("type", f"column {name!r}: expected an object at {key!r}, found {_shown(here)}")
    return _get(here, last, name)


def _get(record: dict[str, Any], key: str, name: str) -> Any:
    if isinstance(record, _Repeated) and key in record.twice:
        # The standard leaves open which value counts, and readers differ.
        raise BadValueError("fields", f"column {name!r}: the key {key!r} occurs twice in one object")
    return record.get(key)


def physical(wanted: pa.DataType) -> pa.DataType:
    """Return the type that a column of JSON is read as, before it is cast to the wanted type."""
    if pa.types.is_floating(wanted):
        return pa.float64()
    if pa.types.is_integer(wanted):
        return pa.uint64() if wanted == pa.uint64() else pa.int64()
    return wanted if pa.types.is_boolean(wanted) or pa.types.is_null(wanted) else pa.string()


def convert(value: Any, name: str, type_: pa.DataType) -> Any:
    """Return a value as one of a physical type.

    A column of strings takes numbers and booleans as they are written. A column of floats takes numbers in strings.

    Raises
    ------
    BadValueError
        It cannot be converted.
    """
    if value is None:
        return None
    convert_one = _CONVERT.get(str(type_))
    found = convert_one(value) if convert_one is not None else _BAD
    if found is _SURROGATE:
        raise BadValueError("encoding", f"column {name!r}: {shorten(ascii(value))} is not valid UTF-8; set --encoding")
    if found is _BAD:
        raise BadValueError("type", f"column {name!r}: expected {type_}, found {_shown(value)}")
    return found


_BAD, _SURROGATE = object(), object()


def _to_integer(value: Any) -> Any:
    if not isinstance(value, Number):
        return _BAD
    if value == "NaN":
        return None
    # Longer integers fit no type, and Python refuses to read very long ones.
    found = int(value) if _INTEGER.fullmatch(value) and len(value) <= 20 else None
    return _BAD if found is None or not -(2**63) <= found < 2**63 else found


def _to_unsigned(value: Any) -> Any:
    is_integer = isinstance(value, Number) and _INTEGER.fullmatch(value) and len(value) <= 20
    return int(value) if is_integer and 0 <= int(value) < 2**64 else _BAD


def _to_float(value: Any) -> Any:
    if not isinstance(value, str):
        return _BAD
    if isinstance(value, Number) and value.endswith(("NaN", "Infinity")):
        return float(value)
    word = value.strip()
    if word in _NOTHING:
        return None
    found = float(word) if _DECIMAL.fullmatch(word) else math.inf
    return found if math.isfinite(found) else _BAD


def _to_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return _BAD
    try:
        value.encode()
    except UnicodeEncodeError:
        return _SURROGATE
    return str(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "int64": _to_integer,
    "uint64": _to_unsigned,
    "double": _to_float,
    "bool": lambda value: value if isinstance(value, bool) else _BAD,
    "string": _to_text,
}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    shown = shorten(str(value).encode("utf-8", "backslashreplace").decode())
    return shown if isinstance(value, Number) else repr(shown)
