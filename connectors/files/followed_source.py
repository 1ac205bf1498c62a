"""Sources that do not end: text that grows and is rotated, folders in which files land.

Files are read one after the other, like those of a source that ends. What is new is that nobody knows what comes next:

- a file of text is read on while it grows; a record that is not ended is held back. It is left for another file once it
  was quiet for a while; one that grows after that is read on later, from where it was left;
- a file that is renamed while it is read is the same file; one that was truncated begins anew, and what was not read of
  it is looked for in a copy;
- a file whose name begins with ``.`` or ``_``, or ends otherwise than data do, is not looked at: so an upload under
  such a name is invisible until it is renamed. A Parquet file without a footer and compressed text are read once
  nothing was written to them for a while;
- which file comes next, and where the one before is left, is decided once, and whoever opens the source can keep that
  (`Decisions`): so a run that goes on from an earlier position reads the files in the order of the first one, though
  others have come in between, and whatever they are called by then.

The identities of 256 files are kept in a cursor, those that come last in the order; an earlier one is known by its
place: a file that comes before them, and was written later than the files there were, or appears while the place is
followed, is a bad row.
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
from connectors.formats.base import FileFacts, Format, first_columns, schema_of, type_warnings_of
from connectors.formats.file_cursor import FileCursor, same_rows_before
from connectors.pipes.spool import Spool, telling
from connectors.source import Reader, Source

__all__ = ["Follow", "FollowedSource"]

_LOOKED_AT = 16  # files from which types are inferred


@dataclass(frozen=True, slots=True)
class Follow:
    """How a source is followed.

    Parameters
    ----------
    order
        ``name``, or ``time``: of the last change, then name.
    idle_timeout_s
        End when nothing came for so long; ``None`` to wait for ever.
    """

    order: str = "name"
    idle_timeout_s: float | None = None


class FollowedSource(Source):
    """Rows of a file that grows, or of files that land in a folder or match a pattern.

    Parameters
    ----------
    place
        The file, the folder or the pattern.
    format_of
        Returns the format of a file, None for what is no data.
    follow
        In what order, for how long.
    keeps_bad_rows, ignore
        As in `files.FileSource`.
    spool
        What writes the files, if the place is its folder.
    on_message
        Hears, in a line, why it takes a while, and of what is held back at the end; any thread may call it.

    Raises
    ------
    SourceError
        There is no such place; or nothing came in time.
    SchemaError
        Columns disagree.
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
        on_message: Callable[[str], object] | None = None,
    ) -> None:
        self._files = Listing(place, format_of, follow.order)
        self._follow, self._keeps_bad_rows, self._spool = follow, keeps_bad_rows, spool
        self._ignore, self._on_message = ignore, on_message
        self._place = spool.description if spool is not None else place
        with telling(spool):
            self._schema = self._first_schema()

    def _first_schema(self) -> pa.Schema:
        """Wait for a file that has rows, and return the columns of the first files."""
        began, is_told = time.monotonic(), False
        with contextlib.closing(self._files.watch()) as watch:
            while True:
                has_ended = self._spool is not None and self._spool.has_ended
                facts = self._first_facts()
                if any(fact.schema is not None if has_ended else _has_rows(fact) for fact in facts):
                    if not has_ended:  # the more rows there are, the more types are known
                        time.sleep(intervals.QUIET_S)
                        facts = [self._peek(fact.name) or fact for fact in facts]
                    self._type_warnings = type_warnings_of(facts)
                    return first_columns(facts, schema_of(facts, self._files.format, self._ignore))
                if self._spool is not None and has_ended:
                    self._spool.refuse_failure()
                    raise SourceError(f"{self._place}: what came has no rows; expected a header, and records")
                if self._follow.idle_timeout_s is not None and time.monotonic() - began > self._follow.idle_timeout_s:
                    raise SourceError(f"{self._place}: nothing to read came within {self._follow.idle_timeout_s:g} s")
                if self._on_message is not None and not is_told and time.monotonic() - began >= intervals.PATIENCE_S:
                    self._on_message(f"{self._place}: waiting for the first rows")
                    is_told = True
                watch.wait(intervals.LOOK_S)

    def _first_facts(self) -> list[FileFacts]:
        """Look at the first files, as far as some that have rows; of a log that has none yet, at what it was before."""
        facts: list[FileFacts] = []
        n_with_rows = 0
        for found in self._files.listed():
            if (fact := self._peek(found.name)) is not None:
                facts.append(fact)
                n_with_rows += _has_rows(fact)
            if n_with_rows == _LOOKED_AT:
                break
        if not n_with_rows:
            rotated = reversed(self._files.listed(0))
            facts += [fact for found in rotated if (fact := self._peek(found.name)) is not None and _has_rows(fact)]
        return facts

    def _peek(self, name: str) -> FileFacts | None:
        """Look at a file; None if it cannot be looked at yet."""
        try:
            with foreign_errors(name):
                return self._files.format(name).peek(name)
        except (RowError, SourceError):
            return None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the first file that was there, with types that fit the first ones."""
        return self._schema

    @property
    def type_warnings(self) -> dict[str, str]:
        """What the first files tell of their columns."""
        return self._type_warnings

    @property
    def n_rows(self) -> None:
        """Nobody knows."""

    @property
    def description(self) -> str:
        """The place."""
        return f"{self._files.place}, followed" if self._spool is None else self._spool.description

    def fraction(self, cursor: Cursor) -> None:
        """Nobody knows."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return the bytes that were not read; a Parquet file counts until its first row is."""
        files = FileCursor.from_cursor(cursor)
        seen = {key: one for one in files.seen for key in (one.inode, one.name) if key}
        n_bytes = 0
        with contextlib.suppress(ConnectorError):
            for file in self._files.listed(min((one.mtime_ns for one in files.seen), default=0)):
                status = file.status
                identity = seen.get(status.st_ino) or seen.get(file.name)
                if identity is None:
                    n_bytes += status.st_size if file.key > files.horizon.place else 0
                elif self._files.format(file.name).guesses_types:  # of text, offsets are bytes
                    n_bytes += max(0, status.st_size - identity.offset)
            return n_bytes
        return None

    def label(self, cursor: Cursor) -> str:
        """Return the name of the file that holds the last row before a cursor."""
        last = FileCursor.at_last_file(cursor).last
        return self.description if last is None else last.name if self._spool is None else self._spool.told(last.name)

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Tell whether the same rows lie before two cursors, in files that may have been touched meanwhile."""
        return same_rows_before(one, other)

    def compact(self, cursor: Cursor) -> Cursor:
        """Return a cursor that knows the file of its last row alone."""
        return FileCursor.at_last_file(cursor).to_cursor()

    def commit(self, cursor: Cursor) -> None:
        """Let what no checkpoint needs any more be removed, if it is ours; see `Source.commit`."""
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
        start = FileCursor.from_cursor(cursor or Cursor.start())
        if self._spool is not None and not self._spool.is_kept:
            # What came before is gone with the process that it came to.
            start, decisions = FileCursor(start.row), None
        with telling(self._spool):
            blocks = Following(
                self._files,
                schema,
                start,
                decisions or Decisions(),
                idle_timeout_s=self._follow.idle_timeout_s,
                columns=self._schema.names,
                keeps_bad_rows=self._keeps_bad_rows,
                spool=self._spool,
                known=known,
                on_message=self._on_message,
            )
        return Reader(blocks, self.description, blocks.next_pass, blocks.notes)


def _has_rows(fact: FileFacts) -> bool:
    """Tell whether a file has rows: of one with a header alone no type is known."""
    return bool(fact.n_rows) or (fact.schema is not None and any(type_ != pa.null() for type_ in fact.schema.types))
