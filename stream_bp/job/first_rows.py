"""Reads the first rows of a source, to look at them before a job begins."""

import time

import pyarrow as pa

from connectors import Source

__all__ = ["first_rows"]

_PATIENCE_S = 1.0


def first_rows(source: Source, schema: pa.Schema, n_rows: int) -> pa.Table:
    """Return the first rows of a source: exactly this many, if it has them.

    Parameters
    ----------
    source
        The source. An unbounded one gives the rows that come without a pause of a second.
    schema
        The columns, each with its type.
    n_rows
        How many rows.
    """
    batches, left, came = [], n_rows, None
    with source.open(schema) as reader:
        for block in reader:
            if len(block):
                batches.append(block.records.slice(0, left))
                left, came = left - len(batches[-1]), time.monotonic()
            if left <= 0 or (came is not None and time.monotonic() - came > _PATIENCE_S):
                break
    return pa.Table.from_batches(batches, schema)
