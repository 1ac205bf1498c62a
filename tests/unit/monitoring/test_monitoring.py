"""A job that is watched: its panel, its lines, its figures over HTTP."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from connectors import open_source
from stream_bp import Job
from stream_bp.config.monitoring import Watching
from stream_bp.errors import ConfigError
from stream_bp.job.observer import Observer, Observers, Status
from stream_bp.monitoring.endpoint import Metrics
from stream_bp.monitoring.observers import observing
from stream_bp.monitoring.terminal import TerminalPanel
from tests.docs_site import reference

N_ROWS = 4000


def table() -> pa.Table:
    """Return rows of two classes; one feature is missing now and then."""
    x = [None if i % 100 == 7 else float(i % 7) for i in range(N_ROWS)]
    labels = ["yes" if i % 7 > i % 5 else "no" for i in range(N_ROWS)]
    return pa.table({"x": x, "z": [float(i % 5) for i in range(N_ROWS)], "label": labels})


def run(observer: Observer, **settings: Any) -> None:
    """Learn the rows, watched."""
    Job(open_source(table()), target="label", observer=observer, **settings).run()


def fetch(url: str, method: str = "GET") -> tuple[int, str]:
    """Return the status and the text of a page."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what a scrape finds, by name and labels, as Prometheus' own client reads it."""
    status, text = fetch(url)
    assert status == 200
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


class At(Observer):
    """Does something once, in the middle of a job."""

    def __init__(self, do: Callable[[Status], object]) -> None:
        self.do = do
        self.is_done = False

    def on_progress(self, status: Status) -> None:
        """Do it."""
        if not self.is_done and status.state.rows > N_ROWS / 2:
            self.is_done = True
            self.do(status)


@contextmanager
def served(**settings: Any) -> Iterator[Metrics]:
    """Give metrics on a port that is free."""
    with Metrics(0, **settings) as metrics:
        yield metrics


def test_a_scrape_tells_what_the_summary_tells(tmp_path: Path) -> None:
    """Rows, scores, baselines, layers and checkpoints are those of the job, under names that the client accepts."""
    with served() as metrics:
        summary = Job(
            open_source(table()), target="label", run_dir=str(tmp_path / "run"), batch_size=8, observer=metrics
        ).run()
        found = samples(metrics.url)
    plain = {name: value for (name, labels), value in found.items() if not labels}
    assert plain["stream_bp_job_rows"] == plain["stream_bp_rows_total"] == N_ROWS
    assert plain["stream_bp_minibatches_total"] == N_ROWS / 8
    assert plain["stream_bp_missing_values_total"] == summary.quality["missing"]["x"] == 40
    assert plain["stream_bp_loss"] == pytest.approx(summary.loss)
    assert plain["stream_bp_checkpoint_seconds_count"] == 2
    assert plain["stream_bp_checkpoint_bytes"] == Path(str(summary.checkpoint)).stat().st_size
    assert abs(time.time() - plain["stream_bp_checkpoint_timestamp_seconds"]) < 600
    assert plain["stream_bp_step_seconds_count"] == N_ROWS / 8
    assert plain["stream_bp_read_seconds_count"] >= 1
    assert plain["stream_bp_progress_ratio"] == 1
    assert plain["stream_bp_run_directory_free_bytes"] > 0
    assert plain["stream_bp_run_directory_bytes"] > plain["stream_bp_checkpoint_bytes"]
    assert plain["process_resident_memory_bytes"] > 1e6
    key = (("metric", "accuracy"), ("predictor", "model"), ("window", "all"))
    assert found["stream_bp_score", key] == summary.metrics["accuracy"]
    key = (("metric", "kappa"), ("predictor", "no_change"), ("window", "all"))
    assert found["stream_bp_score", key] == summary.baselines["no_change"]["kappa"]
    for layer, sizes in enumerate(summary.layers, start=1):
        assert found["stream_bp_delta_rms", (("layer", str(layer)),)] == sizes["delta_rms"]


