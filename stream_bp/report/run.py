"""What a run directory records of its job: its tables and its newest checkpoint, read while the job may be writing.

Nothing is locked, and nothing is written.
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
from stream_bp.persistence.run_directory import RunDirectory, current_column
from stream_bp.persistence.state_schema import holds_job
from stream_bp.report.csv_tables import Table, read_table

__all__ = ["Clock", "Outcomes", "Record", "Saved", "named", "read_record"]

_TRIES = 3  # a checkpoint may be rotated away between the look at the folder and the look into the file
_TIMELINE = 1 << 17  # lines that are kept: of two years


class Clock:
    """When how many rows had been learned.

    Parameters
    ----------
    timeline
        A job's.

    Attributes
    ----------
    moments
        The times of its lines, in ms since 1970, shape (n,); NaN for what is none.

    Notes
    -----
    A process that was killed had learned rows that the next one learned again: what counts is the last time.
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
        """Return the moment at which so many rows had been learned, in ms since 1970; NaN where nobody knows."""
        if np.isnan(self._rows[0]):
            return np.full(len(rows), np.nan)
        moments: Floats = np.interp(rows, self._rows, self._moments, left=np.nan)
        return moments


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What was predicted for one target, and what was true.

    Attributes
    ----------
    name
        The target.
    labels
        Its classes, by code; none of a regression.
    confusion
        Rows by true class and predicted one, shape (n_classes, n_classes); (0, 0) of a regression.
    support
        Rows of each class, those without a prediction included, shape (n_classes,).
    true, predicted
        Of the last scored rows, oldest first, shape (n,): codes, predicted -1 where nothing was; or values.
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
        As :func:`~stream_bp.inference.inspect` tells it.
    recent_baselines
        Metrics of the baselines over the last rows.
    window
        How many rows these are.
    outcomes
        By target.
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
    """What a run directory records.

    Attributes
    ----------
    name
        What the run is called.
    path
        The run directory.
    history, timeline, events, drift, quarantine
        The tables; empty where there is none.
    saved
        The newest checkpoint; ``None`` of a model that cannot be resumed, or where there is none yet.
    trouble
        Why there is no checkpoint though there should be.
    read_at
        When it was read, in ms since 1970.
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
        """What each event says of its subject; release 0.2.0 wrote it as one column."""
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
    """Return run directories by what to call them: as few of the last parts of their paths as tell them apart.

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
    """Read what a run directory records.

    Parameters
    ----------
    run_dir
        The directory.
    name
        What to call the run; as the directory is called, if it is not given.

    Raises
    ------
    ConfigError
        If it is no run directory.
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
    """Return a history of any release with the present names of its columns."""
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
    return Outcomes(name, labels, confusion[:, 1:].astype(float), confusion.sum(axis=1).astype(float), true, predicted)


def _of_values(name: str, labels: tuple[str, ...], arrays: dict[str, Any]) -> Outcomes:
    rows = _recent(arrays["ring"], int(arrays["running"][0]))
    support = arrays["running"][:1].astype(float)
    return Outcomes(name, labels, np.zeros((0, 0)), support, rows[regression.TRUE], rows[regression.PREDICTED])


def _recent(ring: Floats, n_rows: int) -> Floats:
    """Return the rows in a ring, (n_fields, window), oldest first."""
    window = ring.shape[1]
    return ring[:, np.arange(max(n_rows - window, 0), n_rows) % window]


def _passed(path: Sequence[tuple[float, float]], n_rows: float) -> float:
    """Return when a process had learned so many rows; beyond its last line, at the pace of the two before that."""
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
