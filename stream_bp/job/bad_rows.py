"""Rows that cannot be read: they are counted, kept on request, and limited in number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors import BadRow, RowError, SourceEvent
from stream_bp.config.job import JobConfig
from stream_bp.job.data_quality import DataQuality
from stream_bp.persistence.journal import AppendLog

__all__ = ["Quarantine", "escaped"]

_FEW = 1_000  # records; a share of fewer is noise


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
        The counts.
    config
        The settings: how to handle bad rows, and their limit.
    journal
        The log of the bad rows; ``None`` if they are not kept.

    Notes
    -----
    A bad row just before row n is counted when row n is learned. So a checkpoint of n rows covers the bad rows before
    its last row. Bad rows after the last row of the stream are counted at the end, after the last checkpoint.
    """

    def __init__(self, quality: DataQuality, config: JobConfig, journal: AppendLog | None) -> None:
        self._quality = quality
        self._policy = config.on_bad_row
        self._limit = _Limit(0) if config.on_bad_row == "error" else _Limit(config.most_bad_rows, config.most_bad_share)
        self._journal = journal if config.on_bad_row == "quarantine" else None

    def first_excess(self, notes: Sequence[SourceEvent]) -> tuple[BadRow, RowError] | None:
        """Return the first bad row that exceeds the limit, with its error; ``None`` if no row does."""
        # The count starts from the checkpoint, so a resumed job stops at the same row as an uninterrupted one.
        n_bad = self._quality.n_bad
        for row in _bad(notes):
            n_bad += row.n_counted
            if self._limit.is_passed(n_bad, row.row, is_known=row.n_rows > 0):
                return row, self._excess(row, n_bad)
        return None

    def excess_at_end(self, notes: Sequence[SourceEvent], n_rows: int) -> RowError | None:
        """Return the error if the bad rows exceed the limit, those after the last row included; else ``None``."""
        if (excess := self.first_excess(notes)) is not None:
            return excess[1]
        n_bad = self._quality.n_bad + sum(row.n_counted for row in _bad(notes))
        if self._limit.is_passed(n_bad, n_rows, is_end=True):
            return RowError(f"{n_bad:,} of {n_bad + n_rows:,} rows are bad, more than --max-bad-rows allows")
        return None

    def _excess(self, row: BadRow, n_bad: int) -> RowError:
        where = f"{row.place}, row {row.row} (offset {row.offset}): {row.reason}"
        if self._policy == "error":
            return RowError(where)
        if not row.n_rows:
            return RowError(f"{where}; the number of lost rows is unknown, and --max-bad-rows sets a limit")
        return RowError(f"{where}; this is bad row number {n_bad:,}, more than --max-bad-rows allows")

    def take(self, notes: Sequence[SourceEvent]) -> None:
        """Count the bad rows among source events, and write them to the log."""
        for row in _bad(notes):
            self._quality.count_bad(row.kind, row.n_counted)
            if self._journal is not None:
                where = {"row": row.row, "source": row.place, "offset": row.offset}
                what = {"kind": row.kind, "reason": row.reason, "content": escaped(row.content)}
                self._journal.append({**where, **what})


def _bad(notes: Sequence[SourceEvent]) -> Iterator[BadRow]:
    return (note for note in notes if isinstance(note, BadRow))


def escaped(content: bytes) -> str:
    r"""Return bytes as text without loss: a backslash is doubled, other bytes that are not text become ``\xNN``.

    Examples
    --------
    >>> escaped(b"a\\b\xff\0")
    'a\\\\b\\xff\\x00'
    """
    return "".join(_characters(content.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")))


def _characters(text: str) -> Iterator[str]:
    for character in text:
        # A bad row may hold control characters, which would reach the terminal of a person who prints the file.
        yield character if character.isprintable() or character in "\n\r\t" else _code(character)


def _code(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8"))
