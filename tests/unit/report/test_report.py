"""A report: what it reads while a job writes, what it says, and what it never lets through."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp import Job
from stream_bp.errors import ConfigError
from stream_bp.report import gradient_health, page, verdict
from stream_bp.report.csv_tables import Table, read_table
from stream_bp.report.plotting import INKS
from stream_bp.report.run import Clock, Record, named, read_record
from stream_bp.report.tables import facts, grids
from tests.reports import HOSTILE, learn, many_classes, two_classes, values

SIZE = 6_000_000  # bytes that a page may have


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return run directories, by what was learned."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "classes": learn(two_classes(), folder / "classes", 2000, 4000, 6000, target="label"),
        "again": learn(two_classes(seed=1), folder / "again", target="label", learning_rate=0.001),
        "values": learn(values(), folder / "values", target="value"),
        "several": learn(values(), folder / "several", target=["value", "x"]),
        "hostile": many_classes(folder),
    }


@pytest.fixture(scope="module")
def records(runs: dict[str, Path]) -> dict[str, Record]:
    """Return what they record."""
    return {name: read_record(path) for name, path in runs.items()}


def ids(told: dict[str, Any]) -> set[str]:
    """Return what the figures of a page are called."""
    return {plot["id"] for plot in told["content"]["plots"]}


# Reading


def test_a_table_without_its_last_line(tmp_path: Path) -> None:
    """A torn line, zeros, and a line of another length are no rows."""
    path = tmp_path / "t.csv"
    path.write_bytes(b'row,word\n1,"a,b"\n2,"two\nlines"\n\0\0\0\0\n3,c,more\n4,d\n5,to')
    table = read_table(path)
    assert table.words("word") == ["a,b", "two\nlines", "d"]
    assert table.numbers("row").tolist() == [1, 2, 4]
    assert table.words("other") == ["", "", ""]
    assert np.isnan(table.numbers("word")).all()


@pytest.mark.parametrize("content", [b"", b"row,wo", b"row,word\n", b"\0\0\0\0", b'row,word\n1,"never ended'])
def test_a_table_that_has_hardly_begun(tmp_path: Path, content: bytes) -> None:
    """There is nothing in it, and that is no error; nor is a file that is not there."""
    (tmp_path / "t.csv").write_bytes(content)
    assert len(read_table(tmp_path / "t.csv")) == 0
    assert len(read_table(tmp_path / "nowhere.csv")) == 0


def test_a_long_table_is_thinned(tmp_path: Path) -> None:
    """Evenly spaced rows are kept, the first and the last among them, and all are counted."""
    (tmp_path / "t.csv").write_text("n\n" + "".join(f"{i}\n" for i in range(1001)))
    table = read_table(tmp_path / "t.csv", most=100)
    kept = table.numbers("n")
    assert table.n_rows == 1001
    assert 50 <= len(kept) <= 101
    assert (kept[0], kept[-1]) == (0, 1000)
    assert len(set(np.diff(kept[:-1]).tolist())) == 1


def test_a_clock_takes_the_last_time() -> None:
    """Rows that a killed process learned, and the next one again, were learned when that did."""
    lines = [("start", 0, 0), ("sample", 100, 10), ("sample", 200, 20), ("start", 100, 50), ("end", 300, 58)]
    rows = tuple((f"2026-01-01T00:00:{second:02d}.000+00:00", event, str(n)) for event, n, second in lines)
    clock = Clock(Table(("time", "event", "rows"), rows, len(rows)))
    seconds = (clock.at([0, 50, 200, 300]) - clock.at([0])[0]) / 1000
    assert seconds.tolist() == [0, 5, 54, 58]
    assert np.isnan(Clock(Table((), (), 0)).at([1.0])).all()


def test_a_record_reads_what_a_checkpoint_holds(records: dict[str, Record]) -> None:
    """Confusion, support and the ring of the last rows add up to the metrics that the job told."""
    saved = records["classes"].saved
    assert saved is not None
    (one,) = saved.outcomes
    assert one.labels == tuple(saved.content["labels"][0])
    assert one.support.sum() == 6000
    accuracy = np.trace(one.confusion) / one.confusion.sum()
    assert accuracy == pytest.approx(saved.content["metrics"]["accuracy"])
    assert len(one.true) == 1000
    assert (one.true == one.predicted).mean() == pytest.approx(saved.content["rolling"]["accuracy"])
    values_ = records["values"].saved
    assert values_ is not None
    (other,) = values_.outcomes
    assert abs(other.true - other.predicted).mean() == pytest.approx(values_.content["rolling"]["mae"])


def test_nothing_is_locked_or_written(runs: dict[str, Path], tmp_path: Path) -> None:
    """The run directory is as it was, to the time of access of its names, and may not even be writable."""
    copy = tmp_path / "copy"
    shutil.copytree(runs["classes"], copy)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [copy, *copy.rglob("*")]}
    page.document(page.tell([read_record(copy)]))
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [copy, *copy.rglob("*")]}


def test_a_damaged_checkpoint_is_told_on_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    """The tables are still there to be looked at."""
    copy = tmp_path / "copy"
    shutil.copytree(runs["classes"], copy)
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    told = page.tell([read_record(copy)])
    assert "no valid checkpoint" in told["troubles"][0]
    assert {"lately", "loss", "speed"} <= ids(told)
    assert "balance-0" not in ids(told)
    assert "Better than" in told["headline"]


def test_rows_behind_the_last_sample_are_dated_to_the_process_that_learned_them() -> None:
    """Not to the hours in which none was at work, whether it was killed before or behind its last checkpoint."""
    told = [("09:50", "start", 0), ("10:00", "sample", 1000), ("16:00", "start", 1800), ("16:10", "sample", 2800)]
    told += [("20:00", "start", 2300), ("20:10", "sample", 3300)]
    rows = tuple((f"2026-01-01T{time}:00+00:00", event, str(n)) for time, event, n in told)
    clock = Clock(Table(("time", "event", "rows"), rows, len(rows)))
    minutes = (clock.at([500.0, 1400.0, 1799.0, 2200.0, 2800.0]) - clock.moments[0]) / 60_000
    assert minutes[:2] == pytest.approx([5, 14])
    assert minutes[2] == pytest.approx(18, abs=0.1)
    assert minutes[3] == pytest.approx(374)
    assert minutes[4] == pytest.approx(615)


def test_a_clock_that_was_set_back_leaves_figures_that_can_be(runs: dict[str, Path], tmp_path: Path) -> None:
    """No negative durations, and a last line that is to come is told as such."""
    run = shutil.copytree(runs["values"], tmp_path / "run")
    header, first, *_ = (run / "timeline.csv").read_text().splitlines()
    early, late = (re.sub(r"^\d{4}", year, first).replace(",start,", ",sample,") for year in ("2020", "2999"))
    (run / "timeline.csv").write_text("\n".join([header, first, early, ""]))
    told = {grid.id: grid for grid in grids(read_record(run))}
    assert told["processes"].rows[0][1] == "unknown: the clock was set back"
    (run / "timeline.csv").write_text("\n".join([header, first, late, ""]))
    assert "which is in the future: clocks differ" in dict(facts(read_record(run)))["state"]


def test_rows_that_no_checkpoint_covers_yet_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    """A job that runs is not said to have learned nothing, and its scores are dated."""
    run = shutil.copytree(runs["values"], tmp_path / "run")
    lines = (run / "timeline.csv").read_text().splitlines()
    cells = lines[-1].split(",")
    line = ",".join([cells[0], "sample", "999999", *cells[3:-1], ""])
    (run / "timeline.csv").write_text("\n".join([*lines, line, ""]))
    record = read_record(run)
    assert dict(facts(record))["rows"] == "999,999"
    assert "as of row" in verdict.verdict(record).text


def test_each_target_is_told_apart(records: dict[str, Record]) -> None:
    """With its rows and errors, for the mean over several goes by the largest unit."""
    (grid,) = [grid for grid in grids(records["several"]) if grid.id == "targets"]
    assert [row[0] for row in grid.rows] == ["value", "x"]
    assert all(int(row[2].replace(",", "")) > 1000 and float(row[3]) >= 0 for row in grid.rows)
    assert "largest unit weighs most" in verdict.verdict(records["several"]).text


def test_a_run_without_a_timeline(runs: dict[str, Path], tmp_path: Path) -> None:
    """An older run has figures over rows, and none over time."""
    copy = tmp_path / "copy"
    shutil.copytree(runs["classes"], copy)
    (copy / "timeline.csv").unlink()
    told = page.tell([read_record(copy)])
    assert not told["has_time"]
    assert b'value="time" disabled' in page.document(told)
    assert "speed" not in ids(told)
    assert dict(told["facts"])["state"] == "stopped at max rows"


@pytest.mark.parametrize("events", [["start"], ["start", "sample"]])
def test_a_run_that_has_just_begun(tmp_path: Path, events: list[str]) -> None:
    """One line of the timeline is a report already."""
    lines = [f"2026-01-01T00:00:00.000+00:00,{event},0,0,0,,,1000,," for event in events]
    header = "time,event,rows,minibatches,checkpoints,checkpoint_seconds,checkpoint_bytes,rss_bytes,lag_bytes,detail"
    (tmp_path / "timeline.csv").write_text("\n".join([header, *lines]) + "\n")
    told = page.tell([read_record(tmp_path)])
    assert told["headline"] == "No scores yet"
    assert dict(told["facts"])["state"].startswith("silent since 2026-01-01 00:00:00 UTC")
    assert page.document(told)


def test_a_model_of_somebody_else_has_a_report(tmp_path: Path) -> None:
    """Without checkpoints it is made of the history: there are neither layers nor classes to show."""
    from river.naive_bayes import GaussianNB

    rows = two_classes(3000).drop_columns(["x"])
    Job(open_source(rows), model=GaussianNB(), run_dir=str(tmp_path / "run"), target="label").run()
    told = page.tell([read_record(tmp_path / "run")])
    assert {"lately", "overall", "speed"} <= ids(told)
    assert not {"delta", "rate", "confusion-0"} & ids(told)
    assert "points" in told["headline"]


@pytest.mark.parametrize("place", [".", "nowhere", "rows.csv"])
def test_what_is_no_run_directory_is_refused(tmp_path: Path, place: str) -> None:
    """An empty folder, none, and a file."""
    (tmp_path / "rows.csv").write_text("x\n1\n")
    with pytest.raises(ConfigError, match="is not a run directory"):
        read_record(tmp_path / place)


def test_runs_are_called_as_little_as_tells_them_apart(tmp_path: Path) -> None:
    """The name of the folder, or as much of the path as it takes."""
    assert list(named([str(tmp_path / "a" / "run"), str(tmp_path / "b" / "other")])) == ["run", "other"]
    assert list(named([str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")])) == ["a/run", "b/run"]
    assert len(named([str(tmp_path), str(tmp_path)])) == 1


# What is said


def recorded(history: Table) -> Record:
    """Return a record that has a history alone."""
    none = Table((), (), 0)
    return Record("run", Path("run"), history, none, none, none, none, saved=None, trouble="", read_at=0.0)


def scored(accuracy: float, recent: float, baseline: float, rows: int = 100_000) -> verdict.Verdict:
    """Return the verdict on a classification with these accuracies."""

    class Stub:
        task = "classification"
        history = Table(
            ("rows", "skipped", "rows_without_target", "accuracy", "rolling_accuracy", "no_change_accuracy"), (), 0
        )
        saved = None
        timeline = Table((), (), 0)

    stub = Stub()
    row = (str(rows), "0", "0", str(accuracy), str(recent), str(baseline))
    stub.history = Table(Stub.history.columns, (row,), 1)
    return verdict.verdict(stub)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accuracy", "recent", "baseline", "kind", "title"),
    [
        (0.9, 0.92, 0.82, "ahead", "Better than the no-change baseline by 8.0 points; lately by 10 points"),
        (0.9, 0.7, 0.82, "behind", "Better than the no-change baseline by 8.0 points; lately worse by 12 points"),
        (0.5, 0.9, 0.8, "ahead", "Worse than the no-change baseline by 30 points; lately better than"),
        (0.5, 0.5, 0.8, "behind", "Worse than the no-change baseline by 30 points; lately worse by 30 points"),
        (0.8201, 0.82, 0.82, "even", "No better than the no-change baseline; lately no better"),
    ],
)
def test_the_headline(accuracy: float, recent: float, baseline: float, kind: str, title: str) -> None:
    """It names the better baseline and the lead over all rows and lately, in points, and takes no chance for a lead."""
    found = scored(accuracy, recent, baseline)
    assert (found.kind, found.title[: len(title)]) == (kind, title)


def test_few_rows_say_nothing() -> None:
    """A lead over a hundred rows is not told as one."""
    assert scored(0.9, 0.9, 0.5, rows=100).kind == "early"


def test_the_headline_of_a_regression(records: dict[str, Record]) -> None:
    """Errors are told as a share of what the baseline's are."""
    found = verdict.verdict(records["values"])
    assert found.kind == "ahead"
    assert re.fullmatch(r"Better than the mean baseline by \d+\s%; lately by \d+\s%", found.title)


