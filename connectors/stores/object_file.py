"""What is not on a disk: objects in S3, Google's and Azure's stores, and files that a web server has; read patiently.

An object has no times of its own that could be trusted, but a version: its ETag, or generation, or else its size and
the time of its last change. It is asked for when an object is opened, and whenever reading fails. A request that fails
in a way that may pass is made again, later and later; one that is refused is not.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from connectors.errors import CursorError
from connectors.stores.base import Handle, ObjectStatus, Store
from connectors.stores.retry import patiently

__all__ = ["ObjectFile", "replaced"]
_AHEAD = 4 << 20  # bytes: a request costs as long as some megabytes take
_TAIL = 1 << 16  # where a footer is looked for


class ObjectFile(io.RawIOBase):
    """An object, as a file to be read: one version of it from its opening to its end.

    Parameters
    ----------
    name
        What it is called.
    store
        Where it is.
    is_sequential
        Whether it is read from one end to the other, so that more than was asked for is read at once.

    Raises
    ------
    UnavailableError
        It cannot be reached, or may not be read; also raised by whatever reads.
    CursorError
        By whatever reads: it is another object now.
    """

    def __init__(self, name: str, store: Store, *, is_sequential: bool) -> None:
        super().__init__()
        self._name, self._store, self._is_sequential = name, store, is_sequential
        self._handle: Handle | None = patiently(name, lambda: store.open(name))
        self._opened = self._handle.status
        self._position, self._start, self._buffer = 0, 0, b""

    def again(self) -> ObjectFile:
        """Return another file of the same object, from its beginning."""
        other = ObjectFile(self._name, self._store, is_sequential=self._is_sequential)
        self._refuse_other(other.opened)
        return other

    @property
    def opened(self) -> ObjectStatus:
        """What it was when it was opened."""
        return self._opened

    def status(self) -> ObjectStatus:
        """Return what it was when it was opened, if it is that still."""
        now = patiently(self._name, lambda: self._store.status(self._name))
        self._refuse_other(now)
        return now

    def _refuse_other(self, now: ObjectStatus) -> None:
        if now.version != self._opened.version:
            raise replaced(self._name, self._opened.version, now.version)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from any place."""
        return True

    def tell(self) -> int:
        """Return where it is read next."""
        return self._position

    def size(self) -> int:
        """Return its length in bytes."""
        return self._opened.st_size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on reading elsewhere."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._opened.st_size}[whence]
        self._position = begin + offset
        return self._position

    def readall(self) -> bytes:
        """Return all that follows."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, n_bytes: int | None = -1) -> bytes:
        """Return the next bytes, as many as were asked for where there are so many."""
        left = max(0, self._opened.st_size - self._position)
        wanted = left if n_bytes is None or n_bytes < 0 else min(n_bytes, left)
        skip = self._position - self._start
        if not 0 <= skip <= skip + wanted <= len(self._buffer):
            begin, end = self._span(wanted)
            self._start, self._buffer, skip = begin, self._fetch(end - begin, begin), self._position - begin
        data = self._buffer[skip : skip + wanted]
        if not (self._is_sequential or self._is_tail(self._start)):
            self._buffer = b""  # it will not be asked for again
        self._position += wanted
        return data

    def _is_tail(self, offset: int) -> bool:
        return offset >= self._opened.st_size - _TAIL

    def _span(self, wanted: int) -> tuple[int, int]:
        """Return from where to where to read, for so many bytes from here on: it may be more."""
        begin, size = self._position, self._opened.st_size
        if self._is_sequential:
            return begin, min(size, begin + max(wanted, _AHEAD))
        return (max(0, size - _TAIL), size) if self._is_tail(begin) else (begin, begin + wanted)

    def _fetch(self, n_bytes: int, offset: int) -> bytes:
        """Return bytes of the store, all of them, by as many requests as it takes."""
        parts: list[bytes] = []
        n_read = 0
        while n_read < n_bytes:
            begin, left = offset + n_read, n_bytes - n_read
            parts.append(patiently(self._name, partial(self._ask, left, begin), self.status))
            n_read += len(parts[-1])
        return b"".join(parts)

    def _ask(self, n_bytes: int, offset: int) -> bytes:
        """Make one request; whoever fails opens the object anew the next time."""
        try:
            if self._handle is None:
                self._handle = self._store.open(self._name)
                self._refuse_other(self._handle.status)
            data = self._handle.read_at(n_bytes, offset)
        except BaseException:
            self._release()
            raise
        if not data:
            raise EOFError(f"the connection ended before byte {offset + n_bytes:,}, at {offset:,}")
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
    """Return the error for an object that is another one by now."""
    return CursorError(
        f"{name}: the object was replaced (expected version {expected}, found {found}) since it was read; "
        "restore it, or start over with --restart"
    )
