"""CSV files, plain, gzip or zstd: cut at record boundaries, parsed block by block in threads, resumed at any record.

The offset in a cursor is a byte of the uncompressed text: the end of the last applied record. A file is recognised by
the SHA-256 of the text before the offset, computed during the read. So the last file may grow, during the read or
between two runs of the first pass; it is read to its present end. A single changed byte in the part that was read is
detected. The price: that text is hashed again on a resume, and at the end if the file was touched meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from connectors.errors import ContinuedError, CursorError, RowError
from connectors.events import BadRow
from connectors.formats.base import (
    FileChunk,
    FileFacts,
    FileReader,
    identify,
    refusal,
    refuse_other_content,
    refuse_other_version,
)
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.header import parse_header
from connectors.formats.csv.parser import Parsed, RecordParser, readable
from connectors.formats.csv.sample import Sample
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.text_stream import compression_of, line_number
from connectors.formats.csv.type_inference import infer_schema
from connectors.formats.file_cursor import FileIdentity
from connectors.leaves import are_row_numbers
from connectors.prefetching import Prefetcher, prefetch
from connectors.schemas import doubtful, mark_index, wider_type
from connectors.stores.storage import DISK, Status, Storage

__all__ = ["CsvFormat"]

_SAMPLE = 1 << 20
_FIRST_CELLS = 10_000  # in which row numbers are looked for
_UNTOLD = Dialect()
_PARSERS = 2  # threads; as many blocks, and one, are read ahead


class CsvFormat:
    """Inspect CSV files and open them at a byte.

    Parameters
    ----------
    block_size
        Bytes of text read at a time, at least 16. Rows, values and cursors do not depend on it.
    dialect
        The dialect, as far as it was given; the rest is inferred from the header of each file.
    storage
        Where the files are.
    keeps_bad_rows
        Whether an unreadable record is yielded as a bad row, instead of raised as an error.
    """

    name = "CSV"
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

    def peek(self, name: str, sample: Sample | None = None) -> FileFacts:
        """Read the header, and add records to a sample while it wants more.

        Parameters
        ----------
        name
            The file.
        sample
            The sample of the stream; its types are inferred later, by `infer`. By default the types of this file alone
            are inferred.
        """
        own = Sample() if sample is None else sample
        with closing(TextFile(name, _SAMPLE, self._dialect, storage=self._storage)) as text:
            n_bytes = text.status.st_size if text.is_plain else None
            header = text.header()
            if not header:
                return FileFacts(name, None, n_bytes=n_bytes)
            names = parse_header(header, name, text.dialect)
            own.begin(names, text.dialect)
            has_rows = False
            while own.wanted(names) or not has_rows:
                text.skip_blank()
                records, complaint = text.records()
                if not records:
                    break
                has_rows |= complaint is None
                if complaint is None and own.wanted(names):
                    own.add(records, names, text.dialect, name)
            schema = self.infer(own) if sample is None else pa.schema([(column, pa.null()) for column in names])
            first, remarks = header.split(text.dialect.delimiter_byte, 1)[0], list[str]()
            if names[0].startswith("column 1") and not first.strip(b" \t\r\n" + text.dialect.quote_byte):
                field, remarks = _without_name(schema.field(0), own)
                schema = schema.set(0, field)
            lines = tuple(f"{name}: {line}" for line in remarks)
            return FileFacts(name, schema, n_bytes=n_bytes, has_rows=has_rows, remarks=lines)

    def infer(self, sample: Sample) -> pa.Schema:
        """Return the columns of a sample, with their inferred types."""
        return infer_schema(sample, self._dialect)

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
        """Open a file at a byte of its text; return None for a file that is being written and has no header yet."""
        if is_growing and compression_of(name):
            # The end of compressed text is unknown until the file is complete.
            if seen is None:
                return None
            is_growing = False  # rows were read from it, so it was complete then
        with ExitStack() as stack:
            text = TextFile(
                name, self._block_size, self._dialect, is_growing=is_growing, until=until, storage=self._storage
            )
            stack.enter_context(closing(text))
            header = text.header()
            if is_growing and not header:
                return None
            if seen is not None:
                _resume(text, name, seen)
            parser = _parser(header, schema, name, text.dialect) if header else None
            reader = _CsvReader(name, self._storage, text, parser, row, keeps_bad_rows=self._keeps_bad_rows)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of the first records; None if the file has no record after the header."""
        with closing(TextFile(name, _SAMPLE, self._dialect, is_growing=True, storage=self._storage)) as text:
            text.header()
            has_rows = text.sample() != b""
            return identify(name, text.status, text.offset, text.hash.hexdigest()) if has_rows else None

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Hash the text that was read again, and compare."""
        with closing(TextFile(name, _SAMPLE, self._dialect, storage=self._storage)) as text:
            _resume(text, name, seen)
            if not may_grow and text.next_byte():
                raise refusal(name, seen, f"the file has grown (expected {seen.offset} bytes of text, found more)")


class _CsvReader(Iterator[FileChunk]):
    """One open CSV file, from a record onwards: one thread reads and cuts the text, others parse it in parallel."""

    def __init__(
        self,
        name: str,
        storage: Storage,
        text: TextFile,
        parser: RecordParser | None,
        row: int,
        *,
        keeps_bad_rows: bool,
    ) -> None:
        self._name, self._storage, self._text, self._parser, self._row = name, storage, text, parser, row
        # An object in a store cannot grow: a write replaces it by another version.
        self.whole = identify(name, text.status, 0, "") if storage.is_remote(name) else None
        self._keeps_bad_rows = keeps_bad_rows
        self._failure: RowError | None = None
        self._told_damage: Exception | None = None
        # A cursor before the first row points to the end of the previous good row, so that a reader resumed there
        # yields the bad rows in between again.
        begin = text.offset, text.hash.hexdigest()
        self._locate_begin: Callable[[], FileIdentity] = lambda: identify(name, text.status, *begin)
        self._pool = ThreadPoolExecutor(_PARSERS, thread_name_prefix="csv")
        self._has_caught_up = False
        self._blocks: Prefetcher[_Block] | None = self._ahead()

    def _cut(self, parser: RecordParser) -> Iterator[_Block]:
        """Yield the text in blocks of whole records; each block is already being parsed."""
        while True:
            self._text.skip_blank()
            offset, before = self._text.offset, self._text.hash.copy()
            text, complaint = self._text.records()
            if complaint is not None:
                yield _Block(text, offset, before, self._pool.submit(parser.refused, text, *complaint))
            elif text:
                yield _Block(text, offset, before, self._pool.submit(parser.parse, text, self._keeps_bad_rows))
            else:
                break
        damage = self._text.damage
        if damage is not None and damage is not self._told_damage:
            if not self._keeps_bad_rows:
                raise damage
            self._told_damage = damage
            rest, reason = self._text.rest(), f"the file is damaged here: {damage}"
            yield _Block(rest, offset, before, self._pool.submit(parser.refused, rest, "damage", reason))

    def __next__(self) -> FileChunk:
        if self._failure is not None:
            raise self._failure
        block = self._next_block()
        parsed = block.parsed.result()
        locate = partial(_locate, self._name, self._text.status, block, parsed, self._locate_begin)
        chunk = FileChunk(parsed.records, locate, self._bad(block, parsed))
        if n_rows := parsed.records.num_rows:
            self._row += n_rows
            # `locate` refers to the previous block; a chain of such references would keep all blocks in memory.
            self._locate_begin = partial(_locate, self._name, self._text.status, block, parsed, None, n=n_rows)
        if parsed.bad and not self._keeps_bad_rows:
            self._failure = self._error(block, parsed)
            if not parsed.records.num_rows:
                raise self._failure
            return replace(chunk, bad=())
        return chunk

    def _ahead(self) -> Prefetcher[_Block]:
        """Return the next blocks, read ahead in a thread."""
        # At the end of a growing file little text comes at a time, and a thread for each bit would cost more.
        depth = 0 if self._has_caught_up else _PARSERS
        return prefetch(self._cut(self._parser) if self._parser is not None else iter(()), depth)

    def _next_block(self) -> _Block:
        """Return the next block; after the end of a growing file, a further call reads on."""
        if self._blocks is None:
            self._blocks = self._ahead()
        try:
            return next(self._blocks)
        except StopIteration:
            self._blocks.close()
            self._blocks, self._has_caught_up = None, True
            raise

    def _bad(self, block: _Block, parsed: Parsed) -> list[BadRow]:
        return [
            BadRow(
                bad.row,
                self._name,
                block.offset + bad.start,
                bad.kind,
                bad.reason,
                block.text[bad.start : bad.stop],
                n_rows=int(bad.kind != "damage"),
            )
            for bad in parsed.bad
        ]

    def _error(self, block: _Block, parsed: Parsed) -> RowError:
        """Return the error for the first unreadable record."""
        bad = parsed.bad[0]
        line = line_number(self._name, block.offset + bad.start, self._text.dialect, self._storage)
        content = readable(block.text[bad.start : bad.stop])
        shown = "" if repr(content) in bad.reason else f": {content!r}"
        hint = "; --types reads the column as text, --null-values the word as missing" if bad.kind == "type" else ""
        return RowError(f"{self._name}, row {self._row} (line {line}): {bad.reason}{shown}{hint}")

    def identity(self) -> FileIdentity:
        """Return the identity of the text that was read; refuse a file that was truncated meanwhile."""
        if not self._text.is_growing:
            self._text.finish()
        identity = identify(self._name, self._text.status, self._text.offset, self._text.hash.hexdigest())
        if not self._text.is_growing and (size := self._text.status_now().st_size) < identity.size:
            raise _truncated(self._name, identity, size)
        return identity

    def status_now(self) -> Status:
        """Return the present status of the open file."""
        return self._text.status_now()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the file."""
        return () if self._parser is None else tuple(self._parser.header)

    @property
    def is_growing(self) -> bool:
        """Whether the file may still grow."""
        return self._text.is_growing

    @property
    def has_rest(self) -> bool:
        """Whether the last record is incomplete."""
        return self._text.has_rest

    @property
    def is_rewritten(self) -> bool:
        """Whether the file was rewritten where it had been read."""
        return self._text.is_rewritten

    @property
    def read_to(self) -> int:
        """Number of bytes of text that were read, including an incomplete record."""
        return self._text.read_to

    def settle(self, until: int | None) -> None:
        """Treat the file as complete, up to a byte of its text if given; its end is then the end of a record."""
        self._text.settle(until)

    def close(self) -> None:
        if self._blocks is not None:
            self._blocks.close()
        self._pool.shutdown(cancel_futures=True)
        self._text.close()


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of text: its offset, the hash of all text before it, and its parse in progress."""

    text: bytes
    offset: int
    before: Any
    parsed: Future[Parsed]


def _without_name(field: pa.Field, sample: Sample) -> tuple[pa.Field, list[str]]:
    """Return the first column, which has no name, marked as an index or as doubtful; and remarks about it.

    pandas and R write the row numbers of a data frame as such a column.
    """
    with contextlib.suppress(pa.ArrowInvalid):
        cells = sample.column(field.name).cells
        if are_row_numbers(cells.slice(0, _FIRST_CELLS).cast(pa.int64()).combine_chunks()):
            line = f"column {field.name!r} has no name and holds row numbers; it is left out unless --features names it"
            return mark_index(field), [line]
    line = f"column {field.name!r} has no name; if it holds row numbers, leave it out: --ignore {field.name!r}"
    return doubtful(field, line), []


def _parser(header: bytes, schema: pa.Schema, name: str, dialect: Dialect) -> RecordParser:
    names = parse_header(header, name, dialect)
    return RecordParser(names, schema, name, dialect)


def _locate(  # noqa: PLR0917 - all but the last are bound
    name: str, status: Status, block: _Block, parsed: Parsed, begin: Callable[[], FileIdentity] | None, n: int
) -> FileIdentity:
    """Return the identity of a file up to the end of row n - 1 of a block.

    Parameters
    ----------
    name, status
        The file.
    block, parsed
        The text, and the result of its parse.
    begin
        Returns the identity up to the last row before the block; used for n = 0.
    n
        Number of rows of the block that were applied.
    """
    if not n and begin is not None:
        return begin()
    length = parsed.end(block.text, n)
    digest = block.before.copy()
    digest.update(memoryview(block.text)[:length])
    return identify(name, status, block.offset + length, digest.hexdigest())


def _resume(text: TextFile, name: str, seen: FileIdentity) -> None:
    """Move to the end of `seen`, and check that the text before it is the text that was read."""
    refuse_other_version(name, seen, identify(name, text.status, 0, ""))
    # For compressed files the size proves nothing: the same text may have been compressed again.
    if text.is_plain and text.status.st_size < seen.size:
        raise _truncated(name, seen, text.status.st_size)
    if not text.skip(seen.offset - text.offset):
        what = f"the file was truncated (expected at least {seen.offset} bytes of text, found {text.offset})"
        raise refusal(name, seen, what)
    refuse_other_content(name, seen, identify(name, text.status, text.offset, text.hash.hexdigest()))
    if text.last_byte not in b"\r\n" and text.next_byte() not in (b"", b"\r", b"\n"):
        ending = f"the last record, before byte {seen.offset}"
        raise refusal(name, seen, f"{ending}, was learned while incomplete, and has been continued", ContinuedError)


def _truncated(name: str, seen: FileIdentity, size: int) -> CursorError:
    return refusal(name, seen, f"the file was truncated (expected at least {seen.size} bytes, found {size})")
