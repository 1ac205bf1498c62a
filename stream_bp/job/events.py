"""Events of a source and of the drift detectors, recorded once their rows are learned."""

import math
from collections.abc import Callable, Sequence

from connectors import SourceEvent
from stream_bp.job.bad_rows import Quarantine
from stream_bp.job.schema_changes import SchemaChange
from stream_bp.job.state import JobState
from stream_bp.persistence.run_logs import RunLogs

__all__ = ["EVENTS", "EventRecorder", "describe_change"]

EVENTS = {
    "columns_ignored": "A file has new columns. They are not learned.",
    "columns_learned": "A file has new columns. They are learned from here on.",
    "columns_missing": "Columns are gone that the job learns from. Their values count as missing.",
    "columns_back": "Columns that were missing are back.",
    "columns_gone": "Columns are gone that the job does not use.",
    "columns_reordered": "The columns of a file have another order.",
    "error_drift": "The prediction error has grown.",
    "feature_drift": "Features have another distribution than before.",
    "feature_settled": "Features that drifted have their former distribution again.",
}
"""The kinds of events, with their meanings."""


class EventRecorder:
    """Records bad rows, changes of columns, and drift, in the order of the rows.

    Parameters
    ----------
    state
        The job's state.
    quarantine
        Counts bad rows, and keeps them.
    logs
        The log files; ``None`` without a run directory.
    say
        Receives each change of columns, as one line.
    """

    def __init__(
        self, state: JobState, quarantine: Quarantine, logs: RunLogs | None, say: Callable[[str], object]
    ) -> None:
        self._state, self._quarantine, self._logs, self._say = state, quarantine, logs, say

    def record(self, notes: Sequence[SourceEvent]) -> None:
        """Record the source events of learned rows, and the drift up to the last of them."""
        self._quarantine.take(notes)
        self._state.quality.note_words(notes)
        for note in notes:
            # Both kinds go to one file, in the order of their rows.
            self._record_drift(note.row)
            for change in self._state.changes.take([note]):
                self._say(str(change))
                self.record_change(change)
        self._record_drift()

    def record_change(self, change: SchemaChange | None) -> None:
        """Record a change of columns, if there is one."""
        if change is not None:
            self._write(change.row, change.event, change.place, change.changes)

    def _record_drift(self, row: float = math.inf) -> None:
        """Record the drift that was found up to a row."""
        drift = self._state.drift
        if drift is None:
            return
        for event in drift.take_events(row):
            self._write(event.row, event.event, "", event.changes)
        for n_rows, feature, psi in drift.take_figures():
            if self._logs is not None:
                self._logs["psi"].append({"row": n_rows, "feature": feature, "psi": psi})

    def _write(self, row: int, event: str, source: str, changes: Sequence[tuple[str, str, str]]) -> None:
        if self._logs is None:
            return
        log, what = self._logs["events"], {"row": row, "event": event, "source": source}
        if "detail" in log.columns:  # a run directory of release 0.2.0 keeps its columns
            log.append({**what, "detail": ", ".join(map(describe_change, changes))})
            return
        for subject, before, after in changes:
            log.append({**what, "subject": subject, "before": before, "after": after})


def describe_change(change: tuple[str, str, str]) -> str:
    """Return the subject of a change with its figures, in a few words.

    Examples
    --------
    >>> describe_change(("error", "0.1", "0.2")), describe_change(("x0", "", "1.9")), describe_change(("x0", "", ""))
    ('error 0.1 → 0.2', 'x0 (1.9)', 'x0')
    """
    subject, before, after = change
    figures = f"{before} → {after}" if before else f"({after})" if after else ""
    return f"{subject} {figures}".strip()
