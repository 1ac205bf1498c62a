r"""Equations: LaTeX on a page becomes MathML in the site, which a browser draws without a script or a font."""

import re

from latex2mathml.converter import convert

__all__ = ["EquationError", "to_mathml"]

_EQUATION = re.compile(
    r"(?P<code>^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence)[ ]*$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|^(?P<indent> *)\$\$(?P<block>[^$]+?)\$\$[ ]*$|(?<![\w\\$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$\\])?)\$(?![\w$])",
    re.DOTALL | re.MULTILINE,
)
_TEXT = re.compile(r">([^<]+)<")
_BAR = re.compile("<mo>(&#x0(?:2016|007C);)</mo>")  # | and ‖, which a browser would stretch or set apart
_MARK = re.compile(r"&#?\w+;|[^0-9A-Za-z]")


class EquationError(ValueError):
    """An equation has a command that is not known."""


def to_mathml(page: str) -> str:
    r"""Return a page of Markdown with its equations as MathML: ``$…$`` in a line, ``$$…$$`` on lines of their own.

    Raises
    ------
    EquationError
        If an equation has a command that is not known.

    Examples
    --------
    >>> made = to_mathml(r"With $\delta$, not `$x$`.")
    >>> "<mi>&#x003B4;</mi>" in made, made.endswith("</math></span>, not `$x$`.")
    (True, True)
    >>> to_mathml(r"$\nonsense{x}$")
    Traceback (most recent call last):
    tests.docs_site.equations.EquationError: \nonsense{x}: unknown command
    """
    return _EQUATION.sub(_converted, page)


def _converted(found: re.Match[str]) -> str:
    if found["code"]:
        return found[0]
    latex = " ".join((found["inline"] or found["block"]).split())
    made = convert(latex, display="inline" if found["inline"] else "block")
    if "\\" in made or ">&<" in made:
        raise EquationError(f"{latex}: unknown command")
    made = _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', made)
    made = _TEXT.sub(lambda text: f">{_escaped(text[1])}<", made)
    # A line that began with <math> would be a paragraph of its own.
    return f"<span>{made}</span>" if found["inline"] else f'{found["indent"]}<div class="equation">{made}</div>'


def _escaped(text: str) -> str:
    """Return a text in which Markdown sees no mark of its own."""
    return _MARK.sub(lambda one: one[0] if len(one[0]) > 1 else f"&#{ord(one[0])};", text)
