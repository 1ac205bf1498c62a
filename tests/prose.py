"""How long the sentences of a document are, and which phrases it uses.

A document is cut into passages: paragraphs, items of lists, headings, cells of tables. Code blocks are left out. A code
span, an equation and an address are one word each. The strings and docstrings of the source are passages, too.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

__all__ = ["Measures", "Passage", "measure", "n_words", "passages", "phrases", "sentences", "spoken", "strings"]


@dataclass(frozen=True)
class Passage:
    """A stretch of text that a reader sees as one.

    Parameters
    ----------
    line
        Where it begins, from 1.
    kind
        ``text``, ``item``, ``heading``, ``cell``, ``message`` or ``docstring``.
    text
        Its words, with the line breaks of the file.
    """

    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Measures:
    """The figures of a document.

    Parameters
    ----------
    words
        All words outside code blocks.
    mean, p90
        Words of a sentence: their mean, and the 90th percentile.
    commas
        Commas of a sentence, on average.
    longest_cell
        Words of the longest table cell.
    """

    words: int
    mean: float
    p90: int
    commas: float
    longest_cell: int


_FENCE = re.compile(r"^ *(?P<ticks>`{3,}|~{3,})")
_ITEM = re.compile(r"^ *(?:[-*+]|\d+[.)])\s+")
_MARK = re.compile(r"#|\||\$\$|!!!|\?\?\?|:::|===|</?div\b")  # what begins a line that is not prose
_SHORTEST = 4  # words of an item without a full stop that still is a sentence

_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_NOT_PROSE = (
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (_CODE, "CODE"),
    (re.compile(r"(?<![\w$])\$[^$\n]+\$(?![\w$])"), "MATH"),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<[a-z/][^>]*>"), ""),
    (re.compile(r"\b[a-z]+://\S+"), "ADDRESS"),
    (re.compile(r"(?<!\w)[*_]{1,3}|[*_]{1,3}(?!\w)"), ""),
)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|eq|no|approx|resp|[A-Z])\.$")
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9`δηθψ])|\n{2,}")
_WORD = re.compile(r"[^\W_][\w'’.,+/-]*")  # "1,250", "30s", "test-then-train" are one

_PHRASES = (
    r"(?:is|are|was|were|be|been|being|as|than) told",
    r"told from",
    r"tells",
    r"(?:go|goes|going|gone|went) on",
    r"(?:come|comes|coming|came) to",
    r"behind(?! (?:an?|the) (?:reverse |HTTP |load )?(?:proxy|firewall|gateway|balancer))",
    r"in (?:its|their|his|her|one's|\w+'s) stead",
    r"nobody|somebody|whoever",
    r"(?<!there )(?:is|are|was|were) no(?! (?:longer|more|less|fewer|later|earlier|other)\b)",
    r"amiss",
    r"borders?",
    r"(?:by|of) (?:itself|themselves|himself)",
    r"at a stand(?:still)?",
    r"(?<!\w )(?<!\w\n)what (?:is|was) (?:[\w-]+\s+){1,4}(?:is|was)",
    r"as it were",
    r"thereby",
    r"which is what",
    r"(?:blew|blows|blown|blow) up",
)
"""What the documents never say. Each is a word or phrase, whatever its case; a blank may be a line break."""

_BANNED = re.compile(
    r"(?<![\w-])(?:" + "|".join(re.sub(r" (?![^()]*\))|(?<!\w) ", r"\\s+", one) for one in _PHRASES) + r")(?![\w-])",
    re.IGNORECASE,
)


def passages(markdown: str) -> Iterator[Passage]:
    """Yield the passages of a page, in order."""
    lines = markdown.splitlines()
    start = lines.index("---", 1) + 1 if lines[:1] == ["---"] and "---" in lines[1:] else 0
    yield from _Page(lines, start)


class _Page:
    """Cuts a page into passages."""

    def __init__(self, lines: list[str], start: int) -> None:
        self._lines, self._start = lines, start
        self._open: list[str] = []  # the lines of the passage that is being read
        self._first, self._kind = 0, "text"
        self._fence, self._in_list = "", False

    def __iter__(self) -> Iterator[Passage]:
        for number, line in enumerate(self._lines[self._start :], start=self._start + 1):
            stripped = line.strip()
            if self._fence:
                ends = stripped.startswith(self._fence) and not stripped.strip(self._fence[0])
                self._fence = "" if ends else self._fence
            elif self._is_prose(line, stripped):
                if not self._open:
                    self._begin(number, line)
                self._open.append(_ITEM.sub("", line).strip() if not self._open else stripped)
            else:
                yield from self._end()
                yield from self._apart(number, line, stripped)
        yield from self._end()

    def _is_prose(self, line: str, stripped: str) -> bool:
        """Return whether a line goes on with a passage, or begins a paragraph."""
        if _ITEM.match(line):
            return False
        is_code = line.startswith("    ") and not self._open and not self._in_list
        return bool(stripped) and not is_code and not _FENCE.match(line) and not _MARK.match(stripped)

    def _begin(self, number: int, line: str) -> None:
        self._in_list = self._in_list and line.startswith(" ")
        self._first, self._kind = number, "text"

    def _apart(self, number: int, line: str, stripped: str) -> Iterator[Passage]:
        """Take a line that no passage goes on with: a mark, an item, a heading, a row of a table."""
        found = _FENCE.match(line)
        if found or stripped == "$$":
            self._fence = found["ticks"] if found else "$$"
            self._in_list = self._in_list and line.startswith(" ")
        elif _ITEM.match(line):
            self._in_list = True
            self._first, self._kind, self._open = number, "item", [_ITEM.sub("", line).strip()]
        elif stripped.startswith("#"):
            self._in_list = False
            yield Passage(number, "heading", stripped.strip("# "))
        elif stripped.startswith("|"):
            self._in_list = False
            if not re.fullmatch(r"[|:\- ]+", stripped):
                for cell in re.split(r"(?<!\\)\|", stripped.strip("|")):
                    yield Passage(number, "cell", cell.strip())

    def _end(self) -> Iterator[Passage]:
        if self._open:
            yield Passage(self._first, self._kind, "\n".join(self._open))
            self._open = []


def plain(text: str) -> str:
    """Return the words of a passage without its marks."""
    for pattern, replacement in _NOT_PROSE:
        text = pattern.sub(replacement, text)
    return text


def n_words(text: str) -> int:
    """Count words.

    Examples
    --------
    >>> n_words("Write `stream-bp train x.csv` and read 1,250 rows - at once.")
    8
    """
    return len(_WORD.findall(plain(text)))


def sentences(text: str) -> list[str]:
    """Cut a passage into sentences.

    Examples
    --------
    >>> sentences("Rows, e.g. of a log, are read. The file `a. B` grows. Then 3 follow.")
    ['Rows, e.g. of a log, are read.', 'The file CODE grows.', 'Then 3 follow.']
    """
    found: list[str] = []
    for part in _END.split(plain(text)):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += " " + part
        else:
            found.append(part)
    return [" ".join(one.split()) for one in found if _WORD.search(one)]


def spoken(passage: Passage) -> list[str]:
    """Return the sentences of a passage that count: none of headings, cells and lists of names."""
    if passage.kind in {"heading", "cell"}:
        return []
    found = sentences(passage.text)
    if passage.kind == "item":
        return [one for one in found if one[-1] in ".!?:" or n_words(one) >= _SHORTEST]
    return found


def measure(found: Iterable[Passage]) -> Measures:
    """Measure a document."""
    found = list(found)
    counted = [one for passage in found for one in spoken(passage)]
    sizes = sorted(map(n_words, counted)) or [0]
    return Measures(
        words=sum(n_words(passage.text) for passage in found),
        mean=sum(sizes) / len(sizes),
        p90=sizes[ceil(0.9 * len(sizes)) - 1],
        commas=sum(one.count(",") for one in counted) / max(len(counted), 1),
        longest_cell=max((n_words(passage.text) for passage in found if passage.kind == "cell"), default=0),
    )


def phrases(passage: Passage) -> Iterator[tuple[int, str]]:
    """Yield the phrases in a passage that are never used, each with its line."""
    # Code spans keep their line breaks, so that lines are counted right.
    text = _CODE.sub(lambda code: "`" + "\n" * code[0].count("\n"), passage.text)
    for match in _BANNED.finditer(text):
        yield passage.line + text.count("\n", 0, match.start()), " ".join(match[0].split())


def strings(source: str) -> Iterator[Passage]:
    """Yield the docstrings of a module, and every string in it that has at least three words."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and _text(node.value)}
    yield from _strings(tree, docstrings)


def _strings(node: ast.AST, docstrings: set[int]) -> Iterator[Passage]:
    text = _text(node)
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child, docstrings)
    elif id(node) in docstrings:
        yield Passage(node.lineno, "docstring", text)  # type: ignore[attr-defined]
    elif len(re.findall(r"(?<!\S)[^\W\d_][\w'’-]*(?=[\s.,;:!?)]|$)", text)) >= 3:
        yield Passage(node.lineno, "message", text)  # type: ignore[attr-defined]
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _strings(part.value, docstrings)


def _text(node: ast.AST) -> str | None:
    """Return the text of an expression that makes a string, with X for each value that is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join("X" if isinstance(part, ast.FormattedValue) else _text(part) or "" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return left + right if left is not None and right is not None else None
    return None
