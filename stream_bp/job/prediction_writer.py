"""Saves the prediction for every row, made before it was learned, as Parquet files.

| column             | of a classification             | of a regression                 |
|--------------------|---------------------------------|---------------------------------|
| ``row``, ``epoch`` | its number over all passes, and its pass, both from 0             ||
| passthrough        | as in the source                                                  ||
| ``TARGET``         | the true class                  | the true value                  |
| ``TARGET:predicted`` | the most probable class       | the value                       |
| ``TARGET=LABEL``   | the probability of each class   |                                 |

A missing true value is null. The predictions of a row are null if there were none: the row was skipped, or no class or
value was known before its minibatch. A part has one schema. With each new class a new part begins, which has one more
column. :mod:`stream_bp.persistence.prediction_parts` describes the files.
"""

import io
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stream_bp._arrays import Array, Mask
from stream_bp.errors import ConfigError, DataError
from stream_bp.models.base import PredictionBatch
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.prediction_parts import PartsMark, PredictionParts
from stream_bp.preprocessing.arrow_buffers import value_array
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.rows import Rows
from stream_bp.preprocessing.schema import Column, type_in

__all__ = ["PredictionWriter"]

VALUES = 1 << 18  # buffered before a write; each write becomes a row group
_BYTES = 1 << 20


