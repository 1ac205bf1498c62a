"""The bytes of one CSV file, decompressed and counted, handed out in whole records and hashed as they go."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from connectors.csv_records import record_ends, whole_records
from connectors.errors import RowError

__all__ = ["COMPRESSIONS", "TextFile", "line_number"]

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
MAX_RECORD = 64 << 20
_BOM = b"\xef\xbb\xbf"


class TextFile:
    """A file of records, from its beginning.

    Parameters
    ----------
    name
        Path; its extension tells the compression.
    block_size
        Bytes read at a time. It means nothing to whoever reads: only how many records come at once.

    Attributes
    ----------
    offset : int
        Uncompressed bytes handed out so far.
    last_byte : bytes
        The last of them; empty at the beginning.
    hash
        SHA-256 of all of them.
    status : os.stat_result
        What the system knew of the file when it was opened.
    """

    def __init__(self, name: str, block_size: int) -> None:
        self._name, self._block_size = name, block_size
        self._file = Path(name).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
        self.status = os.fstat(self._file.fileno())
        self._stream = _decompressed(self._file, name)
        self._pending = b""
        self._is_last = False
        self.offset = 0
        self.last_byte = b""
        self.hash = hashlib.sha256()

    def header(self) -> bytes:
        """Take the first record, without a byte order mark; empty where there is none."""
        while len(self._pending) < len(_BOM) and self._grow():
            pass
        if self._pending.startswith(_BOM):
            self._take(len(_BOM))
        self._complete()
        ends = record_ends(self._pending, self._is_last)
        return self._checked(self._take(int(ends[0]))) if len(ends) else b""

    def records(self) -> bytes:
        """Take the next whole records, as many as have been read, up to one that has a NUL; empty at the end."""
        length = self._complete()
        nul = self._pending.find(b"\0", 0, length)
        if nul < 0:
            return self._take(length)
        ends = record_ends(self._pending[:length], is_last=True)
        return self._take(int(ends[ends <= nul][-1])) if ends[0] <= nul else self._checked(self._take(length))

    def sample(self) -> bytes:
        """Take all whole records that have been read; none may have a NUL."""
        return self._checked(self._take(self._complete()))

    def finish(self) -> None:
        """Take the blank lines that were found at the end, and nothing that was written behind it since."""
        self._take(len(self._pending))

    def skip(self, n_bytes: int) -> bool:
        """Take so many bytes, and hand out none; tell whether there were so many."""
        end = self.offset + n_bytes
        while self.offset < end and (self._pending or self._grow()):
            self._take(min(len(self._pending), end - self.offset))
        return self.offset == end

    def next_byte(self) -> bytes:
        """Return the byte after the last one taken, without taking it; empty at the end."""
        while not self._pending and self._grow():
            pass
        return self._pending[:1]

    def size(self) -> int:
        """Return how many bytes the open file has now, as stored."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._stream.close()
        self._file.close()

    def _grow(self) -> bool:
        """Read on; a record longer than a block is read in ever larger steps, lest it be looked through too often."""
        more = self._stream.read(max(self._block_size, len(self._pending)))
        self._pending += more
        self._is_last = not more
        return bool(more)

    def _complete(self) -> int:
        """Read until there is a whole record, and return the length of all whole ones; 0 at the end of the file."""
        while not (length := whole_records(self._pending, self._is_last)) and not self._is_last:
            if len(self._pending) > MAX_RECORD:
                raise self._error(f"a record of more than {MAX_RECORD >> 20} MiB begins here; is a quote never closed?")
            self._grow()
        if not length and self._pending.strip(b"\r\n"):
            raise self._error("a quote is opened in this record and never closed")
        return length

    def _take(self, length: int) -> bytes:
        taken, self._pending = self._pending[:length], self._pending[length:]
        self.offset += length
        self.last_byte = taken[-1:] or self.last_byte
        self.hash.update(taken)
        return taken

    def _checked(self, taken: bytes) -> bytes:
        if b"\0" in taken:
            offset = self.offset - len(taken) + taken.index(b"\0")
            line = line_number(self._name, offset)
            raise RowError(f"{self._name}, line {line} (byte {offset}): a NUL byte; is the file damaged, or not UTF-8?")
        return taken

    def _error(self, what: str) -> RowError:
        blank = len(self._pending) - len(self._pending.lstrip(b"\r\n"))
        offset = self.offset + blank
        return RowError(f"{self._name}, line {line_number(self._name, offset)} (byte {offset}): {what}")


def _decompressed(file: IO[bytes], name: str) -> Any:
    compression = COMPRESSIONS.get(Path(name).suffix.lower())
    return pa.CompressedInputStream(file, compression) if compression else file


def line_number(name: str, offset: int) -> int:
    """Return the line of a file, counted from 1, at a byte offset: read anew, for it is asked only on an error."""
    line = 1
    with Path(name).open("rb") as file:
        stream = _decompressed(file, name)
        while offset > 0 and (text := stream.read(min(offset, 1 << 20))):
            line += text.count(b"\n")
            offset -= len(text)
    return line
