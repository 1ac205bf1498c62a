"""Rows as a model learns them."""

from collections.abc import Sequence
from typing import Protocol

from stream_bp._arrays import Array, Ints, Mask
from stream_bp.nn.scaler import Moments

__all__ = ["Rows"]


class Rows(Protocol):
    """Rows as a model learns them, and which of their values are missing, clipped or skipped."""

    def __len__(self) -> int:
        """Return how many there are."""

    @property
    def y(self) -> Array:
        """Targets, shape (n_targets, n); -1 or NaN where missing."""

    @property
    def categories(self) -> Sequence[Ints]:
        """For each column of categories its codes, shape (n,), below 0 where there is none."""

    @property
    def moments(self) -> Moments | None:
        """Moments of the numbers at the boundaries of minibatches; ``None`` where they are not scaled."""

    def boundary(self, row: int) -> int:
        """Return which of these boundaries comes after so many rows."""

    @property
    def missing(self) -> Mask | None:
        """Where features are missing, shape (n_features, n); ``None`` for nowhere."""

    @property
    def skipped(self) -> Mask | None:
        """Which rows are not to be learned, shape (n,); ``None`` for none."""

    @property
    def clipped(self) -> Mask | None:
        """Which numbers were beyond the bound, shape (n_numbers, n); ``None`` for none, or where none is scaled."""
