"""What was decided about a stream that nobody could foresee."""

from __future__ import annotations

__all__ = ["LASTING", "Decisions"]


LASTING = "late "
"""What begins a decision that is needed however long ago it was made: that a file came too late, which is told once."""

_MOST_DECISIONS = 100_000  # the last ones are remembered, and all that last


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
