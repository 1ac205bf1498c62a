"""Reads the tables and the newest checkpoint of a run directory, also while the job runs.

It locks nothing and writes nothing.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from stream_bp import inference
from stream_bp._arrays import Floats
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.job.events import describe_change
from stream_bp.metrics import classification, regression
from stream_bp.models.restore import restore_evaluation
from stream_bp.persistence import checkpoints
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.persistence.run_files import current_column
from stream_bp.persistence.state_schema import holds_job
from stream_bp.report.csv_tables import Table, read_table

__all__ = ["Clock", "Outcomes", "Record", "Saved", "named", "read_record"]

_TRIES = 3  # the job may remove a checkpoint between the listing of the folder and the read
_TIMELINE = 1 << 17  # lines to keep: about two years


class Clock:
    """The times at which rows were learned.

    Parameters
    ----------
    timeline
        The timeline of a job.

    Attributes
    ----------
    moments
        The times of its lines, in ms since 1970, shape (n,); NaN for invalid times.

    Notes
    -----
    After a kill, the next process learns some rows again. The last time counts.
    """

    def __init__(self, timeline: Table) -> None:
        self.moments = np.array([_moment(cell) for cell in timeline.words("time")], np.float64)
        rows, events = timeline.numbers("rows"), timeline.words("event")
        path: list[tuple[float, float]] = []
        for event, moment, n_rows in zip(events, self.moments, rows, strict=True):
            if np.isnan(moment) or np.isnan(n_rows):
                continue
            if event == "start" and path:
                stopped = _passed(path, n_rows)
                while path and path[-1][0] >= n_rows:
                    path.pop()
                path.append((n_rows, min(stopped, moment)))
            if not path or path[-1] <= (n_rows, moment):
                path.append((n_rows, moment))
        self._rows, self._moments = np.array(path or [(np.nan, np.nan)]).T

    def at(self, rows: Sequence[float] | Floats) -> Floats:
        """Return the times at which these row counts were reached, in ms since 1970; NaN where unknown."""
        if np.isnan(self._rows[0]):
            return np.full(len(rows), np.nan)
        moments: Floats = np.interp(rows, self._rows, self._moments, left=np.nan)
        return moments


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The predictions and true values of one target.

    Attributes
    ----------
    name
        The target.
    labels
        Its classes, by code; empty for a regression.
    confusion
        Rows by true and predicted class, shape (n_classes, n_classes); (0, 0) for a regression.
    support
        Rows of each class, also those without a prediction, shape (n_classes,).
    true, predicted
        The last scored rows, oldest first, shape (n,): codes, or values. A missing prediction has the code -1.
    """

    name: str
    labels: tuple[str, ...]
    confusion: Floats
    support: Floats
    true: Floats
    predicted: Floats


