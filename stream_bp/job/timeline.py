r"""The timeline of a run: events with clock times.

Every other file of a run directory is a function of the rows learned, to the last bit. ``timeline.csv`` is not. So no
checkpoint covers it, and a job never resumes from it. If it cannot be written, the job reports that once and
continues. Every process of a job appends to it. A line that a killed process left incomplete is cut off.

=========================  =====================================================================================
column                     meaning
=========================  =====================================================================================
``time``                   ISO 8601 in UTC, with milliseconds
``event``                  ``start`` or ``end`` of a process, or ``sample`` between
``rows``, ``minibatches``  learned so far, over all runs of the job
``checkpoints``            saved by this process
``checkpoint_seconds``     how long the last checkpoint took
``checkpoint_bytes``       its size
``rss_bytes``              memory of this process
``lag_bytes``              bytes in the source that are not learned yet
``detail``                 at a start: the version, and the checkpoint it resumed from; at an end: the reason
=========================  =====================================================================================
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import stream_bp
from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.job.summary import peak_rss_bytes
from stream_bp.persistence.checkpoints import LoadedCheckpoint
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.journal import csv_line
from stream_bp.persistence.run_files import RUN_FILES

__all__ = ["Timeline", "spacing"]

_COLUMNS = RUN_FILES["timeline"].columns or ()
_DETAIL = 500  # characters at most, since an error may quote a row


def spacing(age_s: float) -> float:
    """Return the time between two samples: 1 % of the job's age, from a second to ten minutes.

    Parameters
    ----------
    age_s
        Seconds since the first line of the timeline.

    Notes
    -----
    This makes about 700 lines in a day, and 53,000 in a year.

    Examples
    --------
    >>> spacing(5), spacing(3600), spacing(86400 * 365)
    (1.0, 36.0, 600.0)
    """
    return min(max(1.0, age_s / 100), 600.0)


class Timeline(Observer):
    """The writer of a job's timeline.

    Parameters
    ----------
    path
        The CSV file. It is created if it does not exist.
    disk
        Reads and writes the file.
    note
        Receives a message, once, if the file cannot be written.

    Notes
    -----
    Each line opens and closes the file: there are few lines, and a full disk then harms no open file. The file is not
    synced.
    """

    def __init__(self, path: Path, disk: FileSystem, note: Callable[[str], None]) -> None:
        self._path, self._disk, self._note = path, disk, note
        self._is_silent = False
        self._began = self._due = 0.0
        self._age_s = 0.0

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Write the start of a process, and the checkpoint it resumed from."""
        self._is_silent, self._began = False, time.monotonic()
        origin = "new job" if resumed is None else f"resumed from {resumed.path.name}"
        with self._bearing():
            self._age_s = self._resume()
        cells: dict[str, object] = {"rows": training.rows, "minibatches": training.minibatches, "checkpoints": 0}
        self._write("start", cells, f"stream-bp {stream_bp.__version__}, {origin}")

    def on_progress(self, status: Status) -> None:
        """Write a sample if one is due."""
        if not self._is_silent and time.monotonic() >= self._due:
            self._write("sample", _cells(status), "")

    def on_end(self, status: Status, reason: str) -> None:
        """Write the end of a process, with its reason."""
        if not self._is_silent:
            self._write("end", _cells(status), reason)

    def _resume(self) -> float:
        """Cut off an incomplete last line, and return the age of the first line in seconds.

        Raises
        ------
        OSError
            If another program wrote the file, or it cannot be read.
        """
        size = whole = 0
        head = b""
        with contextlib.suppress(FileNotFoundError):
            for chunk in self._disk.chunks(self._path):
                head = head or chunk
                if (end := chunk.rfind(b"\n")) >= 0:
                    whole = size + end + 1
                size += len(chunk)
        header = csv_line(_COLUMNS)
        # A power cut may have left zeros, which are not the file of another program.
        if head[: len(header)] != header[: len(head)] and head.strip(b"\0"):
            raise OSError(0, "it was not written by stream-bp; move it away")
        # An incomplete number would be read as a smaller one.
        if whole < size:
            with self._opened() as fd:
                self._disk.truncate(fd, whole)
        return _age_s(head[len(header) :])

    def _write(self, event: str, cells: dict[str, object], detail: str) -> None:
        if self._is_silent:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        # An error may contain line breaks, which would split the line.
        detail = " ".join(detail.split())[:_DETAIL]
        cells = {**cells, "time": now, "event": event, "rss_bytes": _rss_bytes(), "detail": detail}
        line = csv_line([cells.get(column) for column in _COLUMNS])
        with self._bearing(), self._opened() as fd:
            self._disk.write(fd, line)
        now_s = time.monotonic()
        self._due = now_s + spacing(self._age_s + now_s - self._began)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file to append to it. A new file gets its header."""
        try:
            fd, header = self._disk.open_existing(self._path), b""
        except FileNotFoundError:
            fd, header = self._disk.open_new(self._path), csv_line(_COLUMNS)
        try:
            if header:
                self._disk.write(fd, header)
            yield fd
        finally:
            self._disk.close(fd)

    @contextlib.contextmanager
    def _bearing(self) -> Iterator[None]:
        """Stop writing after an error of the disk, and report it once."""
        try:
            yield
        except OSError as error:
            if not self._is_silent:
                self._is_silent = True
                self._note(f"cannot write {self._path}: {error.strerror}; the job continues without it")


def _cells(status: Status) -> dict[str, object]:
    """Return the cells of a sample."""
    work = status.stats
    cells: dict[str, object] = {
        "rows": status.state.rows,
        "minibatches": status.state.minibatches,
        "checkpoints": sum(work.saves.counts),
        "lag_bytes": _lag(status),
    }
    if work.saved is not None:
        cells |= {"checkpoint_seconds": f"{work.saved.seconds:.4f}", "checkpoint_bytes": work.saved.n_bytes}
    return cells


def _lag(status: Status) -> int | None:
    with contextlib.suppress(OSError):  # a file may be gone
        return status.source.lag(status.cursor)
    return None


def _rss_bytes() -> int:
    """Return the present memory of this process, or its peak where only that is known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_rss_bytes()


def _age_s(lines: bytes) -> float:
    """Return the age of the first line in seconds; 0 if there is none, or the clock was set back."""
    moment = lines[:80].decode(errors="replace").partition(",")[0]
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
