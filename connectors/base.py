"""The contract between a place where rows live and a job that learns from them.

A `Source` is a recipe: what the rows look like and where they are. `Source.open` makes a `Reader`, an open handle that
yields `Block` after `Block`, in one fixed order. A `Cursor` is the position of the **next unapplied row**: whoever
applied the first n rows of a block keeps ``block.cursor(n)``, and a reader opened there yields exactly the rest.

What every connector promises, and the suite in `contract` checks for each of them, here and in other packages:

- every row is read once, in the same order each time; an empty block is never yielded, but by a source without end;
- how rows are cut into blocks means nothing: neither rows, nor values, nor cursors depend on it;
- a cursor survives JSON, and names what it points into, so that a replaced, truncated or edited place is refused with
  a `CursorError` instead of being read as if nothing had happened, while it is read, between two runs, or between two
  passes: whoever gets to the end without an error has read what the place holds;
- memory does not grow with the length of the stream;
- what cannot be read is an error that names it; or, of a source that was told so, it is handed over as a `BadRow` with
  the row behind it, or with the end: a resumed reader hands over again what lies behind its cursor;
- whatever goes wrong is a `ConnectorError` that names the place; nobody turns other errors into one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa

from connectors.errors import CursorError, SourceError

__all__ = [
    "LASTING",
    "BadRow",
    "Block",
    "Cursor",
    "Decisions",
    "FileIdentity",
    "FileStart",
    "Horizon",
    "Note",
    "Reader",
    "Source",
]


LASTING = "late "
"""What begins a decision that is needed however long ago it was made: that a file came too late, which is told once."""

_MOST_DECISIONS = 100_000  # the last ones are remembered, and all that last


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What was known of a file when rows were read from it.

    Parameters
    ----------
    name
        The path as it was given to the source; a file may move.
    size
        Size in bytes, as stored.
    mtime_ns, ctime_ns
        Times of the last change of content and of metadata, nanoseconds since 1970.
    inode
        The number of the file in its file system.
    offset
        How far it was read: a row for Parquet and memory, a byte (uncompressed) for CSV.
    digest
        SHA-256, hexadecimal, of what the format says identifies the content read so far.
    version
        Of an object in a store, what its store says differs from that of any other content; empty of a file on a disk.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    offset: int
    digest: str
    version: str = ""

    @classmethod
    def from_json(cls, data: object) -> FileIdentity:
        """Rebuild an identity from plain values; a `CursorError` if they are none."""
        if isinstance(data, dict):  # files were on disks once
            data = {"version": "", **data}
        return cls(**_checked(cls, data, "cursor, file"))


class Horizon(NamedTuple):
    """How far files reach that were read and are not known one by one any more.

    Parameters
    ----------
    time_ns, name
        The last place of one in the order of files: a time, where that counts, in nanoseconds; and its name.
    written_ns
        When the last of them was written, in nanoseconds since 1970.
    """

    time_ns: int = 0
    name: str = ""
    written_ns: int = 0

    @property
    def place(self) -> tuple[int, str]:
        """The last place in the order."""
        return self.time_ns, self.name

    def beyond(self, place: tuple[int, str], written_ns: int) -> Horizon:
        """Return the horizon with one more file."""
        return Horizon(*max(self.place, place), max(self.written_ns, written_ns))


_AT_THE_START = Horizon()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of the next unapplied row.

    Parameters
    ----------
    row
        Rows before it in the stream, over all files.
    file
        Index of the file that holds the last applied row.
    seen
        Identity of each file up to and including the current one, which is read on from its offset; empty at the start.
        Of a source without end, of those that come last in the order, and of one that was gone on with as it was last.
    before
        Identity of every file as the pass before this one left it, since each pass reads the same rows; empty in the
        first.
    horizon
        Of a source without end, how far the files reach that were read and that `seen` does not know any more.

    Examples
    --------
    >>> Cursor.from_json(Cursor.start().to_json()) == Cursor.start()
    True
    """

    row: int
    file: int
    seen: tuple[FileIdentity, ...]
    before: tuple[FileIdentity, ...] = ()
    horizon: Horizon = _AT_THE_START

    @classmethod
    def start(cls, before: tuple[FileIdentity, ...] = ()) -> Cursor:
        """Return the position before the first row: of any source, or of the one that a pass before this one read."""
        return cls(row=0, file=0, seen=(), before=before)

    def is_after_the_rows_of(self, other: Cursor) -> bool:
        """Tell whether the same rows lie before two cursors, as far as identities tell; files may have been touched."""
        contents = [[(file.offset, file.digest) for file in cursor.seen] for cursor in (self, other)]
        return self.row == other.row and contents[0] == contents[1]

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as plain numbers, strings, lists and dicts."""
        files = {key: [asdict(file) for file in getattr(self, key)] for key in ("seen", "before")}
        return {**asdict(self), **files, "horizon": list(self.horizon)}

    @classmethod
    def from_json(cls, data: object) -> Cursor:
        """Rebuild a cursor from `to_json`, or from its way through JSON.

        Raises
        ------
        CursorError
            A key is missing, unknown or of the wrong type; a number is negative; the files do not add up.
        """
        if isinstance(data, dict):  # what ends had no horizon once
            data = {"horizon": [0, "", 0], **data}
        values = _checked(cls, data, "cursor")
        match values["horizon"]:
            case [int() as time_ns, str() as name, int() as written_ns]:
                values["horizon"] = Horizon(time_ns, name, written_ns)
            case other:
                raise CursorError(f"cursor: 'horizon' should be a time, a name and a time, found {other!r}")
        for key in ("seen", "before"):
            if not isinstance(values[key], list | tuple):
                raise CursorError(f"cursor: {key!r} should be a list of files, found {values[key]!r}")
            values[key] = tuple(map(FileIdentity.from_json, values[key]))
        cursor = cls(**values)
        # Of a source without end not all are known; whether there should be more, a source that ends can tell.
        if cursor != cls.start(cursor.before) and not 0 < len(cursor.seen) <= cursor.file + 1:
            raise CursorError(
                f"cursor: it stands in file {cursor.file} and knows at most {cursor.file + 1}, found {len(cursor.seen)}"
            )
        return cursor


def _checked(kind: type[Cursor | FileIdentity], data: object, what: str) -> dict[str, Any]:
    """Return `data` as keyword arguments for `kind`, every key and every plain value checked."""
    expected = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(data, dict) or set(data) != set(expected):
        found = sorted(map(str, data)) if isinstance(data, dict) else data
        raise CursorError(f"{what}: expected an object with the keys {sorted(expected)}, found {found!r}")
    for key, value in data.items():
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        # A clock may be set before 1970, so the two times alone may be negative.
        is_time = key.endswith("_ns") and type(value) is int
        if expected[key] == "int" and not (is_count or is_time):
            raise CursorError(f"{what}: {key!r} should be a whole number from 0 up, found {value!r}")
        if expected[key] == "str" and not isinstance(value, str):
            raise CursorError(f"{what}: {key!r} should be a string, found {value!r}")
    return dict(data)


@dataclass(frozen=True, slots=True)
class BadRow:
    """What stands where a row should be and cannot be read; it is no row of the stream.

    Parameters
    ----------
    row
        Rows of the stream before it: it lies just before the row of this number.
    place
        The file, as it was given to the source.
    offset
        Where in the file it begins: a byte of text, or a row of a Parquet file.
    kind
        What is wrong, in a word: ``fields``, ``type``, ``quotes``, ``nul``, ``encoding``, ``long``, ``damage``, or
        ``late``: a file that came too late.
    reason
        What is wrong, in a line.
    content
        The bytes that stand there, as far as they can be had.
    n_rows
        How many rows are lost with it; 0 where nobody can know.
    """

    row: int
    place: str
    offset: int
    kind: str
    reason: str
    content: bytes
    n_rows: int = 1

    @property
    def n_counted(self) -> int:
        """As how many rows it counts: one where nobody can know how many are lost."""
        return max(1, self.n_rows)


@dataclass(frozen=True, slots=True)
class FileStart:
    """Where a file begins, and which columns it has.

    Parameters
    ----------
    row
        Rows of the stream before it.
    place
        The file, as it was given to the source.
    columns
        Names, in their order.
    """

    row: int
    place: str
    columns: tuple[str, ...]


Note = BadRow | FileStart


class Block:
    """Some rows in a row, and the position after each of them.

    Parameters
    ----------
    records
        The rows; at least one.
    locate
        Position after the first n rows. It is called only when somebody asks, so it may cost a little.
    notes
        What is to be said of these rows, in order: what could not be read just before one of them, where the source
        hands it over, and which begins a file.
    """

    __slots__ = ("_locate", "notes", "records")

    def __init__(self, records: pa.RecordBatch, locate: Callable[[int], Cursor], notes: Sequence[Note] = ()) -> None:
        self.records = records
        self.notes = notes
        self._locate = locate

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def bad(self) -> list[BadRow]:
        """What could not be read."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def cursor(self, n: int) -> Cursor:
        """Return the position after the first `n` rows, 0 ≤ n ≤ number of rows."""
        return self.locator(n)

    @property
    def locator(self) -> Callable[[int], Cursor]:
        """What `cursor` does, as a function that keeps no row alive."""
        return partial(_located, len(self), self._locate)


