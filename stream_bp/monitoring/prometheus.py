"""The figures of a running job for Prometheus.

Names and units follow the conventions of Prometheus. Counters (``…_total``) count the work of this process, so a
resumed job resets them. ``stream_bp_job_rows`` counts the rows of the job over all its runs. The number of values of a
label is bounded for all data.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import stream_bp
from connectors import Cursor, Source
from stream_bp.drift.monitor import DriftMonitor
from stream_bp.job.observer import Status
from stream_bp.job.state import JobState
from stream_bp.job.stats import Durations, RuntimeStats
from stream_bp.monitoring.http import Answer, Request

__all__ = ["JobCollector"]

_PREFIX = "stream_bp_"
_FEATURES, _LONGEST = 20, 100  # features that have a label of their own, and characters of a name


@dataclass(frozen=True, slots=True)
class _Seen:
    """A copy of a job's figures. A scrape, in another thread, reads only this."""

    metrics: tuple[Metric, ...]
    work: RuntimeStats
    source: Source
    cursor: Cursor
    run_dir: str | None


class JobCollector(Collector):
    """The figures of a job at the last copy."""

    def __init__(self) -> None:
        self._seen: _Seen | None = None
        self._before: dict[str, int] = {}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        self._exposition = make_wsgi_app(registry)

    def begin(self, training: JobState) -> None:
        """Remember the counts of the job before this process."""
        self._before = _counts(training)

    def look(self, status: Status) -> None:
        """Copy the figures."""
        metrics = tuple(_of_training(status, self._before))
        self._seen = _Seen(metrics, status.stats, status.source, status.cursor, status.state.config.run_dir)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures, in the thread of a scrape."""
        versions = {
            "version": stream_bp.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        yield InfoMetricFamily(_PREFIX + "build", "Versions of stream-bp, Python and NumPy.", versions)
        seen = self._seen
        if seen is not None:
            yield from seen.metrics
            yield from _of_work(seen.work)
            yield from _of_places(seen)

    def expose(self, request: Request) -> Answer:
        """Answer a scrape, in the format and compression that it accepts."""
        # The client library negotiates both, but only inside of a WSGI application, which does not support HEAD.
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/metrics",
            "QUERY_STRING": request.query,
            "HTTP_ACCEPT": request.headers.get("Accept"),
            "HTTP_ACCEPT_ENCODING": request.headers.get("Accept-Encoding"),
        }
        headers: dict[str, str] = {}
        content = b"".join(self._exposition(environ, lambda _, pairs: headers.update(pairs)))
        return Answer(content, headers=headers)


def _counts(training: JobState) -> dict[str, int]:
    """Return the counters over all runs of a job."""
    return {
        "rows": training.rows,
        "minibatches": training.minibatches,
        "drifts": training.drift.errors.count if training.drift is not None else 0,
        **training.quality.totals(),
        **{f"bad {kind}": count for kind, count in training.quality.bad.items()},
    }


def _gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:  # Prometheus has no null, so the series is absent
        yield GaugeMetricFamily(_PREFIX + name, text, value)


def _of_training(status: Status, before: dict[str, int]) -> Iterator[Metric]:
    """Yield the figures of the job's state."""
    training = status.state
    now = _counts(training)
    done = {name: count - before.get(name, 0) for name, count in now.items()}
    yield from _gauge("job_rows", "Rows learned, over all processes of the job.", training.rows)
    yield from _gauge("job_minibatches", "Minibatches learned, over all processes of the job.", training.minibatches)
    for name, count, text in (
        ("rows", done["rows"], "Rows learned by this process."),
        ("minibatches", done["minibatches"], "Minibatches learned by this process."),
        ("missing_values", done["missing"], "Missing values of features."),
        ("clipped_values", done["clipped_values"], "Numbers that were cut off at 8 deviations."),
        ("skipped_rows", done["skipped"], "Rows not learned because a feature was missing."),
        ("rows_without_target", done["rows_without_target"], "Missing targets, in rows that were not skipped."),
    ):
        yield CounterMetricFamily(_PREFIX + name, text, count)
    bad = CounterMetricFamily(_PREFIX + "bad_rows", "Rows that could not be read.", labels=["kind"])
    for kind in training.quality.bad:
        bad.add_metric([kind], done[f"bad {kind}"])
    yield bad
    yield from _gauge("rows_per_second", "Rows learned per second, over the last ten seconds.", status.stats.rate.value)
    yield from _gauge("progress_ratio", "Finished part of a job whose source ends, 0 to 1.", status.progress())
    yield from _gauge("source_idle", "1 while a followed source has no new rows.", status.is_idle)
    yield from _gauge("loss", "Mean loss of a row, over about the last 1,000 rows.", training.stopping.loss)
    rate = training.model.counters().get("learning_rate")
    yield from _gauge("learning_rate", "Learning rate of the next update.", rate)
    yield _scores(training)
    yield from _layers(training)
    if training.drift is not None:
        yield from _drift(training.drift, done["drifts"])


