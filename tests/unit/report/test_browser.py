"""A report in a real browser: Chromium, without a screen."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from stream_bp.report import page as pages
from stream_bp.report.run import read_record
from tests.chromium import CHROMIUM, started
from tests.reports import HOSTILE, learn, many_classes, two_classes, values

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser."""
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write reports, and return where they are."""
    folder = tmp_path_factory.mktemp("reports")
    runs = {
        "classes": [learn(two_classes(), folder / "classes", 3000, 6000, target="label", hidden_layers=(8, 4))],
        "values": [learn(values(), folder / "values", target="value")],
        "hostile": [many_classes(folder)],
    }
    other = learn(two_classes(seed=1), folder / "other", target="label", learning_rate=0.001)
    runs["compared"] = [*runs["classes"], other]
    for name, run_dirs in runs.items():
        told = pages.tell([read_record(path) for path in run_dirs])
        pages.save(folder / f"{name}.html", pages.document(told))
    return {name: folder / f"{name}.html" for name in runs}


@contextmanager
def opened(browser: Browser, address: str, **settings: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; give it, and what it complained of or asked for."""
    context: BrowserContext = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    amiss: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: amiss.append(f"{message.type}: {message.text}") if hurts(message) else None)
        page.on("pageerror", lambda error: amiss.append(f"error: {error}"))
        page.on("request", lambda request: amiss.append(request.url) if request.url != address else None)
        page.goto(address)
        drawn(page, 1)
        yield page, amiss
    finally:
        context.close()


def hurts(message: ConsoleMessage) -> bool:
    """Tell what is amiss from what the library says when it stops trying margins, which depends on the fonts."""
    return message.text != "WARN: Too many auto-margin redraws."


def drawn(page: Page, times: int) -> None:
    """Wait until the figures were drawn so often."""
    page.wait_for_function("times => Number(document.documentElement.dataset.drawn) >= times", arg=times)


def n_drawn(page: Page) -> int:
    """Return how often the figures were drawn."""
    return int(page.evaluate("document.documentElement.dataset.drawn"))