def _located(n_rows: int, locate: Callable[[int], Cursor], n: int) -> Cursor:
    if not 0 <= n <= n_rows:
        raise ValueError(f"a block of {n_rows} rows has no position after {n} rows")
    return locate(n)


class Decisions:
    """What was decided about a stream that nobody could foresee, by name; these are forgotten with the process.

    Whoever goes on from an earlier position with the decisions of a run decides as that run did.
    """

    _most: int | None = _MOST_DECISIONS

    def __init__(self) -> None:
        self._decided: dict[str, str] = {}
        self._lasting: dict[str, str] = {}

    def names(self) -> list[str]:
        """Return what was decided about."""
        return [*self._lasting, *self._decided]

    def recall(self, what: str) -> str | None:
        """Return what was decided; None where nothing was."""
        return self._lasting.get(what, self._decided.get(what))

    def note(self, row: int, what: str, decision: str) -> None:
        """Keep a decision, before anything follows from it; `row` rows of the stream lie before it."""
        (self._lasting if what.startswith(LASTING) else self._decided)[what] = decision
        if self._most is not None and len(self._decided) > self._most:
            del self._decided[next(iter(self._decided))]


class Reader:
    """An open handle on a source: an iterator of blocks, and a context manager.

    Parameters
    ----------
    blocks
        Where the blocks come from; its ``close`` releases whatever it holds.
    place
        What is being read, for messages.
    again
        See the method; asked only after the last block.
    notes
        See the property; asked only after the last block.
    """

    def __init__(
        self,
        blocks: Iterator[Block],
        place: str,
        again: Callable[[], Cursor],
        notes: Callable[[], Sequence[Note]] = tuple,
    ) -> None:
        self._blocks: Iterator[Block] | None = blocks
        self._place = place
        self._again = again
        self._notes = notes

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> Block:
        if self._blocks is None:
            raise SourceError(f"{self._place}: this reader is closed; open the source again")
        try:
            return next(self._blocks)
        except StopIteration:
            raise
        except BaseException:
            # Whoever goes on after an error must not be handed what lies behind it.
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def again(self) -> Cursor:
        """Return, once the last block was read, the start of another pass, which must read the same rows."""
        return self._again()

    @property
    def notes(self) -> Sequence[Note]:
        """What is to be said of what lies behind the last row, once the last block was read."""
        return self._notes()

    @property
    def bad(self) -> list[BadRow]:
        """What could not be read behind the last row."""
        return [note for note in self.notes if isinstance(note, BadRow)]

    def close(self) -> None:
        """Release files; a second call does nothing."""
        blocks, self._blocks = self._blocks, None
        close = getattr(blocks, "close", None)
        if close is not None:
            close()


