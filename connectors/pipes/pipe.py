"""Standard input and named pipes; another thread can end a waiting read."""

from __future__ import annotations

import contextlib
import io
import os
import select
import stat
import threading
from typing import Any

__all__ = ["READ_BYTES", "STANDARD_INPUT", "Pipe", "is_pipe"]

STANDARD_INPUT = "-"
READ_BYTES = 1 << 20


def is_pipe(place: str) -> bool:
    """Return whether a place is standard input or a named pipe."""
    return place == STANDARD_INPUT or (os.path.exists(place) and stat.S_ISFIFO(os.stat(place).st_mode))  # noqa: PTH110, PTH116


class Pipe(io.RawIOBase):
    """The read end of a pipe; `end` wakes a thread that waits for data."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._over, self._tell = os.pipe()
        self._poll = select.poll()  # not select, which fails for descriptors above 1,023
        for one in (self._fd, self._over):
            self._poll.register(one, select.POLLIN)
        self._lock = threading.Lock()  # after a close, another file may get the same descriptor

    def readable(self) -> bool:
        """Return True: a pipe can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read available data, or wait for it; return the number of bytes, 0 at the end."""
        while True:
            if self._over in {ready for ready, _ in self._poll.poll()}:
                return 0
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._fd, len(buffer))
                buffer[: len(data)] = data
                return len(data)

    def end(self) -> None:
        """End the reads, as if all writers had closed the pipe."""
        with self._lock:
            if not self.closed:
                os.write(self._tell, b".")

    def close(self) -> None:
        """Close the pipe; writers then get a broken pipe."""
        with self._lock:
            if not self.closed:
                for fd in (self._fd, self._over, self._tell):
                    os.close(fd)
            super().close()
