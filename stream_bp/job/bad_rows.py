"""What becomes of rows that cannot be read: counted, kept with their bytes, and too many of them end the job."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors import BadRow, RowError, SourceEvent
from stream_bp.config.job import JobConfig
from stream_bp.job.data_quality import DataQuality
from stream_bp.persistence.journal import AppendLog

__all__ = ["Quarantine", "escaped"]

_FEW = 1_000  # records, before a share of them means something


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many bad rows there may be."""

    count: int | None = None
    share: float | None = None

    def is_passed(self, n_bad: int, n_rows: int, *, is_known: bool = True, is_end: bool = False) -> bool:
        if not is_known:
            return self.count is not None or self.share is not None
        if self.count is not None:
            return n_bad > self.count
        n_records = n_bad + n_rows
        return self.share is not None and (is_end or n_records >= _FEW) and n_bad > self.share * n_records


class Quarantine:
    """The bad rows of a job, in the order of the stream.

    Parameters
    ----------
    quality
        Where they are counted.
    config
        Says what becomes of them.
    journal
        Where they are kept; ``None`` for nowhere.

    Notes
    -----
    A bad row that lies just before row n is counted once row n is learned: what a checkpoint of n rows holds is all
    that lies before its last row. What lies behind the last row of all is told at the end, behind the checkpoint.
    """

    def __init__(self, quality: DataQuality, config: JobConfig, journal: AppendLog | None) -> None:
        self._quality = quality
        self._policy = config.on_bad_row
        self._limit = _Limit(0) if config.on_bad_row == "error" else _Limit(config.most_bad_rows, config.most_bad_share)
        self._journal = journal if config.on_bad_row == "quarantine" else None

    def first_excess(self, notes: Sequence[SourceEvent]) -> tuple[BadRow, RowError] | None:
        """Return the first bad row among the next notes that is one too many, and the error that says so."""
        # Counted on from what the checkpoint holds, so that a resumed job ends where the first one would have.
        n_bad = self._quality.n_bad
        for row in _bad(notes):
            n_bad += row.n_counted
            if self._limit.is_passed(n_bad, row.row, is_known=row.n_rows > 0):
                return row, self._excess(row, n_bad)
        return None

    def excess_at_end(self, notes: Sequence[SourceEvent], n_rows: int) -> RowError | None:
        """Return the error that there are too many bad rows, with those behind the last of all rows; None if not."""
        if (excess := self.first_excess(notes)) is not None:
            return excess[1]
        n_bad = self._quality.n_bad + sum(row.n_counted for row in _bad(notes))
        if self._limit.is_passed(n_bad, n_rows, is_end=True):
            return RowError(f"{n_bad:,} of {n_bad + n_rows:,} rows are bad, and --max-bad-rows allows for fewer")
        return None

    def _excess(self, row: BadRow, n_bad: int) -> RowError:
        where = f"{row.place}, row {row.row} (offset {row.offset}): {row.reason}"
        if self._policy == "error":
            return RowError(where)
        if not row.n_rows:
            return RowError(f"{where}; nobody knows how many rows are lost, and --max-bad-rows sets a limit")
        return RowError(f"{where}; this is bad row number {n_bad:,}, and --max-bad-rows allows for fewer")

    def take(self, notes: Sequence[SourceEvent]) -> None:
        """Count the bad rows among notes, and keep them."""
        for row in _bad(notes):
            self._quality.count_bad(row.kind, row.n_counted)
            if self._journal is not None:
                where = {"row": row.row, "source": row.place, "offset": row.offset}
                what = {"kind": row.kind, "reason": row.reason, "content": escaped(row.content)}
                self._journal.append({**where, **what})


def _bad(notes: Sequence[SourceEvent]) -> Iterator[BadRow]:
    return (note for note in notes if isinstance(note, BadRow))


def escaped(content: bytes) -> str:
    r"""Return bytes as text from which they can be had again: a backslash is doubled, what is no text is ``\xNN``.

    Examples
    --------
    >>> escaped(b"a\\b\xff\0")
    'a\\\\b\\xff\\x00'
    """
    return "".join(_characters(content.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")))


def _characters(text: str) -> Iterator[str]:
    for character in text:
        # Control characters of a bad row would reach the terminal of whoever looks at the file.
        yield character if character.isprintable() or character in "\n\r\t" else _code(character)


def _code(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8"))
