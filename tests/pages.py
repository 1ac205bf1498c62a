"""The pages of documentation, and the code blocks in them, run in order in one empty directory for each page.

What a fence says decides what becomes of its block::

    ```sh                      run; it must succeed
    ```python                  run; it must succeed
    ```toml                    must be TOML
    ```text                    what the block before it writes; `…` stands for anything
    ```python file=reader.py   written to a file for the blocks that follow; so is any other with `file=`
    ```sh requires=torch       run where a module or a command of this name is there, skipped elsewhere

A figure with a decimal point need only be near: another processor rounds in another way.
"""

import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import stream_bp

__all__ = ["LANGUAGES", "PAGES", "Block", "Outcome", "blocks", "run"]

ROOT = Path(stream_bp.__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "stream_bp" / "docs").rglob("*.md"))]
LANGUAGES = {"sh", "python", "toml", "text"}

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_FIGURE = r"\d+\.\d+(?:e[+-]\d+)?"
_NEAR = 0.02  # of a figure


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Parameters
    ----------
    place
        ``README.md:25``: where its fence is.
    language
        The first word of its fence.
    options
        The others.
    code
        What is in it.
    """

    place: str
    language: str
    options: dict[str, str]
    code: str

    @property
    def missing(self) -> str | None:
        """Name what it requires and is not there."""
        name = self.options.get("requires")
        is_there = name is None or find_spec(name) is not None or shutil.which(name) is not None
        return None if is_there else name


@dataclass(frozen=True)
class Outcome:
    """What became of a block.

    Parameters
    ----------
    block
        The block.
    output
        What it wrote to standard output.
    skipped
        Why it was not run.
    failed
        What is wrong.
    """

    block: Block
    output: str = ""
    skipped: str | None = None
    failed: str | None = None


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        language, *words = found["info"].split() or [""]
        options = dict(word.split("=", 1) for word in words)
        place = f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}"
        yield Block(place, language, options, textwrap.dedent(found["code"]))


@dataclass
class _Run:
    """The blocks of one page, one after the other."""

    folder: Path
    allowed: dict[str, str]
    before: Outcome | None = field(default=None, init=False)

    def block(self, block: Block) -> Outcome:
        outcome = self._outcome(block)
        if block.language != "text":
            self.before = outcome
        return outcome

    def _outcome(self, block: Block) -> Outcome:
        reason = next((reason for first, reason in self.allowed.items() if block.code.startswith(first)), None)
        if reason is not None or block.missing is not None:
            return Outcome(block, skipped=reason or f"{block.missing} is not there")
        if "file" in block.options:
            (self.folder / block.options["file"]).write_text(block.code)
            return Outcome(block)
        return {"sh": self._sh, "python": self._python, "toml": self._toml, "text": self._text}[block.language](block)

    def _sh(self, block: Block) -> Outcome:
        return self._process(block, "sh", "-eu", "-c", block.code)

    def _python(self, block: Block) -> Outcome:
        (self.folder / "example.py").write_text(block.code)
        return self._process(block, sys.executable, "example.py")

    def _toml(self, block: Block) -> Outcome:
        tomllib.loads(block.code)
        return Outcome(block)

    def _process(self, block: Block, *command: str) -> Outcome:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, env=environment, timeout=120
        )
        failed = f"exit code {done.returncode}: {done.stderr}" if done.returncode else None
        return Outcome(block, done.stdout, failed=failed)

    def _text(self, block: Block) -> Outcome:
        if self.before is None or self.before.skipped is not None:
            return Outcome(block, skipped="the block that writes it was not run")
        return Outcome(block, failed=_difference(block.code, self.before.output))


def run(page: Path, folder: Path, allowed: dict[str, str]) -> list[Outcome]:
    """Run the blocks of a page in a folder, and tell what became of each.

    Parameters
    ----------
    page
        The page.
    folder
        An empty directory.
    allowed
        Blocks that are not run, by how they begin, and why.
    """
    running = _Run(folder, allowed)
    return [running.block(block) for block in blocks(page)]


def _difference(expected: str, found: str) -> str | None:
    """Say how an output is not what was expected, if it is not."""
    parts = re.split(rf"(…|{_FIGURE}|\s+)", expected.strip())
    match = re.fullmatch("".join(map(_pattern, parts)), found.strip())
    figures = [part for part in parts if re.fullmatch(_FIGURE, part)]
    if match is None or not all(map(_is_near, figures, match.groups())):
        return f"expected:\n{expected}\nfound:\n{found}"
    return None


def _pattern(part: str) -> str:
    if part == "…":
        return "(?s:.*?)"
    if re.fullmatch(_FIGURE, part):
        return f"({_FIGURE})"
    return r"\s+" if part.isspace() else re.escape(part)


def _is_near(one: str, other: str) -> bool:
    return math.isclose(float(one), float(other), rel_tol=_NEAR)
