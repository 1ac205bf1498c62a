"""Where predictions go: a Parquet or CSV file that is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from connectors.errors import SourceError

__all__ = ["open_writer"]


@contextmanager
def open_writer(path: str | os.PathLike[str], schema: pa.Schema) -> Iterator[Any]:
    """Open a file for record batches: ``writer.write_batch(records)``.

    Parameters
    ----------
    path
        ``.parquet`` (zstd, with page checksums), ``.csv`` or ``.csv.gz``.
    schema
        Columns and types.

    Raises
    ------
    SourceError
        The extension is another one, or the file cannot be written.

    Notes
    -----
    Rows go to a temporary file beside it, which takes the name when the block ends, and is removed if it fails.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        make = _maker(target.name)
        if target.is_dir():
            raise SourceError(f"{target} is a folder; give the name of a file")
        try:
            with temporary.open("xb") as file:
                with make(file, schema) as writer:
                    yield writer
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot write {target}: {error.strerror or error}") from error


def _maker(name: str) -> Any:
    if name.endswith(".parquet"):
        return lambda file, schema: pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)
    if name.endswith(".csv"):
        return pa_csv.CSVWriter
    if name.endswith(".csv.gz"):
        return _gzip_writer
    raise SourceError(f"{name}: the extensions that can be written are .parquet, .csv and .csv.gz")


@contextmanager
def _gzip_writer(file: Any, schema: pa.Schema) -> Iterator[Any]:
    with pa.CompressedOutputStream(file, "gzip") as packed, pa_csv.CSVWriter(packed, schema) as writer:
        yield writer
