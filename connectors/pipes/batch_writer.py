"""Write record batches that come through a pipe, as streams of Arrow, to Parquet files."""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import SourceError
from connectors.pipes.spool_folder import SpoolFolder
from connectors.stores.storage import sync

__all__ = ["ARROW", "BatchWriter"]

ARROW = b"\xff\xff\xff\xff"
"""What each message of a stream of Arrow begins with."""

_FILE_ROWS = 1 << 16
_GATHER_S = 0.5  # that a batch waits for others
_AHEAD = 4  # batches read and not yet written
_FILES_AHEAD = 16  # files written and not yet read


class BatchWriter:
    """Writes record batches to the files of a spool.

    Parameters
    ----------
    folder
        The files.
    place
        Where the batches come from, for messages.
    """

    def __init__(self, folder: SpoolFolder, place: str) -> None:
        self._folder, self._place = folder, place

    def write(self, stream: io.BufferedReader) -> None:
        """Write the batches of streams of Arrow, several of them to a file."""
        batches: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
        threading.Thread(target=_read_batches, args=(stream, self._place, batches), daemon=True).start()
        self._gather(batches)

    def _gather(self, batches: queue.Queue[pa.RecordBatch | BaseException | None]) -> None:
        """Write batches as they come, until the last."""
        waiting: list[pa.RecordBatch] = []
        n_rows, due = 0, 0.0
        while True:
            try:
                # Since the first of them came: of a steady stream none is the last one.
                batch = batches.get(timeout=max(0.0, due - time.monotonic()) if waiting else None)
            except queue.Empty:
                batch = waiting[-1].slice(0, 0)
            is_border = not isinstance(batch, pa.RecordBatch) or (waiting and batch.schema != waiting[0].schema)
            if waiting and (is_border or time.monotonic() >= due):
                self._write_file(waiting)
                waiting = []
            if isinstance(batch, BaseException):
                raise batch
            if batch is None:
                return
            if batch.num_rows:
                if not waiting:
                    n_rows, due = 0, time.monotonic() + _GATHER_S
                waiting.append(batch)
                n_rows += batch.num_rows
                if n_rows >= _FILE_ROWS:
                    due = 0.0

    def _write_file(self, batches: list[pa.RecordBatch]) -> None:
        number = self._folder.next_number(_FILES_AHEAD)
        path = self._folder.file(number, "parquet")
        hidden = path.with_name(f".{path.name}.tmp")
        pq.write_table(pa.Table.from_batches(batches), hidden, write_page_checksum=True)
        if self._folder.is_kept:
            sync(hidden)
        hidden.replace(path)
        if self._folder.is_kept:
            sync(path.parent)
        self._folder.add(number)


def _read_batches(
    stream: io.BufferedReader, place: str, batches: queue.Queue[pa.RecordBatch | BaseException | None]
) -> None:
    try:
        for batch in _batches(stream, place):
            batches.put(batch)
        batches.put(None)
    except BaseException as error:
        batches.put(error)


def _batches(stream: io.BufferedReader, place: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of streams of Arrow, one behind the other."""
    while head := stream.peek(4)[:4]:
        if not ARROW.startswith(head):
            raise SourceError(f"{place}: what comes behind a stream of Arrow is none; send nothing else with it")
        with pa.ipc.open_stream(stream) as reader:
            yield from reader