def test_stretches_add_up(records: dict[str, Record]) -> None:
    """The means over the rows between two lines, weighed with these, are the mean over all."""
    record = records["classes"]
    rows = record.history.numbers("rows")
    means = verdict.stretches(record, "accuracy")
    assert np.average(means, weights=np.diff(rows, prepend=0)) == pytest.approx(record.history.numbers("accuracy")[-1])
    assert ((means >= 0) & (means <= 1)).all()


def layered(
    deltas: np.ndarray[Any, Any], gradient: np.ndarray[Any, Any] | None = None
) -> list[gradient_health.Finding]:
    """Return what is found in sizes of δ, shape (n, K)."""
    n, n_layers = deltas.shape
    gradient = np.ones(n) if gradient is None else gradient
    columns = ("rows", *(f"delta_rms_{layer + 1}" for layer in range(n_layers)), "gradient_rms_1")
    rows = tuple(
        (str(1000 * (i + 1)), *(repr(float(size)) for size in deltas[i]), repr(float(gradient[i]))) for i in range(n)
    )
    return gradient_health.watch(recorded(Table(columns, rows, n)))


def test_gradients_that_are_well() -> None:
    """A factor of ten from layer to layer, noise, and a fall over the whole run are nothing to tell."""
    fall = np.geomspace(1, 1e-4, 60)
    assert layered(fall[:, None] * [0.01, 0.1, 1], fall) == []
    assert layered(np.ones((20, 1))) == []


