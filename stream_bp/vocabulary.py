"""Values met in a stream, numbered in the order of their first appearance."""

from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Value", "Vocabulary"]

Value: TypeAlias = str | int | float | bool


class Vocabulary:
    """A list of distinct values that only grows, up to a bound.

    Parameters
    ----------
    values
        Those known at the start, in the order of their codes.
    limit
        Most values it takes.

    Notes
    -----
    Encoding runs ahead of learning, so a vocabulary may know values from rows that were not learned yet. Whoever
    saves it saves the prefix that was learned: reading the rest of the stream again finds the rest again.
    """

    def __init__(self, values: Sequence[Value] = (), *, limit: int) -> None:
        self.values = list(values)
        self.limit = limit

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_full(self) -> bool:
        """Whether a further value has no place."""
        return len(self.values) >= self.limit

    def extend(self, values: Sequence[Value]) -> None:
        """Append new distinct values, as many as there is room for."""
        self.values.extend(values[: self.limit - len(self.values)])
