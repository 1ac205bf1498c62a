"""What measures the documents sees what a reader sees."""

import pytest

from tests.prose import Passage, measure, n_words, passages, phrases, sentences, spoken, strings

PAGE = """# Title of the page

A paragraph of text that
has two lines. It ends here.

- an item that goes
  over two lines
- short
- `code`

```sh
this is code and counts for nothing
```

    so is this

| head | other |
|---|---|
| a cell with `code in it` | and \\| a bar |

$$
x = 1
$$

After the table.
"""


def test_a_page_is_cut_into_passages() -> None:
    """Code and equations are left out, and each passage knows its line."""
    assert [(one.line, one.kind, one.text) for one in passages(PAGE)] == [
        (1, "heading", "Title of the page"),
        (3, "text", "A paragraph of text that\nhas two lines. It ends here."),
        (6, "item", "an item that goes\nover two lines"),
        (8, "item", "short"),
        (9, "item", "`code`"),
        (17, "cell", "head"),
        (17, "cell", "other"),
        (19, "cell", "a cell with `code in it`"),
        (19, "cell", "and \\| a bar"),
        (25, "text", "After the table."),
    ]


def test_a_page_is_measured() -> None:
    """Headings, cells and items that are a word or two are no sentences; commas are counted in sentences."""
    figures = measure(passages(PAGE))
    # Two of the paragraph, one of the list, the last one.
    assert figures.mean == pytest.approx((8 + 3 + 7 + 3) / 4)
    assert (figures.p90, figures.longest_cell, figures.commas) == (8, 4, 0)


def test_front_matter_is_no_text() -> None:
    """What generators read stands before the page."""
    assert [one.line for one in passages("---\nhide: [a]\n---\n\nText.\n")] == [5]


def test_an_item_goes_on_after_its_code() -> None:
    """A paragraph in a list is text, though it is indented."""
    found = list(passages("1. First.\n\n    ```sh\n    code\n    ```\n\n    Then this.\n\nEnd.\n"))
    assert [one.text for one in found] == ["First.", "Then this.", "End."]


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("one two three", 3),
        ("`a b c` is one", 3),
        ("see [the page](a/b.md) now", 4),
        ("$a + b$ is one", 3),
        ("test-then-train, 1,250 rows and 0.5", 5),
        ("- and — are none", 3),
        ("**bold** and *slanted*", 3),
        ("https://example.org/a/b is one", 3),
        ("![a picture](x.png)", 0),
    ],
)
def test_words_are_counted(text: str, n: int) -> None:
    """As a reader counts them."""
    assert n_words(text) == n


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("One. Two! Three?", 3),
        ("Files, e.g. logs, are read. `x.py` too.", 2),
        ("It took 0.5 s. So what.", 2),
        ("See eq. 52 and 54.", 1),
        ("It says so (in the README.) And ends.", 2),
        ("First part: a list; another part.", 1),
        ("Broken over\nlines. And on\nand on.", 2),
    ],
)
def test_sentences_are_told_apart(text: str, n: int) -> None:
    """Abbreviations, figures and code do not end one."""
    assert len(sentences(text)) == n


def test_lists_of_names_are_no_sentences() -> None:
    """An item with a full stop is one, however short; a cell never is."""
    assert spoken(Passage(1, "item", "Short one.")) == ["Short one."]
    assert spoken(Passage(1, "item", "short one")) == []
    assert spoken(Passage(1, "cell", "A cell of words.")) == []


@pytest.mark.parametrize(
    "text",
    [
        "The task is told from the target",
        "what the summary tells",
        "a file that is gone on with",
        "it goes\non",
        "what this comes to",
        "the row behind it",
        "in its stead",
        "Nobody knows",
        "whoever writes",
        "this is no file",
        "what is amiss",
        "at the border",
        "it ends by itself",
        "it is at a stand",
        "What is new is read",
        "as it were",
        "thereby",
        "which is what it does",
        "the learner blew up",
    ],
)
def test_a_phrase_is_seen(text: str) -> None:
    """In any case, over a line break."""
    assert len(list(phrases(Passage(1, "text", f"Before. {text}.")))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "There is no header in the file",
        "it is no longer there",
        "a server behind a proxy",
        "a job behind a load balancer",
        "a row that belongs to it",
        "set `border: 0` and `behind`",
        "What is a minibatch? It is rows.",
        "the borderline",
        "it has become too large",
    ],
)
def test_what_is_ordinary_is_no_phrase(text: str) -> None:
    """Technical uses, code, and other words."""
    assert list(phrases(Passage(1, "text", text))) == []


def test_a_phrase_has_its_line() -> None:
    """That of its first word, counted through code."""
    assert list(phrases(Passage(10, "text", "One `a\nb`\nand it goes\non."))) == [(12, "goes on")]


def test_strings_of_a_module_are_seen() -> None:
    """Docstrings and messages, with X for what is put in; names, keys and patterns are none."""
    source = '''"""What it is."""
NAMES = ["a", "b_c", "step size"]
TEXT = "one two " + "three"
"""Documents it."""
def f(x):
    """Do it."""
    raise ValueError(f"row {x}: expected {'a b c' if x else 'some other words'} there; " "found none")
'''
    found = [(one.line, one.kind, one.text) for one in strings(source)]
    assert found == [
        (1, "docstring", "What it is."),
        (3, "message", "one two three"),
        (4, "docstring", "Documents it."),
        (6, "docstring", "Do it."),
        (7, "message", "row X: expected X there; found none"),
        (7, "message", "a b c"),
        (7, "message", "some other words"),
    ]
