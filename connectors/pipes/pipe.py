"""Standard input and named pipes, read by a thread that can be told to end."""

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
    """Tell whether a place is standard input, or a named pipe."""
    return place == STANDARD_INPUT or (os.path.exists(place) and stat.S_ISFIFO(os.stat(place).st_mode))  # noqa: PTH110, PTH116


class Pipe(io.RawIOBase):
    """The end of a pipe that is read; whoever waits there can be told that it is over."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._over, self._tell = os.pipe()
        self._poll = select.poll()  # not select, which knows no descriptor beyond 1,023
        for one in (self._fd, self._over):
            self._poll.register(one, select.POLLIN)
        self._lock = threading.Lock()  # a number is that of another file, once it was closed

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, or wait for it; return the number of bytes, 0 at the end."""
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
