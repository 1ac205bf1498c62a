r"""Journals: CSV files that a resumed job continues to the same bytes.

``history.csv`` tells the metrics of a job, ``quarantine.csv`` what it could not read. A row is kept in memory, then
written, then, at each checkpoint, synced; the checkpoint holds the *mark* of that moment:
how many bytes there were, their SHA-256, and the number of rows. A job that resumes verifies the marked bytes, cuts off
what came after them, and goes on. Hence every column must be a function of the rows learned: no times, no rates.

One thread may add rows and take marks while another one syncs an earlier mark.

The file is UTF-8 with a header and ``\n`` at the end of each line. Floats are written with the fewest digits that read
back as the same double, None as an empty cell.
"""

import csv
import errno
import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict

import numpy as np

from stream_bp.errors import CheckpointError, DiskError
from stream_bp.persistence.filesystem import FileSystem

__all__ = ["AppendLog", "Mark", "csv_line"]

BUFFER_BYTES = 1 << 16


class Mark(TypedDict):
    """How far a journal reaches: its size in bytes, the SHA-256 of these bytes, and its number of rows."""

    size: int
    sha256: str
    rows: int


class AppendLog:
    """A new file, created at the first write; :meth:`fresh` replaces one, :meth:`resume` continues one.

    Parameters
    ----------
    path
        The CSV file. It must not exist.
    columns
        The names of the columns, fixed for the life of the file.
    disk
        How to reach the file.
    is_optional
        Whether there is no file before there is a row.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], disk: FileSystem | None = None, *, is_optional: bool = False
    ) -> None:
        self._is_optional = is_optional
        self.path = Path(path)
        self.columns = tuple(columns)
        self.rows = 0
        self._disk = disk or FileSystem()
        self._open: Callable[[], int] = self._create
        self._fd: int | None = None
        self._is_closed = False
        self._is_synced = False
        self._lock = threading.Lock()
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._buffer = bytearray()
        self._add(self.columns)

    @classmethod
    def fresh(
        cls, path: str | Path, columns: Sequence[str], disk: FileSystem | None = None, *, is_optional: bool = False
    ) -> Self:
        """Start a new one in place of the one that may be there.

        Raises
        ------
        CheckpointError
            If the old file cannot be removed.
        """
        journal = cls(path, columns, disk, is_optional=is_optional)
        with journal._failing("remove"), suppress(FileNotFoundError):
            journal._disk.unlink(journal.path)
        return journal

    @classmethod
    def resume(
        cls,
        path: str | Path,
        columns: Sequence[str],
        mark: Mapping[str, Any],
        disk: FileSystem | None = None,
        *,
        is_optional: bool = False,
        former: Sequence[str] | None = None,
    ) -> Self:
        """Continue one from where a checkpoint marked it.

        Parameters
        ----------
        path
            The CSV file.
        columns
            The names of the columns, as when the file was made.
        mark
            What :meth:`sync` returned before that checkpoint.
        disk
            How to reach the file.
        is_optional
            As of :class:`AppendLog`.
        former
            The names that an earlier release gave the columns: a file with these keeps them.

        Returns
        -------
        AppendLog
            The rows after the mark are cut off at the first write; until then nothing is changed.

        Raises
        ------
        CheckpointError
            If the marked bytes are not in the file as they were written, or are of other columns.
        """
        journal = cls(path, columns, disk, is_optional=is_optional)
        if is_optional and not mark["rows"]:
            journal._refuse_foreign()
            journal._open = journal._replace
            return journal
        journal._verify(mark, former)
        journal._open = journal._reopen
        return journal

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row; it stays in memory until :meth:`sync`, or until there are many.

        Parameters
        ----------
        row
            A value for each column: a string, a number, a boolean or None.

        Raises
        ------
        ValueError
            If the row has other columns than the file.
        TypeError
            If a value is of another kind.
        CheckpointError
            If the file cannot be written.
        """
        if row.keys() != set(self.columns):
            raise ValueError(f"a row of a journal has columns {sorted(row)}, expected {sorted(self.columns)}")
        self._add([_cell(row[column]) for column in self.columns])
        self.rows += 1
        if len(self._buffer) >= BUFFER_BYTES:
            self._write(self._size)

    def mark(self) -> Mark:
        """Tell how far it reaches, without touching the file."""
        return Mark(size=self._size, sha256=self._sha256.hexdigest(), rows=self.rows)

    def sync(self, mark: Mark | None = None) -> Mark:
        """Make the rows up to a mark durable.

        Parameters
        ----------
        mark
            How far; to the last row if it is not given.

        Returns
        -------
        Mark
            The same mark: for the checkpoint that is saved next, and for :meth:`resume`.

        Raises
        ------
        CheckpointError
            If the file cannot be written; it then takes no more rows.
        """
        mark = mark or self.mark()
        # No file before there is a row: most jobs have no bad one.
        if self._is_optional and not mark["rows"]:
            return mark
        fd = self._write(mark["size"])
        if not self._is_synced:
            with self._failing("sync"):
                self._disk.fsync(fd)
            self._is_synced = True
        return mark

    def close(self) -> None:
        """Close the file; rows since the last :meth:`sync` are not kept."""
        self._is_closed = True
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with self._failing("close"):
                self._disk.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, cells: Sequence[str]) -> None:
        line = csv_line(cells)
        with self._lock:
            self._buffer += line
            self._size += len(line)
        self._sha256.update(line)

    @property
    def _written(self) -> int:
        """The size of the file, where nothing but the marked bytes counts."""
        return self._size - len(self._buffer)

    def _write(self, size: int) -> int:
        """Write what is not yet in the file, up to a size of it."""
        with self._lock, self._failing("write"):
            if self._is_closed:
                raise OSError(errno.EBADF, "an earlier write failed, or it is closed")
            fd = self._open() if self._fd is None else self._fd
            # Rows after the mark wait: a checkpoint vouches for those before it alone.
            data = bytes(self._buffer[: max(0, size - self._written)])
            if data:
                self._is_synced = False
                self._disk.write(fd, data)
                del self._buffer[: len(data)]
            return fd

    def _create(self) -> int:
        fd = self._fd = self._disk.open_new(self.path)
        self._disk.fsync_folder(self.path.parent)
        return fd

    def _replace(self) -> int:
        """Begin anew in place of a file of ours whose rows no checkpoint vouches for."""
        with suppress(FileNotFoundError):
            self._disk.unlink(self.path)
        return self._create()

    def _refuse_foreign(self) -> None:
        """Refuse a file of somebody else; of one of ours a power cut may have left zeros."""
        with self._failing("read"), suppress(FileNotFoundError):
            head = next(self._disk.chunks(self.path), b"")
            header = bytes(self._buffer)
            if any(found not in {0, expected} for found, expected in zip(head, header, strict=False)):
                raise CheckpointError(f"{self.path} was not written by stream-bp; move it away")

    def _reopen(self) -> int:
        fd = self._fd = self._disk.open_existing(self.path)
        # At the first write: a job that is refused later has changed nothing.
        self._disk.truncate(fd, self._written)
        return fd

    def _verify(self, mark: Mapping[str, Any], former: Sequence[str] | None) -> None:
        header, head = bytes(self._buffer), b""
        self._buffer.clear()
        self._size, self._sha256 = 0, hashlib.sha256()
        with self._failing("read"):
            for chunk in self._disk.chunks(self.path):
                marked = chunk[: mark["size"] - self._size]
                head = head or marked
                self._sha256.update(marked)
                self._size += len(marked)
                if self._size == mark["size"]:
                    break
        if (self._size, self._sha256.hexdigest()) != (mark["size"], mark["sha256"]):
            raise CheckpointError(
                f"journal {self.path} is not as the checkpoint left it: its first {mark['size']:,} bytes were "
                f"changed or cut; restore the file from a copy, or start over with --restart"
            )
        self.rows = mark["rows"]
        if former is not None and head.startswith(csv_line(former)):
            # The same columns under former names take the same rows; other columns take rows of their own.
            self.columns = self.columns if len(former) == len(self.columns) else tuple(former)
        elif not head.startswith(header):
            found = head.partition(b"\n")[0].decode(errors="replace")
            raise CheckpointError(
                f"journal {self.path} has the columns {found!r}, expected "
                f"{','.join(self.columns)!r}; resume with the settings it was made with, or start over with --restart"
            )

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        """Turn a failure of the disk into one line, and refuse further rows: what the file holds now is unknown."""
        try:
            yield
        except BaseException as error:
            self._is_closed = True
            if not isinstance(error, OSError):
                raise
            raise _failure(verb, self.path, error) from error


def _failure(verb: str, path: Path, error: OSError) -> CheckpointError:
    """Return the error for an operation that the disk refused, with what helps."""
    kind: type[CheckpointError] = DiskError
    advice = "; once that is mended, the same command goes on"
    if isinstance(error, FileNotFoundError):
        kind, advice = CheckpointError, "; put it back, or start over with --restart"
    elif isinstance(error, FileExistsError):
        kind, advice = CheckpointError, "; start over with --restart to replace it"
    return kind(f"cannot {verb} journal {path}: {error.strerror}{advice}")


def csv_line(cells: Sequence[object]) -> bytes:
    """Return a line of CSV in UTF-8, its end included; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")  # names of files may be of any bytes


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | np.bool_():
            return "true" if value else "false"
        case int() | np.integer():
            return str(int(value))
        case float() | np.floating():
            return repr(float(value))
    raise TypeError(f"cell {value!r} is a {type(value).__name__}, expected a string, number, boolean or None")
