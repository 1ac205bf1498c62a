"""Problems of a stream: missing and clipped values, rows without a target, and bad rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from connectors import NullWord, SourceEvent
from stream_bp._arrays import Ints, Mask
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError, DataError
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.rows import Rows

__all__ = ["DataQuality", "no_rows"]


def no_rows(description: str, bad: Mapping[str, int]) -> DataError:
    """Return the error of a source that has no rows, or bad rows only.

    Parameters
    ----------
    description
        The description of the source.
    bad
        Counts of bad rows, by kind.
    """
    if not bad:
        return DataError(f"{description}: no rows")
    return DataError(
        f"{description}: no row could be read, {sum(bad.values()):,} are bad ({', '.join(bad)}); "
        "--on-bad-row quarantine saves them in quarantine.csv"
    )


class DataQuality:
    """Counts of the problems, up to the last row learned.

    Parameters
    ----------
    encoder
        Knows the columns.

    Attributes
    ----------
    skipped
        Rows that were not learned, since a feature was missing.
    bad
        Rows that could not be read, by kind (:class:`~connectors.BadRow`).
    unused_null_values
        Words for a missing value that have not occurred so far; empty if the source does not tell.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._missing = np.zeros(len(encoder.features), np.int64)
        self._clipped = np.zeros(len(encoder.numbers), np.int64)
        self._without_target = np.zeros(len(encoder.targets), np.int64)
        self.skipped = 0
        self.bad: dict[str, int] = {}
        self.unused_null_values: list[str] = []

    def grow(self) -> None:
        """Add counts for columns that were added after the others."""
        n_features, n_numbers = len(self._encoder.features), len(self._encoder.numbers)
        self._missing = np.concatenate([self._missing, np.zeros(n_features - len(self._missing), np.int64)])
        self._clipped = np.concatenate([self._clipped, np.zeros(n_numbers - len(self._clipped), np.int64)])

    def update(self, rows: Rows, start: int, stop: int) -> None:
        """Count rows[start:stop], which were learned."""
        if rows.missing is not None:
            self._missing += _count(rows.missing[:, start:stop])
        if rows.clipped is not None:
            self._clipped += _count(rows.clipped[:, start:stop])
        y = rows.y[:, start:stop]
        absent = np.isnan(y) if y.dtype.kind == "f" else y < 0
        if rows.skipped is not None:
            skipped = rows.skipped[start:stop]
            self.skipped += int(np.count_nonzero(skipped))
            # A skipped row is counted once, as skipped, although its target may be missing too.
            absent &= ~skipped
        self._without_target += _count(absent)

    def count_bad(self, kind: str, n_rows: int) -> None:
        """Count rows that could not be read."""
        self.bad[kind] = self.bad.get(kind, 0) + n_rows

    def note_words(self, notes: Sequence[SourceEvent]) -> None:
        """Take note of the words for a missing value that occur."""
        found = {note.word for note in notes if isinstance(note, NullWord)}
        self.unused_null_values = [word for word in self.unused_null_values if word not in found]

    @property
    def n_bad(self) -> int:
        """Rows that could not be read."""
        return sum(self.bad.values())

    @property
    def missing(self) -> dict[str, int]:
        """Counts of missing values, by feature. Features without any are left out."""
        return _named([column.name for column in self._encoder.features], self._missing)

    @property
    def clipped_values(self) -> dict[str, int]:
        """Counts of values beyond :data:`~stream_bp.nn.scaler.CLIP` deviations, by column, without zeros."""
        return _named(self._encoder.numbers, self._clipped)

    @property
    def rows_without_target(self) -> dict[str, int]:
        """Counts of missing targets among the rows that were not skipped, by target, without zeros."""
        return _named([column.name for column in self._encoder.targets], self._without_target)

    def totals(self) -> dict[str, int]:
        """Return the sums over all columns, the skipped rows, and the bad rows."""
        return {
            "missing": int(self._missing.sum()),
            "clipped_values": int(self._clipped.sum()),
            "rows_without_target": int(self._without_target.sum()),
            "skipped": self.skipped,
            "bad_rows": self.n_bad,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the counts by column, the skipped rows, and the bad rows by kind."""
        return {
            "missing": self.missing,
            "clipped_values": self.clipped_values,
            "rows_without_target": self.rows_without_target,
            "skipped": self.skipped,
            "bad_rows": dict(self.bad),
            "unused_null_values": list(self.unused_null_values),
        }

    def state_dict(self) -> StateDict:
        """Return the counts."""
        arrays = {"missing": self._missing, "clipped": self._clipped, "without_target": self._without_target}
        counts = {name: counts.tolist() for name, counts in arrays.items()}
        words = {"unused_null_values": list(self.unused_null_values)}
        return StateDict(values={**counts, "skipped": self.skipped, "bad": dict(self.bad), **words})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is a state of other columns.
        """
        for name, counts in (
            ("missing", self._missing),
            ("clipped", self._clipped),
            ("without_target", self._without_target),
        ):
            found = np.array(state.values[name], np.int64)
            if found.shape != counts.shape or (found < 0).any():
                raise CheckpointError(f"the counts of {name} have {found.size} columns, expected {counts.size}")
            counts[:] = found
        self.skipped = int(state.values["skipped"])
        self.bad = {str(kind): int(count) for kind, count in state.values["bad"].items()}
        # Releases before 0.4.0 did not look for them.
        self.unused_null_values = [str(word) for word in state.values.get("unused_null_values", ())]


def _count(where: Mask) -> Ints:
    counts: Ints = np.count_nonzero(where, axis=1)
    return counts


def _named(names: list[str], counts: Ints) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}