class PredictionWriter:
    """The predictions of a job: buffered, written, synced, and renamed with a checkpoint.

    Parameters
    ----------
    parts
        The folder of the parts.
    encoder
        Knows the targets and their classes.
    kept
        Columns of the source to copy beside the predictions.
    disk
        Reads and writes the files.
    mark
        The mark in the checkpoint that the job resumes from (:meth:`mark`); ``None`` for a new job.
    is_fresh
        Whether to remove parts of an earlier job.

    Raises
    ------
    ConfigError
        If two columns would have one name, a column cannot be written, or the folder holds other files.
    CheckpointError
        If a part that the checkpoint covers is missing.

    Notes
    -----
    A context manager. No file is changed before it is entered. The learning thread calls :meth:`write` and
    :meth:`mark`; the saving thread calls :meth:`sync` and :meth:`publish`.
    """

    def __init__(
        self,
        parts: PredictionParts,
        encoder: Encoder,
        kept: Sequence[pa.Field],
        disk: FileSystem,
        mark: PartsMark | None = None,
        *,
        is_fresh: bool = False,
    ) -> None:
        self._parts, self._encoder, self._disk = parts, encoder, disk
        self._mark, self._is_fresh = mark, is_fresh
        _refuse_clashes([field.name for field in kept], [column.name for column in encoder.targets])
        _refuse_unwritable(kept)
        if mark is None:
            parts.refuse_others(is_fresh=is_fresh)
        else:
            parts.refuse_gaps(mark)
        self._is_as_written = mark is None or mark.get("as_written", False)
        self._rows = 0 if mark is None else mark["rows"]
        self._pending = [] if mark is None else list(mark["pending"])
        self._known: tuple[int, ...] = ()
        self._waiting = 0
        self._open: list[_Part] = []  # since the last mark; the last one takes new rows
        self._handed: dict[str, _Part] = {}  # by final name, until they are renamed

    def write(self, kept: Any, epoch: int, rows: Rows, start: int, outcome: PredictionBatch) -> None:
        """Add the predictions for some rows.

        Parameters
        ----------
        kept
            The record batch of the columns to copy, or ``None``.
        epoch
            Passes finished before these rows.
        rows, start
            The rows that are being learned, and the index at which these begin, there and in ``kept``.
        outcome
            The predictions.
        """
        n_rows = outcome.y.shape[1]
        y, skipped = rows.y[:, start : start + n_rows], _cut(rows.skipped, start, n_rows)
        columns: dict[str, pa.Array] = {
            "row": _numbers(np.arange(self._rows, self._rows + n_rows)),
            "epoch": _numbers(np.full(n_rows, epoch)),
        }
        if kept is not None:
            columns.update(zip(kept.schema.names, kept.slice(start, n_rows).columns, strict=True))
        for i, column in enumerate(self._encoder.targets):
            if self._encoder.task == "regression":
                blind = None if outcome.unpredicted is None else outcome.unpredicted[i]
                columns |= _values(column, y[i], outcome.predictions[i], _either(skipped, blind))
            else:
                columns |= self._classes(i, y[i], outcome.predictions[i], skipped)
        self._add(pa.RecordBatch.from_pydict(columns), tuple(map(len, outcome.predictions)))

    def _classes(self, i: int, codes: Array, probabilities: Array, skipped: Mask | None) -> dict[str, pa.Array]:
        """Return the columns of a target of classes, from codes (n,) and probabilities (n_known, n)."""
        column, n_known = self._encoder.targets[i], len(probabilities)
        # The encoding thread reads ahead, so it may know classes that this prediction did not.
        met = self._encoder.labels[i].values[: max(n_known, int(codes.max(initial=-1)) + 1)]
        words = value_array(met, type_in(column, None))
        columns = {column.name: words.take(_numbers(codes, _any(codes < 0)))}
        most = probabilities.argmax(axis=0) if n_known else np.zeros(len(codes), np.int64)
        unknown = skipped if n_known else np.ones(len(codes), bool)
        columns[f"{column.name}:predicted"] = words.take(_numbers(most, unknown))
        for label, probability in zip(met, probabilities, strict=False):
            columns[f"{column.name}={label}"] = _numbers(np.array(probability, np.float64), skipped)
        return columns

    def _add(self, records: pa.RecordBatch, known: tuple[int, ...]) -> None:
        # Only classes change the schema: for a regression these lengths are row counts.
        known = known if self._encoder.task == "classification" else ()
        if not self._open or known != self._known:
            self._known = known
            self._open.append(_Part(self._parts.temporary(self._rows), self._rows, records.schema, self._disk))
        self._open[-1].add(records)
        self._rows = self._open[-1].stop
        self._waiting += records.num_rows * records.num_columns
        if self._waiting >= VALUES:
            with self._parts.failing("write"):
                # A part with another schema takes no more rows, so its buffer is written now.
                for part in self._open[:-1]:
                    part.finish()
                self._open[-1].flush()
            self._waiting = 0

    def mark(self) -> PartsMark:
        """Return how far the predictions reach. No file is touched; later rows go into another part."""
        if self._open:
            parts = {self._parts.name(part.first, part.stop): part for part in self._open}
            # The saving thread finishes these while the learning thread begins new ones.
            self._handed |= parts
            self._open, self._waiting, self._pending = [], 0, list(parts)
        return PartsMark(rows=self._rows, pending=list(self._pending), as_written=self._is_as_written)

    def sync(self, mark: PartsMark) -> None:
        """Finish the parts of a mark, and make them durable, before the checkpoint is saved."""
        parts = [self._handed[name] for name in mark["pending"] if name in self._handed]
        with self._parts.failing("write"):
            for part in parts:
                part.finish()
            if parts:
                self._disk.fsync_folder(self._parts.folder)

    def publish(self, mark: PartsMark) -> None:
        """Rename the parts of a mark, after the checkpoint that holds it is acknowledged."""
        # After a resume the mark may name parts that are renamed already.
        names = [name for name in mark["pending"] if name in self._handed]
        with self._parts.failing("publish"):
            self._parts.rename(names)
        for name in names:
            del self._handed[name]

    def __enter__(self) -> Self:
        if self._mark is None:
            self._parts.clear(is_fresh=self._is_fresh)
        else:
            self._parts.mend(self._mark)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for part in [*self._open, *self._handed.values()]:
                stack.callback(part.abandon)