def test_gradients_that_vanish_or_explode() -> None:
    """Each is told with the rows where it shows, and what may help."""
    steady = np.ones(20)
    (vanishing,) = layered(np.stack([steady * 1e-4, steady], axis=1))
    assert "vanishes" in vanishing.text
    assert "First seen at row 1,000" in vanishing.text
    (exploding,) = layered(np.stack([steady * 1e4, steady], axis=1))
    assert "δ of the first layer is more than" in exploding.text
    jump = np.where(np.arange(20) == 12, 500.0, 1.0)
    (grown,) = layered(np.ones((20, 2)), jump)
    assert (grown.figure, grown.rows.tolist()) == ("gradient", [13_000])
    assert "from row 13,000 to row 13,000; no longer so" in grown.text


def test_a_deep_network_of_sigmoids_is_warned_of(tmp_path: Path) -> None:
    """The textbook case, in a real run."""
    run_dir = learn(two_classes(2000), tmp_path / "run", target="label", hidden_layers=(8,) * 8, activation="sigmoid")
    told = page.tell([read_record(run_dir)])
    warnings = {plot.id: plot.warnings for group in told["groups"] for plot in group["plots"]}
    assert "The gradient vanishes" in warnings["delta"][0]


def test_tables_tell_processes_settings_and_columns(records: dict[str, Record]) -> None:
    """Each process has a line, each setting, each column with its gaps; bad rows by kind."""
    found = {grid.id: grid for grid in grids(records["classes"])}
    assert [row[5] for row in found["processes"].rows] == ["stopped at max rows"] * 3
    assert [row[2:4] for row in found["processes"].rows] == [("4,000", "6,000"), ("2,000", "4,000"), ("0", "2,000")]
    assert ("batch-size", "8", "given") in found["settings"].rows
    (x,) = [row for row in found["columns"].rows if row[0] == "x"]
    assert int(x[3]) > 200
    assert "events" in found
    assert dict(facts(records["classes"]))["processes"] == "3"
    (bad,) = {grid.id: grid for grid in grids(records["hostile"])}["bad"].rows
    assert bad[:2] == ("fields", "8")


