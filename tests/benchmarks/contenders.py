"""What is measured: each function runs in a process of its own and tells its figures.

Usage: python -m tests.benchmarks.contenders NAME JSON-ARGUMENTS. Everyone gets the same rows, the same network, the
same minibatches, float32 and one thread to learn with. Each loop is what a competent user of the library writes. The
imports are not on the clock: it runs from the opening of the file to the last row.
"""

import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.rows import N_FEATURES

__all__ = ["CONTENDERS", "Figures", "missing"]

Figures = dict[str, float]
Net = tuple[int, ...]

RATE = 0.03
BLOCK = 1 << 16


def job(path: str, batch_size: int, **settings: Any) -> Figures:
    """Learn a file with a job of ours: scaled, scored before it is learned."""
    from connectors import open_source
    from stream_bp import Job

    began = time.perf_counter()
    settings |= {"target": "label", "hidden_layers": (32,), "learning_rate": RATE, "batch_size": batch_size}
    summary = Job(open_source(path), **settings).run()
    seconds = time.perf_counter() - began
    figures = {"rows/s": summary.rows / seconds, "accuracy": summary.metrics["accuracy"] or 0.0}
    return {**figures, "peak MiB": summary.peak_rss_bytes / 2**20}


def watched(path: str, batch_size: int, **settings: Any) -> Figures:
    """Learn a file with a panel on a terminal, metrics that are asked for every second, and a watch for drift."""
    from threading import Event, Thread
    from urllib.request import urlopen

    from rich.console import Console

    from connectors import open_source
    from stream_bp import Job
    from stream_bp.job.observer import Observers
    from stream_bp.monitoring.endpoint import Metrics
    from stream_bp.monitoring.terminal import TerminalPanel

    over = Event()

    def scrape(url: str) -> None:
        while not over.wait(1):
            urlopen(url).read()

    settings |= {"target": "label", "hidden_layers": (32,), "learning_rate": RATE, "batch_size": batch_size}
    with Path(os.devnull).open("w") as terminal:
        console = Console(file=terminal, force_terminal=True, width=100)
        with TerminalPanel(console) as panel, Metrics(0) as metrics:
            Thread(target=scrape, args=[metrics.url], daemon=True).start()
            began = time.perf_counter()
            summary = Job(open_source(path), observer=Observers([panel, metrics]), **settings).run()
            seconds = time.perf_counter() - began
            over.set()
    return {"rows/s": summary.rows / seconds}


def learner(path: str, batch_size: int, backend: str) -> Figures:
    """Scale, score and learn minibatches that are ready in memory."""
    from connectors import open_source, rebatch
    from stream_bp.config.job import JobConfig
    from stream_bp.job.state import JobState
    from stream_bp.models.mlp import new_model
    from stream_bp.nn import reproducibility
    from stream_bp.planning.plan import plan

    if backend == "compiled":
        from stream_bp.nn import numba_backend

        numba_backend.prepare("float32")
    source = open_source(path)
    config = JobConfig.of(
        {"target": "label", "hidden_layers": (32,), "learning_rate": RATE, "batch_size": batch_size, "backend": backend}
    )
    model = new_model(config, plan(source, config))
    with source.open(model.encoder.columns.schema_in(source.schema)) as reader:
        chunks = [model.encoder.encode(block.records) for block in rebatch(reader, 1 << 13)]
    training = JobState(model, config)
    with reproducibility.single_thread():
        prepare = model.preparation(batch_size).prepare
        began = time.perf_counter()
        for chunk in chunks:
            for _ in training.learn(prepare(chunk), 0, len(chunk)):
                pass
        seconds = time.perf_counter() - began
    return {"rows/s": training.rows / seconds}


def pytorch(path: str, batch_size: int) -> Figures:
    """Learn a file with PyTorch, without scaling and without a score."""
    import torch

    net, optimizer, loss_of = _torch_network((N_FEATURES, 32, 2))
    began, n = time.perf_counter(), 0
    for X_block, y_block in _blocks(path):
        rows, targets = torch.utils.data.default_convert((X_block, y_block))
        for X, y in zip(torch.split(rows, batch_size), torch.split(targets, batch_size), strict=True):
            optimizer.zero_grad()
            loss_of(net(X), y).backward()
            optimizer.step()
        n += len(X_block)
    return {"rows/s": n / (time.perf_counter() - began)}


def sklearn(path: str, batch_size: int) -> Figures:
    """Learn a file with scikit-learn's ``partial_fit``, without scaling and without a score."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        model = _sklearn_network((N_FEATURES, 32, 2), batch_size)
        began, n = time.perf_counter(), 0
        for X_block, y_block in _blocks(path):
            for start in range(0, len(X_block), batch_size):
                X, y = X_block[start : start + batch_size], y_block[start : start + batch_size]
                model.partial_fit(X, y, classes=np.arange(2))
            n += len(X_block)
    return {"rows/s": n / (time.perf_counter() - began)}


def vowpal_wabbit(path: str, n: int) -> Figures:
    """Learn a text with Vowpal Wabbit, row by row, reading in a thread of its own."""
    from vowpalwabbit import Workspace

    began = time.perf_counter()
    Workspace(f"-d {path} --nn 32 --loss_function logistic --learning_rate {RATE} --quiet").finish()
    return {"rows/s": n / (time.perf_counter() - began)}


def river(n: int) -> Figures:
    """Predict, then learn, River's Phishing row by row with its linear model."""
    from river import linear_model, preprocessing

    return _row_by_row(lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(), n)


