"""The types that a setting can declare, such as ``number`` or ``date:%d/%m/%Y``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from connectors.errors import SchemaError
from connectors.notations.base import Notation
from connectors.notations.dates import DateNotation
from connectors.notations.kinds import KINDS
from connectors.notations.numbers import NumberNotation
from connectors.suggestions import nearest

__all__ = ["Declared", "declared", "notation_of"]


@dataclass(frozen=True, slots=True)
class Declared:
    """The declared type of a column.

    Parameters
    ----------
    kind
        One of `KINDS`.
    notation
        How its values are written; None to find out.
    """

    kind: str
    notation: Notation | None = None


@lru_cache(maxsize=1024)
def declared(spec: str) -> Declared:
    """Read a declared type: a kind, and after a colon how its values are written.

    Raises
    ------
    SchemaError
        The kind is unknown, or has no such notation.

    Examples
    --------
    >>> declared("text")
    Declared(kind='text', notation=None)
    >>> declared("number:1.234,5").notation.decimal
    ','
    """
    kind, colon, how = spec.strip().partition(":")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise SchemaError(f"types: expected one of {known}, found {kind!r}{nearest(kind, KINDS)}")
    if not colon:
        return Declared(kind)
    if kind == "number":
        number = NumberNotation.of(how)
        if number is None:
            raise SchemaError(f"types: {spec!r} shows no number; give an example such as number:1,234.5")
        return Declared(kind, number)
    if kind == "date":
        try:
            return Declared(kind, DateNotation(how))
        except ValueError as error:
            raise SchemaError(f"types: {spec!r}: {error}") from error
    raise SchemaError(f"types: {kind} takes nothing after a colon, found {spec!r}")


def notation_of(spec: str) -> Notation:
    """Return the notation of a spec.

    Raises
    ------
    SchemaError
        It describes no notation.
    """
    found = declared(spec).notation
    if found is None:
        raise SchemaError(f"types: {spec!r} describes no notation")
    return found
