"""Stop rules: the smoothed loss, and the two rules that test it.

J̃ of one minibatch is noisy. It is smoothed by the mean over blocks of :data:`SMOOTHED_ROWS` rows, rounded up to whole
minibatches. Both rules are tested at the end of each block:

- ``stop_loss``: the mean is at or under a target (Algorithm 1);
- ``stop_delta``: the mean differs from the one of the block before by no more than a threshold (§2).
"""

from dataclasses import dataclass, field

from stream_bp._arrays import Floats, running_sum
from stream_bp._state import StateDict

__all__ = ["SMOOTHED_ROWS", "Stopping"]

SMOOTHED_ROWS = 1_000


@dataclass(slots=True)
class Stopping:
    """The smoothed loss of a job, and the stop rules.

    Parameters
    ----------
    batch_size
        Rows in a minibatch.
    stop_loss
        Stop when the smoothed loss is at or under this value. ``None``: never.
    stop_delta
        Stop when the smoothed loss changed by this or less. ``None``: never.

    Examples
    --------
    >>> import numpy as np
    >>> stopping = Stopping(batch_size=500, stop_loss=0.1)
    >>> losses, counts = np.array([0.3, 0.1, 0.1, 0.1]), np.ones(4)
    >>> stopping.update(losses[:3], counts[:3]), stopping.update(losses[3:], counts[3:])
    (None, 'stop_loss')
    """

    batch_size: int
    stop_loss: float | None = None
    stop_delta: float | None = None
    _total: float = field(default=0.0, init=False)
    _rows: float = field(default=0.0, init=False)
    _minibatches: int = field(default=0, init=False)
    _smoothed: float | None = field(default=None, init=False)

    @property
    def is_watching(self) -> bool:
        """Whether a rule was given."""
        return self.stop_loss is not None or self.stop_delta is not None

    @property
    def minibatches_left(self) -> int:
        """Minibatches until the present block is full."""
        return -(-SMOOTHED_ROWS // self.batch_size) - self._minibatches

    @property
    def loss(self) -> float | None:
        """Mean loss per row over the last full block; before that, over the present block."""
        if self._smoothed is None and self._rows:
            return self._total / self._rows
        return self._smoothed

    def update(self, losses: Floats, counts: Floats) -> str | None:
        """Add minibatches.

        Parameters
        ----------
        losses, counts
            Sum of the loss, and rows with a target, of each minibatch: (T,), float64.

        Returns
        -------
        str or None
            ``"stop_loss"`` or ``"stop_delta"`` if the last minibatch ended a block that meets a rule.
        """
        reason, start = None, 0
        while start < len(losses):
            stop = start + max(1, self.minibatches_left)
            reason = self._update_block(losses[start:stop], counts[start:stop])
            start = stop
        return reason

    def _update_block(self, losses: Floats, counts: Floats) -> str | None:
        """Add minibatches of one block, up to its end at most. A block without a target does not end."""
        self._total, self._rows = running_sum(self._total, losses), running_sum(self._rows, counts)
        self._minibatches += len(losses)
        if self.minibatches_left > 0 or not self._rows:
            return None
        previous, self._smoothed = self._smoothed, self._total / self._rows
        self._total, self._rows, self._minibatches = 0.0, 0.0, 0
        if self.stop_loss is not None and self._smoothed <= self.stop_loss:
            return "stop_loss"
        if self.stop_delta is not None and previous is not None and abs(self._smoothed - previous) <= self.stop_delta:
            return "stop_delta"
        return None

    def state_dict(self) -> StateDict:
        """Return the present block and the mean of the last full one."""
        values = {
            "total": self._total,
            "rows": self._rows,
            "minibatches": self._minibatches,
            "smoothed": self._smoothed,
        }
        return StateDict(values=values)

    def load_state_dict(self, state: StateDict) -> None:
        """Take over a state."""
        values = state.values
        self._total, self._rows = float(values["total"]), float(values["rows"])
        self._minibatches, self._smoothed = int(values["minibatches"]), values["smoothed"]
