r"""Append logs: CSV files that are byte-identical after a resume.

Examples are ``history.csv`` with the metrics, and ``quarantine.csv`` with the bad rows. A new row is in memory first,
then it is written, and at each checkpoint the file is synced. The checkpoint holds the *mark* of that moment: the size
in bytes, the SHA-256 of these bytes, and the number of rows. A resumed job verifies the marked bytes, cuts off later
bytes, and continues. So every column must be a function of the rows learned: no times, no rates.

One thread may append rows and take marks while another one syncs an earlier mark.

The file is UTF-8. It has a header, and ``\n`` at the end of each line. Floats have the fewest digits that read back as
the same double. None is an empty cell.
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
    """The extent of a log file: its size in bytes, the SHA-256 of these bytes, and its number of rows."""

    size: int
    sha256: str
    rows: int


class AppendLog:
    """A new log file, created at the first write. :meth:`fresh` replaces a file, :meth:`resume` continues one.

    Parameters
    ----------
    path
        The CSV file. It must not exist.
    columns
        The names of the columns. They never change.
    disk
        Reads and writes the file.
    is_optional
        Whether to create the file with its first row only.
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
        """Start a new log file. An existing one is replaced.

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
        """Continue a log file from the mark of a checkpoint.

        Parameters
        ----------
        path
            The CSV file.
        columns
            The names of the columns, as at the creation of the file.
        mark
            The mark in the checkpoint, from :meth:`sync`.
        disk, is_optional
            As in :class:`AppendLog`.
        former
            The column names of an earlier release. A file with these names keeps them.

        Returns
        -------
        AppendLog
            The first write cuts off the rows after the mark. Before that, the file is not changed.

        Raises
        ------
        CheckpointError
            If the marked bytes have changed, or have other columns.
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
        """Add a row. It stays in memory until :meth:`sync`, or until there are many rows.

        Parameters
        ----------
        row
            A value for each column: a string, a number, a boolean or None.

        Raises
        ------
        ValueError
            If the row has other columns than the file.
        TypeError
            If a value has another type.
        CheckpointError
            If the file cannot be written.
        """
        if row.keys() != set(self.columns):
            raise ValueError(f"a row of {self.path} has columns {sorted(row)}, expected {sorted(self.columns)}")
        self._add([_cell(row[column]) for column in self.columns])
        self.rows += 1
        if len(self._buffer) >= BUFFER_BYTES:
            self._write(self._size)

    def mark(self) -> Mark:
        """Return the present extent. The file is not touched."""
        return Mark(size=self._size, sha256=self._sha256.hexdigest(), rows=self.rows)

    def sync(self, mark: Mark | None = None) -> Mark:
        """Make the rows up to a mark durable.

        Parameters
        ----------
        mark
            The mark; by default, all rows.

        Returns
        -------
        Mark
            The mark, for the next checkpoint and :meth:`resume`.

        Raises
        ------
        CheckpointError
            If the file cannot be written. It then takes no more rows.
        """
        mark = mark or self.mark()
        # Most jobs have no bad row, and need no file for them.
        if self._is_optional and not mark["rows"]:
            return mark
        fd = self._write(mark["size"])
        if not self._is_synced:
            with self._failing("sync"):
                self._disk.fsync(fd)
            self._is_synced = True
        return mark

    def close(self) -> None:
        """Close the file. Rows since the last :meth:`sync` are lost."""
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
        """The size of the file, without bytes after the mark that it resumed from."""
        return self._size - len(self._buffer)

    def _write(self, size: int) -> int:
        """Write the buffered bytes, up to a size of the file."""
        with self._lock, self._failing("write"):
            if self._is_closed:
                raise OSError(errno.EBADF, "an earlier write failed, or it is closed")
            fd = self._open() if self._fd is None else self._fd
            # Rows after the mark stay in memory: the checkpoint covers only the rows before it.
            data = bytes(self._buffer[: max(0, size - self._written)])
            if data:
                self._is_synced = False
                self._disk.write(fd, data)
                del self._buffer[: len(data)]
            return fd

    def _create(self) -> int:
        fd = self._fd = self._disk.open_new(self.path)
        # Otherwise a power cut could lose the name of a file that a checkpoint covers.
        self._disk.fsync_folder(self.path.parent)
        return fd

    def _replace(self) -> int:
        """Replace a log file whose rows no checkpoint covers."""
        with suppress(FileNotFoundError):
            self._disk.unlink(self.path)
        return self._create()

    def _refuse_foreign(self) -> None:
        """Refuse the file of another program. After a power cut our own file may hold zeros."""
        with self._failing("read"), suppress(FileNotFoundError):
            head = next(self._disk.chunks(self.path), b"")
            header = bytes(self._buffer)
            if any(found not in {0, expected} for found, expected in zip(head, header, strict=False)):
                raise CheckpointError(f"{self.path} was not written by stream-bp; move it to another folder")

    def _reopen(self) -> int:
        fd = self._fd = self._disk.open_existing(self.path)
        # Not before the first write: a job that is refused by a later check must not change a file.
        self._disk.truncate(fd, self._written)
        return fd

    def _verify(self, mark: Mapping[str, Any], former: Sequence[str] | None) -> None:
        header, head = bytes(self._buffer), b""
        self._buffer.clear()
        self._size, self._sha256 = 0, hashlib.sha256()
        with self._failing("read"):
            for marked in _up_to(mark["size"], self._disk.chunks(self.path)):
                head = head or marked
                self._sha256.update(marked)
                self._size += len(marked)
        if (self._size, self._sha256.hexdigest()) != (mark["size"], mark["sha256"]):
            raise CheckpointError(
                f"log file {self.path} has changed since the checkpoint: its first {mark['size']:,} bytes were "
                f"edited or cut; restore the file from a copy, or start over with --restart"
            )
        self.rows = mark["rows"]
        if former is not None and head.startswith(csv_line(former)):
            # Former names of the same columns take the same rows; a former set of other columns has its own rows.
            self.columns = self.columns if len(former) == len(self.columns) else tuple(former)
        elif not head.startswith(header):
            raise _other_columns(self.path, head, self.columns)

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        """Turn an error of the disk into one line, and refuse more rows: the content of the file is unknown now."""
        try:
            yield
        except BaseException as error:
            self._is_closed = True
            if not isinstance(error, OSError):
                raise
            raise _failure(verb, self.path, error) from error


