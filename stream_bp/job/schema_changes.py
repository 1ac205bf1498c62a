"""What changes from file to file: columns that come, go, or stand in another order."""

from collections.abc import Sequence
from typing import NamedTuple

from connectors import FileStart, SourceEvent
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError

__all__ = ["SchemaChange", "SchemaChanges"]


class SchemaChange(NamedTuple):
    """That the columns of a file are not those of the file before.

    Attributes
    ----------
    row
        The first row it is true of.
    event
        What happened, as ``columns_missing``.
    place
        The file.
    columns
        The names of those that changed; where only their order did, all of them.
    columns_before
        Where only the order changed, the names in the order before.
    """

    row: int
    event: str
    place: str
    columns: tuple[str, ...]
    columns_before: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """Of each column its name, what was before and what is now; or the two orders, of no column."""
        if self.columns_before:
            return (("", ", ".join(self.columns_before), ", ".join(self.columns)),)
        return tuple((name, "", "") for name in self.columns)

    def __str__(self) -> str:
        return f"{self.place}, from row {self.row:,} on: {self.event.replace('_', ' ')}: {', '.join(self.columns)}"


class SchemaChanges:
    """The columns of the file that is being read, and what was told of their changes.

    Parameters
    ----------
    learned
        Names of the columns that are learned from, or predicted.

    Attributes
    ----------
    unlearnable
        Names of new columns that cannot be learned from.
    """

    def __init__(self, learned: Sequence[str]) -> None:
        self._learned = set(learned)
        self._missing: set[str] = set()
        self.unlearnable: set[str] = set()
        self._columns: list[str] | None = None

    def take(self, notes: Sequence[SourceEvent]) -> list[SchemaChange]:
        """Compare the columns of files that begin with those of the file before; return the changes."""
        changes = []
        for start in notes:
            if not isinstance(start, FileStart):
                continue
            for event, names in self._events(start.columns):
                before = tuple(self._columns or ()) if event == "columns_reordered" else ()
                changes.append(SchemaChange(start.row, event, start.place, tuple(names), before))
            self._columns = list(start.columns)
        return changes

    def _events(self, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
        if self._columns is None:
            return []
        before, now = self._columns, list(columns)
        were, are = set(before), set(now)
        new, gone = [name for name in now if name not in were], [name for name in before if name not in are]
        events = {
            "columns_ignored": [name for name in new if name not in self._learned],
            "columns_back": [name for name in new if name in self._missing],
            "columns_missing": [name for name in gone if name in self._learned],
            "columns_gone": [name for name in gone if name not in self._learned],
        }
        self._missing = self._missing.difference(new).union(events["columns_missing"])
        # Order does not matter for learning; a person may want to know.
        if not new and not gone and before != now:
            events["columns_reordered"] = now
        return [(event, names) for event, names in events.items() if names]

    def learn(self, row: int, place: str, names: Sequence[str], found: Sequence[str]) -> SchemaChange | None:
        """Take in that columns are learned from a row on, of those found; the others cannot be. Return the change."""
        self._learned |= set(names)
        self.unlearnable |= set(found).difference(names)
        return SchemaChange(row, "columns_learned", place, tuple(names)) if names else None

    def state_dict(self) -> StateDict:
        """Return the columns of the last file, and names of columns that are gone or cannot be learned from."""
        names = {"missing": sorted(self._missing), "unlearnable": sorted(self.unlearnable)}
        return StateDict(values={"columns": self._columns, **names})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is none.
        """
        columns = state.values["columns"]
        if columns is not None and any(type(name) is not str for name in columns):
            raise CheckpointError("the columns of the last file are not names")
        self._columns = None if columns is None else list(columns)
        self._missing, self.unlearnable = (
            set(map(str, state.values["missing"])),
            set(map(str, state.values["unlearnable"])),
        )