def _scores(training: JobState) -> Metric:
    """Return the prequential metrics, and those of the baselines."""
    text = "Prequential metric of the model or of a baseline, over all rows or the last 1,000."
    family = GaugeMetricFamily(_PREFIX + "score", text, labels=["metric", "predictor", "window"])
    evaluation = training.evaluation
    for window in ("all", "rolling"):
        is_rolling = window == "rolling"
        model = evaluation.rolling() if is_rolling else evaluation.metrics()
        for predictor, metrics in {"model": model, **evaluation.baselines(rolling=is_rolling)}.items():
            for metric, value in metrics.items():
                if value is not None:
                    family.add_metric([metric, predictor, window], value)
    return family


def _layers(training: JobState) -> Iterator[Metric]:
    """Yield the size of δ and of the gradient, by layer."""
    layers = training.model.layers()
    for name, text in (
        ("delta_rms", "Root mean square of delta, for each layer."),
        ("gradient_rms", "Root mean square of the mean gradient, for each layer."),
    ):
        family = GaugeMetricFamily(_PREFIX + name, text, labels=["layer"])
        for layer, sizes in enumerate(layers, start=1):
            family.add_metric([str(layer)], sizes[name])
        yield family


def _drift(drift: DriftMonitor, count: int) -> Iterator[Metric]:
    """Yield drifts of the error, and of the features that moved furthest."""
    yield CounterMetricFamily(_PREFIX + "drifts", "Drifts of the prediction error that were detected.", count)
    text = "Features whose distribution has drifted."
    yield from _gauge("drifted_features", text, len(drift.features.drifted))
    text = "Population stability index of the features that moved most in the last window. From 0.25 on: drift."
    family = GaugeMetricFamily(_PREFIX + "feature_psi", text, labels=["feature"])
    told: dict[str, float] = {}  # names may be equal once cut; the feature that drifted most is kept
    for name in drift.features.furthest(0)[:_FEATURES]:
        told.setdefault(name[:_LONGEST], drift.features.psi[name])
    for name, psi in told.items():
        family.add_metric([name], psi)
    yield family


def _of_work(work: RuntimeStats) -> Iterator[Metric]:
    """Yield the work of this process, and the time it took."""
    yield _histogram("step_seconds", "Time per minibatch: the mean of the minibatches measured together.", work.steps)
    text = "Time to read a chunk of rows, waiting included."
    yield _histogram("read_seconds", text, work.reads)
    yield from _gauge("queue_chunks", "Chunks of rows read ahead and waiting.", work.n_ready())
    yield _histogram("checkpoint_seconds", "Time to write a checkpoint.", work.saves)
    text = "Checkpoints that could not be written."
    yield CounterMetricFamily(_PREFIX + "checkpoint_failures", text, work.n_failed_saves)
    saved = work.saved
    if saved is not None:
        yield from _gauge("checkpoint_bytes", "Size of the last checkpoint.", saved.n_bytes)
        text = "When the last checkpoint was complete. Its age is time() minus this value."
        yield from _gauge("checkpoint_timestamp_seconds", text, saved.at)


def _of_places(seen: _Seen) -> Iterator[Metric]:
    """Yield the sizes of the source and of the run directory."""
    yield from _gauge("lag_bytes", "Bytes in the source that are not learned yet.", seen.source.lag(seen.cursor))
    if seen.run_dir is not None:
        with suppress(OSError):  # it is gone, or cannot be reached now
            free = shutil.disk_usage(seen.run_dir).free
            yield from _gauge("run_directory_free_bytes", "Free space on the disk of the run directory.", free)
        yield from _gauge("run_directory_bytes", "Size of the files in the run directory.", _size(seen.run_dir))


def _size(folder: str) -> int:
    """Return the bytes of the files in a folder. Files may appear and disappear meanwhile."""
    n_bytes = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                n_bytes += (Path(root) / name).stat().st_size
            except OSError:
                continue
    return n_bytes


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    bounds = [*(f"{bound:g}" for bound in durations.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
    return HistogramMetricFamily(_PREFIX + name, text, buckets=buckets, sum_value=durations.total)
