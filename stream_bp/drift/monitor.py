"""Monitor the drift of a job: watch its error and its features, and report events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from stream_bp._arrays import Floats
from stream_bp._state import StateDict
from stream_bp.drift.error import ErrorDrift
from stream_bp.drift.features import SETTLED, FeatureDrift
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.rows import Rows

__all__ = ["DriftEvent", "DriftMonitor"]

_LOGGED = 20  # features of a window in feature_drift.csv, at most
_NAMED = 8  # features in a line for the user, at most


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """A drift that was found, or that is over.

    Attributes
    ----------
    row
        Number of rows learned by then.
    event
        ``error_drift``, ``feature_drift`` or ``feature_settled``.
    changes
        For each subject, ``error`` or a feature: its name, the figure before, and the figure now. The figure is the
        mean error, or the population stability index of a drifted feature. Other figures are empty.
    """

    row: int
    event: str
    changes: tuple[tuple[str, str, str], ...]


class DriftMonitor:
    """Monitor the error and the features of a job, up to the last row learned.

    Parameters
    ----------
    detector
        Detector of the error, one of :data:`~stream_bp.drift.detectors.DETECTORS`.
    encoder
        Names the features and the targets.
    batch_size
        Rows in a minibatch. Windows end at its boundaries.

    Attributes
    ----------
    errors, features
        The parts that watch them.
    has_grown
        Whether the error grew since this was last read and reset.
    """

    def __init__(self, detector: str, encoder: Encoder, batch_size: int) -> None:
        self._encoder, self._batch_size = encoder, batch_size
        self.errors = ErrorDrift(detector, is_bounded=encoder.task == "classification")
        self.features = FeatureDrift(*_names(encoder))
        self.has_grown = False
        self._lines: list[str] = []
        self._events: list[DriftEvent] = []
        self._figures: list[tuple[int, str, float]] = []

    def grow(self) -> None:
        """Watch the features that were added after the others, too."""
        self.features.grow(*_names(self._encoder))

    def update(self, rows: Rows, start: int, errors: Floats, first_row: int) -> None:
        """Add rows that were learned.

        Parameters
        ----------
        rows, start
            The rows, and the index of the first one, where a minibatch starts.
        errors
            The error of each row, shape (n,), NaN where it was not scored.
        first_row
            Number of rows learned before them.
        """
        stop, at = start + len(errors), start
        # Windows end at boundaries of minibatches, whatever rows are learned in one call: so a resume changes nothing.
        while (end := self._window_end(start, first_row)) <= stop:
            self.features.count([codes[at:end] for codes in rows.categories])
            self._look(first_row + end - start, rows, end)
            at = end
        self.features.count([codes[at:stop] for codes in rows.categories])
        for row, before, now in self.errors.update(errors, first_row):
            self.has_grown = True
            change = "error", f"{before:.4g}", f"{now:.4g}"
            self._report(row, "error_drift", [change], f"error drift: the error grew from {before:.4g} to {now:.4g}")

    def _window_end(self, start: int, first_row: int) -> int:
        """Return the index of the minibatch boundary at which the present window ends, given one index and its row."""
        n_minibatches = -(-(self.features.mark - first_row) // self._batch_size)
        return start + max(n_minibatches, 0) * self._batch_size

    def _look(self, n_rows: int, rows: Rows, stop: int) -> None:
        """Compare the features at the end of a window, after n_rows rows in all. ``stop`` is its end in ``rows``."""
        drifted, settled = self.features.look(n_rows, rows.moments, rows.boundary(stop))
        psi = self.features.psi
        if drifted:
            named = _listed([f"{name} (PSI {psi[name]:.2g})" for name in drifted])
            self._report(
                n_rows, "feature_drift", [(name, "", f"{psi[name]:.4g}") for name in drifted], f"feature drift: {named}"
            )
        if settled:
            changes = [(name, "", "") for name in settled]
            self._report(n_rows, "feature_settled", changes, f"feature drift has ended: {_listed(settled)}")
        self._figures += [(n_rows, name, psi[name]) for name in self.features.furthest(SETTLED)[:_LOGGED]]

    def _report(self, row: int, event: str, changes: Sequence[tuple[str, str, str]], words: str) -> None:
        self._lines.append(f"row {row:,}: {words}")
        self._events.append(DriftEvent(row, event, tuple(changes)))

    def take_events(self, row: float = math.inf) -> list[DriftEvent]:
        """Return, once, the events up to a row, ordered by row. Features come before errors."""
        self._events.sort(key=attrgetter("row"))
        due = [event for event in self._events if event.row <= row]
        self._events = self._events[len(due) :]
        return due

    def take_figures(self) -> list[tuple[int, str, float]]:
        """Return, once, how far features moved: rows at the end of a window, the feature, and its index."""
        figures, self._figures = self._figures, []
        return figures

    @property
    def description(self) -> str | None:
        """A few words on the present drift, or None."""
        found = [f"error grew at row {self.errors.last_row:,}"] if self.errors.last_row is not None else []
        found += [f"features {_listed([*self.features.drifted])}"] if self.features.drifted else []
        return ", ".join(found) or None

    def lines(self) -> list[str]:
        """Return, once, the lines for the user."""
        lines, self._lines = self._lines, []
        return lines

    def state_dict(self) -> StateDict:
        """Return the states of both detectors."""
        state = StateDict()
        state.nest("errors", self.errors.state_dict())
        state.nest("features", self.features.state_dict())
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises
        ------
        CheckpointError
            If it is malformed, or of other columns.
        """
        self.errors.load_state_dict(state.nested("errors"))
        self.features.load_state_dict(state.nested("features"))


def _names(encoder: Encoder) -> tuple[list[str], list[str]]:
    return encoder.numbers, [column.name for column in encoder.categorical]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
