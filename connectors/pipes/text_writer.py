"""Write text from a pipe to files of whole records, each with the header."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from connectors.errors import SourceError
from connectors.formats.csv.beginning import length_before
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.header import is_header, line_of_names, parse_header
from connectors.formats.csv.plain_text import plain_text, record_ends, whole_records
from connectors.formats.csv.records import first_line
from connectors.formats.csv.text import MAX_RECORD
from connectors.formats.csv.text_stream import transcoded
from connectors.pipes import pipe
from connectors.pipes.spool_folder import SpoolFolder
from connectors.stores.storage import sync

__all__ = ["TEXT_KINDS", "TextWriter", "first_line_of"]

TEXT_KINDS = ("csv", "jsonl")
"""Formats of text that a pipe may deliver."""

_FILE_BYTES = 64 << 20
_AHEAD = 4  # files that are written and not yet read; a writer that is faster than the reader waits


class TextWriter:
    """Writes text to the files of a spool.

    Parameters
    ----------
    folder
        The folder of the files.
    dialect
        The dialect of the text, as far as it was given.
    place
        Name of the pipe, for messages.

    Attributes
    ----------
    n_held : int
        Bytes of an incomplete record.
    is_over : bool
        Whether reading was stopped while the writer may still write.
    """

    def __init__(self, folder: SpoolFolder, dialect: Dialect, place: str) -> None:
        self._folder, self._dialect, self._place = folder, dialect, place
        self._kind, self._separator = "csv", b""
        self.n_held = 0
        self.is_over = False

    def write(self, stream: io.BufferedReader, first: bytes, kind: str = "csv") -> None:
        """Write all text of a stream after its first bytes; the text is of one of `TEXT_KINDS`."""
        self._kind = kind
        if kind == "jsonl":
            self._write_lines(stream, first)
            return
        while not self._dialect.is_told(first) and len(first) <= MAX_RECORD and (data := stream.read1(pipe.READ_BYTES)):
            first += data
        pending = b""
        dialect: Dialect | None = None
        file: _Text | None = None
        for data in _pieces(stream, first, self._dialect):
            pending += data
            # If reading was stopped, the last record may be incomplete, so it is not written.
            is_last = data == b"" and not self.is_over
            if dialect is None:
                dialect, pending = self._begin(pending)
            if file is None:
                file, dialect, pending = self._opened(pending, is_last, dialect)
            length = _length(pending, is_last, dialect) if file is not None else 0
            if file is not None and length:
                file = self._next(file)
                # After the pipe is opened again, text starts with a new record, so the last one needs its terminator.
                is_ended = not is_last or pending[:length].endswith((b"\n", b"\r"))
                file.write(pending[:length] + (b"" if is_ended else b"\n"))
                pending = pending[length:]
            self.n_held = len(pending.strip(b"\r\n"))
        if file is not None:
            file.close()

    def _begin(self, text: bytes) -> tuple[Dialect, bytes]:
        """Return the dialect of a text, and the text without what stands before its header."""
        given = replace(self._dialect, encoding="utf-8")
        told = given.told_by(text)
        # Each file is read by itself, and its header may not tell the delimiter.
        if given.delimiter is None and (given.names or given.beginning(text).separator is not None):
            self._separator = b"sep=" + told.delimiter_byte + b"\n"
        return told, text[length_before(text, given.skip_rows) :]

    def _opened(self, text: bytes, is_last: bool, dialect: Dialect) -> tuple[_Text | None, Dialect, bytes]:
        """Open the file that a text belongs to, once its first record is whole.

        Returns
        -------
        file : _Text or None
            None if the record is not whole.
        dialect : Dialect
            The dialect of the file.
        rest : bytes
            What is to be written to it.
        """
        plain = plain_text(text, dialect)
        if not whole_records(text, is_last, dialect):
            if len(text) > MAX_RECORD:
                raise SourceError(
                    f"{self._place}: a header of more than {MAX_RECORD >> 20} MiB; check for a quote never closed"
                )
            return None, dialect, text
        end = int(plain.record_ends(is_last)[0])
        start = end - len(plain.text[:end].lstrip(b"\r\n"))
        first, rest = text[plain.start(start) : plain.end(end)], text[plain.end(end) :]
        has_header = not dialect.names or is_header(first, dialect)
        if not has_header:
            parse_header(first, self._place, dialect)  # refuses names that do not fit
        line = self._separator + line_of_names(first, dialect) + b"\n"
        file = self._resumed(line, first if has_header else b"", dialect)
        return file, replace(dialect, names=()), rest if has_header else first + rest

    def _write_lines(self, stream: io.BufferedReader, first: bytes) -> None:
        """Write lines of JSON: they need no header, and a line break always ends one."""
        dialect = replace(self._dialect, delimiter=",", quote="none", decimal=".")
        pending = b""
        file: _Text | None = None
        for data in _pieces(stream, first, dialect):
            pending += data
            if file is None:
                pending = pending.removeprefix(b"\xef\xbb\xbf")
            is_last = data == b"" and not self.is_over
            length = _length(pending, is_last, dialect)
            if length:
                file = self._next(file) if file is not None else self._last_lines()
                is_ended = not is_last or pending[:length].endswith((b"\n", b"\r"))
                file.write(pending[:length] + (b"" if is_ended else b"\n"))
                pending = pending[length:]
            self.n_held = len(pending.strip(b"\r\n"))
        if file is not None:
            file.close()

    def _last_lines(self) -> _Text:
        """Open the last file of lines for appending, or start the first one."""
        path = self._folder.file(self._folder.newest, "jsonl")
        if not self._folder.newest or not path.exists():
            return self._begun(b"")
        known = path.read_bytes()
        size = 1 + max(known.rfind(b"\n"), known.rfind(b"\r", 0, -1))
        return _Text(path, b"", size, self._folder.is_kept)

    def _resumed(self, header: bytes, record: bytes, dialect: Dialect) -> _Text:
        """Open the last text file for appending, or start the first one; `record` may be no header, but a record."""
        path = self._folder.file(self._folder.newest, "csv")
        if not self._folder.newest or not path.exists():
            return self._begun(header)
        known = path.read_bytes()
        before = length_before(known, 0)
        first = before + int(record_ends(known[before:], is_last=False, dialect=dialect)[0])
        size = first + _length(known[first:], is_last=False, dialect=dialect)
        file = _Text(path, known[:first], size, self._folder.is_kept)
        if not known[:size].endswith((b"\n", b"\r")):  # part of a line that was too long; its rest is lost
            file.write(b"\n")
        if record and header != known[:first]:
            file.write(record.strip(b"\r\n") + b"\n")
        return file

    def _begun(self, header: bytes) -> _Text:
        number = self._folder.next_number(_AHEAD)
        file = _Text(self._folder.file(number, self._kind), header, 0, self._folder.is_kept)
        self._folder.add(number)
        return file

    def _next(self, file: _Text) -> _Text:
        if file.size < _FILE_BYTES or not file.has_whole_lines:
            return file
        file.close()
        return self._begun(file.header)


class _Text:
    """A file with a header and whole records."""

    def __init__(self, path: Path, header: bytes, size: int, is_durable: bool) -> None:
        self.header, self.size, self._is_durable = header, size, is_durable
        self.has_whole_lines = True
        self._file = path.open("r+b" if size else "wb", buffering=0)
        if size:
            self._file.truncate(size)
            self._file.seek(size)
        else:
            self.write(header)
            if is_durable:
                sync(path.parent)

    def write(self, text: bytes) -> None:
        """Write whole records; in a permanent folder, sync them to the disk."""
        rest = memoryview(text)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(text)
        self.has_whole_lines = text.endswith((b"\n", b"\r"))
        if self._is_durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _length(text: bytes, is_last: bool, dialect: Dialect) -> int:
    """Return the length of the text that can be written: whole records, and lines that are too long to be records.

    The reader reports such a line as a bad row, and continues after it.
    """
    length = whole_records(text, is_last, dialect)
    while len(text) - length > MAX_RECORD:
        rest = text[length:]
        line = first_line(rest)
        length += line + whole_records(rest[line:], is_last, dialect) if line else len(rest)
    return length


def first_line_of(stream: io.BufferedReader) -> bytes:
    """Take the first bytes of a stream: at least its first line, from which the dialect is inferred."""
    first = b""
    while b"\n" not in first and b"\r" not in first and (data := stream.read1(pipe.READ_BYTES)):
        first += data
    return first


def _pieces(stream: io.BufferedReader, first: bytes, dialect: Dialect) -> Iterator[bytes]:
    """Yield text as it comes, in UTF-8; an empty piece at the end."""
    told = dialect.told_by(first)
    decode = None if told.is_utf8 else transcoded(str(told.encoding))
    data = first
    while True:
        yield data if decode is None else decode(data)
        if not data:
            return
        data = stream.read1(pipe.READ_BYTES)
