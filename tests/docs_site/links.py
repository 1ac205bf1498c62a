"""Links of a page: those that lead out of ``stream_bp/docs`` work in the tree, and are changed for the site."""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["rewrite"]

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^):\s#]+)(?P<anchor>#[^)]*)?\)")
_FENCE = re.compile(r"^ *(?:```|~~~)")


def rewrite(markdown: str, place: str, pages: Mapping[str, str], root: Path) -> str:
    """Return a page whose links lead to pages of the site.

    Parameters
    ----------
    markdown
        The page.
    place
        Its file in the tree, as ``stream_bp/docs/index.md``.
    pages
        The pages of the site by their files in the tree.
    root
        The top of the tree.

    Returns
    -------
    str
        A link to a file of the tree that is not a page becomes its text. A link that leads nowhere stays, and fails
        the build.

    Examples
    --------
    >>> pages = {"CHANGELOG.md": "changelog.md", "docs/a/b.md": "a/b.md"}
    >>> rewrite("[What changed](../../CHANGELOG.md#new), [all](nowhere.md).", "docs/a/b.md", pages, Path("/nowhere"))
    '[What changed](../changelog.md#new), [all](nowhere.md).'
    """

    def changed(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link["target"]))
        if target in pages:
            to = posixpath.relpath(pages[target], posixpath.dirname(pages[place]) or ".")
            return f"[{link['text']}]({to}{link['anchor'] or ''})"
        return link["text"] if (root / target).exists() else link[0]

    lines, is_code = [], False
    for line in markdown.split("\n"):
        is_fence = _FENCE.match(line) is not None
        lines.append(line if is_code or is_fence else _LINK.sub(changed, line))
        is_code ^= is_fence
    return "\n".join(lines)
