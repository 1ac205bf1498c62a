"""The pages of the site as plain Markdown in one folder, which any generator that reads ``mkdocs.yml`` can build."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs_site import equations, links, reference

__all__ = ["PAGES", "ROOT", "SOURCES", "pages_by_file", "prepare"]

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "stream_bp" / "docs"
"""The pages that are written by hand."""

_ASSETS = Path(__file__).parent / "assets"
_OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "deploy/README.md": "runbook.md"}
"""Documents that lie elsewhere in the tree and are pages of the site, too."""

_FENCE = re.compile(r"^( *```\w+) .*$", re.MULTILINE)  # what follows the language is for the test that runs the block
_ALONE = "---\nhide: [navigation]\n---\n\n"  # the first page is the only one of its section

SOURCES = [PAGES, Path(__file__).parent, ROOT / "stream_bp", ROOT / "connectors", *(ROOT / place for place in _OUTSIDE)]
"""What the site is made from."""


def pages_by_file() -> dict[str, str]:
    """Return every page of the site that is a file of the tree, by the path of that file from the top of the tree."""
    found = {str(path.relative_to(ROOT)): str(path.relative_to(PAGES)) for path in sorted(PAGES.rglob("*.md"))}
    return found | _OUTSIDE


def prepare(folder: Path) -> None:
    """Write the pages, pictures, styles and scripts of the site into a folder, and remove what is not of it.

    Parameters
    ----------
    folder
        Where they go. A file that is there already and would be the same is left alone.
    """
    wanted = dict(_files())
    for path, content in wanted.items():
        file = folder / path
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and str(file.relative_to(folder)) not in wanted:
            file.unlink()


def _files() -> Iterator[tuple[str, bytes]]:
    pages = pages_by_file()
    generated = reference.pages()
    folder = str(PAGES.relative_to(ROOT))
    known = {**pages, **{f"{folder}/{path}": path for path in generated}, "README.md": "index.md"}
    for place, path in pages.items():
        text = _FENCE.sub(r"\1", (ROOT / place).read_text())
        text = links.rewrite(text, place, known, ROOT)
        text = equations.to_mathml(text)
        yield path, (_ALONE + text if path == "index.md" else text).encode()
    for path, text in generated.items():
        yield path, text.encode()
    for picture in sorted(PAGES.rglob("*")):
        if picture.suffix in {".png", ".svg"}:
            yield str(picture.relative_to(PAGES)), picture.read_bytes()
    for asset in sorted(_ASSETS.iterdir()):
        yield f"assets/{asset.name}", asset.read_bytes()