@dataclass(frozen=True, slots=True)
class Saved:
    """The newest checkpoint.

    Attributes
    ----------
    content
        The result of :func:`~stream_bp.inference.inspect`.
    recent_baselines
        Rolling metrics of the baselines.
    window
        Number of rows of the rolling window.
    outcomes
        The outcomes of each target.
    n_bytes
        Size of the file.
    """

    content: dict[str, Any]
    recent_baselines: dict[str, dict[str, float | None]]
    window: int
    outcomes: tuple[Outcomes, ...]
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a run directory.

    Attributes
    ----------
    name
        The name of the run.
    path
        The run directory.
    history, timeline, events, drift, quarantine
        The tables; empty if there is no file.
    saved
        The newest checkpoint; ``None`` if there is none yet, or the model cannot be resumed.
    trouble
        Why the checkpoints cannot be read; else empty.
    read_at
        The time of reading, in ms since 1970.
    """

    name: str
    path: Path
    history: Table
    timeline: Table
    events: Table
    drift: Table
    quarantine: Table
    saved: Saved | None
    trouble: str
    read_at: float
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", Clock(self.timeline))

    @property
    def event_details(self) -> list[str]:
        """The details of each event. Release 0.2.0 has them in one column."""
        if "detail" in self.events.columns:
            return self.events.words("detail")
        changes = zip(*map(self.events.words, ("subject", "before", "after")), strict=True)
        return [describe_change(change) for change in changes]

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        if self.saved is not None:
            return str(self.saved.content["columns"]["task"])
        return "regression" if "mae" in self.history.columns else "classification"


def named(run_dirs: Sequence[str]) -> dict[str, Path]:
    """Return run directories by unique names, made of as few last parts of their paths as possible.

    Examples
    --------
    >>> list(named(["runs/a/first", "runs/b/first"]))
    ['a/first', 'b/first']
    """
    paths = [Path(place) for place in dict.fromkeys(run_dirs)]
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, paths, strict=True))


def read_record(run_dir: str | Path, name: str = "") -> Record:
    """Read a run directory.

    Parameters
    ----------
    run_dir
        The directory.
    name
        The name of the run; by default, that of the directory.

    Raises
    ------
    ConfigError
        If it is not a run directory.
    DiskError
        If a table cannot be read.
    """
    directory = RunDirectory(run_dir)
    if not directory.path.is_dir():
        raise ConfigError(f"{run_dir} is not a run directory")
    tables = {
        "history": _with_current_columns(read_table(directory.file("history"))),
        "timeline": read_table(directory.file("timeline"), most=_TIMELINE),
        "events": read_table(directory.file("events")),
        "drift": read_table(directory.file("psi"), most=_TIMELINE),
        "quarantine": read_table(directory.file("quarantine")),
    }
    saved, trouble = None, ""
    try:
        saved = _read_saved(directory)
    except CheckpointError as error:
        trouble = str(error)
    is_run = saved is not None or trouble or "rows" in tables["history"].columns or len(tables["timeline"])
    if not is_run:
        raise ConfigError(f"{run_dir} is not a run directory")
    called = name or directory.path.resolve().name
    return Record(called, directory.path, **tables, saved=saved, trouble=trouble, read_at=1000 * time.time())


def _with_current_columns(table: Table) -> Table:
    """Return a history of any release with the present column names."""
    return replace(table, columns=tuple(map(current_column, table.columns)))


def _read_saved(directory: RunDirectory) -> Saved | None:
    for attempt in range(1, _TRIES + 1):
        if not directory.peek():
            return None
        try:
            loaded = checkpoints.load(directory.path)
            n_bytes = loaded.path.stat().st_size
            break
        except (CheckpointError, FileNotFoundError):
            if attempt == _TRIES:
                raise
    if not holds_job(loaded.snapshot):
        return None
    content = inference.inspect(loaded)
    evaluation = restore_evaluation(loaded.snapshot)
    state = evaluation.state_dict()
    outcomes = []
    for number, column in enumerate(content["columns"]["targets"]):
        found = {name.rpartition(".")[0]: array for name, array in state.arrays.items() if name.endswith(f".{number}")}
        labels = content["labels"][number] if number < len(content["labels"]) else ()
        make = _of_values if evaluation.task == "regression" else _of_classes
        outcomes.append(make(column["name"], tuple(map(str, labels)), found))
    return Saved(content, evaluation.baselines(rolling=True), state.values["window"], tuple(outcomes), n_bytes)


def _of_classes(name: str, labels: tuple[str, ...], arrays: dict[str, Any]) -> Outcomes:
    confusion = arrays["confusion"][0]
    n_rows, codes = int(confusion.sum()), [classification.TRUE, classification.PREDICTED]
    true, predicted = _recent(arrays["ring"], n_rows)[codes]
    labels = (*labels, *(f"class {code}" for code in range(len(labels), len(confusion))))
    # The first column counts the rows without a prediction.
    return Outcomes(name, labels, confusion[:, 1:].astype(float), confusion.sum(axis=1).astype(float), true, predicted)


def _of_values(name: str, labels: tuple[str, ...], arrays: dict[str, Any]) -> Outcomes:
    rows = _recent(arrays["ring"], int(arrays["running"][0]))
    support = arrays["running"][:1].astype(float)
    return Outcomes(name, labels, np.zeros((0, 0)), support, rows[regression.TRUE], rows[regression.PREDICTED])


def _recent(ring: Floats, n_rows: int) -> Floats:
    """Return the rows in a ring, (n_fields, window), oldest first."""
    # Row n is at n modulo the window, since new rows overwrite the oldest.
    window = ring.shape[1]
    return ring[:, np.arange(max(n_rows - window, 0), n_rows) % window]


def _passed(path: Sequence[tuple[float, float]], n_rows: float) -> float:
    """Return when a process reached a row count. After its last line, the pace of its last two lines is assumed."""
    behind = min(max(bisect_left(path, (n_rows, -np.inf)), 1), len(path) - 1)
    (first, began), (last, ended) = path[behind - 1], path[behind]
    if len(path) < 2 or first == last:
        return ended
    return ended + max(ended - began, 0.0) / (last - first) * (n_rows - last)


def _moment(cell: str) -> float:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return float("nan")
    return 1000 * moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
