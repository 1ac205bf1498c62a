"""Write rows to a file, all or none: the file holds either the old content or all of the new one."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from connectors.errors import RowError, SchemaError, SourceError, foreign_errors
from connectors.stores.storage import sync

__all__ = ["WRITABLE", "Writer", "open_writer"]

WRITABLE = (".parquet", ".csv", ".csv.gz")

_ROWS_AT_ONCE = 1 << 16


class Writer:
    """A file that is being written, and a context manager; see `open_writer`."""

    def __init__(self, target: Path, extension: str, schema: pa.Schema) -> None:
        self._target, self._schema = target, schema
        # A job that follows this folder ignores names with a leading dot.
        self._temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        # Each table that is written becomes a row group of Parquet, and small row groups read slowly.
        self._waiting: list[pa.RecordBatch] = []
        self._n_waiting = 0
        self._has_blank_lines = extension != ".parquet" and len(schema) == 1
        self._files = ExitStack()
        with foreign_errors(str(target)), ExitStack() as stack:
            self._temporary.open("xb").close()
            stack.callback(self._leave_nothing)
            self._sink = _open_sink(self._files, str(self._temporary), extension, schema)
            stack.pop_all()

    def write_batch(self, records: pa.RecordBatch) -> None:
        """Append rows of the writer's schema."""
        if not records.schema.equals(self._schema):
            raise SchemaError(f"{self._target}: expected rows of {_line(self._schema)}, found {_line(records.schema)}")
        if self._has_blank_lines and records.column(0).null_count:
            raise RowError(f"{self._target}: a null in a single column is a blank line, and CSV readers skip those")
        self._waiting.append(records)
        self._n_waiting += records.num_rows
        if self._n_waiting >= _ROWS_AT_ONCE:
            self._hand_on()

    def _hand_on(self) -> None:
        with foreign_errors(str(self._target)):
            self._sink.write_table(pa.Table.from_batches(self._waiting, self._schema).combine_chunks())
        self._waiting, self._n_waiting = [], 0

    def _commit(self) -> None:
        """Give the whole file its name, after it is on the disk."""
        if self._n_waiting:
            self._hand_on()
        with foreign_errors(str(self._target)):
            self._files.close()
            sync(self._temporary)
            self._temporary.replace(self._target)
            sync(self._target.parent)  # a power cut could undo the rename otherwise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._leave_nothing()

    def _leave_nothing(self) -> None:
        try:
            self._files.close()
        finally:
            self._temporary.unlink(missing_ok=True)


def open_writer(path: str | os.PathLike[str], schema: pa.Schema) -> Writer:
    r"""Open a file for rows; its extension decides the format.

    The file appears under its name, synced to the disk, when the ``with`` block ends without an error. If the block
    fails, no new file remains, and an older file of that name is unchanged.

    Parameters
    ----------
    path
        File to write: ``.parquet`` (zstd, page checksums), ``.csv`` or ``.csv.gz``.
    schema
        Columns and types.

    Raises
    ------
    SourceError
        The extension is unknown, the path is a folder, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> rows = pa.record_batch({"x": [1, 2]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open_writer(f"{folder}/x.csv", rows.schema) as writer:
    ...         writer.write_batch(rows)
    ...     Path(folder, "x.csv").read_text()
    '"x"\n1\n2\n'
    """
    target = Path(path)
    extension = next((known for known in WRITABLE if target.name.lower().endswith(known)), None)
    if extension is None:
        raise SourceError(f"{path}: unknown file type; supported: {', '.join(WRITABLE)}")
    if target.is_dir():
        raise SourceError(f"{path}: this is a folder; give a file name")
    return Writer(target, extension, schema)


def _open_sink(files: ExitStack, path: str, extension: str, schema: pa.Schema) -> Any:
    """Return the sink that tables are written to; closing `files` closes it and its file."""
    if extension == ".parquet":
        return files.enter_context(pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True))
    file = files.enter_context(pa.OSFile(path, "wb"))
    if extension == ".csv.gz":
        file = files.enter_context(pa.CompressedOutputStream(file, "gzip"))
    return files.enter_context(pacsv.CSVWriter(file, schema))


def _line(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
