"""Standard input and named pipes: what comes is kept in a folder, and read from there.

Nothing can be read twice from a pipe. So a thread writes what comes to files of a folder, whole records only, and the
rows are read from these files like from any that land in a folder. If the folder is to stay, a job goes on from there
after a kill; what the pipe had handed over and was not yet written, some records, is lost. Else it is a temporary one,
and what comes after a kill is gone on with.

Text becomes files of text, in UTF-8, each with the header; a stream of Arrow (its IPC format) files of Parquet.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import queue
import re
import select
import shutil
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import ConnectorError, NewColumnsError, SourceError, foreign_errors
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.records import first_line, record_ends, whole_records
from connectors.formats.csv.text import MAX_RECORD, transcoded
from connectors.stores.storage import sync

__all__ = ["STANDARD_INPUT", "Spool", "is_pipe", "telling"]

STANDARD_INPUT = "-"

_FILE_BYTES = 64 << 20
_READ_BYTES = 1 << 20
_FILE_ROWS = 1 << 16
_GATHER_S = 0.5  # that a batch waits for others
_PATIENCE_S = 5.0
_AHEAD = 4  # files written and not yet read
_NAME = re.compile(r"spool-([0-9]{12})\.(csv|parquet)")
_ARROW = b"\xff\xff\xff\xff"  # each of its messages begins so
_JSON = "JSON", "convert it to text with a header, or to a stream of Arrow"
_NOT_READ = {  # what begins so: what it is, and the way out
    b"\x1f\x8b": ("gzip", "decompress it before: gzip -dc … |"),
    b"\x28\xb5\x2f\xfd": ("zstd", "decompress it before: zstd -dc … |"),
    b"PAR1": ("Parquet", "write it to a file"),
    b"ARROW1": ("a file of Arrow (Feather)", "send a stream (pyarrow.ipc.new_stream), or write Parquet to a file"),
    b'{"': _JSON,
    b'[{"': _JSON,
}


def is_pipe(place: str) -> bool:
    """Tell whether a place is standard input, or a named pipe."""
    return place == STANDARD_INPUT or (os.path.exists(place) and stat.S_ISFIFO(os.stat(place).st_mode))  # noqa: PTH110, PTH116


class Spool:
    """What comes through a pipe, in files of a folder; a thread writes them.

    Parameters
    ----------
    place
        ``-``, or the path of a named pipe.
    folder
        Where to keep what comes; a temporary folder, if it is not given.
    dialect
        How text is written, as far as that was said.
    reopens
        Whether a named pipe is opened again when all who write to it have closed it.

    Attributes
    ----------
    folder : str
        Where the files are.
    is_kept : bool
        Whether they stay.
    n_held : int
        Bytes of text that end no record yet.
    """

    def __init__(self, place: str, folder: str | None, dialect: Dialect, *, reopens: bool) -> None:
        self._place, self._dialect, self._reopens = place, dialect, reopens
        self.is_kept = folder is not None
        self.folder = folder or tempfile.mkdtemp(prefix="stream-bp-")
        with foreign_errors(self.folder):
            _make_folder(Path(self.folder))
            self._refuse_others()
            self._remove_begun()
        self._finalizer = (
            None if self.is_kept else weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        )
        self._changed = threading.Condition()
        self.n_held = 0
        self._failure: BaseException | None = None
        self._has_ended = False
        self._newest = max(self._numbers(), default=0)
        self._left = 0
        self._pipe: _Pipe | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()
        # Python must not end while a thread is about to read by way of it.
        atexit.register(_end, weakref.ref(self))

    def _refuse_others(self) -> None:
        others = [name for name in os.listdir(self.folder) if not _NAME.fullmatch(name) and not name.startswith(".")]  # noqa: PTH208
        if others:
            raise SourceError(f"{self.folder}: {others[0]} is not of a spool; choose a folder for it alone")

    def _remove_begun(self) -> None:
        """Remove the last file of text if it was not begun to the end of its header: it holds no row."""
        path = self._path(max(self._numbers(), default=0), "csv")
        if not path.exists():
            return
        with path.open("rb") as file:
            head = file.read(MAX_RECORD + 1)
        dialect = replace(self._dialect, encoding="utf-8").told_by(head)
        if not len(record_ends(head, is_last=False, dialect=dialect)):
            path.unlink()

    def _numbers(self) -> list[int]:
        return [int(match[1]) for name in os.listdir(self.folder) if (match := _NAME.fullmatch(name))]  # noqa: PTH208

    @property
    def description(self) -> str:
        """Where what comes is from."""
        return "standard input" if self._place == STANDARD_INPUT else self._place

    def is_whole(self, name: str) -> bool:
        """Tell whether a file will not grow: it is not the last one, or nothing comes any more."""
        match = _NAME.fullmatch(Path(name).name)
        with self._changed:
            return self._has_ended or (match is not None and int(match[1]) < self._newest)

    @property
    def has_ended(self) -> bool:
        """Whether all that will come is written; what could not be read or written, `refuse_failure` tells."""
        with self._changed:
            return self._has_ended

    def refuse_failure(self) -> None:
        """Raise what ended it, once all that came before that was read.

        Raises
        ------
        SourceError
            What came could not be read, or written.
        """
        if self._failure is not None:
            with foreign_errors(self.description):
                raise self._failure

    def told(self, words: str) -> str:
        """Return words in which files that do not stay, and their folder, are called by where they came from."""
        if self.is_kept:
            return words

        def called(match: re.Match[str]) -> str:
            # Lines, and columns that disagree, are those of a file of its own.
            is_first = match[1] is None or int(match[1]) == 1
            return self.description if is_first else f"{self.description}, part {int(match[1])}"

        return re.sub(rf"{re.escape(self.folder)}(?:/{_NAME.pattern})?", called, words)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors tell of the place, and not of files that do not stay."""
        try:
            yield
        except ConnectorError as error:
            error.args = tuple(self.told(words) for words in error.args)
            if isinstance(error, NewColumnsError):
                error.place = self.told(error.place)
            raise

    def leave(self, name: str) -> None:
        """Hear that a file was read to its end; one that need not stay is removed."""
        match = _NAME.fullmatch(Path(name).name)
        with self._changed:
            self._left = max(self._left, int(match[1]) if match else 0)
            self._changed.notify_all()
        if not self.is_kept:
            Path(name).unlink(missing_ok=True)

    def acknowledge(self, name: str) -> None:
        """Remove the files before one: no checkpoint needs them any more."""
        match = _NAME.fullmatch(Path(name).name)
        for path in Path(self.folder).iterdir():
            found = _NAME.fullmatch(path.name)
            if found and match and int(found[1]) < int(match[1]):
                path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            stream = self._opened()
            while True:
                with stream:
                    self._take(stream)
                    if self._is_over or not self._reopens or self._place == STANDARD_INPUT:
                        break
                    # Before this end is closed: what comes between two openings would have nobody to go to.
                    stream = self._opened()
        except BaseException as error:
            self._failure = error
        with self._changed:
            self._has_ended = True

    def _opened(self) -> io.BufferedReader:
        is_input = self._place == STANDARD_INPUT
        # Without waiting for somebody who writes: that is done where it can be told that it is over.
        self._pipe = _Pipe(os.dup(0) if is_input else os.open(self._place, os.O_RDONLY | os.O_NONBLOCK))
        return io.BufferedReader(self._pipe, _READ_BYTES)

    def end(self) -> None:
        """Read no further, and wait until what was read is written."""
        self._is_over = True
        if self._pipe is not None:
            self._pipe.end()
            self._thread.join(_PATIENCE_S)

    def _take(self, stream: io.BufferedReader) -> None:
        """Write all that comes through a stream."""
        head = stream.peek(6)[:6]
        if head.startswith(_ARROW):
            self._take_batches(stream)
            return
        for magic, (name, way_out) in _NOT_READ.items():
            if head.startswith(magic):
                raise SourceError(f"{self.description}: what comes is {name}, which is not read from a pipe; {way_out}")
        self._take_text(stream)

    def _take_text(self, stream: io.BufferedReader) -> None:
        pending = b""
        dialect: Dialect | None = None
        file: _Text | None = None
        for data in _pieces(stream, self._dialect):
            pending += data
            # Where it is no longer read, part of a record is left out: whoever writes may have written on.
            is_last = data == b"" and not self._is_over
            if dialect is None:
                dialect = replace(self._dialect, encoding="utf-8").told_by(pending)
            length = (_length if file is not None else whole_records)(pending, is_last, dialect)
            if file is None and not length and len(pending) > MAX_RECORD:
                raise SourceError(
                    f"{self.description}: a header of more than {MAX_RECORD >> 20} MiB; is a quote never closed?"
                )
            if length and file is None:
                end = int(record_ends(pending, is_last, dialect)[0])
                file, header = self._text(pending[:end], dialect), end
                pending, length = pending[header:], length - header
            if file is not None and length:
                file = self._next_text(file)
                # What comes later, through another opening, begins with a record of its own.
                is_ended = not is_last or pending[:length].endswith((b"\n", b"\r"))
                file.write(pending[:length] + (b"" if is_ended else b"\n"))
                pending = pending[length:]
            self.n_held = len(pending.strip(b"\r\n"))
        if file is not None:
            file.close()

    def _text(self, header: bytes, dialect: Dialect) -> _Text:
        """Go on with the last file of text, or begin the first; what comes may be without the header then."""
        header = header.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n") + b"\n"
        path = self._path(self._newest, "csv")
        if not self._newest or not path.exists():
            return self._begun(header)
        known = path.read_bytes()
        first = int(record_ends(known, is_last=False, dialect=dialect)[0])
        size = first + _length(known[first:], is_last=False, dialect=dialect)
        file = _Text(path, known[:first], size, self.is_kept)
        if not known[:size].endswith((b"\n", b"\r")):  # a line that is too long: its end will not come
            file.write(b"\n")
        if header != known[:first]:
            file.write(header)
        return file

    def _begun(self, header: bytes) -> _Text:
        with self._changed:
            self._changed.wait_for(lambda: self._newest - self._left < _AHEAD)
            number = self._newest + 1
        file = _Text(self._path(number, "csv"), header, 0, self.is_kept)
        with self._changed:
            self._newest = number
        return file

    def _next_text(self, file: _Text) -> _Text:
        if file.size < _FILE_BYTES or not file.has_whole_lines:
            return file
        file.close()
        return self._begun(file.header)

    def _take_batches(self, stream: io.BufferedReader) -> None:
        """Write the batches of streams of Arrow, several of them to a file."""
        batches: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
        threading.Thread(target=_read_batches, args=(stream, self.description, batches), daemon=True).start()
        try:
            self._gather(batches)
        except BaseException:
            if self._pipe is not None:
                self._pipe.end()  # whoever waits for what comes through it would keep it from being closed
            raise

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
                self._write_batches(waiting)
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

    def _write_batches(self, batches: list[pa.RecordBatch]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest - self._left < 4 * _AHEAD)
            number = self._newest + 1
        path = self._path(number, "parquet")
        hidden = path.with_name(f".{path.name}.tmp")
        pq.write_table(pa.Table.from_batches(batches), hidden, write_page_checksum=True)
        if self.is_kept:
            sync(hidden)
        hidden.replace(path)
        if self.is_kept:
            sync(path.parent)
        with self._changed:
            self._newest = number

    def _path(self, number: int, extension: str) -> Path:
        return Path(self.folder, f"spool-{number:012d}.{extension}")


