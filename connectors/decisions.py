"""Decisions that depend on when a stream is read, such as which file came next."""

from __future__ import annotations

__all__ = ["LASTING", "Decisions"]


# A decision log on disk contains this prefix: it is part of a file format.
LASTING = "late "
"""Prefix of decisions that are never dropped: a file that came too late is reported once, so its name must stay."""

_MOST_DECISIONS = 100_000  # only the newest ones are kept, besides the lasting ones


class Decisions:
    """Decisions about a stream, by name; these are lost with the process.

    A reader that resumes from an earlier position with the decisions of a run decides as that run did.
    """

    _most: int | None = _MOST_DECISIONS

    def __init__(self) -> None:
        self._decided: dict[str, str] = {}
        self._lasting: dict[str, str] = {}

    def names(self) -> list[str]:
        """Return the names of all decisions."""
        return [*self._lasting, *self._decided]

    def recall(self, what: str) -> str | None:
        """Return a decision, or None if there is none of this name."""
        return self._lasting.get(what, self._decided.get(what))

    def note(self, row: int, what: str, decision: str) -> None:
        """Store a decision before it takes effect; `row` is the number of rows before it in the stream."""
        (self._lasting if what.startswith(LASTING) else self._decided)[what] = decision
        if self._most is not None and len(self._decided) > self._most:
            del self._decided[next(iter(self._decided))]  # the oldest: dicts keep their order
