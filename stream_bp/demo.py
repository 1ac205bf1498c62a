"""``make run``: a demonstration on real rows, in a minute or two. It runs the commands of the command line.

Two real streams of River are written to files and learned row by row. Then a drifting stream of a million rows, made by
River's generators, is learned by a job that is killed twice and resumed. Its weights, metrics and history are
bit-identical to those of an uninterrupted job.
"""

import csv
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from connectors import open_writer

__all__ = ["main"]

_FOLDER = Path("runs/demo")
_DRIFTING_ROWS = 1_000_000
_CONSOLE = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demonstration in ``runs/demo`` under the current folder; return the exit code."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    _title("Two real streams, as CSV files, one row at a time")
    for name, target, options in (
        ("phishing", "is_phishing", ["--learning-rate", "0.03"]),
        ("image_segments", "category", ["--learning-rate", "0.03"]),
    ):
        path = _write_river_stream(name, target)
        _run("train", str(path), "--target", target, "--batch-size", "1", *options)
    _title(f"A drifting stream of {_DRIFTING_ROWS:,} rows, as Parquet")
    drifting = _write_drifting_stream()
    return _kill_and_resume(drifting)


def _kill_and_resume(path: Path) -> int:
    """Learn a stream without interruption, and again with kills. Compare to the last bit."""
    train = ["train", str(path), "--target", "label", "--batch-size", "8", "--checkpoint-every", "10000"]
    _title("The job without interruption")
    _run(*train, "--run-dir", str(_FOLDER / "undisturbed"))
    _title("The same job, killed twice (SIGKILL) and resumed")
    disturbed = _FOLDER / "killed"
    for _ in range(2):
        _kill(_command(*train, "--run-dir", str(disturbed)), disturbed)
    _run("resume", str(disturbed))
    results = [_inspect(_FOLDER / name) for name in ("undisturbed", "killed")]
    histories = [(_FOLDER / name / "history.csv").read_bytes() for name in ("undisturbed", "killed")]
    is_same = results[0] == results[1] and histories[0] == histories[1]
    verdict = "weights, metrics and history are bit-identical" if is_same else "NOT identical"
    _title(f"{verdict}: weights {results[0]['weights_sha256'][:16]}… and {results[1]['weights_sha256'][:16]}…")
    return 0 if is_same else 1


def _kill(command: list[str], run_dir: Path) -> None:
    """Start a job and kill it some time after its next checkpoint."""
    process = subprocess.Popen(command)  # noqa: S603
    before = _checkpoints(run_dir)
    while len(_checkpoints(run_dir) - before) < 2 and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.random() / 5)  # noqa: S311
    process.send_signal(signal.SIGKILL)
    process.wait()
    _CONSOLE.print(f"  killed (exit {process.returncode}); newest checkpoint {max(_checkpoints(run_dir))}")


def _checkpoints(run_dir: Path) -> set[str]:
    folder = run_dir / "checkpoints"
    return {path.name for path in folder.glob("step-*")} if folder.is_dir() else set()


def _inspect(run_dir: Path) -> dict[str, Any]:
    """Return the figures of a run that must be equal."""
    command = _command("inspect", str(run_dir), "--json")
    content = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    return {key: content[key] for key in ("weights_sha256", "rows", "metrics", "rolling", "baselines", "layers")}


def _write_river_stream(name: str, target: str) -> Path:
    """Write a stream of River's package to a CSV file."""
    from river import datasets  # noqa: PLC0415 - takes a second

    kind: Any = {"phishing": datasets.Phishing, "image_segments": datasets.ImageSegments}[name]
    stream = kind()
    path = _FOLDER / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for x, y in stream:
            row = {**x, target: y}
            writer = writer or csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
    return path


def _write_drifting_stream() -> Path:
    """Write rows of River's SEA generator to a Parquet file. The concept changes after each quarter of the rows."""
    path = _FOLDER / "drifting.parquet"
    began = time.monotonic()
    blocks = _sea_blocks(50_000)
    first = next(blocks)
    with open_writer(path, first.schema) as writer:
        for block in itertools.chain([first], blocks):
            writer.write_batch(block)
    n_rows, seconds = pq.read_metadata(path).num_rows, time.monotonic() - began
    _CONSOLE.print(f"  {path}: {n_rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB, written in {seconds:.0f} s")
    return path


def _sea_blocks(n_rows: int) -> Iterator[pa.RecordBatch]:
    from river.datasets import synth  # noqa: PLC0415 - takes a second

    quarter = _DRIFTING_ROWS // 4
    for variant in range(4):
        stream = iter(synth.SEA(variant=variant, noise=0.05, seed=variant))
        for _ in range(0, quarter, n_rows):
            rows = list(itertools.islice(stream, n_rows))
            columns: dict[str, Any] = {f"x{i}": [x[i] for x, _ in rows] for i in range(3)}
            yield pa.RecordBatch.from_pydict({**columns, "label": [bool(y) for _, y in rows]})


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stream_bp", *arguments]


def _run(*arguments: str) -> None:
    _CONSOLE.print(f"\n$ stream-bp {' '.join(arguments)}", style="bold")
    subprocess.run(_command(*arguments), check=True)  # noqa: S603


def _title(text: str) -> None:
    _CONSOLE.print(f"\n── {text}", style="bold cyan")


if __name__ == "__main__":
    sys.exit(main())
