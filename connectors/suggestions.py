"""Helpers for messages: suggestions and shortened text."""

import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["ignored", "nearest", "quoted", "shorten", "typed"]

_SPECIAL = re.compile(r"""[\s'"$&|;<>()*?#\\`!~\[\]{}]""")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint with the most similar of `names`, or an empty string.

    Examples
    --------
    >>> nearest("prise", ["price", "size"])
    "; did you mean 'price'?"
    """
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shorten(text: str, length: int = 60) -> str:
    """Return the text, cut to a length."""
    return text if len(text) <= length else text[: length - 1] + "…"


def quoted(text: str) -> str:
    """Return text as it is typed in a shell.

    Examples
    --------
    >>> quoted("größe"), quoted("Unnamed: 0"), quoted("#REF!")
    ('größe', "'Unnamed: 0'", "'#REF!'")
    """
    return shlex.quote(text) if not text or _SPECIAL.search(text) else text


def ignored(name: str) -> str:
    """Return the option that leaves out a column.

    Examples
    --------
    >>> ignored("a b")
    "--ignore 'a b'"
    """
    return f"--ignore {quoted(name)}"


def typed(name: str, *specs: str) -> str:
    """Return the option that declares the type of a column; of several types, the first three, to choose from.

    Examples
    --------
    >>> typed("day", "date:%d %b %Y"), typed("code", "text", "number")
    ("--types 'day=date:%d %b %Y'", '--types code=text or --types code=number')
    """
    return " or ".join(f"--types {quoted(f'{name}={spec}')}" for spec in specs[:3])