def test_every_figure_says_what_one_sees(records: dict[str, Record]) -> None:
    """It has a title, a sentence, and a table with figures for whoever does not see it."""
    for record in records.values():
        for group in page.tell([record])["groups"]:
            for plot in group["plots"]:
                assert plot.title
                assert plot.sentence.endswith(".")
                assert plot.rows, plot.id
                assert {len(row) for row in plot.rows} == {len(plot.header)}, plot.id


def test_the_figures_of_each_task(records: dict[str, Record]) -> None:
    """Classes have balance and confusion, values their errors, several targets each their own."""
    assert {"balance-0", "confusion-0", "drift", "amiss", "progress"} <= ids(page.tell([records["classes"]]))
    assert {"fit-0", "errors-0"} <= ids(page.tell([records["values"]]))
    assert {"fit-0", "errors-0", "fit-1", "errors-1"} <= ids(page.tell([records["several"]]))


def test_of_many_classes_the_most_frequent_are_shown(records: dict[str, Record]) -> None:
    """Twenty, and the others together; shares add up to one."""
    plots = {plot["id"]: plot for plot in page.tell([records["hostile"]])["content"]["plots"]}
    names = plots["confusion-0"]["figure"]["data"][0]["x"]
    assert len(names) == len(set(names)) == 21
    assert re.fullmatch(r"\d+ others", names[-1])
    saved = records["hostile"].saved
    assert saved is not None
    assert len(saved.outcomes[0].labels) == 30


