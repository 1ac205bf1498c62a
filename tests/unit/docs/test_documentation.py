"""README, CONTRIBUTING and the pages of ``stream_bp/docs`` do what they say."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_bp.config.job import JobConfig
from tests.docs_site import reference
from tests.docs_site.prepare import PAGES as SITE
from tests.pages import LANGUAGES, PAGES, Outcome, blocks, run

README, CONTRIBUTING = PAGES[:2]
TEXT = README.read_text()

NOT_RUN = {
    README: {
        "make run": "the first takes a minute or two, and the second is this suite",
    },
    CONTRIBUTING: {
        "[project.entry-points": "tests/contract/test_other_package.py follows it word for word",
        "from pathlib import Path\n\nimport pytest": "tests/contract/test_other_package.py runs it",
    },
}
"""Blocks that are not run here, by how they begin, and why."""

OTHERS = {
    "stream_bp/docs/explanation/testing.md": "--nn",
    "stream_bp/docs/migration/from-vowpal-wabbit.md": (
        "--adaptive --bfgs --cubic --daemon --dropout --ftrl --holdout_off --inpass --l1 --l2 --loss_function --nn "
        "--oaa --passes --power_t --random_seed --save_per_pass --save_resume --sgd"
    ),
}
"""Flags on a page that are those of another program: of Vowpal Wabbit."""


def name_of(page: Path) -> str:
    """Return what a page is called, seen from the top of the tree."""
    return str(page.relative_to(README.parent))


Ran = Callable[[Path], list[Outcome]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return what tells what became of the blocks of a page, which are run once."""
    outcomes: dict[Path, list[Outcome]] = {}

    def of(page: Path) -> list[Outcome]:
        if page not in outcomes:
            outcomes[page] = run(page, tmp_path_factory.mktemp(page.stem), NOT_RUN.get(page, {}))
        return outcomes[page]

    return of


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_does_what_it_says(page: Path, ran: Ran, subtests: pytest.Subtests) -> None:
    """Each block runs, in order, in a directory that was empty, and writes what is shown behind it."""
    for outcome in ran(page):
        with subtests.test(msg=outcome.block.place):
            if outcome.skipped is not None:
                pytest.skip(outcome.skipped)
            assert outcome.failed is None, outcome.failed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_has_a_language(page: Path) -> None:
    """A fence that says nothing would never be run, nor would one that is not closed."""
    found = list(blocks(page))
    assert {block.language for block in found} <= LANGUAGES
    assert len(re.findall("^ *```", page.read_text(), flags=re.MULTILINE)) == 2 * len(found)


def test_what_is_not_run_is_there() -> None:
    """The list of exceptions holds none that has no block any more."""
    for page, allowed in NOT_RUN.items():
        for first in allowed:
            assert sum(block.code.startswith(first) for block in blocks(page)) == 1, first


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("print('accuracy  0.91, all')", None),
        ("print('accuracy 0.905, all')", None),
        ("print('accuracy 0.80, all')", "expected"),
        ("print('accuracy 0.91')", "expected"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_a_page_that_does_not_do_what_it_says_is_seen(tmp_path: Path, code: str, failed: str | None) -> None:
    """The control: another word, a figure that is far off, a failure."""
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}\n```\n\n```text\naccuracy 0.91, …\n```\n")
    found = [outcome.failed for outcome in run(page, tmp_path, {}) if outcome.failed is not None]
    assert bool(found) == (failed is not None)
    assert failed is None or found[0].startswith(failed)


def test_a_block_that_requires_what_is_not_there_is_skipped_alone(tmp_path: Path) -> None:
    """With it goes what it would have written, and nothing else."""
    page = tmp_path / "page.md"
    page.write_text("```python requires=nowhere_to_be_found\n1 / 0\n```\n\n```text\n1\n```\n\n```sh\nfalse\n```\n")
    found = run(page, tmp_path, {})
    assert [outcome.skipped is not None for outcome in found] == [True, True, False]
    assert found[2].failed is not None


def said(outcomes: list[Outcome], language: str) -> list[str]:
    """Return what the blocks in a language wrote."""
    return [outcome.output for outcome in outcomes if outcome.block.language == language and outcome.skipped is None]


def test_the_example_of_a_job_runs(ran: Ran) -> None:
    """It beats the baseline."""
    accuracy, baseline = map(float, said(ran(README), "python")[0].splitlines()[0].split())
    assert accuracy > 0.9 > baseline


def test_the_example_of_river_runs(ran: Ran) -> None:
    """Its scores are River's own words."""
    accuracy, mae = said(ran(README), "python")[1].splitlines()
    assert float(accuracy.removeprefix("Accuracy: ").removesuffix("%")) > 89
    assert float(mae.removeprefix("MAE: ")) < 0.4


def test_the_first_screen_has_the_two_commands() -> None:
    """Make run and make test are seen without scrolling."""
    first = "\n".join(TEXT.splitlines()[:15])
    assert "make run" in first
    assert "make test" in first


def test_every_flag_has_help_with_its_default() -> None:
    """Every field of the configuration is a flag of train, and its help tells a default or that there is none."""
    command = [sys.executable, "-m", "stream_bp", "train", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    helps = {flag.split()[0]: " ".join(flag.split()[2:]) for flag in re.split(r"\n  --", text)[1:]}
    for name in JobConfig.model_fields:
        if name != "source":
            words = helps[name.replace("_", "-")]
            assert len(words) > 10, name
            assert (
                "default" in words
                or JobConfig.model_fields[name].default is False
                or name
                in {
                    "target",
                    "ignore",
                    "categorical",
                    "numeric",
                    "stop_loss",
                    "stop_delta",
                }
            ), name


def test_every_command_of_the_readme_exists() -> None:
    """The commands in the table are those of the command line."""
    code = "\n".join(block.code for block in blocks(README) if block.language == "sh")
    named = {*re.findall(r"`stream-bp (\w+)", TEXT), *re.findall(r"^stream-bp (\w+)", code, re.MULTILINE)}
    for command in named:
        subprocess.run([sys.executable, "-m", "stream_bp", command, "--help"], check=True, capture_output=True)
    assert {"train", "resume", "predict", "evaluate", "inspect", "compare"} <= named


def names_of(command: Any) -> list[str]:
    """Return the flags of a command, but for those that are hidden."""
    return [name for param in command.params if not param.hidden for name in [*param.opts, *param.secondary_opts]]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_on_a_page_exists(page: Path) -> None:
    """It is one of the command line, or known to be of another program."""
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text()))
    every = [reference.group(), *reference.commands().values()]
    ours = {"--help"} | {name for command in every for name in names_of(command)}
    assert named - ours == set(OTHERS.get(name_of(page), "").split())


def test_every_target_on_a_page_exists() -> None:
    """Whoever is told to make something can make it."""
    makefile = (README.parent / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert f"\n{target}:" in makefile, target


def test_every_link_of_a_page_leads_to_a_file() -> None:
    """Between pages, and to what lies in the tree; pages of the site link to those that are made from the code, too."""
    generated = {SITE / path for path in reference.pages()}
    for page in PAGES:
        for place in re.findall(r"\]\(([^):#\s]+)(?:#[^)]*)?\)", page.read_text()):
            target = (page.parent / place).resolve()
            is_made = target in generated and SITE in page.parents
            assert target.exists() or is_made, f"{name_of(page)}: {place}"