def points(page: Page) -> dict[str, list[list[int]]]:
    """Return, by figure, how many x and y each of its curves has in the model of the library that draws it."""
    found: dict[str, list[list[int]]] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".js-plotly-plot")].map((one) => [
            one.id.replace("plot-", ""),
            one._fullData.map((trace) => [(trace.x || []).length, (trace.y || trace.x || []).length]),
        ]))"""
    )
    return found


def x_axis(page: Page, plot: str) -> dict[str, Any]:
    """Return the x axis of a figure: its type, title, and range."""
    found: dict[str, Any] = page.evaluate(
        """(id) => { const axis = document.getElementById(`plot-${id}`)._fullLayout.xaxis;
            return { type: axis.type, title: axis.title.text, range: axis.range }; }""",
        plot,
    )
    return found


@pytest.mark.parametrize("name", ["classes", "values", "hostile", "compared"])
def test_a_report_opens_in_silence(browser: Browser, files: dict[str, Path], name: str) -> None:
    """No error, no warning, no request, no dialogue; every figure is drawn, and has points."""
    with opened(browser, files[name].as_uri()) as (page, amiss):
        found = points(page)
        n_figures = page.locator("figure").count()
        assert amiss == []
        assert len(found) == n_figures >= 4
        for plot, traces in found.items():
            assert traces, plot
            assert all(n_x and n_y for n_x, n_y in traces), plot
        assert page.evaluate("window.hit") is None
        assert page.locator(".js-plotly-plot a, .js-plotly-plot b").count() == 0


def test_figures_have_the_points_of_the_history(browser: Browser, files: dict[str, Path]) -> None:
    """A curve has a point for each line, the matrix a cell for each pair, the scatter a dot for each recent row."""
    with opened(browser, files["classes"].as_uri()) as (page, _):
        found = points(page)
        assert found["loss"] == [[6, 6]]
        assert found["lately"][0] == [6, 6]
        assert len(found["delta"]) == 3
        assert found["confusion-0"] == [[2, 2]]
    with opened(browser, files["values"].as_uri()) as (page, _):
        assert points(page)["fit-0"][0] == [1000, 1000]
        assert points(page)["errors-0"][0][0] == 1000


def test_hostile_names_are_read_as_they_are(browser: Browser, files: dict[str, Path]) -> None:
    """Ticks and tables show labels letter by letter."""
    with opened(browser, files["hostile"].as_uri()) as (page, _):
        ticks = page.locator("#plot-balance-0 .xtick").all_text_contents()
        # The longer ones are cut.
        assert HOSTILE[0][:13] + "…" in ticks
        assert HOSTILE[3][:13] + "…" in ticks
        assert HOSTILE[5][:13] + "…" in ticks
        rows = page.locator("#figure-balance-0 tbody th").all_text_contents()
        assert {HOSTILE[0], HOSTILE[1], HOSTILE[4]} <= set(rows)


def test_one_switch_turns_all_axes(browser: Browser, files: dict[str, Path]) -> None:
    """From rows to time and back; a zoomed part of the stream stays the same part."""
    with opened(browser, files["classes"].as_uri()) as (page, amiss):
        assert x_axis(page, "loss")["title"] == "rows"
        assert x_axis(page, "loss")["range"] == [0, 6000]
        page.get_by_label("Zoom in").click()
        before = x_axis(page, "loss")["range"]
        page.locator(".bar").get_by_text("time").click()
        assert x_axis(page, "loss")["type"] == x_axis(page, "speed")["type"] == "date"
        assert x_axis(page, "loss")["title"] == "time (UTC)"
        page.locator(".bar").get_by_text("rows").click()
        after = x_axis(page, "loss")["range"]
        assert after == pytest.approx(before, abs=1)
        assert amiss == []


def test_zooming_one_figure_zooms_all(browser: Browser, files: dict[str, Path]) -> None:
    """By dragging, by buttons and by keys; a double click shows the whole; what is not over the stream stays."""
    with opened(browser, files["classes"].as_uri()) as (page, amiss):
        before = x_axis(page, "progress")["range"]
        box = page.locator("#plot-lately .nsewdrag").first.bounding_box()
        assert box is not None
        times = n_drawn(page)
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] - 20, steps=4)
        page.mouse.up()
        drawn(page, times + 1)
        assert x_axis(page, "loss")["range"] == pytest.approx([1500, 4500], abs=100)
        assert x_axis(page, "speed")["range"] == x_axis(page, "loss")["range"]
        assert x_axis(page, "progress")["range"] == before
        times = n_drawn(page)
        page.mouse.dblclick(box["x"] + 100, box["y"] + 50)
        drawn(page, times + 1)
        assert x_axis(page, "lately")["range"] == x_axis(page, "loss")["range"] == [0, 6000]
        page.locator("#figure-loss .frame").focus()
        page.keyboard.press("+")
        assert x_axis(page, "overall")["range"] == [1500, 4500]
        page.keyboard.press("ArrowRight")
        assert x_axis(page, "overall")["range"] == [2250, 5250]
        page.keyboard.press("0")
        assert x_axis(page, "overall")["range"] == [0, 6000]
        assert amiss == []


def test_everything_is_reached_by_keyboard(browser: Browser, files: dict[str, Path]) -> None:
    """The axis, the buttons, each figure and each table takes the focus, and says what it is."""
    with opened(browser, files["classes"].as_uri()) as (page, _):
        reached = []
        for _ in range(200):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    """() => { const at = document.activeElement;
                        const by = at.getAttribute("aria-labelledby");
                        return [at.className || at.tagName, at.getAttribute("aria-label") || at.title
                            || (by && document.getElementById(by).textContent) || at.textContent || at.value]; }"""
                )
            )
            if reached[-1][0] == "BODY":
                break
        n_figures = page.locator("figure").count()
        assert [kind for kind, _ in reached].count("frame") == n_figures
        assert [kind for kind, _ in reached].count("SUMMARY") == n_figures
        assert all(name.strip() for kind, name in reached if kind != "BODY")


def test_figures_and_buttons_have_names(browser: Browser, files: dict[str, Path]) -> None:
    """What an aid for reading is told: each figure by its title and its sentence, each button by what it does."""
    with opened(browser, files["classes"].as_uri()) as (page, _):
        tree = page.locator("body").aria_snapshot()
        assert 'heading "Better than' in tree
        for title in ("Score by interval", "Loss", "δ by layer", "Confusion", "Throughput"):
            assert re.search(rf'figure "{title}"', tree), title
        for name in ("Zoom in", "Zoom out", "Earlier", "Later", "all"):
            assert f'button "{name}"' in tree
        assert 'radio "rows" [checked]' in tree
        assert 'radio "time"' in tree
        assert 'rowheader "accuracy"' in tree


@pytest.mark.parametrize("name", ["classes", "values", "hostile", "compared"])
def test_a_phone_scrolls_one_way(browser: Browser, files: dict[str, Path], name: str) -> None:
    """Nothing is wider than 390 pixels, with either axis and with every table opened; a finger scrolls, not zooms."""
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    with opened(browser, files[name].as_uri(), **phone) as (page, amiss):
        page.locator(".bar").get_by_text("time").click()
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.dragmode") is False
        assert amiss == []


def test_it_is_light_or_dark(browser: Browser, files: dict[str, Path]) -> None:
    """Ground, words, and what is drawn follow the system, also while the page is open."""
    seen = """() => [getComputedStyle(document.body).backgroundColor,
        document.getElementById("plot-loss")._fullLayout.font.color]"""
    with opened(browser, files["classes"].as_uri(), color_scheme="light") as (page, amiss):
        assert page.evaluate(seen) == ["rgb(255, 255, 255)", "#1b1f27"]
        times = n_drawn(page)
        page.emulate_media(color_scheme="dark")
        drawn(page, times + 1)
        assert page.evaluate(seen) == ["rgb(20, 23, 28)", "#e8ebf0"]
        assert amiss == []


def test_it_prints_in_black_on_white(browser: Browser, files: dict[str, Path], tmp_path: Path) -> None:
    """A dark page is printed light, with figures as wide as the paper, and is as it was behind it."""
    with opened(browser, files["classes"].as_uri(), color_scheme="dark") as (page, amiss):
        page.evaluate(
            """() => addEventListener("beforeprint", () => { window.seen = [
                document.documentElement.className,
                ...[...document.querySelectorAll(".js-plotly-plot")].map((one) => one.layout.width)]; })"""
        )
        page.pdf(path=tmp_path / "report.pdf", format="A4")
        name, *widths = page.evaluate("window.seen")
        assert name == "printing"
        assert set(widths) == {320, 660}
        assert (tmp_path / "report.pdf").stat().st_size > 50_000
        page.wait_for_function("() => document.documentElement.className === ''")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        assert amiss == []


def test_a_served_page_follows_the_job(browser: Browser, tmp_path: Path) -> None:
    """New rows appear, also new kinds of figures; what was zoomed to stays; a server that is gone is told."""
    run_dir = learn(two_classes(), tmp_path / "run", 2000, target="label")
    (run_dir / "feature_drift.csv").unlink(missing_ok=True)
    command = [sys.executable, "-m", "stream_bp", "report", str(run_dir), "--serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+/", process.stderr.readline())
            assert found
            with opened(browser, found[0]) as (page, amiss):
                assert page.locator("#figure-drift").count() == 0
                assert points(page)["loss"] == [[2, 2]]
                page.get_by_label("Zoom in").click()
                before = x_axis(page, "loss")["range"]
                learn(two_classes(), run_dir, 6000, target="label")
                page.wait_for_function("() => document.getElementById('plot-loss')._fullData[0].x.length === 6")
                page.wait_for_function("() => document.getElementById('summary').textContent.includes('6,000')")
                assert x_axis(page, "loss")["range"] == before
                assert page.locator("#figure-drift .main-svg").count() > 0
                assert points(page)["drift"]
                assert {line for line in amiss if not line.startswith(f"{found[0]}told.json?tag=")} == set()
                process.send_signal(signal.SIGINT)
                page.wait_for_function("() => document.getElementById('state').className === 'lost'")
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
