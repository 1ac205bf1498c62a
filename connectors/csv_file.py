"""CSV files, plain, gzip or zstd: cut at record borders, parsed block by block in threads, resumed at any record.

The offset in a cursor is a byte of the uncompressed text: the end of the last applied record. A file is recognised by
the SHA-256 of the text before the offset, computed as the text is read. So the last file may grow while it is read or
between two runs of the first pass (it is read to the end that is found there), and a single byte changed in what was
read is found, at the price of hashing that text again on resuming, or at the end if the file was touched meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from connectors.base import FileIdentity
from connectors.csv_parser import RecordParser, infer_schema, parse_header
from connectors.csv_records import record_ends
from connectors.csv_text import COMPRESSIONS, TextFile
from connectors.errors import CursorError, RowError
from connectors.files import FileFacts, Locate, Part, identify, refusal, refuse_other_content
from connectors.prefetching import prefetch
from connectors.schemas import require, wider_type

__all__ = ["CsvFormat"]

_SAMPLE = 1 << 20
_PARSERS = 2  # threads; as many blocks, and one, are read ahead


class CsvFormat:
    """Look at CSV files and open them at a byte.

    Parameters
    ----------
    block_size
        Bytes of text read at a time, at least 16. Rows, values and cursors do not depend on it.
    """

    name = "CSV"

    def __init__(self, block_size: int = 1 << 20) -> None:
        if block_size < 16:
            raise ValueError(f"block_size should be at least 16 bytes, found {block_size}")
        self._block_size = block_size

    def peek(self, name: str) -> FileFacts:
        """Read the header, and infer types from the first MiB of records or so."""
        with closing(TextFile(name, _SAMPLE)) as text:
            n_bytes = None if _is_compressed(name) else text.status.st_size
            header = text.header()
            if not header:
                return FileFacts(name, None, n_bytes=n_bytes)
            offset = text.offset
            schema = infer_schema(text.sample(), parse_header(header, name), name, offset)
            return FileFacts(name, schema, n_bytes=n_bytes)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Types are inferred, so whole numbers are decimal, and anything is a string, where another file says so."""
        if {first, second} == {pa.date32(), pa.timestamp("us")}:
            return pa.timestamp("us")
        merged = wider_type(first, second)
        return pa.string() if merged is None and pa.string() in (first, second) else merged

    def open(self, name: str, schema: pa.Schema, row: int, seen: FileIdentity | None) -> Part:
        """Open a file at a byte of its text."""
        with ExitStack() as stack:
            text = stack.enter_context(closing(TextFile(name, self._block_size)))
            header = text.header()
            if seen is not None:
                _resume(text, name, seen)
            part = _CsvPart(name, text, _parser(header, schema, name) if header else None, row)
            stack.pop_all()
            return part

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Read again what was read."""
        with closing(TextFile(name, _SAMPLE)) as text:
            _resume(text, name, seen)
            if not may_grow and text.next_byte():
                raise refusal(name, seen, f"the file has grown (expected {seen.offset} bytes of text, found more)")


class _CsvPart(Iterator[tuple[pa.RecordBatch, Locate]]):
    """One open CSV file from a record on: one thread reads and cuts the text, others parse it; the order stays."""

    whole = None

    def __init__(self, name: str, text: TextFile, parser: RecordParser | None, row: int) -> None:
        self._name, self._text, self._parser, self._row = name, text, parser, row
        self._failure: RowError | None = None
        self._pool = ThreadPoolExecutor(_PARSERS, thread_name_prefix="csv")
        self._blocks = prefetch(self._cut(parser) if parser is not None else iter(()), _PARSERS)

    def _cut(self, parser: RecordParser) -> Iterator[_Block]:
        """Yield the text in blocks of whole records, each of which is being parsed by then."""
        while True:
            offset, before = self._text.offset, self._text.hash.copy()
            text = self._text.records()
            if not text:
                return
            yield _Block(text, offset, before, self._pool.submit(parser.parse, text))

    def __next__(self) -> tuple[pa.RecordBatch, Locate]:
        if self._failure is not None:
            raise self._failure
        block = next(self._blocks)
        parser = cast(RecordParser, self._parser)
        records, self._failure = parser.records(block.table, block.text, block.offset, self._row)
        if records is None:
            return next(self)
        self._row += records.num_rows
        where = {"text": block.text, "offset": block.offset, "before": block.before}
        return records, partial(_locate, self._name, self._text.status, **where)

    def identity(self) -> FileIdentity:
        """Return the identity of the text as far as it was read, unless some was cut off before it could be."""
        self._text.finish()
        identity = identify(self._name, self._text.status, self._text.offset, self._text.hash.hexdigest())
        if (size := self._text.size()) < identity.size:
            raise _truncated(self._name, identity, size)
        return identity

    def close(self) -> None:
        self._blocks.close()
        self._pool.shutdown(cancel_futures=True)
        self._text.close()


@dataclass(frozen=True, slots=True)
class _Block:
    """Some text, where it begins, the hash of all before it, and what is being parsed of it."""

    text: bytes
    offset: int
    before: Any
    table: Future[pa.Table]


def _parser(header: bytes, schema: pa.Schema, name: str) -> RecordParser:
    names = parse_header(header, name)
    require(schema, names, name)
    return RecordParser(names, schema, name)


def _locate(name: str, status: os.stat_result, n: int, *, text: bytes, offset: int, before: Any) -> FileIdentity:
    """Return the identity of a file up to where record `n` of a block of text begins.

    Parameters
    ----------
    name, status
        The file.
    n
        Records of it that were applied.
    text
        The block.
    offset, before
        Where it begins, and the hash of all before it.
    """
    length = int(record_ends(text, is_last=True)[n - 1]) if n else 0
    digest = before.copy()
    digest.update(memoryview(text)[:length])
    return identify(name, status, offset + length, digest.hexdigest())


def _resume(text: TextFile, name: str, seen: FileIdentity) -> None:
    """Go on to where `seen` ends, and make sure that what precedes it is what was read."""
    # The size of compressed text tells nothing: the same text may be compressed anew.
    if not _is_compressed(name) and text.status.st_size < seen.size:
        raise _truncated(name, seen, text.status.st_size)
    if not text.skip(seen.offset - text.offset):
        what = f"the file was truncated (expected at least {seen.offset} bytes of text, found {text.offset})"
        raise refusal(name, seen, what)
    refuse_other_content(name, seen, identify(name, text.status, text.offset, text.hash.hexdigest()))
    if text.last_byte not in b"\r\n" and text.next_byte() not in (b"", b"\r", b"\n"):
        ending = f"the record that ended the file, before byte {seen.offset}"
        raise refusal(name, seen, f"{ending}, was learned half-written and has been continued")


def _truncated(name: str, seen: FileIdentity, size: int) -> CursorError:
    return refusal(name, seen, f"the file was truncated (expected at least {seen.size} bytes, found {size})")


def _is_compressed(name: str) -> bool:
    return Path(name).suffix.lower() in COMPRESSIONS
