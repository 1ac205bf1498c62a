"""What was amiss in a stream: values that were missing, or cut off; rows without a target, or that are none."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_bp._arrays import Ints, Mask
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError, DataError
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.rows import Rows

__all__ = ["DataQuality", "no_rows"]


def no_rows(description: str, bad: Mapping[str, int]) -> DataError:
    """Return the error that a source has no rows, or none but bad ones.

    Parameters
    ----------
    description
        That of the source.
    bad
        How many rows could not be read, by kind.
    """
    if not bad:
        return DataError(f"{description}: no rows")
    return DataError(
        f"{description}: no row could be read, {sum(bad.values()):,} are bad ({', '.join(bad)}); a job with "
        "--on-bad-row quarantine keeps them, to be looked at"
    )


class DataQuality:
    """Counts of what was amiss, up to the last row learned.

    Parameters
    ----------
    encoder
        Says which columns there are.

    Attributes
    ----------
    skipped
        Rows that were not learned since a feature was missing.
    bad
        Rows that could not be read, by kind (:class:`~connectors.BadRow`).
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._missing = np.zeros(len(encoder.features), np.int64)
        self._clipped = np.zeros(len(encoder.numbers), np.int64)
        self._without_target = np.zeros(len(encoder.targets), np.int64)
        self.skipped = 0
        self.bad: dict[str, int] = {}

    def grow(self) -> None:
        """Count for the columns, too, that were added behind the others."""
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
            # A row that is not learned for want of a feature is counted as that alone.
            absent &= ~skipped
        self._without_target += _count(absent)

    def count_bad(self, kind: str, n_rows: int) -> None:
        """Count rows that could not be read."""
        self.bad[kind] = self.bad.get(kind, 0) + n_rows

    @property
    def n_bad(self) -> int:
        """Rows that could not be read."""
        return sum(self.bad.values())

    @property
    def missing(self) -> dict[str, int]:
        """For each feature that was ever missing, how often."""
        return _named([column.name for column in self._encoder.features], self._missing)

    @property
    def clipped_values(self) -> dict[str, int]:
        """For each number that was ever beyond :data:`~stream_bp.nn.scaler.CLIP` deviations, how often."""
        return _named(self._encoder.numbers, self._clipped)

    @property
    def rows_without_target(self) -> dict[str, int]:
        """For each target that was ever missing, in how many of the rows that were not skipped."""
        return _named([column.name for column in self._encoder.targets], self._without_target)

    def totals(self) -> dict[str, int]:
        """Return the sums over all columns, and the rows that were skipped."""
        return {
            "missing": int(self._missing.sum()),
            "clipped_values": int(self._clipped.sum()),
            "rows_without_target": int(self._without_target.sum()),
            "skipped": self.skipped,
            "bad_rows": self.n_bad,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the counts by column, the rows that were skipped, and the bad ones by kind."""
        return {
            "missing": self.missing,
            "clipped_values": self.clipped_values,
            "rows_without_target": self.rows_without_target,
            "skipped": self.skipped,
            "bad_rows": dict(self.bad),
        }

    def state_dict(self) -> StateDict:
        """Return the counts: whole numbers, in lists and alone."""
        arrays = {"missing": self._missing, "clipped": self._clipped, "without_target": self._without_target}
        counts = {name: counts.tolist() for name, counts in arrays.items()}
        return StateDict(values={**counts, "skipped": self.skipped, "bad": dict(self.bad)})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is of other columns.
        """
        for name, counts in (
            ("missing", self._missing),
            ("clipped", self._clipped),
            ("without_target", self._without_target),
        ):
            found = np.array(state.values[name], np.int64)
            if found.shape != counts.shape or (found < 0).any():
                raise CheckpointError(f"the counts of what was {name} are of {found.size} columns, not {counts.size}")
            counts[:] = found
        self.skipped = int(state.values["skipped"])
        self.bad = {str(kind): int(count) for kind, count in state.values["bad"].items()}


def _count(where: Mask) -> Ints:
    counts: Ints = np.count_nonzero(where, axis=1)
    return counts


def _named(names: list[str], counts: Ints) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}