def test_the_page_names_what_is_served(tmp_path: Path) -> None:
    """Each metric with its labels is on the page, and no other."""
    path = tmp_path / "rows.csv"
    lines = [*(f"{i % 7},{i % 5 if i < 3000 else 40},{i % 2}" for i in range(5000)), "few"]
    path.write_text("\n".join(["x,z,y", *lines, ""]))
    with served() as metrics:
        source = open_source(path, keeps_bad_rows=True)
        run_dir = str(tmp_path / "run")
        Job(source, target="y", task="classification", on_bad_row="skip", run_dir=run_dir, observer=metrics).run()
        status, text = fetch(metrics.url)
    assert status == 200
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = re.sub("_(bucket|sum|count)$", "", sample.name) if family.type == "histogram" else sample.name
            if name.startswith("stream_bp_") and not name.endswith("_created"):
                found.setdefault(name, set()).update(sample.labels)
    page = reference.pages()["reference/metrics.md"]
    rows = re.findall(r"^\| `(stream_bp_\w+)` \| \w+ \| (.*?) \|", page, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    served_labels = {name: labels - {"le"} for name, labels in found.items()}  # the buckets of every histogram
    assert named == {**served_labels, "stream_bp_lag_bytes": set()}


def test_counters_count_what_the_process_did(tmp_path: Path) -> None:
    """A job that goes on begins its counters anew, and tells how far it is over all its runs."""
    settings = {"run_dir": str(tmp_path / "run"), "batch_size": 10}
    run(Observer(), max_rows=1000, **settings)
    with served() as metrics:
        run(metrics, max_rows=1500, **settings)
        found = samples(metrics.url)
    assert found["stream_bp_job_rows", ()] == 1500
    assert found["stream_bp_rows_total", ()] == 500


def test_bad_rows_are_told_by_their_kind(tmp_path: Path) -> None:
    """What could not be read is counted by reason, and by nothing that the data decide."""
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join("1\n" if i == 50 else f"{i % 3},{i % 2}\n" for i in range(400)))
    with served() as metrics:
        source = open_source(path, keeps_bad_rows=True)
        Job(source, target="y", on_bad_row="skip", observer=metrics).run()
        found = samples(metrics.url)
    assert found["stream_bp_bad_rows_total", (("kind", "fields"),)] == 1


def test_health_and_readiness() -> None:
    """A process is well while it answers; a job is ready while it learns, not before, not behind its end."""
    answers: dict[str, tuple[int, str]] = {}
    with served() as metrics:
        place = metrics.url.removesuffix("/metrics")
        before = fetch(f"{place}/readyz")
        run_at = At(lambda _: answers.update(ready=fetch(f"{place}/readyz"), healthy=fetch(f"{place}/healthz")))
        run(Observers([metrics, run_at]))
        after = fetch(f"{place}/readyz")
        assert fetch(f"{place}/healthz") == (200, "ok\n")
        assert fetch(f"{place}/")[0] == 404
        assert fetch(metrics.url, "POST")[0] == 405
    assert before == (503, "the job is starting: it opens its source, or waits for the first rows\n")
    assert answers == {"ready": (200, "ready\n"), "healthy": (200, "ok\n")}
    assert after == (503, "the job has ended: end_of_stream\n")


def test_a_job_that_stands_still_is_not_ready() -> None:
    """Where for longer than the bound nothing was learned, and nothing was found to be missing, that is told."""
    told = []
    with served(ready_within_s=0.05) as metrics:

        def look(_: Status) -> None:
            told.append(metrics.not_ready())
            time.sleep(0.1)
            told.append(metrics.not_ready())

        run(Observers([metrics, At(look)]))
    assert told[0] == ""
    assert "neither learned a row nor found" in told[1]


def test_it_is_served_on_loopback_unless_told() -> None:
    """No other machine can ask, and a port that is taken is told in one line."""
    with served() as metrics:
        assert metrics.url.startswith("http://127.0.0.1:")
        port = int(metrics.url.split(":")[2].split("/")[0])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=1)
        with pytest.raises(ConfigError, match=f"cannot serve metrics on 127.0.0.1, port {port}: Address already"):
            Metrics(port)