def estimator(n: int, backend: str) -> Figures:
    """Predict, then learn, the same rows with our estimator."""
    from stream_bp.nn import reproducibility
    from stream_bp.river import MLPClassifier

    with reproducibility.single_thread():
        return _row_by_row(lambda: MLPClassifier(hidden_layers=(32,), backend=backend), n)


def drain_csv(path: str, n: int) -> Figures:
    """Read a CSV file with Arrow's streaming reader, and drop what was read."""
    import pyarrow.csv as pacsv

    began = time.perf_counter()
    for _ in pacsv.open_csv(path):
        pass
    return {"rows/s": n / (time.perf_counter() - began)}


def our_steps(nets: list[Net], batch_sizes: list[int], seconds: float, optimizer: str = "sgd") -> Figures:
    """Time the step of the NumPy backend: prediction, loss, gradient, update, and the look for a divergence."""
    from stream_bp import Learner
    from stream_bp.nn import reproducibility

    figures = {}
    with reproducibility.single_thread():
        for net, b, X, labels in _minibatches(nets, batch_sizes):
            Y = (labels[:, None] == np.arange(net[-1])[:, None]).astype(np.float32)
            settings: dict[str, Any] = {"hidden_layers": net[1:-1], "optimizer": optimizer, "learning_rate": 0.001}
            step = Learner(net[0], net[-1], **settings)
            microseconds = _microseconds(partial(step.learn, X, Y), seconds) / len(X)
            figures[_cell(net, b)] = microseconds
            figures[f"{_cell(net, b)}, GFLOP/s"] = _flops(net) * b / microseconds / 1e3
    return figures


def pytorch_steps(nets: list[Net], batch_sizes: list[int], seconds: float) -> Figures:
    """Time the same step of PyTorch, eager."""
    import torch

    figures = {}
    for net, b, X, labels in _minibatches(nets, batch_sizes):
        model, optimizer, loss_of = _torch_network(net)
        rows = [torch.from_numpy(x.T.copy()) for x in X]
        targets = [torch.from_numpy(y) for y in labels]

        def learn(pairs: list[Any], model: Any, optimizer: Any, loss_of: Any) -> None:
            for x, y in pairs:
                optimizer.zero_grad()
                loss_of(model(x), y).backward()
                optimizer.step()

        pairs = list(zip(rows, targets, strict=True))
        figures[_cell(net, b)] = _microseconds(partial(learn, pairs, model, optimizer, loss_of), seconds) / len(X)
    return figures


def sklearn_steps(nets: list[Net], batch_sizes: list[int], seconds: float) -> Figures:
    """Time the same step of scikit-learn."""
    from threadpoolctl import threadpool_limits

    figures = {}
    with threadpool_limits(1):
        for net, b, X, labels in _minibatches(nets, batch_sizes):
            model, classes = _sklearn_network(net, b), np.arange(net[-1])
            learn = partial(model.partial_fit, X[0].T.copy(), labels[0], classes=classes)
            figures[_cell(net, b)] = _microseconds(learn, seconds)
    return figures


def matrix_products(batch_sizes: list[int], seconds: float) -> Figures:
    """Tell the GFLOP/s of one product of 256 × 257 by 257 × b, with the kernel and the thread that the learner has."""
    from stream_bp.nn import reproducibility

    figures = {}
    with reproducibility.single_thread():
        for b in batch_sizes:
            A, B, C = np.ones((256, 257), np.float32), np.ones((257, b), np.float32), np.empty((256, b), np.float32)
            microseconds = _microseconds(partial(np.dot, A, B, C), seconds)
            figures[f"b={b}"] = 2 * 256 * 257 * b / microseconds / 1e3
    return figures


def ready(backend: str) -> Figures:
    """Tell how long a job of two rows takes, from its first import on: what there is to wait for."""
    began = time.perf_counter()
    import pyarrow as pa

    from connectors import open_source
    from stream_bp import Job

    Job(open_source(pa.table({"x": [0.0, 1.0], "y": ["no", "yes"]})), target="y", backend=backend, batch_size=1).run()
    return {"seconds": time.perf_counter() - began}


def process(command: list[str], times: int = 5) -> Figures:
    """Tell how long a process takes from its start to its end."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return {"seconds": statistics.median(found)}


def bare_imports() -> Figures:
    """Tell the memory of a process that imports NumPy and Arrow, and does nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stream_bp.job.summary import peak_rss_bytes

    assert pa is not pq
    return {"peak MiB": peak_rss_bytes() / 2**20}


