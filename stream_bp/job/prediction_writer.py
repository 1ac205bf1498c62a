"""What was predicted for every row before it was learned, as files of Parquet beside a run.

| column             | of a classification             | of a regression                 |
|--------------------|---------------------------------|---------------------------------|
| ``row``, ``epoch`` | its number over all passes, and the passes before, both from 0    ||
| those to keep      | as in the source                                                  ||
| ``TARGET``         | the true class                  | the true value                  |
| ``TARGET:predicted`` | the most probable class       | the value                       |
| ``TARGET=LABEL``   | the probability of each class   |                                 |

A truth that is missing is null; so are all predictions of a row for which there was none: no class or value was met
before its minibatch, or it was skipped. A part has one schema: with each new class another one begins, that has a
column more (:mod:`stream_bp.persistence.prediction_parts` says which are there when).
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

VALUES = 1 << 18  # that wait to be written: each piece handed on becomes a row group
_BYTES = 1 << 20


class PredictionWriter:
    """The predictions of a job: they wait, are written, are synced, and get their names with a checkpoint.

    Parameters
    ----------
    parts
        Their folder.
    encoder
        Says what is predicted, and in which words.
    kept
        Columns of the source to write beside them.
    disk
        How to reach the files.
    mark
        What :meth:`mark` returned before the checkpoint that the job goes on from; ``None`` if it begins.
    is_fresh
        Whether parts of an earlier job are to be removed.

    Raises
    ------
    ConfigError
        If columns would have the same name, one cannot be written, or the folder holds other files.
    CheckpointError
        If a part that the checkpoint vouches for is missing.

    Notes
    -----
    A context manager; until it is entered nothing on the disk is changed. :meth:`write` and :meth:`mark` are for the
    thread that learns, :meth:`sync` and :meth:`publish` for the one that saves.
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
        self._rows = 0 if mark is None else mark["rows"]
        self._pending = [] if mark is None else list(mark["pending"])
        self._known: tuple[int, ...] = ()
        self._waiting = 0
        self._open: list[_Part] = []  # since the last mark; rows are added to the last of them
        self._handed: dict[str, _Part] = {}  # by name, until they have it

    def write(self, kept: Any, epoch: int, rows: Rows, start: int, outcome: PredictionBatch) -> None:
        """Add what was predicted for some rows.

        Parameters
        ----------
        kept
            The record batch of the columns to keep, or ``None``.
        epoch
            Passes finished before them.
        rows, start
            The rows that are being learned, and where among them, and in ``kept``, these begin.
        outcome
            What was predicted.
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
        # The thread that encodes may be ahead, and know more.
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
        # Lengths of values are numbers of rows, which mean nothing.
        known = known if self._encoder.task == "classification" else ()
        if not self._open or known != self._known:
            self._known = known
            self._open.append(_Part(self._parts.temporary(self._rows), self._rows, records.schema, self._disk))
        self._open[-1].add(records)
        self._rows = self._open[-1].stop
        self._waiting += records.num_rows * records.num_columns
        if self._waiting >= VALUES:
            with self._parts.failing("write"):
                # Only the last part takes more rows.
                for part in self._open[:-1]:
                    part.finish()
                self._open[-1].flush()
            self._waiting = 0

    def mark(self) -> PartsMark:
        """Tell how far they reach, without touching a file: rows that come later go into another part."""
        if self._open:
            parts = {self._parts.name(part.first, part.stop): part for part in self._open}
            # The writer's thread works on these while the learner's thread begins new ones.
            self._handed |= parts
            self._open, self._waiting, self._pending = [], 0, list(parts)
        return PartsMark(rows=self._rows, pending=list(self._pending))

    def sync(self, mark: PartsMark) -> None:
        """Finish the parts of a mark, and make them durable: for the checkpoint that is saved next."""
        parts = [self._handed[name] for name in mark["pending"] if name in self._handed]
        with self._parts.failing("write"):
            for part in parts:
                part.finish()
            if parts:
                self._disk.fsync_folder(self._parts.folder)

    def publish(self, mark: PartsMark) -> None:
        """Give the parts of a mark their names: once the checkpoint that holds it is acknowledged."""
        # After a resume the mark may name parts that have their names by now.
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
    """A file in the making."""

    def __init__(self, path: Path, first: int, schema: pa.Schema, disk: FileSystem) -> None:
        self.first = self.stop = first
        self._path, self._schema, self._disk = path, schema, disk
        self._waiting: list[pa.RecordBatch] = []
        self._file: _File | None = None
        self._writer: Any = None
        self._is_finished = False

    def add(self, records: pa.RecordBatch) -> None:
        """Let rows wait."""
        self._waiting.append(records)
        self.stop += records.num_rows

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._file is None:
            self._file = _File(self._disk, self._disk.open_new(self._path))
            # A dictionary of numbers that are all different costs more than it saves.
            few = [field.name for field in self._schema if not pa.types.is_floating(field.type) and field.name != "row"]
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="zstd", write_page_checksum=True, use_dictionary=few
            )
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting = []
            self._writer.write_table(table.combine_chunks())

    def finish(self) -> None:
        """Write what is left, and the footer, and wait until it is on the medium."""
        # A part is finished once, and may be marked by several checkpoints.
        if self._is_finished:
            return
        self.flush()
        self._writer.close()
        if self._file is not None:
            self._file.sync()
            self._file.give_back()
        self._is_finished = True

    def abandon(self) -> None:
        """Leave a file that is not finished, and take it away if it can be."""
        if self._file is None or self._is_finished:
            return
        with suppress(OSError):  # an error is on its way, or nobody needs it
            self._file.give_back()
        self._writer.close()  # into nothing: else Arrow does so some time
        with suppress(OSError):
            self._disk.unlink(self._path)


class _File(io.RawIOBase):
    """What Arrow writes to: it goes to the disk in large pieces, and nowhere once the file was given back."""

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
        """Write what is left, and wait until all is on the medium."""
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
    """Return whole numbers or floats of 64 bits (n,) as a column, null where they are missing; no copy is made."""
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
    """Refuse names that two columns would have, now or with a class that may come."""
    names = ["row", "epoch", *kept, *(name for target in targets for name in (target, f"{target}:predicted"))]
    for i, name in enumerate(names):
        if name in names[:i] or any(name.startswith(f"{target}=") for target in targets):
            raise ConfigError(
                f"predictions: a column {name!r} would be there twice, or could be; rename it in the source, or do not "
                "keep it"
            )


def _refuse_unwritable(kept: Sequence[pa.Field]) -> None:
    for field in kept:
        try:
            pq.ParquetWriter(io.BytesIO(), pa.schema([field])).close()
        except pa.ArrowException as error:
            raise DataError(f"column {field.name!r} is of type {field.type}, which Parquet cannot hold") from error