def test_every_curve_has_its_axis(records: dict[str, Record]) -> None:
    """What a curve over the stream names is there, as long as the curve, for rows and for time."""
    for record in records.values():
        content = page.tell([record])["content"]
        for plot in content["plots"]:
            for trace in plot["figure"]["data"]:
                if "meta" not in trace:
                    continue
                axis = content["axes"][trace["meta"]["axis"]]
                assert len(axis["rows"]) == len(axis["time"]) > 0


def test_runs_are_compared(records: dict[str, Record]) -> None:
    """Scores, loss and throughput lie over each other; a table has a row for each run."""
    told = page.tell([records["classes"], records["again"]])
    assert ids(told) == {"lately", "overall", "loss", "speed"}
    assert [len(plot["figure"]["data"]) for plot in told["content"]["plots"]] == [2, 2, 2, 2]
    (grid,) = told["grids"]
    assert [row[0] for row in grid.rows] == ["classes", "again"]
    assert all(axis["time"][0] >= 0 for axis in told["content"]["axes"].values())
    with pytest.raises(ConfigError, match="no score in common"):
        page.tell([records["classes"], records["values"]])


# The page


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element down."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Take its text down."""
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def test_hostile_names_stay_text(records: dict[str, Record]) -> None:
    """Labels, columns, the run's own name: all are there to be read, and none is an element or a script."""
    told = page.tell([records["hostile"]], tag="1", again_s=2.0)
    found = Elements(page.document(told).decode())
    assert [attributes.get("type") for tag, attributes in found.tags if tag == "script"] == [
        "application/json",
        None,
        None,
    ]
    assert not {"img", "a", "b", "iframe", "object"} & {
        tag for tag, attributes in found.tags if "class" not in attributes
    }
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    for name in (*HOSTILE[:7], 'run <b>"evil"'):
        assert name.replace("\u2028", " ") in found.text.replace("\u2028", " "), name
    content = json.loads(found.scripts[0])
    assert content["tag"] == "1"
    for text in (found.scripts[0], page.as_json(told).decode()):
        assert not set("<>&'") & set(text)
    fragments = [plot["html"] for plot in content["plots"]] + [content["summary"], content["tables"]]
    for fragment in fragments:
        tags = {tag for tag, _ in Elements(fragment).tags}
        assert not {"script", "img", "a", "b"} & tags
    for plot in content["plots"]:
        for trace in plot["figure"]["data"]:
            for words in (trace.get("name", ""), *trace.get("text", []), *_words(trace.get("x"))):
                assert not re.search(r"<[^b]|<b>|\$|%\{", words), words


