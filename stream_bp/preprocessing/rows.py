"""The protocol of rows that a model learns."""

from collections.abc import Sequence
from typing import Protocol

from stream_bp._arrays import Array, Ints, Mask
from stream_bp.nn.scaler import Moments

__all__ = ["Rows"]


class Rows(Protocol):
    """Rows that a model learns, and which of their values are missing, clipped or skipped."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def y(self) -> Array:
        """Targets, shape (n_targets, n), with -1 or NaN where missing."""

    @property
    def categories(self) -> Sequence[Ints]:
        """For each column of categories its codes, shape (n,), below 0 where there is none."""

    @property
    def moments(self) -> Moments | None:
        """Moments of the numbers at the boundaries of minibatches, or ``None`` where they are not scaled."""

    def boundary(self, row: int) -> int:
        """Return the index of the boundary after the first ``row`` rows."""

    @property
    def missing(self) -> Mask | None:
        """Where features are missing, shape (n_features, n), or ``None``."""

    @property
    def skipped(self) -> Mask | None:
        """Rows that are not to be learned, shape (n,), or ``None``."""

    @property
    def clipped(self) -> Mask | None:
        """Numbers that were clipped, shape (n_numbers, n), or ``None``. It is ``None``, too, where none is scaled."""
