"""Docstrings as Markdown: the roles and literal blocks of reStructuredText that they use are translated."""

import re
from typing import Any

from griffe import Extension, Object

__all__ = ["Docstrings", "to_markdown"]

_ROLE = re.compile(r":\w+:`(?P<short>~)?(?P<target>[^`]+)`")
_LITERAL = re.compile(r"::(?=\n+[ ]{4})")


def to_markdown(docstring: str) -> str:
    r"""Return a docstring as Markdown.

    Examples
    --------
    >>> to_markdown("See :class:`~connectors.BadRow`, ``x``::\n\n    1")
    'See `BadRow`, `x`:\n\n    1'
    """
    text = _ROLE.sub(
        lambda role: f"`{role['target'].rpartition('.')[2] if role['short'] else role['target']}`", docstring
    )
    return _LITERAL.sub(":", text).replace("``", "`")


class Docstrings(Extension):
    """Translates every docstring that is read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Translate the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
