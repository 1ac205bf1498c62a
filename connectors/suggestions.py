"""Helpers for messages: suggestions and shortened text."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["nearest", "shorten"]


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
