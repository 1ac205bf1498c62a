"""The file of a followed place that is being read."""

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
        Its reader, and its name when it was opened.
    is_decided
        Whether it is stored as the next file.
    begun
        The event of its start; ``None`` if it was resumed.
    status
        Its status at the last read.
    changed
        When the status was last seen to change, by the monotonic clock.
    largest
        The largest size that was seen.
    left
        Its identity when it was left; ``None`` before.
    is_leaving
        Whether reading ends at its present end.
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
        """Return the next rows of the file; None if no row is available yet."""
        while True:
            # Take the status before the read: then a later write always shows as a change of the status.
            status = self.reader.status_now()
            written = status.st_size, status.st_mtime_ns
            if self.status is None or written != (self.status.st_size, self.status.st_mtime_ns):
                self.changed = time.monotonic()
            self.status = status
            chunk = next(self.reader, None)
            self.largest = max(self.largest, status.st_size, self.reader.status_now().st_size)
            if chunk is not None or self._ended_at == written:
                return chunk
            # The read-ahead may have ended before the last write, so read once more.
            self._ended_at = written

    @property
    def is_truncated(self) -> bool:
        """Whether the file lost some of its content."""
        return self.reader.is_rewritten or self.reader.status_now().st_size < self.largest

    @property
    def quiet_s(self) -> float:
        """Seconds since the last write; an old file counts from its own time, so it needs no waiting."""
        written = self.status.st_mtime_ns / 1e9 if self.status is not None else time.time()
        # The time of the file may come from another machine with a wrong clock, so our own clock counts too.
        return max(time.monotonic() - self.changed, time.time() - written)

    def identity(self) -> FileIdentity:
        """Return its identity at the last read, so that later writes show as a change."""
        identity = self.reader.identity()
        if self.status is None or self.reader.whole is not None:
            return identity
        return identify(identity.name, self.status, identity.offset, identity.digest)
