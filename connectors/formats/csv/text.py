"""Read whole records of one CSV file in order, and count and hash their bytes."""

from __future__ import annotations

import re

import numpy as np

from connectors.errors import RowError
from connectors.formats.csv.beginning import LONG_HEADER, separator_of
from connectors.formats.csv.dialect import WHITESPACE, Dialect
from connectors.formats.csv.hashed_text import HashedText
from connectors.formats.csv.header import is_header
from connectors.formats.csv.hints import escape_hint
from connectors.formats.csv.plain_text import first_end, record_ends, whole_records
from connectors.formats.csv.records import first_line
from connectors.formats.csv.text_stream import line_number
from connectors.formats.looks import HEAD, refuse_look
from connectors.stores.storage import DISK, Storage

__all__ = ["MAX_RECORD", "TextFile"]

MAX_RECORD = 16 << 20  # bytes; without a limit, one unclosed quote would read the whole file into memory
_UNTOLD = Dialect()
_BLANK_LINES = re.compile(rb"(?:[ \t]*+[\r\n])*+")
_BOM = b"\xef\xbb\xbf"


class TextFile(HashedText):
    """A file of records, from its start, as UTF-8; see also `HashedText`.

    Parameters
    ----------
    name
        Path.
    block_size
        Bytes read at a time. It affects only how many records are returned at once.
    dialect
        The dialect, as far as it was given.
    is_growing
        Whether the file may still grow. A record without terminator is then held back as incomplete; see
        :meth:`settle`.
    until
        The byte of its text where reading ends; ``None`` for the end of the file.
    storage
        Where it is.

    Attributes
    ----------
    dialect : Dialect
        The full dialect; missing parts are inferred from the first lines.
    awaits_row : bool
        Whether the file has a header, but not yet the row that may show its quote.
    """

    def __init__(
        self,
        name: str,
        block_size: int,
        dialect: Dialect = _UNTOLD,
        *,
        is_growing: bool = False,
        until: int | None = None,
        storage: Storage = DISK,
    ) -> None:
        super().__init__(name, block_size, is_growing=is_growing, until=until, storage=storage)
        self._is_encoding_given = dialect.encoding is not None
        self._read_beginning(dialect)
        self.awaits_row = dialect.awaits_row(self._pending)
        self.dialect = dialect.told_by(self._pending)
        self._head = self._pending[:HEAD]
        if not self.dialect.is_utf8:
            self._pending = b""
            self._stream.restart(str(self.dialect.encoding))

    def _read_beginning(self, dialect: Dialect) -> None:
        """Read the first lines, from which the dialect is inferred."""
        n_bytes = LONG_HEADER
        while not dialect.is_told(self._pending[:n_bytes]) and not len(self._pending) > n_bytes > MAX_RECORD:
            if len(self._pending) > n_bytes:
                n_bytes *= 4
            elif not self._grow():
                break
        while len(self._pending) < HEAD and self._grow():
            pass

    @property
    def _is_last(self) -> bool:
        """Whether the end of the text ends a record."""
        return self._stream.is_at_end and self.damage is None

    def refuse_look(self, kind: str) -> None:
        """Refuse a file whose first bytes are of another kind than this format; see `looks`."""
        is_utf8 = self.dialect.is_utf8
        refuse_look(self._name, self._head, kind, is_decoded=self._is_encoding_given and not is_utf8)
        if not is_utf8:
            text = self._head.decode(str(self.dialect.encoding), "ignore")
            refuse_look(self._name, text.encode("utf-8", "ignore"), kind, is_decoded=True)

    def skip_mark(self) -> None:
        """Take a byte order mark, if the text begins with one."""
        while len(self._pending) < len(_BOM) and self._grow():
            pass
        if self._pending.startswith(_BOM):
            self._take(len(_BOM))

    def header(self) -> bytes:
        """Take all up to the first record, and that record, if it is the header; empty if the file has none.

        Without a header, the first record is returned, but it is not taken.
        """
        self.skip_mark()
        self._skip_lines()
        self.skip_blank()
        while (end := first_line(self._pending)) and not self._pending[:end].strip(b" \r\n"):
            self._take(end)  # a line of blanks has no names
            self.skip_blank()
        if not first_end(self._pending, False, self.dialect) and not self._complete():
            if self.damage is not None:
                raise self.damage
            if self.dialect.names:
                return b"" if self.is_growing else self._pending.strip(b"\r\n")
            if self._is_long or (self.has_rest and not self.is_growing):
                raise self._error(self._complaint()[1])
            return b""
        length = first_end(self._pending, self._is_last, self.dialect)
        if self.dialect.names and not is_header(self._pending[:length], self.dialect):
            return self._pending[:length]
        return self._checked(self._take(length))

    def _skip_lines(self) -> None:
        """Take the lines that the dialect skips, or a first line that names the delimiter."""
        while not (length := first_line(self._pending, is_begun=True)) and self._grow():
            pass
        first = self._pending[: length or len(self._pending)][:9].decode("latin-1")
        for _ in range(self.dialect.skip_rows or int(separator_of(first) is not None)):
            self._take_line(is_raw=True)

    def skip_blank(self) -> None:
        """Take all blank lines and comments that come next; they belong to no record."""
        while True:
            while self._begins_blank and (self._pending or self._grow()):
                self._take(self._blank_length())
            if not self._is_comment or not self._take_comment():
                break

    @property
    def _begins_blank(self) -> bool:
        """Whether a blank line comes next, or nothing that is known."""
        if self._pending[:1] in {b"", b"\r", b"\n"}:
            return True
        return self.dialect.delimiter == WHITESPACE and self._blank_length() > 0

    def _blank_length(self) -> int:
        """Return the length of the blank lines that come next; they may hold blanks, if these are delimiters."""
        if self.dialect.delimiter != WHITESPACE:
            return len(self._pending) - len(self._pending.lstrip(b"\r\n"))
        found = _BLANK_LINES.match(self._pending)
        length = found.end() if found is not None else 0
        is_rest = self._is_last and not self._pending[length:].strip(b" \t")
        return len(self._pending) if is_rest else length

    @property
    def _is_comment(self) -> bool:
        """Whether a comment comes next."""
        comment = self.dialect.comment
        return comment is not None and self._pending.startswith(comment.encode())

    def _take_comment(self) -> bool:
        """Take a whole comment; return False for one that a growing file may continue."""
        while not first_line(self._pending) and self._grow():
            pass
        if not first_line(self._pending) and not self._is_last:
            return False
        self._take_line()
        return True

    def records(self, n_bytes: int | None = None) -> tuple[bytes, tuple[str, str] | None]:
        """Take the next whole records, as many as have been read.

        Parameters
        ----------
        n_bytes
            Take only records that begin within so many bytes.

        Returns
        -------
        text : bytes
            The records; or one line that cannot be part of a record. Empty at the end.
        complaint : tuple of str, or None
            For such a line, the kind and the reason of the problem, as in `BadRow`.
        """
        length = self._end_of_first(n_bytes) if n_bytes else 0
        length = length or self._complete()
        is_cut_off = self.is_growing or self.damage is not None
        if length or not self.has_rest or (is_cut_off and not self._is_long):
            return self._take(length), None
        complaint = self._complaint()
        return self._take_line(), complaint

    def sample(self) -> bytes:
        """Take all whole records that have been read."""
        return self._take(self._complete())

    @property
    def has_rest(self) -> bool:
        """Whether the last record that was read is incomplete."""
        blank = b" \t\r\n" if self.dialect.delimiter == WHITESPACE else b"\r\n"
        return bool(self._pending.strip(blank)) and not self._is_comment

    def _complete(self) -> int:
        """Read until there is a whole record, and return the length of all whole records; 0 if there is none."""
        while not (length := whole_records(self._pending, self._is_last, self.dialect)) and not self._stream.is_at_end:
            if self._is_long or not (self._grow() or self._stream.is_at_end):
                return 0
        if length > MAX_RECORD:
            ends = record_ends(self._pending[:length], True, self.dialect)
            long = np.flatnonzero(np.diff(ends, prepend=0) > MAX_RECORD)
            length = length if not long.size else int(ends[long[0] - 1]) if long[0] else 0
        return length

    def _end_of_first(self, n_bytes: int) -> int:
        """Return the length of the whole records that have been read and begin within a number of bytes."""
        end = whole_records(self._pending[:n_bytes], False, self.dialect)
        return end if end == n_bytes else end + first_end(self._pending[end:], False, self.dialect)

    @property
    def _is_long(self) -> bool:
        return len(self._pending) > MAX_RECORD

    def _complaint(self) -> tuple[str, str]:
        """Return the kind and the reason why the text does not begin with a whole record."""
        if self._is_long:
            return "long", f"a record of more than {MAX_RECORD >> 20} MiB; check for a quote that is never closed"
        return "quotes", "this record opens a quote that is never closed" + escape_hint(self._pending, self.dialect)

    def _take_line(self, *, is_raw: bool = False) -> bytes:
        """Take a line of any length; return at most the first `MAX_RECORD` bytes.

        Blank lines before it are taken too, unless it is `is_raw`.
        """
        taken = b""
        while not (length := first_line(self._pending, is_begun=is_raw or taken != b"")):
            # A carriage return at the end may be half of the terminator, so it stays until the next byte is known.
            taken = (taken + self._take(len(self._pending) - (not self._stream.is_at_end)))[:MAX_RECORD]
            if self._stream.is_at_end or not (self._grow() or self._stream.is_at_end):
                return taken
        return (taken + self._take(length))[:MAX_RECORD]

    def _checked(self, taken: bytes) -> bytes:
        if b"\0" in taken:
            offset = self.offset - len(taken) + taken.index(b"\0")
            line = line_number(self._name, offset, self.dialect, self._storage)
            raise RowError(f"{self._name}, line {line} (byte {offset}): a NUL byte; check the file, or set --encoding")
        return taken

    def _error(self, what: str) -> RowError:
        blank = len(self._pending) - len(self._pending.lstrip(b"\r\n"))
        offset = self.offset + blank
        line = line_number(self._name, offset, self.dialect, self._storage)
        return RowError(f"{self._name}, line {line} (byte {offset}): {what}")
