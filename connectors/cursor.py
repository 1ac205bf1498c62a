"""The position of the next unapplied row, whatever the source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from connectors.errors import CursorError

__all__ = ["Cursor", "checked_fields"]

# Before cursors had a state, all of them were of files, and these keys stood beside the row.
_STATE_OF_FILES = {"file", "seen", "before"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of the next unapplied row.

    Parameters
    ----------
    row
        Rows before it in the stream.
    state
        What identifies the rows before it: a JSON value that only its source reads. ``None`` at the start, unless an
        earlier pass is known.

    Examples
    --------
    >>> Cursor.from_json(Cursor.start().to_json()) == Cursor.start()
    True
    """

    row: int
    state: Any = None

    @classmethod
    def start(cls, state: Any = None) -> Cursor:
        """Return the position before the first row; with a state, of a stream that an earlier pass has read."""
        return cls(0, state)

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as plain numbers, strings, lists and dicts."""
        return {"row": self.row, "state": self.state}

    @classmethod
    def from_json(cls, data: object) -> Cursor:
        """Rebuild a cursor from `to_json`, also one of an earlier build.

        Raises
        ------
        CursorError
            A key is missing, unknown or of the wrong type; the row is negative. The state is checked by its source.
        """
        if isinstance(data, dict) and set(data) - {"horizon"} == {"row", *_STATE_OF_FILES}:
            data = {"row": data["row"], "state": {key: value for key, value in data.items() if key != "row"}}
        return cls(**checked_fields(cls, data, "cursor"))


def checked_fields(kind: type, data: object, what: str) -> dict[str, Any]:
    """Return an object of JSON as keyword arguments for a dataclass.

    Parameters
    ----------
    kind
        The dataclass. Its fields of type ``int`` and ``str`` are checked; of other types the caller checks the values.
    data
        What should be the object.
    what
        What it stands for, for messages.

    Raises
    ------
    CursorError
        A key is missing or unknown; a value is of the wrong type; a number is negative and not a time.
    """
    expected = _types_of(kind)
    if not isinstance(data, dict) or data.keys() != expected.keys():
        found = sorted(map(str, data)) if isinstance(data, dict) else data
        raise CursorError(f"{what}: expected an object with the keys {sorted(expected)}, found {found!r}")
    for key, value in data.items():
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        # A clock may be set before 1970, so times may be negative.
        is_time = key.endswith("_ns") and type(value) is int
        if expected[key] == "int" and not (is_count or is_time):
            raise CursorError(f"{what}: {key!r} should be a whole number from 0 up, found {value!r}")
        if expected[key] == "str" and not isinstance(value, str):
            raise CursorError(f"{what}: {key!r} should be a string, found {value!r}")
    return dict(data)


@cache
def _types_of(kind: type) -> dict[str, str]:
    """Return the types of a dataclass's fields; once, since a cursor may know a thousand files."""
    return {field.name: str(field.type) for field in fields(kind)}
