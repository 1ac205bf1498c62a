"""Compares models on one stream: each learns the same rows, one model after the other."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from connectors import Source
from stream_bp.comparison import river_models
from stream_bp.config.job import NETWORK, JobConfig
from stream_bp.errors import ConfigError, DataError, DivergenceError
from stream_bp.job import signals
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.persistence.checkpoints import LoadedCheckpoint
from stream_bp.planning.plan import plan
from stream_bp.preprocessing.schema import Task

__all__ = ["Comparison", "Score", "compare"]

_POINT_ROWS = 50  # between two points of a curve at first; 1 % of the rows later
_CURVES: dict[Task, str] = {"classification": "accuracy", "regression": "mae"}


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one model.

    Attributes
    ----------
    name, model
        Its name in :mod:`~stream_bp.comparison.river_models`, and its own description.
    rows
        Rows learned.
    metrics, rolling
        Prequential metrics over all rows, and over the last 1,000 rows.
    rows_per_second
        With reading, encoding and scoring, which are the same for all models; without the curve.
    memory_bytes
        Memory of the model and its vocabularies at the end, as River counts.
    curve
        Pairs of a row count and the rolling accuracy, or rolling mean absolute error.
    """

    name: str
    model: str
    rows: int
    metrics: dict[str, float | None]
    rolling: dict[str, float | None]
    rows_per_second: float
    memory_bytes: int
    curve: list[tuple[int, float | None]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The scores of all models.

    Attributes
    ----------
    task, target
        The kind of target, and its column.
    curve_metric
        The metric of the curves.
    scores
        The scores of the finished models, in the order of the request.
    failures
        The reasons why other models did not finish, by name.
    baselines
        The metrics of predictors that learn nothing, over all rows.
    bad_rows
        Counts of bad rows, by kind. They are the same for each model.
    stop_reason
        The reason why the last model stopped. A signal ends the comparison.
    """

    task: Task
    target: str
    curve_metric: str
    scores: list[Score]
    failures: dict[str, str]
    baselines: dict[str, dict[str, float | None]]
    bad_rows: dict[str, int]
    stop_reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        return asdict(self)


def compare(
    source: Source,
    config: JobConfig,
    models: Sequence[str],
    observe: Callable[[str], AbstractContextManager[Observer]],
) -> Comparison:
    """Compare models on a source. Each model learns it from the start.

    Parameters
    ----------
    source
        The rows. They are read once for each model.
    config
        The settings. Those of the network apply to the network only.
    models
        Names of models; empty for all models of the task.
    observe
        Returns the observer for the name of a model.

    Returns
    -------
    Comparison
        Without the model that a signal interrupted.

    Raises
    ------
    ConfigError
        If there are several targets, a model is unknown or does not fit the task, ``on_bad_row`` is ``quarantine``, or
        a source that can be read only once is given with several models.
    DataError, DivergenceError
        If the source cannot be learned from, or every model failed. Then it is the error of the first model.
    ConnectorError
        If a row cannot be read, or too many rows cannot be read.
    """
    if len(config.target) > 1:
        raise ConfigError(f"models are compared on one target; found {len(config.target)}: name one")
    if config.on_bad_row == "quarantine":
        raise ConfigError("on_bad_row: a comparison has no run directory to keep bad rows in; expected error or skip")
    encoder = plan(source, config)
    task, names = encoder.task, list(models) or river_models.names(encoder.task)
    river_models.check(names, task)
    if source.is_unbounded and len(names) > 1:
        raise ConfigError(f"{source.description} can be read only once; write it to a file to compare models")
    import river.metrics  # noqa: F401, PLC0415 - takes a second, which would count in the rate of the first model

    every = -(-_POINT_ROWS // config.batch_size)
    scores: list[Score] = []
    failures: dict[str, DataError | DivergenceError] = {}
    baselines: dict[str, dict[str, float | None]] = {}
    bad_rows: dict[str, int] = {}
    stop_reason, said = "", set[str]()
    for name in names:
        with observe(name) as observer:
            watch = _Watch(observer, _CURVES[task], every * config.batch_size, said)
            estimator = river_models.build(name, encoder, config.seed)
            job = Job(source, _settings(config, task, name, every), model=estimator, observer=watch)
            try:
                summary = job.run()
            except (DataError, DivergenceError) as error:
                failures[name] = error
                continue
        # Baselines and bad rows depend on the rows only, so those of the first model are valid for all.
        stop_reason, baselines = summary.stop_reason, baselines or summary.baselines
        bad_rows = bad_rows or summary.quality["bad_rows"]
        if stop_reason in signals.EXIT_CODES:
            break
        scores.append(
            Score(
                name,
                summary.model,
                summary.rows,
                summary.metrics,
                summary.rolling,
                summary.rows / max(summary.seconds - watch.seconds, 1e-9),
                _memory_bytes(watch.training.model),
                watch.curve(),
            )
        )
    if len(failures) == len(names):
        raise failures[names[0]]
    reasons = {name: str(error) for name, error in failures.items()}
    return Comparison(task, config.target[0], _CURVES[task], scores, reasons, baselines, bad_rows, stop_reason)


class _Watch(Observer):
    """Records the curve of one model, and passes the status on."""

    def __init__(self, observer: Observer, metric: str, step: int, said: set[str]) -> None:
        self.training: JobState
        self._observer, self._said, self._has_begun = observer, said, False
        self._metric = metric
        self.seconds = 0.0
        self._points: list[tuple[int, float | None]] = []
        self._step = self._next = step

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Remember the state."""
        self.training, self._has_begun = training, True
        self._observer.on_start(training, resumed)

    def on_message(self, line: str) -> None:
        """Pass on what may surprise about the source, once for all models; later messages are about one model."""
        if not self._has_begun and line not in self._said:
            self._said.add(line)
            self._observer.on_message(line)

    def on_progress(self, status: Status) -> None:
        """Record a point at multiples of the step only: at other rows a callback comes by chance."""
        rows = status.state.rows
        if rows >= self._next and rows % self._step == 0:
            self._note()
        self._observer.on_progress(status)

    def curve(self) -> list[tuple[int, float | None]]:
        """Return the points. The last one is at the last row."""
        if not self._points or self._points[-1][0] < self.training.rows:
            self._note()
        return self._points

    def _note(self) -> None:
        rows, began = self.training.rows, time.perf_counter()
        self._points.append((rows, self.training.evaluation.rolling()[self._metric]))
        self.seconds += time.perf_counter() - began
        self._next = rows + max(self._step, rows // 100)


def _settings(config: JobConfig, task: Task, name: str, every: int) -> JobConfig:
    """Return the settings of one model's job. It calls its observer after every `every` minibatches."""
    left_out = () if name == river_models.NETWORK else NETWORK
    settings = {key: getattr(config, key) for key in config.model_fields_set if key not in left_out}
    # A job calls its observer when a checkpoint is due, even if it saves none.
    return JobConfig.of({**settings, "task": task, "checkpoint_every": str(every)})


def _memory_bytes(model: object) -> int:
    """Return the size of an object, as River measures its own models."""
    from river.base import Base  # noqa: PLC0415 - slow, and not needed before a model has learned

    count: Any = Base._raw_memory_usage
    return int(count.fget(model))