def _up_to(size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the first bytes of a file, and read no more of it than that."""
    for chunk in chunks:
        yield chunk[:size]
        size -= len(chunk)
        if size <= 0:
            return


def _other_columns(path: Path, head: bytes, columns: Sequence[str]) -> CheckpointError:
    """Return the error for a file whose header has other columns."""
    found = head.partition(b"\n")[0].decode(errors="replace")
    return CheckpointError(
        f"log file {path} has the columns {found!r}, expected {','.join(columns)!r}; resume with the original "
        "settings, or start over with --restart"
    )


def _failure(verb: str, path: Path, error: OSError) -> CheckpointError:
    """Return the error for a failed operation, with advice."""
    kind: type[CheckpointError] = DiskError
    advice = "; fix the cause, then run the same command to resume"
    if isinstance(error, FileNotFoundError):
        kind, advice = CheckpointError, "; restore it, or start over with --restart"
    elif isinstance(error, FileExistsError):
        kind, advice = CheckpointError, "; start over with --restart to replace it"
    return kind(f"cannot {verb} log file {path}: {error.strerror}{advice}")


def csv_line(cells: Sequence[object]) -> bytes:
    """Return a line of CSV in UTF-8, with its line end. None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")  # a file name may have any bytes


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | np.bool_():  # before int, since bool is a subclass of it
            return "true" if value else "false"
        case int() | np.integer():
            return str(int(value))
        case float() | np.floating():
            return repr(float(value))  # the shortest text that reads back as the same double
    raise TypeError(f"cell {value!r} is a {type(value).__name__}, expected a string, number, boolean or None")
