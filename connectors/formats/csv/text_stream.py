"""The text of one file as UTF-8: decompressed, transcoded, and recovered up to the first damage."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import lzma
from collections.abc import Callable
from typing import IO, Any, cast

import pyarrow as pa

from connectors.errors import ConnectorError, is_of_system
from connectors.formats.csv.dialect import Dialect
from connectors.formats.kinds import compression_of
from connectors.formats.looks import HEAD, compression_in, is_text
from connectors.stores.object_file import ObjectFile
from connectors.stores.storage import DISK, LocalFile, Status, Storage

__all__ = ["TextStream", "is_compressed", "line_number", "transcoded"]

_UNTOLD = Dialect()
_END = 1 << 12  # last bytes that were read of a growing file; if they change, the file was rewritten
_EVER_LESS = (1 << 12, 1 << 6, 1)  # a failed read returns nothing, so smaller reads come closer to the damage


class TextStream:
    """The text of a file, from its start.

    Parameters
    ----------
    name
        Path.
    is_growing
        Whether the file may still grow.
    until
        The byte of its text where reading ends; ``None`` for the end of the file.
    storage
        Where it is.

    Attributes
    ----------
    status : Status
        Status of the file when it was opened.
    read_to : int
        Bytes of text read so far: decompressed, and in UTF-8.
    is_at_end : bool
        Whether no more text will come.
    damage : Exception or None
        Why the rest cannot be read.
    is_rewritten : bool
        Whether a growing file was rewritten where it had been read; nothing more is read then.
    """

    def __init__(self, name: str, *, is_growing: bool, until: int | None, storage: Storage) -> None:
        self._name, self._until = name, until
        self.is_growing = is_growing and until is None
        self._file = storage.open(name)
        self.status = self._file.opened
        # The content decides: it is unambiguous, and a name may lack its ending.
        self._compression = _compression(self._file, name)
        self._stream = _decompressed(self._file, self._compression)
        self._encoding: str | None = None
        self._end = b""
        self.read_to = 0
        self.is_at_end = False
        self.damage: Exception | None = None
        self.is_rewritten = False

    @property
    def is_plain(self) -> bool:
        """Whether the bytes of the file are those of the text: neither compressed nor in another encoding."""
        return self._stream is self._file

    def restart(self, encoding: str) -> None:
        """Read the text from its start again, in an encoding other than UTF-8."""
        self._encoding = encoding
        self.read_to, self.is_at_end, self.damage = 0, False, None
        self._stream = self._restarted()

    def read(self, n_bytes: int) -> bytes:
        """Return about as many bytes of text as requested; empty if none is available yet, or at the end."""
        # After an error, a further read of a compressed stream may return garbage.
        if self.damage is not None or (self._until is not None and self.read_to >= self._until):
            self.is_at_end = True
            return b""
        if self.is_growing and self._end:
            # It may have been truncated, and may have grown past this offset again, since the last read.
            self.is_rewritten |= self._end_now() != self._end
            if self.is_rewritten:
                return b""
        try:
            more = self._stream.read(n_bytes)
        except ConnectorError:  # a store failed; that does not mean that the text is damaged
            raise
        except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
            if is_of_system(error):
                raise
            more, self.damage = self._salvaged(), error
            self.is_at_end = True
        more = bytes(more)
        self.is_at_end |= not more and not self.is_growing
        # Only at the present end: there the reader waits, and the file may be rewritten meanwhile.
        self._end = self._end_now() if self.is_growing and not more else b""
        if self._until is not None and self.read_to + len(more) >= self._until:
            more, self.is_at_end = more[: self._until - self.read_to], True
        self.read_to += len(more)
        return more

    def settle(self, until: int | None) -> None:
        """Treat a growing file as complete, up to a byte of its text if given."""
        self.is_growing, self._until = False, until
        if until is not None and self.read_to >= until:
            self.read_to, self.is_at_end = until, True

    def status_now(self) -> Status:
        """Return the present status of the open file, even if it was renamed."""
        return self._file.status()

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._stream.close()
        self._file.close()

    def _restarted(self, *, salvages: bool = False) -> Any:
        """Return the text from its start; with `salvages`, by the reader that returns most before the damage."""
        self._end = b""
        # A discarded stream closes its file, so take another handle first.
        file = self._file.again()
        self._stream.close()
        self._file.close()
        self._file = file
        if salvages and self._compression == "gzip":
            stream = gzip.GzipFile(fileobj=self._file)
        else:
            stream = _decompressed(self._file, self._compression)
        return stream if self._encoding is None else _Transcoded(stream, self._encoding, lambda: self.is_growing)

    def _end_now(self) -> bytes:
        """Return the last bytes before the offset up to which the file was read."""
        return self._file.before(_END) if isinstance(self._file, LocalFile) else b""

    def _salvaged(self) -> bytes:
        """Return all text before the damage; so it does not depend on the sizes of the reads."""
        found = b""
        for step in _EVER_LESS:
            self._stream = self._restarted(salvages=True)
            with contextlib.suppress(OSError, EOFError, UnicodeError, pa.ArrowException):
                rest = self.read_to + len(found)
                while rest and (skipped := self._stream.read(min(rest, 1 << 20))):
                    rest -= len(skipped)
                while more := self._stream.read(step):
                    found += more
        return found


def is_compressed(name: str, storage: Storage = DISK) -> bool:
    """Return whether a file is compressed, by its first bytes or its name."""
    if compression_of(name):
        return True
    with storage.open(name) as file:
        return _compression(file, name) is not None


def _compression(file: LocalFile | ObjectFile, name: str) -> str | None:
    """Return the compression of a file at its start."""
    head = file.read(HEAD) or b""
    file.seek(0)
    # Some programs decompress a file and keep its name.
    return compression_in(head) or (None if is_text(head) else compression_of(name))


def _decompressed(file: LocalFile | ObjectFile, compression: str | None) -> Any:
    if compression == "xz":
        return _Xz(cast(IO[bytes], file))
    return pa.CompressedInputStream(file, compression) if compression else file


class _Xz(lzma.LZMAFile):
    """Text of an xz file; Arrow has no such stream."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; raise an `OSError` without a number for damage, as the other readers do."""
        try:
            return super().read(size)
        except lzma.LZMAError as error:
            raise OSError(f"xz: {error}") from error