def telling(spool: Spool | None) -> contextlib.AbstractContextManager[None]:
    """Let errors tell of the pipe where a spool has what comes through one; else of the files as they are."""
    return contextlib.nullcontext() if spool is None else spool.telling()


def _end(spool: weakref.ref[Spool]) -> None:
    if (found := spool()) is not None:
        found.end()


class _Pipe(io.RawIOBase):
    """The end of a pipe that is read; whoever waits there can be told that it is over."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._over, self._tell = os.pipe()
        self._poll = select.poll()  # not select, which knows no descriptor beyond 1,023
        for one in (self._fd, self._over):
            self._poll.register(one, select.POLLIN)
        self._lock = threading.Lock()  # a number is that of another file, once it was closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._over in {ready for ready, _ in self._poll.poll()}:
                return 0
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._fd, len(buffer))
                buffer[: len(data)] = data
                return len(data)

    def end(self) -> None:
        """Let it be as if nobody wrote any more."""
        with self._lock:
            if not self.closed:
                os.write(self._tell, b".")

    def close(self) -> None:
        """Close it: whoever writes has nobody to write to then."""
        with self._lock:
            if not self.closed:
                for fd in (self._fd, self._over, self._tell):
                    os.close(fd)
            super().close()


class _Text:
    """A file of whole records, with their header."""

    def __init__(self, path: Path, header: bytes, size: int, is_durable: bool) -> None:
        self.header, self.size, self._is_durable = header, size, is_durable
        self.has_whole_lines = True
        self._file = path.open("r+b" if size else "wb", buffering=0)
        if size:
            self._file.truncate(size)
            self._file.seek(size)
        else:
            self.write(header)
            if is_durable:
                sync(path.parent)

    def write(self, text: bytes) -> None:
        """Write whole records, through to the disk where they are to stay."""
        rest = memoryview(text)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(text)
        self.has_whole_lines = text.endswith((b"\n", b"\r"))
        if self._is_durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _length(text: bytes, is_last: bool, dialect: Dialect) -> int:
    """Return the length of what can be written: whole records, and lines of what is too long to be one.

    Whoever reads it takes such a line for a bad row, too, and goes on behind it.
    """
    length = whole_records(text, is_last, dialect)
    while len(text) - length > MAX_RECORD:
        rest = text[length:]
        line = first_line(rest)
        length += line + whole_records(rest[line:], is_last, dialect) if line else len(rest)
    return length


def _pieces(stream: io.BufferedReader, dialect: Dialect) -> Iterator[bytes]:
    """Yield text as it comes, in UTF-8; nothing at the end."""
    first = b""
    while b"\n" not in first and b"\r" not in first and (data := stream.read1(_READ_BYTES)):
        first += data
    told = dialect.told_by(first)
    decode = None if told.is_utf8 else transcoded(str(told.encoding))
    data = first
    while True:
        yield data if decode is None else decode(data)
        if not data:
            return
        data = stream.read1(_READ_BYTES)


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
        if not _ARROW.startswith(head):
            raise SourceError(f"{place}: what comes behind a stream of Arrow is none; send nothing else with it")
        with pa.ipc.open_stream(stream) as reader:
            yield from reader


def _make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each of them so that a power cut does not take it back."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)
