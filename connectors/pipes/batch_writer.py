"""Write record batches from a pipe (Arrow streams) to Parquet files."""

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
"""First bytes of each message in an Arrow stream."""

_FILE_ROWS = 1 << 16
_GATHER_S = 0.5  # how long a batch waits for others, since a file for each small batch would be slow
_AHEAD = 4  # batches that are read and not yet written
_FILES_AHEAD = 16  # files that are written and not yet read; a writer that is faster than the reader waits


class BatchWriter:
    """Writes record batches to the files of a spool.

    Parameters
    ----------
    folder
        The folder of the files.
    place
        Name of the pipe, for messages.
    """

    def __init__(self, folder: SpoolFolder, place: str) -> None:
        self._folder, self._place = folder, place

    def write(self, stream: io.BufferedReader) -> None:
        """Write the batches of Arrow streams, several batches to a file."""
        batches: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
        threading.Thread(target=_read_batches, args=(stream, self._place, batches), daemon=True).start()
        self._gather(batches)

    def _gather(self, batches: queue.Queue[pa.RecordBatch | BaseException | None]) -> None:
        """Write batches as they come, until the last one."""
        waiting: list[pa.RecordBatch] = []
        n_rows, due = 0, 0.0
        while True:
            try:
                # The time counts from the first batch: in a steady stream, there is never a pause after the last one.
                batch = batches.get(timeout=max(0.0, due - time.monotonic()) if waiting else None)
            except queue.Empty:
                batch = waiting[-1].slice(0, 0)
            is_boundary = not isinstance(batch, pa.RecordBatch) or (waiting and batch.schema != waiting[0].schema)
            if waiting and (is_boundary or time.monotonic() >= due):
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
    """Yield the batches of consecutive Arrow streams."""
    while head := stream.peek(4)[:4]:
        if not ARROW.startswith(head):
            raise SourceError(f"{place}: other data follows an Arrow stream; send only Arrow streams")
        with pa.ipc.open_stream(stream) as reader:
            yield from reader
