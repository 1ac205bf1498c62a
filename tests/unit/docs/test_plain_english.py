"""Documents, help texts and messages are in plain English: short sentences, and none of some phrases.

``python -m tests.unit.docs.test_plain_english`` prints the table of all documents.
"""

import sys
from collections.abc import Iterable
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from tests.docs_site import reference
from tests.pages import PAGES, ROOT
from tests.prose import Passage, measure, n_words, passages, phrases, spoken, strings

MEAN, P90, CELL, README = 14, 24, 20, 900
"""At most so many words: of a sentence on average, of nine sentences in ten, of a table cell, of the README."""

FILES = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md"]
SOURCES = [path for package in ("stream_bp", "connectors") for path in sorted((ROOT / package).rglob("*.py"))]
OTHERS = [
    *sorted((ROOT / "stream_bp" / "report" / "templates").glob("*.html")),
    *sorted((ROOT / "stream_bp" / "report" / "templates").glob("*.js")),
    *sorted((ROOT / "deploy").rglob("*.y*ml")),
    *sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")),
]
"""Files with other text that people see: of reports, alerts and dashboards."""

PLACES = ("README.md", "help", "messages", "reference/errors.md")

Placed = dict[str, list[Passage]]
"""Passages by the file, page or command that they are in."""


@cache
def documents() -> dict[str, Placed]:
    """Return every document: a page is one, all help texts are one, all messages are one."""
    found = {name: {name: list(passages((ROOT / name).read_text()))} for name in map(_name, FILES)}
    for path, page in reference.pages().items():
        # The pages of Python have a sentence each.
        name = "reference/python" if path.startswith("reference/python/") else path
        found.setdefault(name, {})[path] = list(passages(page))
    return found | {"help": help_texts(), "messages": _strings("message")}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def help_texts() -> Placed:
    """Return the help of every command and of every flag, argument and section."""
    found = {}
    for name, command in {"": reference.group(), **reference.commands()}.items():
        texts = [command.help, *(param.help for param in command.params)]
        found[f"stream-bp {name} --help".replace("  ", " ")] = [Passage(1, "message", text) for text in texts if text]
    return found


@cache
def _all_strings() -> Placed:
    return {_name(path): list(strings(path.read_text())) for path in SOURCES}


def _strings(kind: str) -> Placed:
    """Return the messages, or the docstrings, of the source."""
    return {place: [one for one in listed if one.kind == kind] for place, listed in _all_strings().items()}


def longest(found: Placed, limit: int, n: int = 15) -> str:
    """Return the places and sentences that are too long, the longest first."""
    long = [
        (n_words(one), place, passage.line, one)
        for place, listed in found.items()
        for passage in listed
        for one in spoken(passage)
        if n_words(one) > limit
    ]
    first = sorted(long, reverse=True)[:n]
    return "\n".join(f"{place}:{line}: {size} words: {one}" for size, place, line, one in first)


def used(found: Iterable[tuple[str, list[Passage]]]) -> list[str]:
    """Return the phrases that are never used, each with its place."""
    every = [(place, *one) for place, listed in found for passage in listed for one in phrases(passage)]
    return [f"{place}:{line}: {phrase!r}" for place, line, phrase in every]


@pytest.mark.parametrize("name", documents())
def test_sentences_are_short(name: str) -> None:
    """On average, and nine in ten."""
    document = documents()[name]
    figures = measure(chain.from_iterable(document.values()))
    assert figures.mean <= MEAN, f"{figures.mean:.1f} words a sentence\n{longest(document, P90)}"
    assert figures.p90 <= P90, f"{figures.p90} words in the 90th percentile\n{longest(document, P90)}"


@pytest.mark.parametrize("name", documents())
def test_table_cells_are_short(name: str) -> None:
    """All of them."""
    cells = [(place, one) for place, listed in documents()[name].items() for one in listed if one.kind == "cell"]
    long = [f"{place}:{one.line}: {one.text}" for place, one in cells if n_words(one.text) > CELL]
    assert not long, "\n".join(long)


def test_the_readme_is_short() -> None:
    """It takes three minutes."""
    assert measure(documents()["README.md"]["README.md"]).words <= README


@pytest.mark.parametrize("name", documents())
def test_no_document_has_the_phrases(name: str) -> None:
    """Nor a help text, nor a message."""
    found = used(documents()[name].items())
    assert not found, "\n".join(found)


def test_no_docstring_has_the_phrases() -> None:
    """They are the reference of Python."""
    found = used(_strings("docstring").items())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", OTHERS, ids=_name)
def test_no_other_text_has_the_phrases(path: Path) -> None:
    """Reports, alerts and dashboards."""
    found = used([(_name(path), [Passage(1, "text", path.read_text())])])
    assert not found, "\n".join(found)


def test_the_test_sees_every_text() -> None:
    """Help, generated pages and messages are among what is measured; the messages are those of all modules."""
    assert set(PLACES) <= set(documents())
    seen = chain.from_iterable(documents()["messages"].values())
    assert any("target" in one.text for one in seen)
    assert sum(map(len, documents()["help"].values())) > 50


def main() -> None:
    """Print the table."""
    write = sys.stdout.write
    write(f"{'document':48} {'words':>6} {'mean':>5} {'p90':>4} {'commas':>6} {'cell':>4} {'phrases':>7}\n")
    extra = {"docstrings (phrases only)": _strings("docstring")}
    for name, document in (documents() | extra).items():
        figures = measure(chain.from_iterable(document.values()))
        write(
            f"{name:48} {figures.words:6,} {figures.mean:5.1f} {figures.p90:4} {figures.commas:6.1f} "
            f"{figures.longest_cell:4} {len(used(document.items())):7}\n"
        )


if __name__ == "__main__":
    main()