def transcoded(encoding: str) -> Callable[[bytes], bytes]:
    """Return a function that converts text to UTF-8 piece by piece; an empty piece marks the end.

    Bytes that cannot be decoded become NUL. No record may hold a NUL, so the record is reported as bad.
    """
    decoder = codecs.getincrementaldecoder(encoding)("connectors.nul")
    return lambda data: decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")


class _Transcoded:
    """A stream of text in another encoding, as UTF-8; in a growing file, an incomplete last character is held back."""

    def __init__(self, stream: Any, encoding: str, is_growing: Callable[[], bool] = lambda: False) -> None:
        self._stream, self._decode, self._is_growing = stream, transcoded(encoding), is_growing

    def read(self, n: int) -> bytes:
        """Return some text, decoded from `n` or more bytes of the stream; empty at its end."""
        while True:
            read = self._stream.read(n)
            text = self._decode(read) if read or not self._is_growing() else b""
            if text or not read:
                return text

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _nul(error: UnicodeError) -> tuple[str, int]:
    return "\0", getattr(error, "end", 0)


codecs.register_error("connectors.nul", _nul)


def line_number(name: str, offset: int, dialect: Dialect = _UNTOLD, storage: Storage = DISK) -> int:
    """Return the line number at a byte offset of a file, counted from 1."""
    # The file is read again from its start: this happens only for an error, so normal reads need not count lines.
    line = 1
    with storage.open(name) as file:
        stream = _decompressed(file, _compression(file, name))
        if not dialect.is_utf8:
            stream = _Transcoded(stream, str(dialect.encoding))
        while offset > 0 and (text := stream.read(min(offset, 1 << 20))):
            line += text.count(b"\n")
            offset -= len(text)
    return line
