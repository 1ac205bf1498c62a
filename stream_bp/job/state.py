"""The state of a job at one minibatch boundary: what a checkpoint holds, and what the job resumes from."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from connectors import Cursor
from stream_bp._state import StateDict
from stream_bp.config.job import JobConfig
from stream_bp.drift.monitor import DriftMonitor
from stream_bp.job.data_quality import DataQuality
from stream_bp.job.history import History
from stream_bp.job.reader import Position
from stream_bp.job.schema_changes import SchemaChange, SchemaChanges
from stream_bp.job.stopping import Stopping
from stream_bp.metrics.prequential import PrequentialEvaluator
from stream_bp.models.base import PredictionBatch, StreamModel
from stream_bp.preprocessing.rows import Rows
from stream_bp.preprocessing.schema import Column

__all__ = ["JobState"]


class JobState:
    """The model, its evaluation, its counters and its position.

    It moves from boundary to boundary and decides every bit of the result. It writes no file: it returns what
    happened, and the job records it.

    Parameters
    ----------
    model
        The model that learns.
    config
        The job's settings.

    Attributes
    ----------
    rows, minibatches
        Learned so far, over all epochs.
    epoch
        Passes finished.
    locate
        Returns the position of the next row. It is called for checkpoints only.
    stop_reason
        Why the job is done; ``None`` until then.
    quality
        Counts of missing, clipped and bad values and rows.
    history
        When the history gets its next line, and the loss since the last.
    changes
        The columns of the files, and their changes.
    drift
        The detectors of error drift and feature drift; ``None`` if there are none.
    numerics_changes
        Each resume under other numerics: the ``rows`` before it, and the ``change``.
    """

    def __init__(self, model: StreamModel, config: JobConfig) -> None:
        self.model = model
        self.config = config
        self.evaluation = PrequentialEvaluator(model.encoder.task, len(model.encoder.targets))
        self.stopping = Stopping(config.batch_size, config.stop_loss, config.stop_delta)
        self.quality = DataQuality(model.encoder)
        self.history = History()
        self.changes = SchemaChanges([column.name for column in [*model.encoder.features, *model.encoder.targets]])
        self.drift = (
            DriftMonitor(config.drift_detector, model.encoder, config.batch_size)
            if config.drift_detector != "none"
            else None
        )
        self.rows = 0
        self.minibatches = 0
        # A function, since making a position costs time, and most boundaries need none.
        self.locate: Callable[[], Position]
        self.begin(Position(0, Cursor.start()))
        self.stop_reason: str | None = None
        self.numerics_changes: list[dict[str, Any]] = []

    def learn(self, rows: Rows, start: int, stop: int) -> Iterator[tuple[int, PredictionBatch]]:
        """Predict, score and learn the minibatches of rows[start:stop]; a stop rule may set ``stop_reason``.

        Yields
        ------
        tuple[int, PredictionBatch]
            The index of the first row of some learned minibatches, and their predictions.
        """
        for outcome in self.model.learn(rows, start, stop):
            errors = self.evaluation.update(outcome.y, outcome.predictions)
            self.stop_reason = self.stopping.update(outcome.loss, outcome.count)
            self.history.update(outcome)
            n_rows = outcome.y.shape[1]
            self.quality.update(rows, start, start + n_rows)
            if self.drift is not None:
                self.drift.update(rows, start, errors, self.rows)
            self.rows += n_rows
            self.minibatches += len(outcome.loss)
            yield start, outcome
            start += n_rows
        # Once a stretch is enough: Triggers end a stretch where the error is tested for drift.
        if self.drift is not None and self.drift.has_grown:
            self.drift.has_grown = False
            if self.config.on_drift != "none":
                self.model.on_drift(self.config.on_drift)
        if self.stop_reason is None:
            self.stop_reason = self.limit_reached()

    def add_columns(self, columns: Sequence[Column], found: Sequence[str], row: int, place: str) -> SchemaChange | None:
        """Add features for the next rows: those of the new columns that can be learned from.

        Parameters
        ----------
        columns
            The features.
        found
            Names of all new columns.
        row, place
            The first row of the file that has them, and the file.

        Returns
        -------
        SchemaChange or None
            The change to record; ``None`` if no new column can be learned from.
        """
        self.model.add_columns(columns)
        self.quality.grow()
        if self.drift is not None:
            self.drift.grow()
        return self.changes.learn(row, place, [column.name for column in columns], found)

    def limit_reached(self) -> str | None:
        """Return the name of the limit that is reached, if one is."""
        if self.config.max_rows is not None and self.rows >= self.config.max_rows:
            return "max_rows"
        if self.config.max_minibatches is not None and self.minibatches >= self.config.max_minibatches:
            return "max_minibatches"
        return None

    def begin(self, position: Position) -> None:
        """Set the position."""
        self.epoch = position.epoch
        self.locate = lambda: position

    def history_line(self) -> dict[str, float | int | None]:
        """Return the line of the history for the present boundary."""
        counts = {"rows": self.rows, "minibatches": self.minibatches, "completed_epochs": self.epoch}
        return self.history.line(counts, self.model, self.evaluation, self.quality)

    def state_dict(self) -> StateDict:
        """Return everything that the job resumes from: the arrays and the JSON of its checkpoint."""
        state = StateDict(
            values={
                # Without the run directory, which may be moved.
                "config": self.config.model_dump(mode="json", exclude={"run_dir"}),
                "position": self.locate().to_json(),
                "rows": self.rows,
                "minibatches": self.minibatches,
                "stop_reason": self.stop_reason,
                "numerics_changes": list(self.numerics_changes),
                "drift": None,
                **self.history.state_dict().values,
            }
        )
        # The arrays of the model have no prefix: other programs look for W1, W2 and so on.
        state.nest("model", self.model.state_dict(), prefix="")
        state.nest("evaluation", self.evaluation.state_dict())
        state.nest("stopping", self.stopping.state_dict())
        state.nest("quality", self.quality.state_dict())
        state.nest("changes", self.changes.state_dict())
        if self.drift is not None:
            state.nest("drift", self.drift.state_dict())
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state, without the model, its evaluation and the stop reason.

        The constructor takes the model; :func:`~stream_bp.job.resume.restore_state` restores the others.

        Raises
        ------
        CheckpointError
            If a part does not match the settings.
        """
        values = state.values
        self.stopping.load_state_dict(state.nested("stopping"))
        if values.get("quality") is not None:  # release 0.1.0 has no counts
            self.quality.load_state_dict(state.nested("quality"))
            self.changes.load_state_dict(state.nested("changes"))
        if self.drift is not None and values.get("drift") is not None:  # nor detectors of drift
            self.drift.load_state_dict(state.nested("drift"))
        self.begin(Position.from_json(values["position"]))
        self.rows, self.minibatches = int(values["rows"]), int(values["minibatches"])
        self.history.load_state_dict(state)
        self.numerics_changes = list(values["numerics_changes"])
