"""Rows per second from a Parquet file to the score, beside the loop that a competent PyTorch user writes.

Usage: python tests/benchmarks/against_pytorch.py [ROWS]. PyTorch is not a dependency: install it beside. Both learn the
same rows, 10-32-2, ReLU, minibatches of 256, SGD 0.03, float32, one thread, standardised by running moments, scored
before they are learned; runs alternate, medians and the spread are told.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_SIZE, HIDDEN, RATE, REPEATS = 256, 32, 0.03, 5


def write(path: Path, n: int) -> None:
    """Write n rows of ten features and a label."""
    random = np.random.default_rng(0)
    schema = pa.schema([*((f"x{i}", pa.float32()) for i in range(10)), ("label", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n, 200_000):
            X = random.standard_normal((10, min(200_000, n - start)), np.float32)
            label = (X[:5].sum(axis=0) + 0.5 * random.standard_normal(X.shape[1]) > 0).astype(np.int64)
            writer.write_batch(pa.record_batch([*map(pa.array, X), pa.array(label)], schema=schema))


def ours(path: Path) -> tuple[float, float]:
    """Learn with a job; return rows per second and accuracy."""
    from connectors import open_source
    from stream_bp import Job

    job = Job(
        open_source(path),
        target="label",
        task="classification",
        hidden=(HIDDEN,),
        batch_size=BATCH_SIZE,
        learning_rate=RATE,
    )
    summary = job.run()
    return summary.rows_per_second, summary.metrics["accuracy"] or 0.0


def theirs(path: Path) -> tuple[float, float]:
    """Learn with PyTorch, over the same reader settings; return rows per second and accuracy."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(10, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    loss_of = torch.nn.CrossEntropyLoss()
    n = right = 0
    total, squares = torch.zeros(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    began = time.perf_counter()
    for batch in pq.ParquetFile(path).iter_batches(BATCH_SIZE, use_threads=False):
        X = torch.from_numpy(np.stack([column.to_numpy() for column in batch.columns[:10]], axis=1))
        y = torch.from_numpy(batch.column(10).to_numpy().copy())
        n += len(y)
        total += X.sum(dim=0)
        squares += (X * X).sum(dim=0)
        mean = total / n
        deviation = (squares / n - mean * mean).clamp_min(1e-12).sqrt()
        logits = net(((X - mean) / deviation).clamp(-8, 8).float())
        right += int((logits.argmax(dim=1) == y).sum())
        optimizer.zero_grad()
        loss_of(logits, y).backward()
        optimizer.step()
    return n / (time.perf_counter() - began), right / n


def main() -> None:
    """Alternate the two, each in a process of its own."""
    if len(sys.argv) == 3:
        rate, accuracy = {"ours": ours, "theirs": theirs}[sys.argv[1]](Path(sys.argv[2]))
        print(rate, accuracy)  # noqa: T201
        return
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(path, n)
        found: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
        for _ in range(REPEATS):
            for name, results in found.items():
                command = [sys.executable, __file__, name, str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rate, accuracy = map(float, done.stdout.split())
                results.append((rate, accuracy))
    for name, results in found.items():
        rates = sorted(rate for rate, _ in results)
        print(  # noqa: T201
            f"{name:6} {statistics.median(rates):12,.0f} rows/s  ({rates[0]:,.0f} to {rates[-1]:,.0f}), "
            f"accuracy {results[0][1]:.4f}"
        )
    ratio = statistics.median(rate for rate, _ in found["ours"]) / statistics.median(r for r, _ in found["theirs"])
    print(f"ratio  {ratio:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