def saving(path: str, rows: int, every: str) -> Figures:
    """Learn with a million parameters and Adam, saving now and then; tell also how long a save held the learner up."""
    from connectors import open_source
    from stream_bp import Job
    from stream_bp.job.checkpointing import Checkpointing

    held: list[float] = []
    save = Checkpointing.save

    def timed(self: Checkpointing) -> None:
        began = time.perf_counter()
        save(self)
        held.append(time.perf_counter() - began)

    Checkpointing.save = timed  # type: ignore[method-assign]
    settings: dict[str, Any] = {"hidden_layers": (1000, 990), "optimizer": "adam", "batch_size": 256, "max_rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        settings |= {"target": "label", "run_dir": folder, "checkpoint_every": every}
        summary = Job(open_source(path), **settings).run()
    between = held[1:-1]  # the first and the last come before the first row and after the last
    figures = {"rows/s": summary.rows_per_second, "saves": float(len(between))}
    if between:
        figures |= {"held ms": 1e3 * statistics.median(between), "held ms, most": 1e3 * max(between)}
    return figures


def report(path: str, batch_size: int) -> Figures:
    """Learn a file with a run directory, and tell how long a page of it takes, its imports too, and how large it is."""
    from connectors import open_source
    from stream_bp import Job

    with tempfile.TemporaryDirectory() as folder:
        run_dir, page = Path(folder) / "run", Path(folder) / "report.html"
        Job(open_source(path), target="label", batch_size=batch_size, run_dir=str(run_dir)).run()
        took = process(["-m", "stream_bp", "report", str(run_dir), "--output", str(page)])
        return {**took, "MB": page.stat().st_size / 1e6}


CONTENDERS: dict[str, Callable[..., Figures]] = {
    function.__name__: function
    for function in (
        *(job, watched, learner, pytorch, sklearn, vowpal_wabbit, river, estimator, drain_csv),
        *(our_steps, pytorch_steps, sklearn_steps, matrix_products),
        *(ready, process, bare_imports, saving, report),
    )
}
_NEEDS = {"pytorch": "torch", "sklearn": "sklearn", "vowpal_wabbit": "vowpalwabbit"}


def missing(name: str) -> str | None:
    """Return the package that a contender needs and that is not installed."""
    package = _NEEDS.get(name.removesuffix("_steps"))
    return package if package is not None and importlib.util.find_spec(package) is None else None


def _blocks(path: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read X (n, 10) and y (n,), block by block."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    for batch in file.iter_batches(BLOCK, use_threads=False):
        yield batch.select(batch.schema.names[:-1]).to_tensor().to_numpy(), batch.column(N_FEATURES).to_numpy().copy()


def _torch_network(net: Net) -> tuple[Any, Any, Any]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = [layer for a, z in itertools.pairwise(net) for layer in (torch.nn.Linear(a, z), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    return model, torch.optim.SGD(model.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()


def _sklearn_network(net: Net, batch_size: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        net[1:-1], solver="sgd", momentum=0, alpha=0, learning_rate_init=RATE, batch_size=batch_size, random_state=0
    )


def _row_by_row(make: Callable[[], Any], n: int) -> Figures:
    """Tell how fast a model predicts and learns n rows, after a pass that is not on the clock."""
    from river import datasets

    rows = [(dict(x), y) for x, y in datasets.Phishing()]
    warm = make()
    for x, y in rows[:200]:
        warm.predict_one(x)
        warm.learn_one(x, y)
    model, began = make(), time.perf_counter()
    for i in range(n):
        x, y = rows[i % len(rows)]
        model.predict_one(x)
        model.learn_one(x, y)
    return {"rows/s": n / (time.perf_counter() - began)}


def _minibatches(nets: list[Net], batch_sizes: list[int]) -> Iterator[tuple[Net, int, np.ndarray, np.ndarray]]:
    """Make T minibatches X (T, n_0, b) with labels (T, b) for every network and b."""
    random = np.random.default_rng(0)
    for net in map(tuple, nets):
        for b in batch_sizes:
            n_minibatches = max(1, min(1024, 8192 // b))
            X = random.standard_normal((n_minibatches, net[0], b), np.float32)
            yield net, b, X, random.integers(0, net[-1], (n_minibatches, b))


def _flops(net: Net) -> int:
    """Return the operations of the matrix products of one row: forward, gradient, δ."""
    shapes = list(itertools.pairwise(net))
    return sum(4 * (a + 1) * z for a, z in shapes) + sum(2 * a * z for a, z in shapes[1:])


def _cell(net: Net, b: int) -> str:
    return f"{'-'.join(map(str, net))} b={b}"


def _microseconds(call: Callable[[], object], seconds: float) -> float:
    """Time a call: the median of as many as fit."""
    call()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < 3:
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return 1e6 * statistics.median(found)


if __name__ == "__main__":
    print(json.dumps(CONTENDERS[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201
