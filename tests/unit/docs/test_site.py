"""The documentation site: what is made from the code is complete, and the site works in a browser without a network."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import stream_bp
from connectors import open_source
from stream_bp.job.history import COLUMNS
from stream_bp.job.job import Job
from stream_bp.metrics.prequential import PrequentialEvaluator
from tests.chromium import CHROMIUM, started
from tests.docs_site import reference
from tests.docs_site.prepare import PAGES, ROOT, prepare
from tests.reports import two_classes, values
from tests.unit.test_public_api import PUBLIC

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """Return the pages that are made from the code."""
    return reference.pages()


def test_no_generated_page_is_in_the_tree(generated: dict[str, str]) -> None:
    """What is made from the code is written nowhere else."""
    assert [path for path in generated if (PAGES / path).exists()] == []


def test_every_flag_is_on_the_page_of_the_command_line(generated: dict[str, str]) -> None:
    """Those of every command, but for hidden ones; with the default of that command."""
    page = generated["reference/command-line.md"]
    for name, command in reference.commands().items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for param in command.params:
            flag = next((one for one in param.opts if one.startswith("--")), None)
            if flag is not None:
                assert (f"`{flag}`" in section) != param.hidden, (name, flag)


def test_a_command_has_its_own_defaults(generated: dict[str, str]) -> None:
    """A comparison clips, where a job does not."""
    rows = [line for line in generated["reference/command-line.md"].splitlines() if line.startswith("| `--clip-norm`")]
    assert [row.split("|")[-2].strip() for row in rows] == ["no limit", "`1.0`"]


def test_every_metric_is_on_its_page(generated: dict[str, str]) -> None:
    """The jobs that it is made from export all that the exporter knows."""
    source = ast.parse((Path(stream_bp.__file__).parent / "monitoring" / "prometheus.py").read_text())
    docstrings = {
        id(node.value)
        for node in ast.walk(source)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [
        node.value
        for node in ast.walk(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    texts = [text for text in texts if text.endswith(".") and " " in text]
    assert len(texts) > 20
    assert [text for text in texts if text not in generated["reference/metrics.md"]] == []


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_column_of_a_history_is_described(tmp_path: Path, task: Any) -> None:
    """All of them, in their order."""
    table, target = (two_classes(), "label") if task == "classification" else (values(), "value")
    Job(open_source(table), target=target, max_rows=2000, run_dir=str(tmp_path)).run()
    header = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    evaluation = PrequentialEvaluator(task, 1)
    every = {"BASELINE": list(evaluation.baselines()), "METRIC": list(evaluation.metrics()), "LAYER": ["1", "2"]}
    described: list[str] = []
    for column in COLUMNS:
        names = [column]
        for word, options in every.items():
            names = [name.replace(word, option) for name in names for option in options]
        assert set(names) & set(header), column
        described += names
    assert set(header) <= set(described)
    of_all = [described.index(name) for name in header if "_rms_" not in name]
    assert of_all == sorted(of_all)


def test_every_public_thing_has_its_place(generated: dict[str, str]) -> None:
    """Each public module has a page with all that it exports."""
    assert set(reference.PUBLIC) == set(PUBLIC)
    for module, names in PUBLIC.items():
        page = generated[f"reference/python/{module}.md"]
        missing = [name for name in names if f"::: {module}.{name}\n" not in page and f"[`{name}`]" not in page]
        assert missing == []


def test_pages_are_prepared_once_and_stale_ones_removed(tmp_path: Path) -> None:
    """A second time writes nothing; a page that is gone from the tree is gone from the site."""
    prepare(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    (tmp_path / "gone.md").write_text("# Gone\n")
    prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")} == before
    assert {str(path.relative_to(tmp_path)) for path in before} >= {"index.md", "runbook.md", "reference/errors.md"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, strictly, and return its folder."""
    folder = tmp_path_factory.mktemp("documentation")
    command = [sys.executable, "-m", "tests.docs_site", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser."""
    with started() as found:
        yield found


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback, and give its address."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def opened(browser: Browser, size: str) -> Iterator[tuple[Page, list[str], list[str]]]:
    """Open a page; give it, its errors and warnings, and the addresses that it asked for."""
    context = browser.new_context(viewport=SIZES[size])  # type: ignore[arg-type]
    errors: list[str] = []
    asked: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: errors.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: errors.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        yield page, errors, asked
    finally:
        context.close()


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@needs_chromium
@pytest.mark.parametrize("size", SIZES)
def test_every_page_opens_in_silence_and_fits(browser: Browser, site: Path, size: str) -> None:
    """No error, no request to another machine, nothing to scroll sideways; the browser itself draws equations."""
    with served(site) as address, opened(browser, size) as (page, errors, asked):
        for path in sorted(site.rglob("*.html")):
            page.goto(f"{address}/{path.relative_to(site)}")
            width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width <= room, path.name
        page.goto(f"{address}/explanation/mathematics.html")
        assert page.locator("math").count() > 0
        assert errors == []
        assert [url for url in asked if not url.startswith((address, "data:"))] == []


@needs_chromium
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_search_finds_a_word(browser: Browser, site: Path, size: str, scheme: str) -> None:
    """From a server, and from files without one; the result leads to a page."""
    with served(site) as address, opened(browser, size) as (page, errors, asked):
        start = address if scheme == "http" else site.as_uri()
        page.goto(f"{start}/index.html")
        if size == "phone":
            page.click("label[for=__search].md-header__button")
        page.locator("input.md-search__input").press_sequentially("quarantine")
        found = page.locator(".md-search-result__item .md-search-result__link")
        found.first.wait_for()
        found.first.click()
        page.wait_for_url(lambda url: "index.html" not in url)
        assert "quarantine" in page.locator("article").inner_text()
        assert errors == []
        assert [url for url in asked if not url.startswith((start, "data:"))] == []
