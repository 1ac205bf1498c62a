"""Infer the columns of JSON lines, and their types, from the first records of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from connectors.formats.jsonl.values import BadValueError, Number, decode
from connectors.schemas import doubtful
from connectors.suggestions import shorten

__all__ = ["infer_columns"]

_MOST = 0.99  # share of values that decides the type; the others then are bad values
_MOMENTS = (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"))
_TEXT = "string"
_IS_OBJECT = "object"


def infer_columns(lines: list[bytes]) -> tuple[pa.Schema | None, tuple[str, ...]]:
    """Return the columns of some lines, and remarks about what is left out; unreadable lines are ignored.

    A type is null, bool, int64, double or string; or a date or timestamp, where all strings are in the format of ISO
    8601. An object becomes a column for each of its keys. Arrays are left out. None is returned if no line is readable.
    """
    values: dict[str, list[Any]] = {}
    left_out: dict[str, str] = {}
    objects: Counter[str] = Counter()
    n_read = 0
    for line in lines:
        try:
            record = decode(line)
        except BadValueError:
            continue
        n_read += 1
        for name, value, reason in _leaves(record):
            if reason is _IS_OBJECT:
                objects[name] += 1
            elif reason:
                left_out.setdefault(name, reason)
            else:
                values.setdefault(name, []).append(value)
    if not n_read:
        return None, ()
    values = _either(values, objects)
    fields = [_field(name, found) for name, found in values.items()]
    fields = [one for one in fields if not (one.name in left_out and pa.types.is_null(one.type))]
    return pa.schema(fields), tuple(left_out.values())


def _either(values: dict[str, list[Any]], objects: Counter[str]) -> dict[str, list[Any]]:
    """Return the columns without keys that hold values in some records and objects in others: most records decide."""
    gone = set[str]()
    for name, n_objects in objects.items():
        n_values = sum(value is not None for value in values.get(name, ()))
        gone |= {one for one in values if one.startswith(f"{name}.")} if n_values > n_objects else {name}
    return {name: found for name, found in values.items() if name not in gone}


def _leaves(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the name and value of each column in a record; with a reason if it is not a value."""
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, list):
            yield name, None, f"column {name!r} holds arrays, and is left out; write each element to a key of its own"
        elif "." in key and (prefix or isinstance(value, dict)):
            yield name, None, f"column {name!r} is left out: a key in it contains a dot; rename the key"
        elif isinstance(value, dict):
            yield name, None, _IS_OBJECT
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value, ""


def _field(name: str, values: list[Any]) -> pa.Field:
    """Return a column with the type of most of its values."""
    found = [value for value in values if value is not None]
    kinds = Counter(map(_kind, found))
    if not kinds:
        return pa.field(name, pa.null())
    kind, n_most = kinds.most_common(1)[0]
    if n_most < _MOST * len(found):
        return _mixed(name, found, kinds)
    same = [value for value in found if _kind(value) == kind]
    if kind == "number":
        return pa.field(name, pa.int64() if all(map(_is_integer, same)) else pa.float64())
    return pa.field(name, pa.bool_() if kind == "boolean" else _type_of_words(same))


def _mixed(name: str, found: list[Any], kinds: Counter[str]) -> pa.Field:
    """Return a column of words, with a warning that its values are of several kinds."""
    shares = " and ".join(f"{n / len(found):.0%} {kind}s" for kind, n in kinds.most_common())
    word = next((value for value in found if _kind(value) == _TEXT), None)
    example = "" if word is None else f", such as {shorten(str(word))!r}"
    line = f"column {name!r} is read as categories, since it holds {shares}{example}"
    way_out = f"; for numbers, add such words to --null-values, or declare the column with --numeric {name}"
    return doubtful(pa.field(name, pa.string()), line + (way_out if "number" in kinds else ""))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, Number) else _TEXT


def _is_integer(number: Number) -> bool:
    digits = number.removeprefix("-")
    return digits.isdigit() and len(digits) <= 19 and -(2**63) <= int(number) < 2**63


def _type_of_words(words: list[str]) -> pa.DataType:
    """Return the type of moments if all strings are some; otherwise string."""
    try:
        column = pa.array(words, pa.string())
    except UnicodeEncodeError:
        return pa.string()
    for type_ in _MOMENTS:
        try:
            column.cast(type_)
        except pa.ArrowInvalid:
            continue
        return type_
    return pa.string()