def _words(x: Any) -> list[str]:
    return [word for word in x if isinstance(word, str)] if isinstance(x, list) else []


def test_the_page_asks_nobody(records: dict[str, Record]) -> None:
    """No element leads elsewhere, its policy allows two scripts by their digest, and it is small enough."""
    for record in records.values():
        document = page.document(page.tell([record]))
        assert len(document) < SIZE
        assert page.MARK in document[:1024]
        found = Elements(document.decode())
        places = [value for _, tag in found.tags for name, value in tag.items() if name in {"src", "href"}]
        assert all(str(place).startswith(("#", "data:")) for place in places)
        (policy,) = [tag["content"] for _, tag in found.tags if tag.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "connect-src 'none'" in policy
        assert policy.count("'sha256-") == 2
        assert "unsafe-eval" not in policy


def test_every_part_has_a_name(records: dict[str, Record]) -> None:
    """What labels or describes an element is there, no name is given twice, and every table has headers."""
    found = Elements(page.document(page.tell([records["classes"]])).decode())
    names = [str(tag["id"]) for _, tag in found.tags if "id" in tag]
    assert len(names) == len(set(names))
    for _, tag in found.tags:
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert tag.get(attribute, names[0]) in names
    assert [tag for tag, _ in found.tags].count("h1") == 1
    assert all(tag.get("aria-labelledby") for kind, tag in found.tags if kind in {"figure", "section"})
    assert all(tag.get("scope") for kind, tag in found.tags if kind == "th")


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast() -> None:
    """Curves have three times that of either ground, and words four and a half times."""
    style = (Path(page.__file__).parent / "templates" / "report.css").read_text()
    blocks = [block for block in re.findall(r"\{([^{}]*)\}", style) if "--ground:" in block]
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks)
    for theme in (light, dark):
        assert all(_contrast(ink, theme["ground"]) >= 3 for ink in INKS)
        words = ("ink", "soft", "accent", "good", "bad", "even")
        assert all(_contrast(theme[name], theme["ground"]) >= 4.5 for name in words)
        assert _contrast(theme["warned"], theme["warning"]) >= 4.5
        assert _contrast(theme["ink"], theme["raised"]) >= 4.5


# The command


