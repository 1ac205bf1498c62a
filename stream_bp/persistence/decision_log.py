r"""The decisions of a job with an unbounded source, which depend on time and not on the rows alone.

Examples are the next file, and a minibatch that was cut short since no row came. A job that resumes from an earlier
checkpoint reads its decisions here, and decides the same. There is one line for each decision. It is synced before the
decision is used. So an incomplete line after a power cut is ignored: the decision had no effect yet.

The file is CSV: the row of the stream, the question, and the answer. Release 0.1.0 wrote no header.
"""

import csv
import io
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from connectors import LASTING, Decisions
from stream_bp.errors import DiskError
from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.run_files import RUN_FILES

__all__ = ["KINDS", "DecisionLog"]

KINDS = {
    "file N": "Which file was read as number N.",
    "left N": "The state of file N when the job had read it.",
    "empty N": "File N had no rows; its state and its columns.",
    "border R": "A minibatch was cut short before row R. The third cell is empty.",
    "late NAME": "This file arrived too late. It was counted as a bad row.",
}
"""The kinds of decisions (the second cell of a line), with the meaning of the third cell."""

_HEADER = f"{','.join(RUN_FILES['decisions'].columns or ())}\n".encode()
_LARGE_BYTES = 1 << 20  # a larger file loses the decisions that no checkpoint needs


class DecisionLog(Decisions):
    """The decisions of a job, in a file of its run directory.

    Parameters
    ----------
    path
        The file. The first decision creates it.
    keep
        How many checkpoints are kept: a job may resume from any of them.
    disk
        Reads and writes the file.

    Raises
    ------
    DiskError
        If it cannot be read.
    """

    _most = None  # no limit here: `saved` drops the decisions that no checkpoint needs

    def __init__(self, path: Path, keep: int, disk: FileSystem) -> None:
        super().__init__()
        self._path, self._disk = path, disk
        self._lines: list[tuple[int, str, str]] = []
        self._saved_rows: deque[int] = deque(maxlen=keep + 1)
        self._size, self._kept_bytes, self._fd = 0, 0, -1
        self._lock = threading.Lock()  # one thread decides, another saves checkpoints
        try:
            data = disk.read(path)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise self._failure("read", error) from error
        # A decision with an incomplete line had no effect: it was not synced.
        whole = data[: data.rfind(b"\n") + 1]
        self._size, self._is_torn = len(whole), len(whole) < len(data)
        csv.field_size_limit(max(csv.field_size_limit(), len(whole)))  # the columns of a wide file are one field
        for line in csv.reader(io.StringIO(whole.decode(errors="surrogateescape"), newline="")):
            with suppress(ValueError):  # the header has no number
                row, what, decision = line
                self._lines.append((int(row), what, decision))
                super().note(int(row), what, decision)

    def note(self, row: int, what: str, decision: str) -> None:
        """Append a decision, durably."""
        line = (row, what, decision)
        with self._lock:
            try:
                self._append(_text([line]))
            except OSError as error:
                raise self._failure("write", error) from error
            self._lines.append(line)
            super().note(row, what, decision)

    def _append(self, data: bytes) -> None:
        if self._fd < 0 and self._size:
            self._fd = self._disk.open_existing(self._path)
            # Otherwise the rest of an incomplete line would become part of the new line.
            if self._is_torn:
                self._disk.truncate(self._fd, self._size)
        elif self._fd < 0:
            with suppress(FileNotFoundError):
                self._disk.unlink(self._path)
            self._fd = self._disk.open_new(self._path)
            self._disk.fsync_folder(self._path.parent)
            data = _HEADER + data
        self._disk.write(self._fd, data)
        # Synced before it is used, since a resumed run must find it.
        self._disk.fsync(self._fd)
        self._size += len(data)

    def saved(self, row: int) -> None:
        """Note an acknowledged checkpoint of this many rows. Decisions before all kept ones are dropped at times."""
        with self._lock:
            if not self._saved_rows or self._saved_rows[-1] != row:
                self._saved_rows.append(row)
            # Rewriting costs time, so it waits until the file has grown.
            if (
                self._size > max(_LARGE_BYTES, 2 * self._kept_bytes)
                and len(self._saved_rows) == self._saved_rows.maxlen
            ):
                self._drop_old()

    def _drop_old(self) -> None:
        first = self._saved_rows[0]
        self._lines = [line for line in self._lines if line[0] >= first or line[1].startswith(LASTING)]
        # A copy replaces the file, so a kill leaves either the old or the new file complete.
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        try:
            self.close()
            with suppress(FileNotFoundError):
                self._disk.unlink(temporary)
            self._fd = self._disk.open_new(temporary)
            self._disk.write(self._fd, _HEADER + _text(self._lines))
            self._disk.fsync(self._fd)
            self._size = self._kept_bytes = len(_HEADER + _text(self._lines))
            self._disk.rename(temporary, self._path)
            self._disk.fsync_folder(self._path.parent)
        except OSError as error:
            raise self._failure("write", error) from error
        self._decided = {what: decision for _, what, decision in self._lines if not what.startswith(LASTING)}

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._disk.close(fd)

    def _failure(self, verb: str, error: OSError) -> DiskError:
        return DiskError(
            f"cannot {verb} {self._path}: {error.strerror}; fix the cause, then run the same command to resume"
        )


def _text(lines: list[tuple[int, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode(errors="surrogateescape")  # a file name may have any bytes
