"""What happened by the clock: every process of a job writes it down, and none depends on it."""

import csv
import errno
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import open_source
from stream_bp import Job
from stream_bp.job import timeline
from stream_bp.job.observer import Observer
from stream_bp.job.timeline import spacing
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.run_files import RUN_FILES

N_ROWS = 3000


class Heard(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_message(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


def run(run_dir: Path, **settings: Any) -> list[str]:
    """Learn some rows, and return what was noted."""
    heard = Heard()
    table = pa.table({"x": [float(i % 7) for i in range(N_ROWS)], "label": ["ab"[i % 2] for i in range(N_ROWS)]})
    Job(open_source(table), target="label", run_dir=str(run_dir), observer=heard, **settings).run()
    return heard.lines


def lines(run_dir: Path) -> list[dict[str, str]]:
    """Return the lines of a timeline."""
    with (run_dir / "timeline.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_has_a_start_and_an_end(tmp_path: Path) -> None:
    """Both tell rows, checkpoints and memory; the start tells version and origin, the end its reason."""
    run(tmp_path)
    start, end = lines(tmp_path)
    assert tuple(start) == RUN_FILES["timeline"].columns
    assert (start["event"], start["rows"], end["event"], end["rows"]) == ("start", "0", "end", str(N_ROWS))
    assert re.fullmatch(r"stream-bp \S+, new job", start["detail"])
    assert end["detail"] == "end_of_stream"
    assert (start["checkpoints"], end["checkpoints"]) == ("0", "2")
    (newest,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert int(end["checkpoint_bytes"]) == newest.stat().st_size
    assert float(end["checkpoint_seconds"]) > 0
    assert int(end["rss_bytes"]) > 1 << 20
    assert datetime.fromisoformat(start["time"]) <= datetime.fromisoformat(end["time"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", end["time"])


def test_every_process_appends(tmp_path: Path) -> None:
    """A job that goes on names the checkpoint that it goes on from."""
    run(tmp_path, max_rows=1024)
    before = (tmp_path / "timeline.csv").read_bytes()
    run(tmp_path)
    assert (tmp_path / "timeline.csv").read_bytes().startswith(before)
    assert [(line["event"], line["rows"]) for line in lines(tmp_path)[2:]] == [("start", "1024"), ("end", str(N_ROWS))]
    assert lines(tmp_path)[2]["detail"].endswith(", resumed from step-000000000032.safetensors")


@pytest.mark.parametrize("torn", ["2026-01-01T00:00:00.0", "2026-01-01T00:00:00.000+00:00,sam", "\0\0\0"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: str) -> None:
    """What a process was killed in is no line, and spoils none."""
    run(tmp_path, max_rows=1000)
    whole = (tmp_path / "timeline.csv").read_bytes()
    with (tmp_path / "timeline.csv").open("a") as file:
        file.write(torn)
    assert run(tmp_path) == []
    assert (tmp_path / "timeline.csv").read_bytes().startswith(whole)
    assert [line["event"] for line in lines(tmp_path)] == ["start", "end"] * 2


def test_fresh_removes_it(tmp_path: Path) -> None:
    """A job that starts over has a timeline of its own."""
    run(tmp_path, max_rows=1000)
    run(tmp_path, restart=True)
    assert [line["rows"] for line in lines(tmp_path)] == ["0", str(N_ROWS)]


def test_its_absence_is_no_matter(tmp_path: Path) -> None:
    """No checkpoint vouches for it: a job goes on without what was written before."""
    run(tmp_path, max_rows=1000)
    (tmp_path / "timeline.csv").unlink()
    run(tmp_path)
    assert [line["event"] for line in lines(tmp_path)] == ["start", "end"]


class Full(FileSystem):
    """A disk without room for a timeline."""

    def __init__(self) -> None:
        self.n_refused = 0
        self._descriptors: set[int] = set()

    def open_new(self, path: Path) -> int:
        """Remember which file it is."""
        fd = super().open_new(path)
        self._descriptors -= {fd}
        self._descriptors |= {fd} if path.name == "timeline.csv" else set()
        return fd

    def write(self, fd: int, data: bytes) -> None:
        """Refuse it."""
        if fd in self._descriptors:
            self.n_refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data)


def test_a_full_disk_is_told_once_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job learns all its rows; the timeline is not tried again."""
    monkeypatch.setattr(timeline, "spacing", lambda age_s: 0.0)
    disk = Full()
    told = [line for line in run(tmp_path, disk=disk, batch_size=1) if "timeline" in line]
    assert len(told) == 1
    assert "No space left on device; the job continues without it" in told[0]
    assert disk.n_refused == 1
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + N_ROWS // 1000


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """In a run directory that is ours nothing is added to a file of another's making."""
    run(tmp_path, max_rows=1000)
    (tmp_path / "timeline.csv").write_text("my,own,table\n")
    (told,) = run(tmp_path)
    assert "was not written by stream-bp" in told
    assert (tmp_path / "timeline.csv").read_text() == "my,own,table\n"


def test_samples_lie_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is due at every look, rows and checkpoints only grow."""
    monkeypatch.setattr(timeline, "spacing", lambda age_s: 0.0)
    run(tmp_path, batch_size=1)
    events = [line["event"] for line in lines(tmp_path)]
    assert events == ["start", *["sample"] * (len(events) - 2), "end"]
    assert len(events) > 4
    assert sorted(int(line["rows"]) for line in lines(tmp_path)) == [int(line["rows"]) for line in lines(tmp_path)]


def test_a_year_is_some_fifty_thousand_lines() -> None:
    """Samples grow apart with the age of the job, up to ten minutes."""
    age_s, n = 0.0, 0
    while age_s < 365 * 86400:
        age_s, n = age_s + spacing(age_s), n + 1
    assert 50_000 < n < 55_000


def test_the_job_goes_on_from_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spacing is that of the job, not of the process: its age counts from the first line."""
    ages: list[float] = []
    run(tmp_path, max_rows=1000)
    text = (tmp_path / "timeline.csv").read_text()
    first = text.splitlines()[1][:4]
    (tmp_path / "timeline.csv").write_text(text.replace(first, str(int(first) - 2)))

    def noted(age_s: float) -> float:
        ages.append(age_s)
        return 1.0

    monkeypatch.setattr(timeline, "spacing", noted)
    run(tmp_path)
    assert min(ages) > 365 * 86400
