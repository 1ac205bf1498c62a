"""Everything a training job is at one minibatch border: what a checkpoint holds, and what goes on from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import stream_bp
from connectors import Cursor
from stream_bp._arrays import running_sum, under
from stream_bp.config.job import JobConfig
from stream_bp.drift.monitor import Drift
from stream_bp.job.data_quality import Quality
from stream_bp.job.history import next_mark
from stream_bp.job.reader import Position
from stream_bp.job.schema_changes import Changes
from stream_bp.job.stopping import Stopping
from stream_bp.metrics.prequential import Evaluation
from stream_bp.models.base import Outcome, StreamModel
from stream_bp.models.restore import restore_evaluation, restore_model
from stream_bp.persistence.snapshot import Snapshot
from stream_bp.persistence.state_schema import EVALUATION, fitting, saved_config
from stream_bp.preprocessing.rows import Rows
from stream_bp.preprocessing.schema import Column

__all__ = ["Training"]

_DRIFT = "drift."  # what the names of its arrays begin with, among the tensors


class Training:
    """A model, its evaluation, its counters and its position: one state, moved from border to border.

    Parameters
    ----------
    model
        What learns.
    config
        The job's settings.

    Attributes
    ----------
    rows, minibatches
        Learned so far, over all epochs.
    epoch
        Passes finished.
    locate
        Returns the position of the next row; called for checkpoints only.
    stop_reason
        Why the job is done; ``None`` while it is not.
    quality
        What was amiss in the rows.
    witness
        Is told of every outcome: the passes finished, the rows, where among them it begins, and the outcome.
    changes
        The columns of the files, and how they changed.
    drift
        What watches the error and the features; ``None`` where nothing does.
    numerics_changes
        Where it went on under other numerics: after how many ``rows``, and the ``change``.
    """

    def __init__(self, model: StreamModel, config: JobConfig) -> None:
        self.model = model
        self.config = config
        self.evaluation = Evaluation(model.encoder.task, len(model.encoder.targets))
        self.stopping = Stopping(config.batch_size, config.stop_loss, config.stop_delta)
        self.quality = Quality(model.encoder)
        self.changes = Changes([column.name for column in [*model.encoder.features, *model.encoder.targets]])
        self.drift = Drift(config.drift, model.encoder, config.batch_size) if config.drift != "none" else None
        self.rows = 0
        self.minibatches = 0
        self.locate: Callable[[], Position]
        self.begin(Position(0, Cursor.start()))
        self.stop_reason: str | None = None
        self.mark = next_mark(0)
        self._reported_rows = 0
        self._loss = 0.0
        self._loss_rows = 0.0
        self.numerics_changes: list[dict[str, Any]] = []
        self.witness: Callable[[int, Rows, int, Outcome], None] | None = None

    def learn(self, rows: Rows, start: int, stop: int) -> None:
        """Predict, score and learn the minibatches of rows[start:stop]; a stop rule may set ``stop_reason``."""
        for outcome in self.model.learn(rows, start, stop):
            errors = self.evaluation.update(outcome.y, outcome.predictions)
            self.stop_reason = self.stopping.update(outcome.loss, outcome.count)
            self._loss = running_sum(self._loss, outcome.loss)
            self._loss_rows = running_sum(self._loss_rows, outcome.count)
            if self.witness is not None:
                self.witness(self.epoch, rows, start, outcome)
            n_rows = outcome.y.shape[1]
            self.quality.update(rows, start, start + n_rows)
            if self.drift is not None:
                self.drift.update(rows, start, errors, self.rows)
            start += n_rows
            self.rows += n_rows
            self.minibatches += len(outcome.loss)
        if self.drift is not None and self.drift.has_grown:
            self.drift.has_grown = False
            if self.config.on_drift != "none":
                self.model.react(self.config.on_drift)
        if self.stop_reason is None:
            self.stop_reason = self.limit_reached()

    def add_columns(self, columns: Sequence[Column], found: Sequence[str], row: int, place: str) -> None:
        """Let the rows that come next have further features: of those found, what can be learned from.

        Parameters
        ----------
        columns
            The features.
        found
            Names of all columns that are new.
        row, place
            The file that has them, and its first row.
        """
        self.model.add_columns(columns)
        self.quality.grow()
        if self.drift is not None:
            self.drift.grow()
        self.changes.learn(row, place, [column.name for column in columns], found)

    def limit_reached(self) -> str | None:
        """Return the name of the limit that the job stands at, if it does."""
        if self.config.max_rows is not None and self.rows >= self.config.max_rows:
            return "max_rows"
        if self.config.max_minibatches is not None and self.minibatches >= self.config.max_minibatches:
            return "max_minibatches"
        return None

    def minibatches_to_border(self) -> int:
        """Return after how many minibatches something is due: a line, a checkpoint, a limit, a look at the loss."""
        b, config = self.config.batch_size, self.config
        due = [-(-(self.mark - self.rows) // b)]
        if config.max_rows is not None:
            due.append(-(-(config.max_rows - self.rows) // b))
        if config.max_minibatches is not None:
            due.append(config.max_minibatches - self.minibatches)
        if config.checkpoint_minibatches is not None:
            due.append(config.checkpoint_minibatches - self.minibatches % config.checkpoint_minibatches)
        if self.stopping.is_watching:
            due.append(self.stopping.minibatches_left)
        if self.drift is not None and config.on_drift != "none":
            due.append(-(-self.drift.errors.rows_left // b))
        return max(1, min(due))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the history's columns: a function of task, targets and model."""
        unscored = Evaluation(self.evaluation.task, len(self.model.encoder.targets))
        return tuple(self._line(unscored))

    def report(self) -> dict[str, float | int | None]:
        """Return a line of the history; its ``loss`` is the mean since the line before."""
        return self._line(self.evaluation)

    def _line(self, evaluation: Evaluation) -> dict[str, float | int | None]:
        line: dict[str, float | int | None] = {
            "rows": self.rows,
            "minibatches": self.minibatches,
            "epoch": self.epoch,
            **self.model.counters(),
            "loss": self._loss / self._loss_rows if self._loss_rows else None,
            **evaluation.metrics(),
            **self.quality.totals(),
            **{f"windowed_{name}": value for name, value in evaluation.windowed().items()},
        }
        for baseline, metrics in evaluation.baselines().items():
            line.update({f"{baseline}_{name}": value for name, value in metrics.items()})
        for layer, sizes in enumerate(self.model.layers(), start=1):
            line.update({f"{name}_{layer}": value for name, value in sizes.items()})
        return line

    def begin_line(self) -> None:
        """Begin the next line of the history."""
        self._loss, self._loss_rows, self._reported_rows = 0.0, 0.0, self.rows
        self.mark = next_mark(self.rows)

    @property
    def is_reported(self) -> bool:
        """Whether the last line of the history tells of the last row."""
        return self._reported_rows == self.rows

    def begin(self, position: Position) -> None:
        """Stand at a position."""
        self.epoch = position.epoch
        self.locate = lambda: position

    def snapshot(self, marks: Mapping[str, Any], extra: dict[str, Any]) -> Snapshot:
        """Return everything, as a checkpoint.

        Parameters
        ----------
        marks
            How far the journals reach, by name.
        extra
            What the job adds: its sources and its numeric fingerprint.
        """
        tensors, model = self.model.state()
        arrays, evaluation = self.evaluation.state()
        tensors.update({EVALUATION + name: array for name, array in arrays.items()})
        drift = None
        if self.drift is not None:
            arrays, drift = self.drift.state()
            tensors.update({_DRIFT + name: array for name, array in arrays.items()})
        state = {
            "version": stream_bp.__version__,
            # Not where the file itself is: a run directory may be moved.
            "config": self.config.model_dump(mode="json", exclude={"run_dir"}),
            "model": model,
            "evaluation": evaluation,
            "stopping": self.stopping.state(),
            "quality": self.quality.state(),
            "changes": self.changes.state(),
            "drift": drift,
            "position": self.locate().to_json(),
            "rows": self.rows,
            "minibatches": self.minibatches,
            "mark": self.mark,
            "reported_rows": self._reported_rows,
            "loss": [self._loss, self._loss_rows],
            "stop_reason": self.stop_reason,
            **{name: dict(mark) for name, mark in marks.items()},
            "numerics_changes": list(self.numerics_changes),
            **extra,
        }
        return Snapshot(self.minibatches, tensors, state)

    @classmethod
    def restore(cls, snapshot: Snapshot, config: JobConfig, model: StreamModel | None = None) -> "Training":
        """Go on from a checkpoint, under settings that are those of the same job.

        Parameters
        ----------
        snapshot
            What was loaded.
        config
            The settings.
        model
            The one in the checkpoint, if it is not a network that learns.

        Raises
        ------
        CheckpointError
            If the content does not fit together.
        """
        state = snapshot.state
        with fitting():
            training = cls(model or restore_model(snapshot, config.engine), config)
            training.evaluation = restore_evaluation(snapshot)
            training.stopping.restore(state["stopping"])
            if state.get("quality") is not None:  # release 0.1.0 did not count
                training.quality.restore(state["quality"])
                training.changes.restore(state["changes"])
            if training.drift is not None and state.get("drift") is not None:  # neither did it watch
                training.drift.restore(under(_DRIFT, snapshot.tensors), state["drift"])
            training.begin(Position.from_json(state["position"]))
            training.rows, training.minibatches = int(state["rows"]), int(state["minibatches"])
            training.mark, training._reported_rows = int(state["mark"]), int(state["reported_rows"])
            training._loss, training._loss_rows = map(float, state["loss"])
            training.numerics_changes = list(state["numerics_changes"])
        saved = saved_config(snapshot)
        if (saved.stop_loss, saved.stop_delta) == (config.stop_loss, config.stop_delta):
            training.stop_reason = state["stop_reason"] if state["stop_reason"] in {"stop_loss", "stop_delta"} else None
        return training
