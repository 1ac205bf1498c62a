"""Jobs that run and are watched: what they export is what alerts and dashboards may ask for."""

import http.client
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Watched", "watched", "write_rows"]


@dataclass(frozen=True)
class Watched:
    """A running job.

    Parameters
    ----------
    process
        Its process.
    address
        Host and port of its figures.
    run_dir
        Its run directory.
    """

    process: subprocess.Popen[str]
    address: str
    run_dir: Path

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def exported(self) -> dict[str, set[tuple[tuple[str, str], ...]]]:
        """Return the labels of every series, by its name."""
        found: dict[str, set[tuple[tuple[str, str], ...]]] = {}
        for family in text_string_to_metric_families(self.ask("/metrics")[1]):
            for sample in family.samples:
                found.setdefault(sample.name, set()).add(tuple(sorted(sample.labels.items())))
        return found


def write_rows(path: Path, n: int = 6_000, seed: int = 0) -> None:
    """Write rows of CSV: two classes and a value, a gap now and then, and one row that is none."""
    draw = random.Random(seed)
    lines = ["x,y,label,value"]
    for i in range(n):
        x, y = draw.random(), draw.random()
        gap = "" if i % 97 == 3 else f"{x:.4f}"
        lines.append(f"{gap},{y:.4f},{'up' if x > y else 'down'},{3 * x + y:.4f}")
    lines.insert(1_000, "too,few")
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def watched(folder: Path, target: str, **settings: str) -> Iterator[Watched]:
    """Run a job that follows a folder of rows, and give it once it has learned what is there."""
    incoming, run_dir, log = folder / "incoming", folder / "run", folder / "log"
    incoming.mkdir(parents=True, exist_ok=True)
    write_rows(incoming / "0.csv")
    options = {"target": target, "run-dir": str(run_dir), "batch-size": "8", "on-bad-row": "quarantine"}
    options |= {"numeric": "x", "ignore": "value" if target == "label" else "label", "metrics-port": "0"}
    options |= {name.replace("_", "-"): value for name, value in settings.items()}
    flags = [f"--{name}={value}" for name, value in options.items()]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_bp", "train", str(incoming), "--follow", *flags],
            stdout=subprocess.DEVNULL,
            stderr=file,
            text=True,
        )
    try:
        job = Watched(process, _address(process, log), run_dir)
        _until(lambda: (("stream_bp_source_idle 1.0\n" in job.ask("/metrics")[1]), log.read_text()))
        yield job
    finally:
        process.terminate()
        process.wait(30)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    def told() -> tuple[bool, str]:
        text = log.read_text()
        assert process.poll() is None, text
        return "/metrics\n" in text, text

    return _until(told).partition("metrics on http://")[2].partition("/metrics")[0]


def _until(look: Callable[[], tuple[bool, str]]) -> str:
    """Look again and again until it is so."""
    deadline = time.monotonic() + 120
    is_so, text = look()
    while not is_so:
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
        is_so, text = look()
    return text
