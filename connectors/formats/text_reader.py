"""Read one open text file, of any format in which records follow each other: cut it, parse it, locate its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from connectors.errors import ContinuedError, CursorError, RowError
from connectors.events import BadRow
from connectors.formats.base import (
    FileChunk,
    identify,
    refusal,
    refuse_other_content,
    refuse_other_version,
)
from connectors.formats.csv.hints import type_hint
from connectors.formats.csv.parser import Parsed, readable
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.text_stream import line_number
from connectors.formats.file_cursor import FileIdentity
from connectors.null_words import WordSearch
from connectors.prefetching import Prefetcher, prefetch
from connectors.stores.storage import Status, Storage

__all__ = ["Parser", "TextReader", "compare_text", "resume"]

_PARSERS = 2  # threads; as many blocks, and one, are read ahead


class Parser(Protocol):
    """Parses whole records of one file."""

    @property
    def header(self) -> list[str]:
        """Names of the columns of the file."""

    def parse(self, text: bytes, keeps_bad_rows: bool) -> Parsed:
        """Parse whole records; any thread may call this."""

    def refused(self, text: bytes, kind: str, reason: str) -> Parsed:
        """Return the result for text that is not a record."""

    def word_search(self) -> WordSearch:
        """Return a search for the words for a missing value."""


class TextReader(Iterator[FileChunk]):
    """One open text file, from a record onwards: one thread reads and cuts the text, others parse it in parallel."""

    def __init__(
        self,
        name: str,
        storage: Storage,
        text: TextFile,
        parser: Parser | None,
        row: int,
        *,
        keeps_bad_rows: bool,
    ) -> None:
        self._name, self._storage, self._text, self._parser, self._row = name, storage, text, parser, row
        # An object in a store cannot grow: a write replaces it by another version.
        self.whole = identify(name, text.status, 0, "") if storage.is_remote(name) else None
        self._keeps_bad_rows = keeps_bad_rows
        self._words = None if parser is None else parser.word_search()
        self._failure: RowError | None = None
        self._told_damage: Exception | None = None
        # A cursor before the first row points to the end of the previous good row, so that a reader resumed there
        # yields the bad rows in between again.
        begin = text.offset, text.hash.hexdigest()
        self._locate_begin: Callable[[], FileIdentity] = lambda: identify(name, text.status, *begin)
        self._pool = ThreadPoolExecutor(_PARSERS, thread_name_prefix="text")
        self._has_caught_up = False
        self._blocks: Prefetcher[_Block] | None = self._ahead()

    def _cut(self, parser: Parser) -> Iterator[_Block]:
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
        chunk = FileChunk(parsed.records, locate, self._bad(block, parsed), self._first_rows(block, parsed))
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

    def _first_rows(self, block: _Block, parsed: Parsed) -> dict[str, int]:
        """Return the first row of each word for a missing value that was not found before."""
        found = self._words.first(block.text) if self._words is not None else {}
        if not found:
            return {}
        ends = parsed.plain.ends(parsed.plain.record_ends() if parsed.ends is None else parsed.ends)
        return {word: int(np.searchsorted(ends, place, side="right")) for word, place in found.items()}

    def _error(self, block: _Block, parsed: Parsed) -> RowError:
        """Return the error for the first unreadable record."""
        bad = parsed.bad[0]
        line = line_number(self._name, block.offset + bad.start, self._text.dialect, self._storage)
        content = readable(block.text[bad.start : bad.stop])
        shown = "" if repr(content) in bad.reason else f": {content!r}"
        hint = type_hint(bad.reason) if bad.kind == "type" else ""
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
        """Release the file; a second call does nothing."""
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
    length = parsed.end(n)
    digest = block.before.copy()
    digest.update(memoryview(block.text)[:length])
    return identify(name, status, block.offset + length, digest.hexdigest())


def resume(text: TextFile, name: str, seen: FileIdentity) -> None:
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


def compare_text(text: TextFile, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
    """Hash the text that was read again, and compare."""
    resume(text, name, seen)
    if not may_grow and text.next_byte():
        raise refusal(name, seen, f"the file has grown (expected {seen.offset} bytes of text, found more)")


def _truncated(name: str, seen: FileIdentity, size: int) -> CursorError:
    return refusal(name, seen, f"the file was truncated (expected at least {seen.size} bytes, found {size})")
