"""Sources that are followed: text files that grow and are rotated, folders in which new files appear.

Files are read one after the other. Unlike in a source that ends, the next file is not known in advance:

- A text file is read while it grows. An incomplete record is held back. If another file is waiting, the reader moves to
  it after a time without a write. If the old file grows again, it is read later, from where it was left.
- A file that is renamed during the read is the same file. A truncated file is read from its start. The rows that it
  lost unread are looked for in a copy.
- A file is ignored if its name begins with ``.`` or ``_``, or has an unknown extension. So an upload under such a name
  is invisible until it is renamed. Compressed text, and Parquet without a footer, is read after a time without a write.
- The next file, and the offset at which the previous one was left, are decided once and stored (`Decisions`). So a run
  that resumes from an earlier position reads the files in the same order. It does so even if new files came, or old
  ones were renamed.

A cursor lists 256 files, the last ones in the order. Earlier files are known only by their position in the order. A new
file before them is a bad row, if it was written later than they were, or appears while the place is followed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import pyarrow as pa

from connectors.cursor import Cursor
from connectors.decisions import Decisions
from connectors.errors import ConnectorError, RowError, SourceError, foreign_errors
from connectors.files import intervals
from connectors.files.following import Following
from connectors.files.listing import Listing
from connectors.formats.base import FileFacts, Format, Samples
from connectors.formats.facts import first_columns, remarks_of, schema_of, type_warnings_of, with_types, written_type
from connectors.formats.file_cursor import FileCursor, same_rows_before
from connectors.pipes.spool import Spool, telling
from connectors.schemas import like
from connectors.source import Reader, Source, read_first

__all__ = ["Follow", "FollowedSource"]

_LOOKED_AT = 16  # files that types are inferred from; a folder may hold too many to inspect all


@dataclass(frozen=True, slots=True)
class Follow:
    """How a source is followed.

    Parameters
    ----------
    order
        Order of files: ``name``, or ``time`` (of the last change, then name).
    idle_timeout_s
        Seconds without new data after which the source ends; ``None`` to wait for ever.
    """

    order: str = "name"
    idle_timeout_s: float | None = None


class FollowedSource(Source):
    """Rows of a file that grows, or of files that appear in a folder or match a pattern.

    Parameters
    ----------
    place
        The file, the folder or the pattern.
    format_of
        Returns the format of a file; None for a file that is not data.
    follow
        The order of files, and the timeout.
    keeps_bad_rows, ignore
        As in `files.FileSource`.
    spool
        The spool that writes the files, if the place is its folder.
    exclude
        Folders that are skipped.
    on_message
        Receives one line when the source waits for its first rows, or ends with an incomplete record. Any thread may
        call it.

    Raises
    ------
    SourceError
        The place does not exist, or no data came in time.
    SchemaError
        Files disagree on the type of a column.
    """

    is_unbounded = True

    def __init__(
        self,
        place: str,
        format_of: Callable[[str], Format | None],
        follow: Follow,
        *,
        keeps_bad_rows: bool = False,
        spool: Spool | None = None,
        ignore: Collection[str] = (),
        exclude: Collection[str] = (),
        on_message: Callable[[str], object] | None = None,
    ) -> None:
        # The path of a spool says nothing about the rows in it.
        self._files = Listing(place, format_of, follow.order, exclude=exclude, has_partitions=spool is None)
        self._follow, self._keeps_bad_rows, self._spool = follow, keeps_bad_rows, spool
        self._ignore, self._on_message = ignore, on_message
        self._place = spool.description if spool is not None else place
        with telling(spool):
            self._schema = self._first_schema()

    def _first_schema(self) -> pa.Schema:
        """Wait for a file with rows, and return the columns of the first files."""
        began, is_told = time.monotonic(), False
        with contextlib.closing(self._files.watch()) as watch:
            while True:
                has_ended = self._spool is not None and self._spool.has_ended
                facts = self._first_facts()
                if any(fact.schema is not None if has_ended else fact.is_begun for fact in facts):
                    if not has_ended:  # more rows may be on their way, and types are inferred better from more rows
                        time.sleep(intervals.QUIET_S)
                    facts = self._typed(facts)
                    self._facts = facts
                    return first_columns(facts, schema_of(facts, self._files.format, self._ignore))
                if self._spool is not None and has_ended:
                    self._spool.refuse_failure()
                    raise SourceError(f"{self._place}: the input has no rows; expected a header and records")
                if self._follow.idle_timeout_s is not None and time.monotonic() - began > self._follow.idle_timeout_s:
                    waited = f"no data came within {self._follow.idle_timeout_s:g} s"
                    raise SourceError(f"{self._place}: {waited}; set a longer --idle-timeout")
                if self._on_message is not None and not is_told and time.monotonic() - began >= intervals.PATIENCE_S:
                    self._on_message(f"{self._place}: waiting for the first rows")
                    is_told = True
                watch.wait(intervals.LOOK_S)

    def _first_facts(self) -> list[FileFacts]:
        """Inspect the first files, up to a number with rows; if a log has no rows yet, inspect its rotated files."""
        facts: list[FileFacts] = []
        n_with_rows = 0
        for found in self._files.listed():
            if (fact := self._peek(found.name)) is not None:
                facts.append(fact)
                n_with_rows += fact.is_begun
            if n_with_rows == _LOOKED_AT:
                break
        if not n_with_rows:
            rotated = reversed(self._files.listed(0))
            facts += [fact for found in rotated if (fact := self._peek(found.name)) is not None and fact.is_begun]
        return facts

    def _typed(self, facts: list[FileFacts]) -> list[FileFacts]:
        """Inspect the files again, and infer types from the first records of all of them."""
        samples = Samples()
        return with_types([self._peek(fact.name, samples) or fact for fact in facts], self._files.format, samples)

    def _peek(self, name: str, samples: Samples | None = None) -> FileFacts | None:
        """Inspect a file; return None if it cannot be read yet."""
        try:
            with foreign_errors(name):
                return self._files.format(name).peek(name, samples)
        except (RowError, SourceError):
            return None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the first file, with types that fit the first files."""
        return self._schema

    @property
    def type_warnings(self) -> dict[str, str]:
        """Type warnings about columns of the first files."""
        return type_warnings_of(self._facts)

    has_copies = has_null_words = True

    def written_type(self, name: str) -> pa.DataType:
        """Return the type in which a column is copied: a string if a file of text has it."""
        return written_type(self._facts, self._files.format, self.schema, name)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks about the first files."""
        return remarks_of(self._facts)

    @property
    def n_rows(self) -> None:
        """Always None: the number of rows is unknown."""

    @property
    def description(self) -> str:
        """The place."""
        return f"{self._files.place}, followed" if self._spool is None else self._spool.description

    def fraction(self, cursor: Cursor) -> None:
        """Return None: the length of the stream is unknown."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return the number of unread bytes; a Parquet file counts as a whole until its first row is read."""
        files = FileCursor.from_cursor(cursor)
        seen = {key: one for one in files.seen for key in (one.inode, one.name) if key}
        n_bytes = 0
        with contextlib.suppress(ConnectorError):
            for file in self._files.listed(min((one.mtime_ns for one in files.seen), default=0)):
                status = file.status
                identity = seen.get(status.st_ino) or seen.get(file.name)
                if identity is None:
                    n_bytes += status.st_size if file.key > files.horizon.place else 0
                elif self._files.format(file.name).guesses_types:  # text: only there are offsets bytes
                    n_bytes += max(0, status.st_size - identity.offset)
            return n_bytes
        return None

    def label(self, cursor: Cursor) -> str:
        """Return the name of the file that holds the last row before a cursor."""
        last = FileCursor.at_last_file(cursor).last
        return self.description if last is None else last.name if self._spool is None else self._spool.told(last.name)

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Return whether the rows before two cursors are the same; files may have been touched meanwhile."""
        return same_rows_before(one, other)

    def compact(self, cursor: Cursor) -> Cursor:
        """Return a cursor that lists only the file of its last row."""
        return FileCursor.at_last_file(cursor).to_cursor()

    def commit(self, cursor: Cursor) -> None:
        """Remove files of the spool that no checkpoint needs any more; see `Source.commit`."""
        last = FileCursor.at_last_file(cursor).last
        if self._spool is not None and last is not None:
            self._spool.commit(last.name)

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Open the place at a position; see `Source.open`."""
        return self._open(schema, cursor, decisions, known)

    def first_rows(self, schema: pa.Schema, n_rows: int) -> pa.Table:
        """Return the first rows; a temporary spool keeps them for the next reader."""
        return read_first(self._open(schema, is_look=True), schema, n_rows)

    def _open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
        *,
        is_look: bool = False,
    ) -> Reader:
        start = FileCursor.from_cursor(cursor or Cursor.start())
        if self._spool is not None and not self._spool.is_kept:
            # A temporary spool is deleted with its process, so earlier rows are gone and their cursors are useless.
            start, decisions = FileCursor(start.row), None
        with telling(self._spool):
            blocks = Following(
                self._files,
                like(schema, self._schema),
                start,
                decisions or Decisions(),
                idle_timeout_s=self._follow.idle_timeout_s,
                columns=self._schema.names,
                keeps_bad_rows=self._keeps_bad_rows,
                spool=self._spool,
                known=known,
                on_message=self._on_message,
                is_look=is_look,
            )
        return Reader(blocks, self.description, blocks.next_pass, blocks.notes)
