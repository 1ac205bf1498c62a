"""Objects in stores and files on web servers, as files to read; transient errors are retried.

The times of an object cannot be trusted, so its version identifies it. The version is the ETag or generation, or else
the size and the time of the last change. It is checked when an object is opened, and after each failed read. A request
with a transient error is retried after growing waits. A request that the store refuses is not retried.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from connectors.errors import CursorError
from connectors.stores.base import Handle, ObjectStatus, Store
from connectors.stores.retry import patiently

__all__ = ["ObjectFile", "replaced"]
_AHEAD = 4 << 20  # bytes; one request takes about as long as the transfer of some megabytes
_TAIL = 1 << 16  # bytes at the end, fetched at once: a Parquet reader asks for small parts of the footer


class ObjectFile(io.RawIOBase):
    """An object as a file to read; all reads are of the version that was opened.

    Parameters
    ----------
    name
        Name of the object.
    store
        The store that holds it.
    is_sequential
        Whether it is read from start to end, so that it pays to read ahead.

    Raises
    ------
    UnavailableError
        The object cannot be reached, or access is denied. Reads raise it too.
    CursorError
        The object was replaced; only reads raise it.
    """

    def __init__(self, name: str, store: Store, *, is_sequential: bool) -> None:
        super().__init__()
        self._name, self._store, self._is_sequential = name, store, is_sequential
        self._handle: Handle | None = patiently(name, lambda: store.open(name))
        self._opened = self._handle.status
        self._position, self._start, self._buffer = 0, 0, b""

    def again(self) -> ObjectFile:
        """Return another file of the same object, at its start."""
        other = ObjectFile(self._name, self._store, is_sequential=self._is_sequential)
        self._refuse_other(other.opened)
        return other

    @property
    def opened(self) -> ObjectStatus:
        """Status of the object when it was opened."""
        return self._opened

    def status(self) -> ObjectStatus:
        """Return the present status of the object; raise an error if it was replaced."""
        now = patiently(self._name, lambda: self._store.status(self._name))
        self._refuse_other(now)
        return now

    def _refuse_other(self, now: ObjectStatus) -> None:
        if now.version != self._opened.version:
            raise replaced(self._name, self._opened.version, now.version)

    def readable(self) -> bool:
        """Return True: the object can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the object can be read from any offset."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._position

    def size(self) -> int:
        """Return the size in bytes."""
        return self._opened.st_size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the offset of the next read."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._opened.st_size}[whence]
        self._position = begin + offset
        return self._position

    def readall(self) -> bytes:
        """Return all bytes that follow."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, n_bytes: int | None = -1) -> bytes:
        """Return the next bytes; fewer than requested only at the end."""
        left = max(0, self._opened.st_size - self._position)
        wanted = left if n_bytes is None or n_bytes < 0 else min(n_bytes, left)
        skip = self._position - self._start
        if not 0 <= skip <= skip + wanted <= len(self._buffer):
            begin, end = self._span(wanted)
            self._start, self._buffer, skip = begin, self._fetch(end - begin, begin), self._position - begin
        data = self._buffer[skip : skip + wanted]
        if not (self._is_sequential or self._is_tail(self._start)):
            self._buffer = b""  # in random access this range is not read again, so it would only cost memory
        self._position += wanted
        return data

    def _is_tail(self, offset: int) -> bool:
        return offset >= self._opened.st_size - _TAIL

    def _span(self, wanted: int) -> tuple[int, int]:
        """Return the range to fetch for a read of so many bytes; it may be larger."""
        begin, size = self._position, self._opened.st_size
        if self._is_sequential:
            return begin, min(size, begin + max(wanted, _AHEAD))
        return (max(0, size - _TAIL), size) if self._is_tail(begin) else (begin, begin + wanted)

    def _fetch(self, n_bytes: int, offset: int) -> bytes:
        """Return exactly so many bytes of the object, with as many requests as needed."""
        parts: list[bytes] = []
        n_read = 0
        while n_read < n_bytes:
            begin, left = offset + n_read, n_bytes - n_read
            parts.append(patiently(self._name, partial(self._ask, left, begin), self.status))
            n_read += len(parts[-1])
        return b"".join(parts)

    def _ask(self, n_bytes: int, offset: int) -> bytes:
        """Make one request; after a failure, the next request opens the object again."""
        try:
            if self._handle is None:
                self._handle = self._store.open(self._name)
                self._refuse_other(self._handle.status)
            data = self._handle.read_at(n_bytes, offset)
        except BaseException:
            self._release()
            raise
        if not data:
            raise EOFError(f"the connection ended at byte {offset:,}, expected data up to {offset + n_bytes:,}")
        return data

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def close(self) -> None:
        """Release the object; a second call does nothing."""
        self._release()
        self._buffer = b""
        super().close()


def replaced(name: str, expected: str, found: str) -> CursorError:
    """Return the error for an object that was replaced."""
    return CursorError(
        f"{name}: the object was replaced (expected version {expected}, found {found}) since it was read; "
        "restore it, or start over with --restart"
    )
