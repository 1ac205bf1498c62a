"""What is due at a minibatch boundary, and how far the job may go until something is."""

import time

from stream_bp.config.job import JobConfig
from stream_bp.job.state import JobState

__all__ = ["Triggers"]

_GLANCE_S = 0.1  # how long a job learns before it looks at signals and the clock


class Triggers:
    """What is due: a line of the history, a checkpoint, a limit, a look at the loss, a glance at the clock.

    Parameters
    ----------
    state
        The job's state, which is read.
    config
        The job's settings.
    has_logs
        Whether there is a run directory, for lines and checkpoints.

    Notes
    -----
    How far the job goes between two looks shows nowhere in its result.
    """

    def __init__(self, state: JobState, config: JobConfig, *, has_logs: bool) -> None:
        self._state, self._config, self._has_logs = state, config, has_logs
        self._glance_minibatches = 1
        self.checkpointed()

    def minibatches_to_boundary(self) -> int:
        """Return after how many minibatches to look what is due, at least 1."""
        state, config, b = self._state, self._config, self._config.batch_size
        due = [self._glance_minibatches]
        if self._has_logs:
            due.append(-(-(state.history.due_rows - state.rows) // b))
        if config.max_rows is not None:
            due.append(-(-(config.max_rows - state.rows) // b))
        if config.max_minibatches is not None:
            due.append(config.max_minibatches - state.minibatches)
        if config.checkpoint_minibatches is not None:
            due.append(config.checkpoint_minibatches - state.minibatches % config.checkpoint_minibatches)
        if state.stopping.is_watching:
            due.append(state.stopping.minibatches_left)
        if state.drift is not None and config.on_drift != "none":
            # The network reacts at the boundary at which the error was looked at.
            due.append(-(-state.drift.errors.rows_left // b))
        return max(1, min(due))

    def pace(self, seconds: float, n_minibatches: int) -> None:
        """Learn that so many minibatches took so long: the next look is about a tenth of a second away."""
        if seconds < _GLANCE_S / 2 and n_minibatches == self._glance_minibatches:
            self._glance_minibatches *= 2
        elif seconds > _GLANCE_S * 2:
            self._glance_minibatches = max(1, self._glance_minibatches // 2)

    @property
    def is_line_due(self) -> bool:
        """Whether the history gets a line."""
        return self._has_logs and self._state.rows >= self._state.history.due_rows

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether to save: enough minibatches, or seconds, after the last checkpoint."""
        if not self._has_logs or self._state.rows <= self._saved_rows:
            return False
        every, interval = self._config.checkpoint_minibatches, self._config.checkpoint_interval_s
        if every is not None:
            return self._state.minibatches % every == 0
        return interval is not None and time.monotonic() - self._saved >= interval

    def checkpointed(self) -> None:
        """Count from here on."""
        self._saved, self._saved_rows = time.monotonic(), self._state.rows