def report(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "stream_bp", "report", *arguments]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def test_the_command_writes_a_page(runs: dict[str, Path], tmp_path: Path) -> None:
    """Into report.html, and over an earlier report; the path is told on standard error, and no part is left behind."""
    for _ in range(2):
        done = report(str(runs["classes"]), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "report in report.html\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    both = report(str(runs["classes"]), str(runs["again"]), "-o", "both.html", cwd=tmp_path)
    assert both.returncode == 0
    assert "2 runs side by side" in (tmp_path / "both.html").read_text()


def test_what_is_no_report_is_not_written_over(runs: dict[str, Path], tmp_path: Path) -> None:
    """A text, a folder, the history of a run: one line, and nothing changed; an empty file may be filled."""
    (tmp_path / "notes.html").write_text("<h1>mine</h1>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.html").touch()
    for place in ("notes.html", "folder", str(runs["classes"] / "history.csv")):
        done = report(str(runs["classes"]), "-o", place, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "name another" in done.stderr
    assert (tmp_path / "notes.html").read_text() == "<h1>mine</h1>"
    assert report(str(runs["classes"]), "-o", "empty.html", cwd=tmp_path).returncode == 0
    (tmp_path / "link.html").symlink_to("empty.html")
    assert report(str(runs["classes"]), "-o", "link.html", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link.html").is_symlink()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 2, "nowhere is not a run directory"),
        (["."], 2, ". is not a run directory"),
        (["RUN", "--port", "80"], 2, "--port needs --serve"),
        (["RUN", "--serve", "-o", "x.html"], 2, "output: "),
        (["RUN", "-o", "nowhere/x.html"], 6, "No such file or directory"),
        (["RUN", "nowhere"], 2, "nowhere is not a run directory"),
        ([], 2, "missing argument"),
    ],
)
def test_wrong_input_is_one_line(
    runs: dict[str, Path], tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """It names the thing, and nothing is written."""
    done = report(*(str(runs["classes"]) if word == "RUN" else word for word in arguments), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_how_to_get_it(runs: dict[str, Path], tmp_path: Path) -> None:
    """One line names the command; everything else works without."""
    code = (
        "import sys; sys.modules['plotly'] = None; sys.argv = ['stream-bp', *sys.argv[1:]]; "
        "from stream_bp.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        [*command, "report", str(runs["classes"])], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.endswith('pip install "stream-bp[report]"\n')
    assert len(done.stderr.splitlines()) == 1
    assert subprocess.run([*command, "inspect", str(runs["classes"])], check=False, capture_output=True).returncode == 0


# Served


@contextmanager
def served(*run_dirs: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a report in a process of its own; give its address."""
    command = [sys.executable, "-m", "stream_bp", "report", *map(str, run_dirs), "--serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line + process.stderr.read()
            yield found[0], process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def fetch(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_report_is_served_on_loopback(tmp_path: Path) -> None:
    """The page, what is new in it once the job went on, and nothing to who asks by another name; SIGINT is exit 0."""
    run_dir = learn(two_classes(), tmp_path / "run", 2000, target="label")
    with served(run_dir) as (url, process):
        status, text = fetch(url)
        assert status == 200
        tag = json.loads(Elements(text).scripts[0])["tag"]
        learn(two_classes(), run_dir, 4000, target="label")
        status = 204
        while status == 204:  # it is not looked as often as somebody asks
            status, text = fetch(f"{url}told.json?tag={tag}")
        assert status == 200
        assert "4,000" in json.loads(text)["summary"]
        assert fetch(f"{url}other")[0] == 404
        assert fetch(url, Host="evil.example")[0] == 421
        assert fetch(url, Host="evil.example:80")[0] == 421
        port = url.rstrip("/").rpartition(":")[2]
        assert fetch(url, Host=f"localhost:{port}")[0] == 200
        shutil.rmtree(run_dir)
        while fetch(f"{url}told.json")[0] == 200:
            pass
        assert fetch(f"{url}told.json") == (503, f"{run_dir} is not a run directory\n")
    assert process.returncode == 0


def test_a_port_in_use_is_one_line(runs: dict[str, Path], tmp_path: Path) -> None:
    """It names the port."""
    with served(runs["classes"]) as (url, _):
        port = url.rstrip("/").rpartition(":")[2]
        done = report(str(runs["classes"]), "--serve", "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert f"port {port}: Address already in use" in done.stderr


def test_what_is_served_is_not_told_twice(runs: dict[str, Path]) -> None:
    """Where nothing changed there is nothing to fetch."""
    from stream_bp.report.server import Live

    with Live({"run": runs["classes"]}) as live:
        tag = live.look()["content"]["tag"]
        os.utime(runs["classes"])
        status, text = fetch(f"{live.url}told.json?tag={tag}")
        assert (status, text) == (204, "")


def test_a_job_that_predicts_has_a_report(runs: dict[str, Path], tmp_path: Path) -> None:
    """What is asked and does not learn is scored where rows have a target."""
    rows = tmp_path / "rows"
    rows.mkdir()
    pq.write_table(two_classes(3000, seed=5), rows / "a.parquet")
    settings = ["--output", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run"), "--idle-timeout", "0.5s"]
    command = [sys.executable, "-m", "stream_bp", "predict", str(runs["classes"]), str(rows), "--follow", *settings]
    subprocess.run(command, check=True, capture_output=True)
    told = page.tell([read_record(tmp_path / "run")])
    assert {"lately", "confusion-0", "speed"} <= ids(told)
    assert page.document(told)
