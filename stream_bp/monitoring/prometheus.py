"""A running job's figures for Prometheus, and whether it is well, over HTTP: ``/metrics``, ``/healthz``, ``/readyz``.

Names and units are those of Prometheus' conventions. What counts up (``…_total``) counts what this process did, so a
resumed job is a counter that was reset; ``stream_bp_job_rows`` is how far the job is, over all its runs. Every label
takes few values, whatever the data hold.
"""

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

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
from stream_bp.drift.monitor import Drift
from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.job.stats import Durations, Work
from stream_bp.monitoring.http import Serving
from stream_bp.persistence.checkpoints import Loaded

__all__ = ["Metrics"]

_EVERY_S = 1.0
_PREFIX = "stream_bp_"
_FEATURES, _LONGEST = 20, 100  # features that are told of one by one, and characters of a name


@dataclass(frozen=True, slots=True)
class _Seen:
    """A job as it was when its observer last looked: what a scrape, in another thread, tells from."""

    metrics: tuple[Metric, ...]
    work: Work
    source: Source
    cursor: Cursor
    run_dir: str | None


class Metrics(Serving, Observer, Collector):
    """Figures of a job, served until the context is left.

    Parameters
    ----------
    port
        Where to listen; 0 for any that is free.
    host
        The address to listen on: others than 127.0.0.1 and ::1 let other machines ask.
    ready_within_s
        For how long a job may neither learn nor find that there is nothing to learn, and still be called ready.

    Attributes
    ----------
    url
        Where the figures are.

    Raises
    ------
    ConfigError
        If nothing can be served there.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", ready_within_s: float = 120.0) -> None:
        self._ready_within_s = ready_within_s
        self._seen: _Seen | None = None
        self._last = self._alive = 0.0
        self._state = "the job has not begun: it opens its source, or waits for first rows"
        self._before: dict[str, int] = {}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        self._exposition = make_wsgi_app(registry)
        super().__init__("metrics", host, port, lambda: _server(host, port, self._answer))
        self.url = f"{self.root}/metrics"

    # What the job tells

    def begin(self, training: JobState, resumed: Loaded | None) -> None:
        """Remember how far the job was before this process."""
        self._before = _counts(training)
        self._state, self._alive = "", time.monotonic()

    def update(self, status: Status) -> None:
        """Take the figures down, once a second; most calls only note that the job is alive."""
        self._alive = time.monotonic()
        if self._alive - self._last >= _EVERY_S:
            self._look(status)

    def end(self, status: Status, reason: str) -> None:
        """Take the last figures down."""
        self._look(status)
        self._state = f"the job is over: {reason}"

    def _look(self, status: Status) -> None:
        metrics = tuple(_of_training(status, self._before))
        self._seen = _Seen(metrics, status.work, status.source, status.cursor, status.training.config.run_dir)
        self._last = time.monotonic()

    # What a scrape is told

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell."""
        versions = {
            "version": stream_bp.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        yield InfoMetricFamily(_PREFIX + "build", "What runs.", versions)
        seen = self._seen
        if seen is not None:
            yield from seen.metrics
            yield from _of_work(seen.work)
            yield from _of_places(seen)

    def not_ready(self) -> str:
        """Say why the job is not ready; nothing if it is."""
        quiet_s = time.monotonic() - self._alive
        if not self._state and quiet_s > self._ready_within_s:
            return f"for {quiet_s:.0f} s the job has neither learned nor found that there is nothing to learn"
        return self._state

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if method not in {"GET", "HEAD"}:
            return _say(start_response, "405 Method Not Allowed", "GET or HEAD")
        if path == "/metrics":
            # The client's own application knows no HEAD.
            exposition: Iterable[bytes] = self._exposition({**environ, "REQUEST_METHOD": "GET"}, start_response)
            return exposition if method == "GET" else []
        if path == "/healthz":
            content = _say(start_response, "200 OK", "ok")
        elif path == "/readyz":
            reason = self.not_ready()
            content = _say(start_response, "503 Service Unavailable" if reason else "200 OK", reason or "ready")
        else:
            content = _say(start_response, "404 Not Found", "there are /metrics, /healthz and /readyz")
        return content if method == "GET" else []


def _counts(training: JobState) -> dict[str, int]:
    """Return what counts up over all runs of a job."""
    return {
        "rows": training.rows,
        "minibatches": training.minibatches,
        "drifts": training.drift.errors.count if training.drift is not None else 0,
        **training.quality.totals(),
        **{f"bad {kind}": count for kind, count in training.quality.bad.items()},
    }


def _gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(_PREFIX + name, text, value)


def _of_training(status: Status, before: dict[str, int]) -> Iterator[Metric]:
    """Yield what the state of the job tells."""
    training = status.training
    now = _counts(training)
    done = {name: count - before.get(name, 0) for name, count in now.items()}
    yield from _gauge("job_rows", "Rows learned, over all runs of the job.", training.rows)
    yield from _gauge("job_minibatches", "Minibatches learned, over all runs of the job.", training.minibatches)
    for name, count, text in (
        ("rows", done["rows"], "Rows learned by this process."),
        ("minibatches", done["minibatches"], "Minibatches learned by this process."),
        ("missing_values", done["missing"], "Features that were missing."),
        ("clipped_values", done["clipped"], "Numbers beyond 8 deviations, cut off there."),
        ("skipped_rows", done["skipped"], "Rows that were not learned since a feature was missing."),
        ("untargeted_rows", done["without_target"], "Targets that were missing, in rows that were not skipped."),
    ):
        yield CounterMetricFamily(_PREFIX + name, text, count)
    bad = CounterMetricFamily(_PREFIX + "bad_rows", "Rows that could not be read.", labels=["kind"])
    for kind in training.quality.bad:
        bad.add_metric([kind], done[f"bad {kind}"])
    yield bad
    yield from _gauge("rows_per_second", "Rows learned in a second, over the last ten.", status.work.rate.value)
    yield from _gauge("progress_ratio", "Part of a source that ends which lies behind.", status.progress())
    yield from _gauge("source_idle", "1 while a source without end has nothing for now.", status.is_idle)
    yield from _gauge("loss", "Mean loss of a row over the last thousand or so.", training.stopping.loss)
    rate = training.model.counters().get("learning_rate")
    yield from _gauge("learning_rate", "Learning rate of the next step.", rate)
    yield _scores(training)
    yield from _layers(training)
    if training.drift is not None:
        yield from _drift(training.drift, done["drifts"])


def _scores(training: JobState) -> Metric:
    """Return the prequential metrics, and those of the baselines."""
    text = "Prequential metric, over all rows or the most recent ones, of the model or a baseline that learns nothing."
    family = GaugeMetricFamily(_PREFIX + "score", text, labels=["metric", "predictor", "window"])
    evaluation = training.evaluation
    for window in ("all", "recent"):
        is_recent = window == "recent"
        model = evaluation.windowed() if is_recent else evaluation.metrics()
        for predictor, metrics in {"model": model, **evaluation.baselines(windowed=is_recent)}.items():
            for metric, value in metrics.items():
                if value is not None:
                    family.add_metric([metric, predictor, window], value)
    return family


def _layers(training: JobState) -> Iterator[Metric]:
    """Yield the size of δ and of the gradient, layer by layer."""
    layers = training.model.layers()
    for name, text in (
        ("delta_rms", "Root mean square of delta, of each layer."),
        ("gradient_rms", "Root mean square of the mean gradient, of each layer."),
    ):
        family = GaugeMetricFamily(_PREFIX + name, text, labels=["layer"])
        for layer, sizes in enumerate(layers, start=1):
            family.add_metric([str(layer)], sizes[name])
        yield family


def _drift(drift: Drift, count: int) -> Iterator[Metric]:
    """Yield what the watch over the error and the features tells."""
    yield CounterMetricFamily(_PREFIX + "drifts", "How often the prequential error was found to have grown.", count)
    text = "Features that are distributed in another way than before."
    yield from _gauge("drifted_features", text, len(drift.features.drifted))
    text = "Population stability index of the features that moved furthest in the last window; 0.25 is drift."
    family = GaugeMetricFamily(_PREFIX + "feature_psi", text, labels=["feature"])
    told: dict[str, float] = {}  # of several whose names begin alike, the one that moved furthest
    for name in drift.features.furthest(0)[:_FEATURES]:
        told.setdefault(name[:_LONGEST], drift.features.psi[name])
    for name, psi in told.items():
        family.add_metric([name], psi)
    yield family


def _of_work(work: Work) -> Iterator[Metric]:
    """Yield what this process did, and how long it took."""
    yield _histogram("step_seconds", "Time of a minibatch, each the mean of the stretch it was learned in.", work.steps)
    text = "Time in which the reading thread made a chunk of rows, waiting for them included."
    yield _histogram("read_seconds", text, work.reads)
    yield from _gauge("queue_chunks", "Chunks of rows that were read ahead, and wait.", work.n_ready())
    yield _histogram("checkpoint_seconds", "Time in which a checkpoint was written.", work.saves)
    text = "Checkpoints that could not be written."
    yield CounterMetricFamily(_PREFIX + "checkpoint_failures", text, work.n_failed_saves)
    saved = work.saved
    if saved is not None:
        yield from _gauge("checkpoint_bytes", "Size of the last checkpoint.", saved.n_bytes)
        text = "When the last checkpoint was complete; its age is time() less this."
        yield from _gauge("checkpoint_timestamp_seconds", text, saved.at)


def _of_places(seen: _Seen) -> Iterator[Metric]:
    """Yield what lies in the source, and in the run directory."""
    yield from _gauge("lag_bytes", "Bytes that lie in the source, and were not learned.", seen.source.lag(seen.cursor))
    if seen.run_dir is not None:
        with suppress(OSError):  # it is gone, or cannot be reached in this moment
            free = shutil.disk_usage(seen.run_dir).free
            yield from _gauge("run_directory_free_bytes", "Room on the disk of the run directory.", free)
        yield from _gauge("run_directory_bytes", "Size of the files in the run directory.", _size(seen.run_dir))


def _size(folder: str) -> int:
    """Return the bytes of the files in a folder, whatever comes and goes meanwhile."""
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


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, without asking a name server what this machine is called."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over who hung up; tell of everything else, as is usual."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10  # s, for whoever connects and says nothing

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called above
        """Nothing: a scrape is no news."""


def _server(host: str, port: int, answer: Callable[..., Iterable[bytes]]) -> WSGIServer:
    server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    server.set_app(answer)
    return server


def _say(start_response: Callable[..., Any], status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{text}\n".encode()]
