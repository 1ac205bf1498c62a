"""A job that follows a folder for minutes and is killed again and again: every row once, in order, in flat memory.

One writer appends rows to a log of CSV, renames it when it is long and begins the next, and drops a file of Parquet
every second. The job predicts and learns; what it predicted proves what it learned. ``make soak`` runs ten minutes.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from stream_bp.persistence.checkpoints import load

ROTATED_S = 10
PARQUET_ROWS = 500


def write(folder: Path, rate: int, seconds: float, told: Path) -> None:
    """Write rows for so long, and tell at the end how many there are of each stream."""
    log = folder / "log.csv"
    n_log = n_parquet = n_rotated = 0
    began = next_file = rotated = time.monotonic()
    file = _begin(log)
    while (now := time.monotonic()) < began + seconds:
        due = int((now - began) * rate)
        file.write("".join(f"log,{n},{n % 7},{n % 5},{_label(n)}\n" for n in range(n_log, due)))
        n_log = max(n_log, due)
        if now > next_file:
            _drop(folder, n_parquet)
            n_parquet, next_file = n_parquet + PARQUET_ROWS, next_file + 1
        if now > rotated + ROTATED_S:
            file.close()
            n_rotated, rotated = n_rotated + 1, now
            log.rename(folder / f"log-{n_rotated:04}.csv")
            file = _begin(log)
        time.sleep(0.02)
    file.close()
    told.write_text(json.dumps({"log": n_log, "parquet": n_parquet}))


def _begin(log: Path) -> TextIO:
    file = log.open("w", buffering=1)
    file.write("stream,n,x,y,label\n")
    return file


def _drop(folder: Path, start: int) -> None:
    n = np.arange(start, start + PARQUET_ROWS)
    labels = [_label(i) for i in n.tolist()]
    table = pa.table({"stream": ["parquet"] * len(n), "n": n, "x": n % 7, "y": n % 5, "label": labels})
    hidden = folder / ".upload.tmp"
    pq.write_table(table, hidden)
    hidden.rename(folder / f"part-{start:09}.parquet")


def _label(n: int) -> str:
    return "more" if n % 7 > n % 5 else "less"


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the job, or go on with it."""
    settings = ["--target", "label", "--ignore", "stream", "--ignore", "n", "--checkpoint-every", "2s"]
    settings += ["--follow", "--follow-order", "time", "--linger", "2s", "--idle-timeout", "20s"]
    settings += [
        "--predictions-dir",
        str(folder / "predictions"),
        "--passthrough-columns",
        "stream",
        "--passthrough-columns",
        "n",
    ]
    command = [sys.executable, "-m", "stream_bp", "train", str(folder / "in"), *settings]
    with (folder / "said").open("ab") as said:
        return subprocess.Popen([*command, "--run-dir", str(folder / "run")], stdout=said, stderr=said)


def rss_mib(pid: int) -> float:
    """Return the memory that a process holds now."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def learned(folder: Path) -> int:
    """Return how many rows the newest checkpoint has."""
    return int(load(folder / "run").snapshot.state["rows"])


def check(folder: Path, written: dict[str, int]) -> None:
    """Refuse predictions that are not of every row once, in the order of each stream."""
    parts = pads.dataset(sorted((folder / "predictions").glob("part-*.parquet"), key=lambda path: path.name))
    table = parts.to_table(columns=["row", "stream", "n"])
    assert table["row"].to_pylist() == list(range(sum(written.values()))), "rows are missing, or there twice"
    for stream, count in written.items():
        found = table.filter(pa.compute.equal(table["stream"], stream))["n"].to_numpy()
        assert np.array_equal(found, np.arange(count)), f"{stream}: not every row once, in order"


def soak(folder: Path, *, minutes: float, rate: int, kills: int) -> dict[str, Any]:
    """Run everything and return the figures."""
    (folder / "in").mkdir()
    told, seconds = folder / "written.json", minutes * 60
    writer = multiprocessing.Process(target=write, args=(folder / "in", rate, seconds, told))
    writer.start()
    began = time.monotonic()
    pause = seconds * 0.42 / max(kills, 1)
    for _ in range(kills):
        job = start(folder)
        time.sleep(pause * random.uniform(0.5, 1.4))
        os.kill(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL, "the job had ended by itself"
    job, restarted = start(folder), time.monotonic()
    memory: list[tuple[float, float]] = []
    while writer.is_alive():
        time.sleep(1)
        memory.append((time.monotonic() - restarted, rss_mib(job.pid)))
    written = json.loads(told.read_text())
    lag = sum(written.values()) - learned(folder)
    stopped = time.monotonic()
    while learned(folder) < sum(written.values()) - 31 and time.monotonic() < stopped + 120:
        time.sleep(0.1)
    caught_up = time.monotonic() - stopped
    assert job.wait() == 0, (folder / "said").read_text()[-2_000:]
    check(folder, written)
    settled = np.array([point for point in memory if point[0] > min(150, memory[-1][0] / 2)])
    return {
        "seconds": round(stopped - began),
        "rows": written,
        "kills": kills,
        "memory_mib": round(float(settled[-1, 1]), 1),
        "memory_slope_mib_per_minute": round(float(np.polyfit(settled[:, 0] / 60, settled[:, 1], 1)[0]), 2),
        "memory_observed_s": round(float(settled[-1, 0] - settled[0, 0])),
        "lag_rows_when_the_writer_ends": lag,
        "caught_up_after_s": round(caught_up, 1),
        "checkpoint_bytes": max(path.stat().st_size for path in (folder / "run" / "checkpoints").iterdir()),
    }


def main() -> None:
    """Run a soak, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=5_000, help="rows per second of the log")
    parser.add_argument("--kills", type=int, default=30)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    figures = soak(folder, minutes=arguments.minutes, rate=arguments.rate, kills=arguments.kills)
    shutil.rmtree(folder)
    print(json.dumps(figures, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
