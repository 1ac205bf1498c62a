"""Says what is due at a minibatch boundary, and how many minibatches to learn before the next check."""

import time

from stream_bp.config.job import JobConfig
from stream_bp.job.state import JobState

__all__ = ["Triggers"]

_GLANCE_S = 0.1  # between two checks of signals and the clock


class Triggers:
    """What is due: a history line, a checkpoint, a limit, a stop rule, a check of the clock.

    Parameters
    ----------
    state
        The job's state. It is only read.
    config
        The job's settings.
    has_logs
        Whether there is a run directory for history and checkpoints.

    Notes
    -----
    The distance between two checks does not affect the result.
    """

    def __init__(self, state: JobState, config: JobConfig, *, has_logs: bool) -> None:
        self._state, self._config, self._has_logs = state, config, has_logs
        self._glance_minibatches = 1
        self.checkpointed()

    def minibatches_to_boundary(self) -> int:
        """Return after how many minibatches to check what is due, at least 1."""
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
            # The network reacts to drift at the boundary where the error is tested.
            due.append(-(-state.drift.errors.rows_left // b))
        return max(1, min(due))

    def pace(self, seconds: float, n_minibatches: int) -> None:
        """Set the distance to the next check to about a tenth of a second, from a measured pace."""
        # A stretch that something else cut short is no measure, so only a full one doubles the distance.
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
        """Whether a checkpoint is due, by minibatches or by seconds since the last one."""
        if not self._has_logs or self._state.rows <= self._saved_rows:
            return False
        every, interval = self._config.checkpoint_minibatches, self._config.checkpoint_interval_s
        if every is not None:
            return self._state.minibatches % every == 0
        return interval is not None and time.monotonic() - self._saved >= interval

    def checkpointed(self) -> None:
        """Restart the interval after a checkpoint."""
        self._saved, self._saved_rows = time.monotonic(), self._state.rows
