"""Drift of a job: detectors of its error and of its features, and the events that they find."""

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

_TOLD = 20  # features of a window
_NAMED = 8  # of them in a line


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """That a drift was found.

    Attributes
    ----------
    row
        Rows learned by then.
    event
        ``error_drift``, ``feature_drift`` or ``feature_settled``.
    changes
        Of each that drifted, ``error`` or a feature: its name, the figure before, the figure now. The error has its
        mean, a drifted feature its population stability index; other figures are empty.
    """

    row: int
    event: str
    changes: tuple[tuple[str, str, str], ...]


class DriftMonitor:
    """The watch over a job, up to the last row learned.

    Parameters
    ----------
    detector
        What watches the error, one of :data:`~stream_bp.drift.detectors.DETECTORS`.
    encoder
        Says which features there are, and what the target is.
    batch_size
        Rows in a minibatch: windows end where one does.

    Attributes
    ----------
    errors, features
        What watches them.
    has_grown
        Whether the error grew since this was last looked at, and set back.
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
        """Watch the features, too, that were added behind the others."""
        self.features.grow(*_names(self._encoder))

    def update(self, rows: Rows, start: int, errors: Floats, first_row: int) -> None:
        """Take in rows that were learned.

        Parameters
        ----------
        rows, start
            They, from the one at a place on, where a minibatch begins.
        errors
            Of each of them, shape (n,), NaN where it was not scored.
        first_row
            How many rows were learned before them.
        """
        stop, at = start + len(errors), start
        # Windows end at boundaries, wherever the stretches that are learned together do.
        while (end := self._window_end(start, first_row)) <= stop:
            self.features.count([codes[at:end] for codes in rows.categories])
            self._look(first_row + end - start, rows, end)
            at = end
        self.features.count([codes[at:stop] for codes in rows.categories])
        for row, before, now in self.errors.update(errors, first_row):
            self.has_grown = True
            change = "error", f"{before:.4g}", f"{now:.4g}"
            self._tell(row, "error_drift", [change], f"the error grew from {before:.4g} to {now:.4g}")

    def _window_end(self, start: int, first_row: int) -> int:
        """Return the place of the border of a minibatch at which the present window ends, given one and its row."""
        n_minibatches = -(-(self.features.mark - first_row) // self._batch_size)
        return start + max(n_minibatches, 0) * self._batch_size

    def _look(self, n_rows: int, rows: Rows, stop: int) -> None:
        """Compare the features where a window ends: behind so many rows in all, the last of them at a place in some."""
        drifted, settled = self.features.look(n_rows, rows.moments, rows.border(stop))
        psi = self.features.psi
        if drifted:
            named = _listed([f"{name} (PSI {psi[name]:.2g})" for name in drifted])
            self._tell(
                n_rows, "feature_drift", [(name, "", f"{psi[name]:.4g}") for name in drifted], f"feature drift: {named}"
            )
        if settled:
            changes = [(name, "", "") for name in settled]
            self._tell(n_rows, "feature_settled", changes, f"feature drift is over: {_listed(settled)}")
        self._figures += [(n_rows, name, psi[name]) for name in self.features.furthest(SETTLED)[:_TOLD]]

    def _tell(self, row: int, event: str, changes: Sequence[tuple[str, str, str]], words: str) -> None:
        self._lines.append(f"row {row:,}: {words}")
        self._events.append(DriftEvent(row, event, tuple(changes)))

    def take_events(self, row: float = math.inf) -> list[DriftEvent]:
        """Return, once, the events up to a row, by their rows: features are looked at before errors."""
        self._events.sort(key=attrgetter("row"))
        due = [event for event in self._events if event.row <= row]
        self._events = self._events[len(due) :]
        return due

    def take_figures(self) -> list[tuple[int, str, float]]:
        """Return, once, how far features moved: rows at the end of a window, the feature, its stability index."""
        figures, self._figures = self._figures, []
        return figures

    @property
    def description(self) -> str | None:
        """What a person is told of it, in a few words; nothing where there is nothing."""
        told = [f"error grew at row {self.errors.last_row:,}"] if self.errors.last_row is not None else []
        told += [f"{_listed([*self.features.drifted])} moved"] if self.features.drifted else []
        return ", ".join(told) or None

    def lines(self) -> list[str]:
        """Return what is to be said, once."""
        lines, self._lines = self._lines, []
        return lines

    def state_dict(self) -> StateDict:
        """Return the states of both detectors."""
        state = StateDict()
        state.nest("errors", self.errors.state_dict())
        state.nest("features", self.features.state_dict())
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state.

        Raises
        ------
        CheckpointError
            If it is none, or of other columns.
        """
        self.errors.load_state_dict(state.nested("errors"))
        self.features.load_state_dict(state.nested("features"))


def _names(encoder: Encoder) -> tuple[list[str], list[str]]:
    return encoder.numbers, [column.name for column in encoder.categorical]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
