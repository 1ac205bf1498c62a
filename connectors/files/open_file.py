"""A file of a place that is followed, while it is read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from connectors.events import FileStart
from connectors.formats.base import FileChunk, FileReader, identify
from connectors.formats.file_cursor import FileIdentity
from connectors.stores.storage import Status

__all__ = ["OpenFile"]


@dataclass
class OpenFile:
    """The file that is being read.

    Attributes
    ----------
    reader, name
        What reads it, and what it was called when it was opened.
    is_decided
        Whether it was decided that its rows come now.
    begun
        What was said of its beginning; ``None`` where it was resumed.
    status
        What the system knew of it when it was last read.
    changed
        When that was seen to change, by a clock that nobody sets.
    largest
        The most bytes that it was seen to have.
    left
        What it was when it was left; ``None`` before.
    is_leaving
        Whether what it holds is all that is read of it.
    """

    reader: FileReader
    name: str
    is_decided: bool
    begun: FileStart | None = None
    status: Status | None = None
    changed: float = field(default_factory=time.monotonic)
    largest: int = 0
    left: FileIdentity | None = None
    is_leaving: bool = False
    _ended_at: tuple[int, int] = (-1, 0)

    def next_chunk(self) -> FileChunk | None:
        """Return what comes next of it; None where there is nothing for now."""
        while True:
            # What is written from here on shows in the file's times, whether it is read or not.
            status = self.reader.status_now()
            written = status.st_size, status.st_mtime_ns
            if self.status is None or written != (self.status.st_size, self.status.st_mtime_ns):
                self.changed = time.monotonic()
            self.status = status
            chunk = next(self.reader, None)
            self.largest = max(self.largest, status.st_size, self.reader.status_now().st_size)
            if chunk is not None or self._ended_at == written:
                return chunk
            # What was read ahead may have ended before that was written.
            self._ended_at = written

    @property
    def is_truncated(self) -> bool:
        """Whether what it held is not all there any more."""
        return self.reader.is_rewritten or self.reader.status_now().st_size < self.largest

    @property
    def quiet_s(self) -> float:
        """For how long nothing was written; one that lies there for long needs no waiting."""
        written = self.status.st_mtime_ns / 1e9 if self.status is not None else time.time()
        # Clocks of other machines may be wrong.
        return max(time.monotonic() - self.changed, time.time() - written)

    def identity(self) -> FileIdentity:
        """Return what it was when it was last read: what was written since shows."""
        identity = self.reader.identity()
        if self.status is None or self.reader.whole is not None:
            return identity
        return identify(identity.name, self.status, identity.offset, identity.digest)
