"""What formats of text share: how files are compared, merged and opened while they grow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack, closing

import pyarrow as pa

from connectors.formats.base import FileReader, identify
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.text_stream import is_compressed
from connectors.formats.file_cursor import FileIdentity
from connectors.formats.text_reader import Parser, TextReader, compare_text, resume
from connectors.schemas import wider_type
from connectors.stores.storage import DISK, Storage

__all__ = ["SAMPLE_BYTES", "TextFormat"]

SAMPLE_BYTES = (1 << 20) + (1 << 16)
"""Bytes of text read at a time to inspect a file: a sample of a MiB, and what comes before and after it."""

_UNTOLD = Dialect()


class TextFormat(ABC):
    """Inspect text files, and open them at a byte.

    Parameters
    ----------
    block_size
        Bytes of text read at a time, at least 16. Rows, values and cursors do not depend on it.
    dialect
        The dialect, as far as it was given.
    storage
        Where the files are.
    keeps_bad_rows
        Whether an unreadable record is yielded as a bad row, instead of raised as an error.
    """

    name: str
    guesses_types = is_text = True

    def __init__(
        self,
        block_size: int = 1 << 20,
        dialect: Dialect = _UNTOLD,
        storage: Storage = DISK,
        *,
        keeps_bad_rows: bool = False,
    ) -> None:
        if block_size < 16:
            raise ValueError(f"block_size must be at least 16 bytes, found {block_size}")
        self._block_size, self._dialect, self._keeps_bad_rows = block_size, dialect, keeps_bad_rows
        self._storage = storage

    def _text(
        self, name: str, block_size: int = SAMPLE_BYTES, *, is_growing: bool = False, until: int | None = None
    ) -> TextFile:
        """Open the text of a file."""
        return TextFile(name, block_size, self._dialect, is_growing=is_growing, until=until, storage=self._storage)

    @abstractmethod
    def _parser(self, text: TextFile, name: str, schema: pa.Schema) -> Parser | None:
        """Take what comes before the first record, and return the parser; None if the file has no header yet."""

    def _is_begun(self, name: str) -> bool:
        """Return whether a growing file can be opened."""
        return True

    @abstractmethod
    def _skip_header(self, text: TextFile) -> None:
        """Take what comes before the first record."""

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the wider of two types; types are inferred, so if one file has a string, the column is a string."""
        if {first, second} == {pa.date32(), pa.timestamp("us")}:
            return pa.timestamp("us")
        merged = wider_type(first, second)
        return pa.string() if merged is None and pa.string() in (first, second) else merged

    def open(
        self,
        name: str,
        schema: pa.Schema,
        row: int,
        seen: FileIdentity | None,
        *,
        is_growing: bool = False,
        until: int | None = None,
    ) -> FileReader | None:
        """Open a file at a byte of its text; return None for a file that is being written and cannot be read yet."""
        if is_growing and is_compressed(name, self._storage):
            # The end of compressed text is unknown until the file is complete.
            if seen is None:
                return None
            is_growing = False  # rows were read from it, so it was complete then
        if is_growing and seen is None and not self._is_begun(name):
            return None
        with ExitStack() as stack:
            text = stack.enter_context(closing(self._text(name, self._block_size, is_growing=is_growing, until=until)))
            parser = self._parser(text, name, schema)
            # The first row may show the quote. A file of which rows were read had one.
            if is_growing and (parser is None or (seen is None and text.awaits_row)):
                return None
            if seen is not None:
                resume(text, name, seen)
            reader = TextReader(name, self._storage, text, parser, row, keeps_bad_rows=self._keeps_bad_rows)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of the first records; None if the file has no record."""
        with closing(self._text(name, is_growing=True)) as text:
            self._skip_header(text)
            has_rows = text.sample() != b""
            return identify(name, text.status, text.offset, text.hash.hexdigest()) if has_rows else None

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Hash the text that was read again, and compare."""
        with closing(self._text(name)) as text:
            compare_text(text, name, seen, may_grow=may_grow)