class _Part:
    """A part that is not finished."""

    def __init__(self, path: Path, first: int, schema: pa.Schema, disk: FileSystem) -> None:
        self.first = self.stop = first
        self._path, self._schema, self._disk = path, schema, disk
        self._waiting: list[pa.RecordBatch] = []
        self._file: _File | None = None
        self._writer: Any = None
        self._is_finished = False

    def add(self, records: pa.RecordBatch) -> None:
        """Add rows to the buffer."""
        self._waiting.append(records)
        self.stop += records.num_rows

    def flush(self) -> None:
        """Write the buffered rows."""
        if self._file is None:
            self._file = _File(self._disk, self._disk.open_new(self._path))
            # A dictionary of numbers that are all different makes the file larger.
            few = [field.name for field in self._schema if not pa.types.is_floating(field.type) and field.name != "row"]
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="zstd", write_page_checksum=True, use_dictionary=few
            )
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting = []
            self._writer.write_table(table.combine_chunks())

    def finish(self) -> None:
        """Write the rest and the footer, and wait until all is on the medium."""
        # Several checkpoints may name one part; it is finished once.
        if self._is_finished:
            return
        self.flush()
        self._writer.close()
        if self._file is not None:
            self._file.sync()
            self._file.give_back()
        self._is_finished = True

    def abandon(self) -> None:
        """Close an unfinished file, and try to remove it."""
        if self._file is None or self._is_finished:
            return
        with suppress(OSError):  # another error is being raised, or the file is not needed
            self._file.give_back()
        self._writer.close()  # its bytes are dropped; otherwise Arrow closes it later, in its destructor
        with suppress(OSError):
            self._disk.unlink(self._path)


class _File(io.RawIOBase):
    """The file that Arrow writes to. It writes in large pieces; after ``give_back`` it drops all bytes."""

    def __init__(self, disk: FileSystem, fd: int) -> None:
        self._disk, self._fd = disk, fd
        self._buffer, self._size, self._is_open = bytearray(), 0, True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        n_bytes = len(data)
        if self._is_open:
            self._buffer += data
            self._size += n_bytes
            if len(self._buffer) >= _BYTES:
                self._hand_on()
        return n_bytes

    def _hand_on(self) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        self._disk.write(self._fd, data)

    def sync(self) -> None:
        """Write the rest, and wait until all is on the medium."""
        self._hand_on()
        self._disk.fsync(self._fd)

    def give_back(self) -> None:
        """Close the descriptor."""
        if self._is_open:
            self._is_open = False
            self._disk.close(self._fd)


def _values(column: Column, y: Array, predicted: Array, unpredicted: Mask | None) -> dict[str, pa.Array]:
    """Return the columns of a target of values, from y and predictions (n,)."""
    return {
        column.name: _numbers(np.array(y, np.float64), _any(np.isnan(y))),
        f"{column.name}:predicted": _numbers(np.array(predicted, np.float64), unpredicted),
    }


def _numbers(values: Array, missing: Mask | None = None) -> pa.Array:
    """Return 64-bit integers or floats (n,) as a column, null where missing. They are not copied."""
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    type_ = pa.float64() if values.dtype == np.float64 else pa.int64()
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(values)])


def _any(mask: Mask) -> Mask | None:
    return mask if mask.any() else None


def _cut(mask: Mask | None, start: int, n_rows: int) -> Mask | None:
    return None if mask is None else mask[start : start + n_rows]


def _either(one: Mask | None, other: Mask | None) -> Mask | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _refuse_clashes(kept: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse names that two columns would have, now or with a class that arrives later."""
    names = ["row", "epoch", *kept, *(name for target in targets for name in (target, f"{target}:predicted"))]
    for i, name in enumerate(names):
        if name in names[:i] or any(name.startswith(f"{target}=") for target in targets):
            raise ConfigError(
                f"predictions_dir: column {name!r} would be there twice, or could be; rename it in the source, or "
                "remove it from --passthrough-columns"
            )


def _refuse_unwritable(kept: Sequence[pa.Field]) -> None:
    for field in kept:
        try:
            pq.ParquetWriter(io.BytesIO(), pa.schema([field])).close()
        except pa.ArrowException as error:
            raise DataError(f"column {field.name!r} is of type {field.type}, which Parquet cannot store") from error
