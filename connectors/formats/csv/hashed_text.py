"""Take the text of a file piece by piece, and count and hash its bytes."""

from __future__ import annotations

import hashlib

from connectors.formats.csv.text_stream import TextStream
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["HashedText"]


class HashedText:
    """The text of a file, from its start, as UTF-8: some of it was taken, and some waits.

    Parameters
    ----------
    name
        Path.
    block_size
        Bytes read at a time.
    is_growing
        Whether the file may still grow; see :meth:`settle`.
    until
        The byte of its text where reading ends; ``None`` for the end of the file.
    storage
        Where it is.

    Attributes
    ----------
    offset : int
        Bytes of text taken so far: decompressed, and in UTF-8.
    last_byte : bytes
        The last of them; empty at the start.
    hash
        SHA-256 of all of them.
    status : Status
        Status of the file when it was opened.
    """

    def __init__(
        self, name: str, block_size: int, *, is_growing: bool = False, until: int | None = None, storage: Storage = DISK
    ) -> None:
        self._name, self._block_size, self._storage = name, block_size, storage
        self._stream = TextStream(name, is_growing=is_growing, until=until, storage=storage)
        self.status = self._stream.status
        self._pending = b""
        self.offset = 0
        self.last_byte = b""
        self.hash = hashlib.sha256()

    @property
    def is_plain(self) -> bool:
        """Whether the bytes of the file are those of the text: neither compressed nor in another encoding."""
        return self._stream.is_plain

    @property
    def is_growing(self) -> bool:
        """Whether the file may still grow."""
        return self._stream.is_growing

    @property
    def damage(self) -> Exception | None:
        """Why the rest cannot be read; a record that the damage cuts off is not returned."""
        return self._stream.damage

    @property
    def is_rewritten(self) -> bool:
        """Whether a growing file was rewritten where it had been read; nothing more is read then."""
        return self._stream.is_rewritten

    def rest(self) -> bytes:
        """Take the start of a record that damage cuts off."""
        return self._take(len(self._pending))

    def finish(self) -> None:
        """Take the blank lines at the end, but nothing that was written after them since."""
        self._take(len(self._pending))

    def skip(self, n_bytes: int) -> bool:
        """Take and drop a number of bytes; return whether there were that many."""
        end = self.offset + n_bytes
        while self.offset < end and (self._pending or self._grow()):
            self._take(min(len(self._pending), end - self.offset))
        if self.offset < end and self.damage is not None:
            raise self.damage
        return self.offset == end

    @property
    def read_to(self) -> int:
        """Bytes of text read so far, returned or held back."""
        return self._stream.read_to

    def settle(self, until: int | None) -> None:
        """Treat a growing file as complete, up to a byte of its text if given."""
        self._stream.settle(until)
        self._pending = self._pending[: self.read_to - self.offset]

    def next_byte(self) -> bytes:
        """Return the byte after the last one taken, without taking it; empty at the end."""
        while not self._pending and self._grow():
            pass
        return self._pending[:1]

    def status_now(self) -> Status:
        """Return the present status of the open file, even if it was renamed."""
        return self._stream.status_now()

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._stream.close()

    def _grow(self) -> bool:
        """Read more text; return whether there was any."""
        # Each step rescans the pending record, so steps that grow with it keep the total cost linear.
        more = self._stream.read(max(self._block_size, len(self._pending)))
        self._pending += more
        return bool(more)

    def _take(self, length: int) -> bytes:
        taken, self._pending = self._pending[:length], self._pending[length:]
        self.offset += length
        self.last_byte = taken[-1:] or self.last_byte
        self.hash.update(taken)
        return taken
