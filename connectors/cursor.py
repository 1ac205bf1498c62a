"""The position of the next unapplied row, for every kind of source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from connectors.errors import CursorError

__all__ = ["Cursor", "checked_fields"]

# Cursors of early builds had no state: they were all of files, with these keys beside the row.
_STATE_OF_FILES = {"file", "seen", "before"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of the next unapplied row.

    Parameters
    ----------
    row
        Number of rows before it in the stream.
    state
        A JSON value that identifies the rows before it; only its source reads it. ``None`` at the start, unless an
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
        """Return the position before the first row; the state, if given, describes an earlier pass."""
        return cls(0, state)

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as plain numbers, strings, lists and dicts."""
        return {"row": self.row, "state": self.state}

    @classmethod
    def from_json(cls, data: object) -> Cursor:
        """Rebuild a cursor from the output of `to_json`, also of an earlier build.

        Raises
        ------
        CursorError
            A key is missing or unknown, a value has the wrong type, or the row is negative. The source checks the
            state.
        """
        if isinstance(data, dict) and set(data) - {"horizon"} == {"row", *_STATE_OF_FILES}:
            data = {"row": data["row"], "state": {key: value for key, value in data.items() if key != "row"}}
        return cls(**checked_fields(cls, data, "cursor"))


def checked_fields(kind: type, data: object, what: str) -> dict[str, Any]:
    """Return a JSON object as keyword arguments for a dataclass.

    Parameters
    ----------
    kind
        The dataclass. Fields of type ``int`` and ``str`` are checked here; the caller checks those of other types.
    data
        The object, as parsed.
    what
        What the object describes, for messages.

    Raises
    ------
    CursorError
        A key is missing or unknown, a value has the wrong type, or a number other than a time is negative.
    """
    expected = _types_of(kind)
    if not isinstance(data, dict) or data.keys() != expected.keys():
        found = sorted(map(str, data)) if isinstance(data, dict) else data
        raise CursorError(f"{what}: expected an object with keys {sorted(expected)}, found {found!r}")
    for key, value in data.items():
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        # A clock may be set before 1970, so times may be negative.
        is_time = key.endswith("_ns") and type(value) is int
        if expected[key] == "int" and not (is_count or is_time):
            raise CursorError(f"{what}: {key!r} must be an integer of at least 0, found {value!r}")
        if expected[key] == "str" and not isinstance(value, str):
            raise CursorError(f"{what}: {key!r} must be a string, found {value!r}")
    return dict(data)


@cache
def _types_of(kind: type) -> dict[str, str]:
    """Return the types of a dataclass's fields; cached, since a cursor may hold a thousand files."""
    return {field.name: str(field.type) for field in fields(kind)}
