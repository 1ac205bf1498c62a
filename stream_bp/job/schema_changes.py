"""Changes of columns from file to file: new, missing, or in another order."""

from collections.abc import Sequence
from typing import NamedTuple

from connectors import FileStart, SourceEvent
from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError

__all__ = ["SchemaChange", "SchemaChanges"]


class SchemaChange(NamedTuple):
    """A difference between the columns of a file and those of the file before.

    Attributes
    ----------
    row
        The first row after the change.
    event
        The kind of event, such as ``columns_missing``.
    place
        The file.
    columns
        The names of the changed columns; all columns if only the order changed.
    columns_before
        All columns in the order before, if only the order changed.
    """

    row: int
    event: str
    place: str
    columns: tuple[str, ...]
    columns_before: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """Tuples of subject, before and after: one for each column, or one for a change of the order."""
        if self.columns_before:
            return (("", ", ".join(self.columns_before), ", ".join(self.columns)),)
        return tuple((name, "", "") for name in self.columns)

    def __str__(self) -> str:
        return f"{self.place}, from row {self.row:,} on: {self.event.replace('_', ' ')}: {', '.join(self.columns)}"


class SchemaChanges:
    """The columns of the present file, and the reported changes.

    Parameters
    ----------
    learned
        Names of the features and targets.

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
        """Compare the columns of each new file with those of the file before, and return the changes."""
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
        # The order does not affect learning, but may point to a change in the program that writes the files.
        if not new and not gone and before != now:
            events["columns_reordered"] = now
        return [(event, names) for event, names in events.items() if names]

    def learn(self, row: int, place: str, names: Sequence[str], found: Sequence[str]) -> SchemaChange | None:
        """Record that the named columns, of those found, are learned from a row on. Return the change."""
        self._learned |= set(names)
        self.unlearnable |= set(found).difference(names)
        return SchemaChange(row, "columns_learned", place, tuple(names)) if names else None

    def state_dict(self) -> StateDict:
        """Return the columns of the last file, and the missing and the unlearnable columns."""
        names = {"missing": sorted(self._missing), "unlearnable": sorted(self.unlearnable)}
        return StateDict(values={"columns": self._columns, **names})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is not a state of this class.
        """
        columns = state.values["columns"]
        if columns is not None and any(type(name) is not str for name in columns):
            raise CheckpointError("the column names of the last file are not strings")
        self._columns = None if columns is None else list(columns)
        self._missing, self.unlearnable = (
            set(map(str, state.values["missing"])),
            set(map(str, state.values["unlearnable"])),
        )
