"""Timings of a process: its steps, reads and saves. None of them enters a checkpoint."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Durations", "Rate", "RuntimeStats", "Save"]

T = TypeVar("T")

_RATE_S = 10.0  # window of the rate
_RATE_POINTS = 20


class Durations:
    """A histogram of durations: counts between bounds, and the sum.

    Parameters
    ----------
    bounds
        Upper bounds in seconds, ascending.

    Attributes
    ----------
    bounds
        As given.
    counts
        For each bound, the durations up to it and above the bound before. The last count is of longer ones.
    total
        The sum in seconds.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float, n: int = 1) -> None:
        """Count n durations of equal length that sum to ``seconds``."""
        self.counts[bisect_left(self.bounds, seconds / n)] += n
        self.total += seconds


class Rate:
    """Rows per second, over the last ten seconds.

    Examples
    --------
    >>> rate = Rate()
    >>> for second in range(60):
    ...     rate.update(now=second, rows=second * 500)
    >>> rate.value
    500.0
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._latest = (0.0, 0)

    def update(self, now: float, rows: int) -> None:
        """Record how many rows were learned at a time."""
        self._latest = (now, rows)
        # Closer points would push older ones out, and the window would become shorter than ten seconds.
        if self._points and now - self._points[-1][0] < _RATE_S / _RATE_POINTS:
            return
        self._points.append(self._latest)
        while len(self._points) > 2 and now - self._points[1][0] >= _RATE_S:
            self._points.popleft()

    @property
    def value(self) -> float:
        """Rows per second; 0 before there are two points."""
        (began, first), (now, last) = self._points[0] if self._points else self._latest, self._latest
        return (last - first) / (now - began) if now > began else 0.0


@dataclass(frozen=True, slots=True)
class Save:
    """An acknowledged checkpoint.

    Attributes
    ----------
    path
        The file.
    n_bytes
        Its size.
    seconds
        How long it took, with the sync of the logs.
    at
        When it was complete, in seconds since 1970.
    """

    path: Path
    n_bytes: int
    seconds: float
    at: float


class RuntimeStats:
    """The timings of one process.

    Attributes
    ----------
    steps
        Seconds per minibatch, as means over stretches of minibatches.
    reads
        Seconds per chunk of rows in the reading thread, waiting included.
    saves
        Seconds per checkpoint in the saving thread.
    n_failed_saves
        Checkpoints that could not be saved.
    saved
        The last checkpoint of this process; ``None`` before the first.
    rate
        Rows learned per second, lately.
    n_ready
        Returns how many chunks are read ahead.
    """

    def __init__(self) -> None:
        self.steps = Durations([1e-6 * 4**i for i in range(12)])
        self.reads = Durations([1e-4 * 4**i for i in range(10)])
        self.saves = Durations([1e-3 * 4**i for i in range(9)])
        self.n_failed_saves = 0
        self.saved: Save | None = None
        self.rate = Rate()
        self.n_ready: Callable[[], int] = int

    def reading(self, chunks: Iterable[T | None]) -> Iterator[T | None]:
        """Yield the chunks, and record how long each took. Idle time does not count."""
        chunks = iter(chunks)
        while True:
            began = time.monotonic()
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            if chunk is not None:
                self.reads.observe(time.monotonic() - began)
            yield chunk
