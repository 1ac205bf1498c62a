"""Infer the columns of JSON lines, and their types, from the first records."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from connectors.formats.jsonl.values import BadValueError, Number, decode
from connectors.schemas import doubtful
from connectors.suggestions import shorten, typed

__all__ = ["SAMPLE", "LineSample"]

SAMPLE = 1 << 20
"""Bytes of records that types are inferred from."""

_MOST = 0.99  # share of values that decides the type; the others then are bad values
_MOMENTS = (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"))
_TEXT = "string"
_IS_OBJECT = "object"


class LineSample:
    """The values of the first records of a stream, by column; types are inferred from them.

    Parameters
    ----------
    lines
        Records; unreadable ones are ignored.
    """

    def __init__(self, lines: Sequence[bytes] = ()) -> None:
        self._values: dict[str, list[Any]] = {}
        self._left_out: dict[str, str] = {}
        self._objects: Counter[str] = Counter()
        self._left, self._n_read = SAMPLE, 0
        self._read(lines)

    def _read(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            with contextlib.suppress(BadValueError):
                self._note(decode(line))

    def _note(self, record: dict[str, Any]) -> None:
        self._n_read += 1
        for name, value, reason in _leaves(record):
            if reason is _IS_OBJECT:
                self._objects[name] += 1
            elif reason:
                self._left_out.setdefault(name, reason)
            else:
                self._values.setdefault(name, []).append(value)

    def add(self, lines: Sequence[bytes], read: LineSample) -> None:
        """Add the records of a file that begin within what is left of a MiB.

        Parameters
        ----------
        lines
            The first records of the file.
        read
            The same, as they were read.
        """
        ends = list(itertools.accumulate(map(len, lines)))
        n_lines = bisect.bisect_left(ends, self._left) + 1 if self._left > 0 else 0
        self._left -= ends[-1] if ends else 0
        if n_lines < len(lines):
            self._read(lines[:n_lines])
            return
        for name, values in read._values.items():
            self._values.setdefault(name, []).extend(values)
        for name, reason in read._left_out.items():
            self._left_out.setdefault(name, reason)
        self._objects += read._objects
        self._n_read += read._n_read

    @property
    def names(self) -> Collection[str]:
        """The columns that were met."""
        return self._values.keys()

    def columns(self) -> tuple[pa.Schema | None, tuple[str, ...]]:
        """Return the columns, and remarks about what is left out.

        A type is null, bool, int64, double or string; or a date or timestamp, where all strings are in the format of
        ISO 8601. An object becomes a column for each of its keys. Arrays are left out. None is returned if no line is
        readable.
        """
        if not self._n_read:
            return None, ()
        fields = [_field(name, found) for name, found in _either(self._values, self._objects).items()]
        fields = [one for one in fields if not (one.name in self._left_out and pa.types.is_null(one.type))]
        return pa.schema(fields), tuple(self._left_out.values())


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
    way_out = f"; for numbers, add such words to --null-values, or declare the column: {typed(name, 'number')}"
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