def test_who_connects_and_says_nothing_keeps_nobody_waiting() -> None:
    """Others are answered meanwhile."""
    with served() as metrics:
        port = int(metrics.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):
            assert fetch(metrics.url)[0] == 200


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_panel_shows_what_a_person_looks_for(tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, rate, time left, the score beside its baselines, loss, learning rate, and the last checkpoint."""
    monkeypatch.setattr("stream_bp.monitoring.terminal._EVERY_S", 0)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    target = "label" if task == "classification" else "z"
    with TerminalPanel(console) as panel:
        source = open_source(table())
        Job(
            source, target=target, task=task, run_dir=str(tmp_path), checkpoint_every="50", batch_size=8, observer=panel
        ).run()
    said = out.getvalue()
    words = ["rows/s", "%", "left", "all rows", "rolling", "loss", "learning rate", "checkpoint", "ago"]
    words += ["accuracy", "no change", "prior"] if task == "classification" else ["mae", "no change", "mean"]
    for word in [f"{task} of {target}", *words]:
        assert word in said, word


def test_quiet_says_nothing_but_the_result() -> None:
    """Standard error is empty; the observer that is left hears all the same."""
    out = io.StringIO()
    with observing(Watching.of({"quiet": True}), Console(file=out)) as observer:
        run(observer)
    assert out.getvalue() == ""


def test_json_lines_have_stable_names() -> None:
    """Each line is an object with a time, an event and a message; a progress has its figures."""
    out = io.StringIO()
    with observing(Watching.of({"log_format": "json"}), Console(file=out)) as observer:
        run(observer)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "begin", "end"]
    assert all({"time", "event", "message"} <= line.keys() for line in lines)
    end = lines[-1]
    assert (end["message"], end["rows"], end["progress"]) == ("end_of_stream", N_ROWS, 1.0)
    assert list(end) == [
        *("time", "event", "message", "rows", "minibatches", "rows_per_second", "progress", "is_idle", "loss"),
        *("learning_rate", "metrics", "rolling", "baselines", "bad_rows", "error_drifts", "drifted_features"),
        "checkpoint",
    ]


def test_json_tells_an_error_once(tmp_path: Path) -> None:
    """What ends a job is a line of the log, with the exit code, and no second line of text."""
    command = [sys.executable, "-m", "stream_bp", "train", "nothing.csv", "--target", "y", "--log-format", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["exit_code"], done.returncode) == ("error", 1, 1)
    assert "nothing.csv: no such file" in line["message"]


def test_a_file_of_settings_may_say_how_to_watch(tmp_path: Path) -> None:
    """Its keys are the flags; those of the process are not of the job, and enter no checkpoint."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(400)))
    (tmp_path / "job.toml").write_text('target = "y"\nrun-dir = "run"\nquiet = true\nlog-format = "json"\n')
    command = [sys.executable, "-m", "stream_bp", "train", "rows.csv", "--config", "job.toml"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
    (newest,) = (tmp_path / "run" / "checkpoints").glob("*13.safetensors")
    assert b"log_format" not in newest.read_bytes()


@pytest.mark.parametrize("arguments", [["--learning-rate", "-1"], ["--metrics-port", "70000"], ["--config", "no.toml"]])
def test_errors_before_anything_runs_are_told_once(tmp_path: Path, arguments: list[str]) -> None:
    """As an object, if it is known by then that objects are wanted; as text if not."""
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n")
    command = [sys.executable, "-m", "stream_bp", "train", "rows.csv", "--target", "y", "--log-format", "json"]
    done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("{" if arguments[0] == "--learning-rate" else "stream-bp: ")


def test_names_of_any_script_are_valid_json(tmp_path: Path) -> None:
    """Whatever standard error is encoded as, and whatever looks like the name of an emoji."""
    (tmp_path / "rows.csv").write_text("a:key:b,prix_é🔑,y\n" + "".join(f"{i % 3},1,{i % 2}\n" for i in range(99)))
    command = [sys.executable, "-m", "stream_bp", "train", "rows.csv", "--target", "a:key:b"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for more in (["--log-format", "json"], ["--log-format", "json", "--json"], []):
        done = subprocess.run([*command, *more], check=True, capture_output=True, cwd=tmp_path, env=ascii_only)
        assert b"a:key:b" in done.stdout + done.stderr
        for line in done.stderr.splitlines() if more else ():
            json.loads(line)


def test_a_log_that_cannot_be_written_ends_no_job(tmp_path: Path) -> None:
    """A disk that is full of logs is no reason to stop learning."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(400)))
    command = [sys.executable, "-m", "stream_bp", "train", "rows.csv", "--target", "y", "--log-format", "json"]
    for unbuffered in ({}, {"PYTHONUNBUFFERED": "1"}):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | unbuffered
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command, check=False, stdout=subprocess.PIPE, stderr=full, cwd=tmp_path, env=environment
            )
        assert done.returncode == 0
        assert b"400 rows" in done.stdout


@pytest.mark.parametrize("variable", [{"FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_panel_where_none_can_be_seen(tmp_path: Path, variable: dict[str, str]) -> None:
    """A file is no terminal, whatever the environment says."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(400)))
    command = [sys.executable, "-m", "stream_bp", "train", "rows.csv", "--target", "y"]
    done = subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env={**os.environ, **variable})
    assert b"classification of y" in done.stderr
    assert b"\x1b[2K" not in done.stderr
    assert b"rows/s" not in done.stderr


def test_head_has_no_body() -> None:
    """As HTTP wants it, for each of the pages."""
    with served() as metrics:
        place = metrics.url.removesuffix("/metrics")
        assert fetch(metrics.url, "HEAD") == (200, "")
        assert fetch(f"{place}/healthz", "HEAD") == (200, "")
        assert fetch(f"{place}/readyz", "HEAD") == (503, "")
