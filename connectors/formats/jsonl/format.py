"""JSON lines, plain or compressed: one object on each line, read as CSV is: cut, parsed, and resumed at any record.

The cursor is that of CSV: a byte of the text, with the SHA-256 of the text before it. So a file may grow. A key that a
record lacks is null, and a key that the job does not know is ignored.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pyarrow as pa

from connectors.errors import RowError
from connectors.formats.base import FileFacts, FileReader, identify
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.text_stream import is_compressed
from connectors.formats.file_cursor import FileIdentity
from connectors.formats.jsonl.parser import LINES, LineParser
from connectors.formats.jsonl.type_inference import infer_columns
from connectors.formats.jsonl.values import BadValueError, decode
from connectors.formats.text_reader import TextReader, compare_text, resume
from connectors.schemas import wider_type
from connectors.stores.storage import DISK, Storage

__all__ = ["JsonLinesFormat"]

_SAMPLE = 1 << 20
_UNTOLD = Dialect()


class JsonLinesFormat:
    """Inspect files of JSON lines and open them at a byte.

    Parameters
    ----------
    block_size
        Bytes of text read at a time. Rows, values and cursors do not depend on it.
    dialect
        Its encoding and its words for missing values apply here.
    storage
        Where the files are.
    keeps_bad_rows
        Whether an unreadable record is yielded as a bad row, instead of raised as an error.
    """

    name = "JSON lines"
    guesses_types = True
    is_text = True

    def __init__(
        self,
        block_size: int = 1 << 20,
        dialect: Dialect = _UNTOLD,
        storage: Storage = DISK,
        *,
        keeps_bad_rows: bool = False,
    ) -> None:
        self._block_size, self._storage, self._keeps_bad_rows = block_size, storage, keeps_bad_rows
        self._null_values = dialect.null_values
        self._dialect = replace(LINES, encoding=dialect.encoding)

    def _text(
        self, name: str, block_size: int = _SAMPLE, *, is_growing: bool = False, until: int | None = None
    ) -> TextFile:
        text = TextFile(name, block_size, self._dialect, is_growing=is_growing, until=until, storage=self._storage)
        try:
            text.refuse_look("jsonl")
            text.skip_mark()
        except BaseException:
            text.close()
            raise
        return text

    def peek(self, name: str, sample: object = None) -> FileFacts:
        """Infer columns and types from the first MiB of records of this file; the sample of CSV has no use here."""
        with closing(self._text(name)) as text:
            n_bytes = text.status.st_size if text.is_plain else None
            lines = [line for line in text.first(_SAMPLE).splitlines() if line.strip()]
            if not lines:
                if text.damage is not None:
                    raise text.damage
                return FileFacts(name, None, n_bytes=n_bytes)
            schema, remarks = infer_columns(lines)
        if schema is None or not schema.names:
            raise RowError(f"{name}: {_why_unreadable(lines[0])}")
        return FileFacts(
            name, schema, n_bytes=n_bytes, has_rows=True, remarks=tuple(f"{name}: {line}" for line in remarks)
        )

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the wider of two types; types are inferred, so if one file has strings, the column is a string."""
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
        """Open a file at a byte of its text; return None for a file that is being written and has no record yet."""
        if is_growing and is_compressed(name, self._storage):
            # The end of compressed text is unknown until the file is complete.
            if seen is None:
                return None
            is_growing = False
        if is_growing and seen is None and self.head(name) is None:
            return None
        with ExitStack() as stack:
            text = stack.enter_context(closing(self._text(name, self._block_size, is_growing=is_growing, until=until)))
            if seen is not None:
                resume(text, name, seen)
            parser = LineParser(schema, name, self._null_values, lambda: self._columns(name))
            reader = TextReader(name, self._storage, text, parser, row, keeps_bad_rows=self._keeps_bad_rows)
            stack.pop_all()
            return reader

    def _columns(self, name: str) -> list[str]:
        schema = self.peek(name).schema
        return [] if schema is None else schema.names

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of the first records; None if the file has no record."""
        with closing(self._text(name, is_growing=True)) as text:
            has_rows = text.sample() != b""
            return identify(name, text.status, text.offset, text.hash.hexdigest()) if has_rows else None

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Hash the text that was read again, and compare."""
        with closing(self._text(name)) as text:
            compare_text(text, name, seen, may_grow=may_grow)


def _why_unreadable(line: bytes) -> str:
    """Return why there are no columns; `line` is the first record."""
    try:
        decode(line)
    except BadValueError as error:
        return f"the first record: {error.args[1]}; expected one JSON object on each line; for CSV give --format csv"
    return "its records have no columns that can be read"