class Source(ABC):
    """Where rows come from: a recipe that can be opened any number of times."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns and their natural types, in the order of the place."""

    @property
    @abstractmethod
    def n_rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A short line for people: how many places of which format."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files; empty where there are none."""
        return ()

    @property
    def doubts(self) -> dict[str, str]:
        """By name, a line for people on each column that may not be what it is taken for; empty where none is."""
        return {}

    is_endless = False
    """Whether the source may wait for rows for ever: an empty block then says that there is none for now."""

    @abstractmethod
    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Open the source at a position.

        Parameters
        ----------
        schema
            The columns wanted, in any order, each with the type it is read as. It does not change between the runs
            of a job, whatever the natural types have become.
        cursor
            Where to go on; the start where none is given.
        decisions
            Where an endless source keeps what it decides, and finds what it decided before.
        known
            Names of all columns that are known, wanted or not: a file that has others is refused before its first row,
            by a `NewColumnsError`. Where they are not given, others are no matter; nor is one that a file lacks.

        Raises
        ------
        SchemaError
            A column is missing, or cannot be read as its type.
        CursorError
            The place is not what the cursor points into.
        SourceError
            The place cannot be read.
        """

    def acknowledge(self, cursor: Cursor) -> None:  # noqa: B027 - most sources keep nothing of their own
        """Hear that no reader will be opened before a position any more."""

    @abstractmethod
    def fraction(self, cursor: Cursor) -> float | None:
        """Return how much of the source lies before `cursor`, 0 to 1; None where it cannot be known."""

    def lag(self, cursor: Cursor) -> int | None:
        """Return how many bytes lie there behind `cursor`; None where it cannot be known. Any thread may ask."""
        return None
