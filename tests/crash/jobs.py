"""Jobs to be stopped, killed and starved: their rows, their settings, and what of them must be equal in the end."""

import gzip
import importlib
import io
import multiprocessing
import os
import pkgutil
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from connectors import Follow, Source, open_source
from connectors.files import intervals
from stream_bp import __main__
from stream_bp.cli import commands
from stream_bp.config.job import JobConfig
from stream_bp.inference import following
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.persistence.checkpoints import Checkpointer, Snapshot, decode, encode, load
from stream_bp.persistence.filesystem import FileSystem

__all__ = [
    "CONFIGURATIONS",
    "WRITERS",
    "Configuration",
    "comparable",
    "forked",
    "is_ahead",
    "look_often",
    "newest_step",
    "opened",
    "predicted",
    "predictions_of",
    "remove",
    "rows",
    "run_command",
    "run_frozen",
    "run_job",
    "saved_bytes",
    "undisturbed",
    "write_csv",
]


def write_csv(table: pa.Table, path: Path) -> None:
    """Write rows as CSV."""
    pacsv.write_csv(table, path)


def _write_gzip(table: pa.Table, path: Path) -> None:
    with gzip.open(path, "wb") as file:
        pacsv.write_csv(table, file)


def _write_bad_csv(table: pa.Table, path: Path) -> None:
    """Write rows as CSV, with what is no row before, between and behind them."""
    text = io.BytesIO()
    pacsv.write_csv(table, text)
    header, *lines = text.getvalue().splitlines()
    bad = [b"1,2", b'7,0.5,"stray"quote,"k","a",2', b"word,1,2,k,a,3", b"nul,\0", b"\xff,\xfe"]
    written = [header, bad[0]]
    for i, line in enumerate(lines):
        written += [line, *bad[: 1 + i // 9 % 5]] if i % 9 == 4 else [line]
    path.write_bytes(b"\n".join([*written, b'8,"never closed', b""]))


def _write_drifting_csv(table: pa.Table, path: Path) -> None:
    """Write rows as CSV; from the middle on one number is another, and two of the classes are each other."""
    half = len(table) // 2
    x = table["x"].to_numpy() + np.where(np.arange(len(table)) < half, 0, 4)
    swapped = {"up": "down", "down": "up", "far": "far", None: None}
    labels = [label if i < half else swapped[label] for i, label in enumerate(table["label"].to_pylist())]
    for name, column in (("x", x), ("label", labels)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    pacsv.write_csv(table, path)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "rows.parquet": lambda table, path: pq.write_table(table, path, row_group_size=700),
    "rows.csv": write_csv,
    "rows.csv.gz": _write_gzip,
}
ODD_WRITERS = {**WRITERS, "bad.csv": _write_bad_csv, "wider.csv": write_csv, "drifting.csv": _write_drifting_csv}
"""With those of rows that not every job takes."""


def rows(n: int = 3_000, seed: int = 0) -> pa.Table:
    """Rows with numbers, a category that grows, missing values, and a third class after a third of the stream."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, n))
    kind = [f"k{int(k)}" for k in random.integers(0, 3 + np.arange(n) // 300)]
    label = np.where(x + y > 0, "up", "down").astype(object)
    label[(np.arange(n) > n // 3) & (x > 1)] = "far"
    label[random.random(n) < 0.02] = None
    x[random.random(n) < 0.05] = np.nan
    return pa.table({"n": np.arange(n), "x": x, "y": y, "kind": kind, "label": label.tolist(), "value": 3 * y + 50})


@dataclass(frozen=True)
class Configuration:
    """A kind of stream and a kind of job.

    Parameters
    ----------
    writer
        The format, a key of ``ODD_WRITERS``.
    settings
        Of the job; ``batch_size`` 8 and a checkpoint after every minibatch unless they say otherwise.
    n_files
        Files that the rows are cut into.
    """

    writer: str = "rows.parquet"
    settings: dict[str, Any] = field(default_factory=dict)
    n_files: int = 1

    def write(self, folder: Path, n_rows: int) -> tuple[str, ...]:
        """Write the rows, and return the paths of the files."""
        table, paths = rows(n_rows), []
        size = -(-n_rows // self.n_files)
        for i in range(self.n_files):
            paths.append(folder / f"{i}-{self.writer}")
            part = table.slice(i * size, size)
            if self.writer == "wider.csv" and i == 0:
                part = part.drop_columns(["kind", "x"])
            ODD_WRITERS[self.writer](part, paths[-1])
        if self.settings.get("follow"):
            return (f"{folder}/*-{self.writer}",)
        return tuple(map(str, paths))

    def config(self, run_dir: Path, **settings: Any) -> JobConfig:
        """Return the settings of a job that keeps its files in a run directory."""
        target = {} if "target" in self.settings else {"target": "label", "ignore": ["value"]}
        if "predictions_dir" in self.settings:
            settings["predictions_dir"] = str(predictions_of(run_dir))
        usual = {
            "batch_size": 8,
            "hidden_layers": [4],
            "checkpoint_every": "1",
            "run_dir": str(run_dir),
            "backend": "numpy",
        }
        return JobConfig.of({**usual, **target, **self.settings, **settings})


_KEPT = {"on_bad_row": "quarantine", "numeric": ["n", "x", "y"]}  # a fifth of the records is none: types cannot be told
CONFIGURATIONS = {
    "parquet": Configuration(),
    "csv": Configuration("rows.csv"),
    "gzip csv": Configuration("rows.csv.gz"),
    "several parquet files": Configuration(n_files=3),
    "several csv files, epochs": Configuration("rows.csv", {"epochs": 2}, n_files=3),
    "epochs": Configuration(settings={"epochs": 3, "batch_size": 23}),
    "shuffle window": Configuration(settings={"shuffle_window": 50, "epochs": 2}),
    "shuffled gzip csv": Configuration("rows.csv.gz", {"shuffle_window": 64}, n_files=2),
    "one row at a time": Configuration("rows.csv", {"batch_size": 1, "max_rows": 60}),
    "regression": Configuration(settings={"target": "value", "ignore": ["label"], "lr_schedule": "warmup-cosine"}),
    "two targets": Configuration(settings={"target": ["value", "x"], "ignore": ["label"]}),
    "clipped, float64": Configuration(settings={"clip_norm": 0.5, "weight_decay": 0.01, "dtype": "float64"}),
    "deep, keep 1": Configuration(
        "rows.csv", {"hidden_layers": (5, 4, 3), "keep_checkpoints": 1, "activation": "tanh"}
    ),
    "not scaled": Configuration(settings={"scale_features": False, "scale_target": False, "learning_rate": 0.0001}),
    "few categories, gaps skipped": Configuration(
        "rows.csv", {"max_categories": 1, "hash_buckets": 3, "missing": "drop-row"}, n_files=2
    ),
    "gaps without inputs": Configuration(settings={"missing": "mean", "categorical": ["n"], "max_categories": 20}),
    "bad rows kept": Configuration("bad.csv", {**_KEPT, "epochs": 2}, n_files=2),
    "bad rows among shuffled ones": Configuration("bad.csv", {**_KEPT, "shuffle_window": 40}),
    "new columns": Configuration("wider.csv", {"new_columns": "learn"}, n_files=2),
    "followed": Configuration("rows.csv", {"follow": True, "idle_timeout": "0.3s", "batch_size": 7}, n_files=3),
    "followed, predictions": Configuration(
        "rows.csv",
        {
            "follow": True,
            "idle_timeout": "0.3s",
            "batch_size": 7,
            "predictions_dir": "beside",
            "passthrough_columns": ["n"],
        },
        n_files=3,
    ),
    "compiled": Configuration(settings={"backend": "compiled", "clip_norm": 0.5}),
    "compiled, one row at a time": Configuration(
        "rows.csv", {"backend": "compiled", "batch_size": 1, "max_rows": 60, "optimizer": "adam"}
    ),
    "predictions": Configuration(
        settings={"predictions_dir": "beside", "passthrough_columns": ["n", "value"], "epochs": 2}
    ),
    "predictions of shuffled values": Configuration(
        "rows.csv",
        {
            "target": ["value", "x"],
            "ignore": ["label"],
            "predictions_dir": "beside",
            "passthrough_columns": ["n", "label"],
            "shuffle_window": 40,
            "missing": "drop-row",
        },
        n_files=2,
    ),
    "drift": Configuration("drifting.csv", {"batch_size": 5}),
    "drift, boosted": Configuration("drifting.csv", {"on_drift": "boost-learning-rate", "lr_schedule": "inverse-time"}),
    "drift, optimizer reset": Configuration(
        "drifting.csv", {"on_drift": "reset-optimizer", "optimizer": "adam", "backend": "compiled", "batch_size": 3}
    ),
    "drift, head reset": Configuration(
        "drifting.csv", {"on_drift": "reset-head", "optimizer": "momentum", "epochs": 2}
    ),
    "loss watched": Configuration(settings={"stop_loss": 1e-9, "epochs": 2}),
    **{f"optimizer {name}": Configuration(settings={"optimizer": name}) for name in OPTIMIZERS},
}


def predictions_of(run_dir: Path) -> Path:
    """Return the folder of a job's predictions, beside its run directory."""
    return run_dir.with_name(f"{run_dir.name}-predictions")


def predicted(parts: Mapping[str, bytes]) -> bytes:
    """Return what parts hold, by their names: rows of all of them in order, however they were cut."""
    tables = [pq.read_table(pa.BufferReader(parts[name])) for name in sorted(parts)]
    whole = pa.concat_tables(tables, promote_options="default") if tables else pa.table({"row": pa.array([], "int64")})
    assert whole["row"].to_pylist() == list(range(len(whole))), "a row is missing, or there twice"
    return f"{whole.schema.remove_metadata()}\n{whole.to_pydict()}".encode()


def is_ahead(run_dir: Path) -> bool:
    """Tell whether a row is to be seen among the predictions that no checkpoint covers yet."""
    names = [path.name for path in predictions_of(run_dir).glob("part-*")]
    loaded = Checkpointer(run_dir / "checkpoints").newest()
    return max((int(name[18:30]) for name in names), default=0) > (loaded.snapshot.state["rows"] if loaded else 0)


def saved_bytes(path: Path) -> bytes:
    """Return the bytes of a checkpoint; but for the place of the predictions, which lies where the run directory is."""
    data = path.read_bytes()
    snapshot = decode(data, path)
    if snapshot.state["config"]["predictions_dir"] is None:
        return data
    return encode(Snapshot(snapshot.step, snapshot.tensors, {**snapshot.state, "config": None}))


def comparable(run_dir: Path) -> tuple[bytes, ...]:
    """Return all that must be equal: the newest checkpoint and the journals, byte for byte, and what was predicted."""
    newest = max((run_dir / "checkpoints").glob("step-*"))
    # The timeline tells what happened by the clock.
    journals = [path.read_bytes() for path in sorted(run_dir.glob("*.csv")) if path.name != "timeline.csv"]
    parts = {path.name: path.read_bytes() for path in predictions_of(run_dir).glob("*")}
    return saved_bytes(newest), *journals, predicted(parts)


def remove(run_dir: Path) -> None:
    """Remove what a job left, so that it can begin again."""
    shutil.rmtree(run_dir)
    shutil.rmtree(predictions_of(run_dir), ignore_errors=True)


def newest_step(run_dir: Path) -> int:
    """Return the step of the newest checkpoint file, -1 where there is none."""
    names = [path.name for path in (run_dir / "checkpoints").glob("step-*")]
    return int(max(names)[5:17]) if names else -1


def undisturbed(source: Path, run_dir: Path, **settings: Any) -> Summary:
    """Run a job once, from its start to its end."""
    return Job(open_source(source), run_dir=str(run_dir), **settings).run()


def opened(paths: Sequence[str], config: JobConfig) -> Source:
    """Open the source of a job; what is followed lets nobody wait long."""
    intervals.QUIET_S = intervals.LOOK_S = intervals.LIST_S = 0.01
    follow = Follow(idle_timeout_s=config.idle_timeout_s) if config.follow else None
    return open_source(*paths, **config.source_settings, follow=follow)


def look_often(every: int = 80, patch: Callable[[str, Any], None] | None = None) -> None:
    """Let journals have a line every few rows, so that there is something to cut off, and drift be found in few.

    Parameters
    ----------
    every
        Rows.
    patch
        Sets what is named; for ever, unless it is monkeypatch's.
    """
    often = {
        "job.history.next_mark": lambda rows: rows + every,
        "drift.features.next_mark": lambda rows: rows + every,
        "drift.features._FEW": 10,
        "drift.error._LEAST_SPAN": 1,
        "drift.error._GROUP": 8,
        "drift.error.MOST_VALUES": 64,
    }
    for name, value in often.items():
        if patch is not None:
            patch(f"stream_bp.{name}", value)
        else:
            module, _, attribute = name.rpartition(".")
            setattr(importlib.import_module(f"stream_bp.{module}"), attribute, value)


def run_job(
    paths: Sequence[str], config: JobConfig, disk: FileSystem | None = None, gate: Connection | None = None
) -> None:
    """Run a job to its end, in a process of its own; with a gate, not before something comes through it."""
    look_often()
    if gate is not None:
        gate.recv()
    Job(opened(paths, config), config, disk=disk).run()


def run_frozen(
    paths: Sequence[str], config: JobConfig, disk: FileSystem | None = None, gate: Connection | None = None
) -> None:
    """Run a job that predicts, with the network that a job of half of the rows has learned once and for all."""
    look_often()
    learned = Path(paths[0]).with_name("learned.safetensors")
    if not learned.exists():
        place = learned.with_suffix("")
        plain = config.model_copy(update={"run_dir": str(place), "predictions_dir": None, "passthrough_columns": ()})
        Job(opened(paths, plain), plain.model_copy(update={"max_rows": 120})).run()
        shutil.copy(max((place / "checkpoints").glob("step-*")), learned)
    if gate is not None:
        gate.recv()
    names = {
        "run_dir",
        "predictions_dir",
        "passthrough_columns",
        "idle_timeout",
        "checkpoint_every",
        "keep_checkpoints",
        "batch_size",
    }
    frozen = load(learned)
    config = following(frozen, config.model_dump(include=names))
    Job(opened(paths, config), config, frozen=frozen, disk=disk).run()


def single_rows(source: Path, run_dir: Path, *settings: str) -> list[str]:
    """Return the arguments of a command that learns row by row, slowly enough to be met at work."""
    usual = ["--target", "label", "--batch-size", "1", "--backend", "numpy"]
    return ["train", str(source), *usual, *settings, "--run-dir", str(run_dir)]


def run_command(arguments: list[str], is_lock_granted: bool = False, out: Path | None = None) -> None:
    """Run the command line, in a process of its own.

    Parameters
    ----------
    arguments
        What stands after ``stream-bp``.
    is_lock_granted
        Whether every lock is granted, held or not.
    out
        The file that standard output goes to; standard error goes beside it, to ``.stderr``.
    """
    if is_lock_granted:
        FileSystem.try_lock = lambda self, fd: True  # type: ignore[method-assign]
    sys.argv = ["stream-bp", *arguments]
    said = out.with_suffix(".stderr") if out is not None else Path(os.devnull)
    with Path(out or os.devnull).open("w") as sys.stdout, said.open("w") as sys.stderr:
        __main__.main()


def forked(target: Callable[..., object], *arguments: Any) -> ForkServerProcess:
    """Start a function in a new process, from one that has imported everything and runs no thread."""
    context = multiprocessing.get_context("forkserver")
    every = [info.name for info in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}.")]
    # pyarrow looks for pandas at its first array.
    context.set_forkserver_preload(["tests.crash.jobs", *every, "numba", "pandas"])
    process = context.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process
