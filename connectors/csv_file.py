"""CSV files, plain, gzip or zstd: cut at record borders, parsed block by block, resumed at any record.

The offset in a cursor is a byte of the uncompressed text: the end of the last applied record. A file is recognised by
the SHA-256 of the text before the offset, computed as the text is read. So a file may grow while it is read or between
two runs, and a single byte changed in what was read is found, at the price of hashing that text again on resuming.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.base import FileIdentity
from connectors.csv_parser import RecordParser, infer_schema, parse_header
from connectors.csv_records import record_ends
from connectors.csv_text import COMPRESSIONS, TextFile
from connectors.errors import CursorError
from connectors.files import FileFacts, Locate, Part, identify, refusal
from connectors.schemas import require, same_type

__all__ = ["CsvFormat"]

_SAMPLE = 1 << 20


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
            schema = infer_schema(text.records(), parse_header(header, name), name, offset)
            return FileFacts(name, schema, n_bytes=n_bytes)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Types are inferred, so whole numbers are decimal, and anything is a string, where another file says so."""
        merged = same_type(first, second)
        if merged is None and {first, second} == {pa.int64(), pa.float64()}:
            return pa.float64()
        return pa.string() if merged is None and pa.string() in (first, second) else merged

    def open(self, name: str, schema: pa.Schema, row: int, offset: int, seen: FileIdentity | None) -> Part:
        """Open a file at byte `offset` of its text."""
        with ExitStack() as stack:
            text = stack.enter_context(closing(TextFile(name, self._block_size)))
            header = text.header()
            if seen is not None:
                _resume(text, name, offset, seen)
            part = _CsvPart(name, text, _parser(header, schema, name) if header else None, row)
            stack.pop_all()
            return part

    def verify(self, name: str, seen: FileIdentity) -> None:
        """Trust a file that the system says is untouched; else read it through and compare."""
        status = Path(name).stat()
        if identify(seen.name, status, seen.digest) == seen:
            return
        if not _is_compressed(name) and status.st_size > seen.size:
            grown = f"expected {seen.size} bytes, found {status.st_size}"
            raise refusal(name, seen, f"the file had been read to its end, and has grown ({grown})")
        with closing(TextFile(name, _SAMPLE)) as text:
            text.skip()
            if text.hash.hexdigest() != seen.digest:
                raise _edited(name, seen, text)


class _CsvPart(Iterator[tuple[pa.RecordBatch, Locate]]):
    """One open CSV file from a record on."""

    def __init__(self, name: str, text: TextFile, parser: RecordParser | None, row: int) -> None:
        self._name, self._text, self._parser, self._row = name, text, parser, row

    def __next__(self) -> tuple[pa.RecordBatch, Locate]:
        offset, before = self._text.offset, self._text.hash.copy()
        text = self._text.records() if self._parser else b""
        if self._parser is None or not text:
            raise StopIteration
        records = self._parser.parse(text, offset, self._row)
        self._row += records.num_rows
        return records, partial(_locate, self._name, self._text.status, text=text, offset=offset, before=before)

    def identity(self) -> FileIdentity:
        """Return the identity of the whole text; its size is what was read, for the file may have grown since."""
        self._text.skip()
        identity = identify(self._name, self._text.status, self._text.hash.hexdigest())
        return identity if _is_compressed(self._name) else replace(identity, size=self._text.offset)

    def close(self) -> None:
        self._text.close()


def _parser(header: bytes, schema: pa.Schema, name: str) -> RecordParser:
    names = parse_header(header, name)
    require(schema, names, name)
    return RecordParser(names, schema, name)


def _locate(
    name: str, status: os.stat_result, n: int, *, text: bytes, offset: int, before: Any
) -> tuple[int, FileIdentity]:
    """Return where record `n` of a block of text begins, and the identity of the file up to there.

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
    return offset + length, identify(name, status, digest.hexdigest())


def _resume(text: TextFile, name: str, offset: int, seen: FileIdentity) -> None:
    """Go on to `offset`, and make sure that what precedes it is what was read."""
    if not text.skip(offset - text.offset):
        what = f"the file was truncated (expected at least {offset} bytes of text, found {text.offset})"
        raise refusal(name, seen, what)
    if text.offset != offset or text.hash.hexdigest() != seen.digest:
        raise _edited(name, seen, text)
    if text.last_byte not in b"\r\n" and text.next_byte() not in (b"", b"\r", b"\n"):
        what = f"the record that ended the file, before byte {offset}, was learned half-written and has been continued"
        raise refusal(name, seen, what)


def _edited(name: str, seen: FileIdentity, text: TextFile) -> CursorError:
    found = text.hash.hexdigest()
    what = f"the file was replaced or edited (expected SHA-256 {seen.digest[:12]}… of its text, found {found[:12]}…)"
    return refusal(name, seen, what)


def _is_compressed(name: str) -> bool:
    return Path(name).suffix.lower() in COMPRESSIONS
