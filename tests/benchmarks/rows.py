"""The rows of the measurements of speed: ten standard normal features and a label, in the format of each contender."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

__all__ = ["N_FEATURES", "write_csv", "write_parquet", "write_text"]

N_FEATURES = 10
_STEP = 100_000
_SCHEMA = pa.schema([*((f"x{i}", pa.float32()) for i in range(N_FEATURES)), ("label", pa.int64())])


def write_parquet(path: Path, n: int, row_group: int = 200_000) -> None:
    """Write n rows, so many in a row group."""
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for start in range(0, n, row_group):
            writer.write_table(pa.Table.from_batches(_batches(start, min(n, start + row_group))))


def write_csv(path: Path, n: int) -> None:
    """Write n rows as CSV text; numbers have their shortest exact form."""
    with pacsv.CSVWriter(path, _SCHEMA) as writer:
        for records in _batches(0, n):
            writer.write_batch(records)


def write_text(path: Path, n: int) -> None:
    """Write n rows as Vowpal Wabbit reads them fastest: numbers as names of features."""
    with path.open("w") as file:
        for records in _batches(0, n):
            columns = [column.to_pylist() for column in records.columns]
            for *features, label in zip(*columns, strict=True):
                values = " ".join(f"{i}:{value:.6g}" for i, value in enumerate(features))
                file.write(f"{2 * label - 1} | {values}\n")


def _batches(start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Make rows, the same ones for the same places in the stream; the borders fall on whole steps, or on the end."""
    for at in range(start, stop, _STEP):
        random = np.random.default_rng(at)
        X = random.standard_normal((N_FEATURES, min(_STEP, stop - at)), np.float32)
        label = (X[:5].sum(axis=0) + 0.5 * random.standard_normal(X.shape[1]) > 0).astype(np.int64)
        yield pa.record_batch([*map(pa.array, X), pa.array(label)], schema=_SCHEMA)
