"""The lines of ``history.csv``: when the next is due, and its content."""

from collections.abc import Mapping

from stream_bp._arrays import running_sum
from stream_bp._state import StateDict
from stream_bp.job.data_quality import DataQuality
from stream_bp.metrics.prequential import PrequentialEvaluator
from stream_bp.models.base import PredictionBatch, StreamModel

__all__ = ["COLUMNS", "History", "next_mark"]

COLUMNS = {
    "rows": "Rows learned so far.",
    "minibatches": "Minibatches learned so far.",
    "completed_epochs": "Passes over the source that are complete.",
    "step": "Updates of the weights so far.",
    "learning_rate": "Learning rate of the next update.",
    "loss": "Mean loss of a row since the line before.",
    "METRIC": "Each metric over all rows; with several targets, their mean.",
    "missing": "Missing values of features so far.",
    "clipped_values": "Numbers so far that were cut off at 8 deviations.",
    "rows_without_target": "Rows so far without a target.",
    "skipped": "Rows so far that were not learned, since a feature was missing.",
    "bad_rows": "Rows so far that could not be read.",
    "rolling_METRIC": "Each metric over the last 1,000 rows.",
    "BASELINE_METRIC": "Each metric of each baseline, over all rows.",
    "delta_rms_LAYER": "Root mean square of δ, for each layer from 1.",
    "gradient_rms_LAYER": "Root mean square of the gradient, for each layer from 1.",
}
"""The columns, in order, with their meanings. METRIC, BASELINE and LAYER stand for each metric, baseline and layer."""


def next_mark(rows: int) -> int:
    """Return the row count of the next history line: 1,000 rows more at first, then 1 %, at most 100,000."""
    return rows + min(max(1_000, rows // 100), 100_000)


class History:
    """When the next line is due, and the loss since the last one.

    Attributes
    ----------
    due_rows
        The row count, over all epochs, at which the next line is due.
    """

    def __init__(self) -> None:
        self.due_rows = next_mark(0)
        self._reported_rows = 0
        self._loss = 0.0
        self._loss_rows = 0.0

    def update(self, outcome: PredictionBatch) -> None:
        """Add the loss of some minibatches."""
        self._loss = running_sum(self._loss, outcome.loss)
        self._loss_rows = running_sum(self._loss_rows, outcome.count)

    def columns(self, model: StreamModel) -> tuple[str, ...]:
        """Return the names of the columns. They depend on task, targets and model only."""
        encoder = model.encoder
        counts = {"rows": 0, "minibatches": 0, "completed_epochs": 0}
        return tuple(
            self.line(counts, model, PrequentialEvaluator(encoder.task, len(encoder.targets)), DataQuality(encoder))
        )

    def line(
        self, counts: Mapping[str, int], model: StreamModel, evaluation: PrequentialEvaluator, quality: DataQuality
    ) -> dict[str, float | int | None]:
        """Return a line. Its ``loss`` is the mean since the line before.

        Parameters
        ----------
        counts
            ``rows`` and ``minibatches`` learned, and the ``completed_epochs``.
        model, evaluation, quality
            The origins of the other columns.
        """
        line: dict[str, float | int | None] = {
            **counts,
            **model.counters(),
            "loss": self._loss / self._loss_rows if self._loss_rows else None,
            **evaluation.metrics(),
            **quality.totals(),
            **{f"rolling_{name}": value for name, value in evaluation.rolling().items()},
        }
        for baseline, metrics in evaluation.baselines().items():
            line.update({f"{baseline}_{name}": value for name, value in metrics.items()})
        for layer, sizes in enumerate(model.layers(), start=1):
            line.update({f"{name}_{layer}": value for name, value in sizes.items()})
        return line

    def begin_line(self, rows: int) -> None:
        """Begin the next line; the last one was written after this many rows."""
        self._loss, self._loss_rows, self._reported_rows = 0.0, 0.0, rows
        self.due_rows = next_mark(rows)

    def is_reported(self, rows: int) -> bool:
        """Return whether the last line was written after this many rows."""
        return self._reported_rows == rows

    def state_dict(self) -> StateDict:
        """Return the row counts of the next line and of the last, and the loss since then."""
        loss = [self._loss, self._loss_rows]
        return StateDict(values={"mark": self.due_rows, "reported_rows": self._reported_rows, "loss": loss})

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state."""
        self.due_rows, self._reported_rows = int(state.values["mark"]), int(state.values["reported_rows"])
        self._loss, self._loss_rows = map(float, state.values["loss"])
