"""What a process did for its job: how long its steps, reads and saves took. None of it enters a checkpoint."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Durations", "Rate", "RuntimeStats", "Save"]

T = TypeVar("T")

_RATE_S = 10.0  # over how long a rate is told
_RATE_POINTS = 20


class Durations:
    """How many durations there were of each size: counts between bounds, and their sum.

    Parameters
    ----------
    bounds
        Upper bounds in seconds, ascending.

    Attributes
    ----------
    bounds
        Those.
    counts
        For each bound, how many were at most it and above the one before; and a last one for what is longer.
    total
        Seconds in all.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float, n: int = 1) -> None:
        """Count n things that took so long in all: each as long as the others."""
        self.counts[bisect_left(self.bounds, seconds / n)] += n
        self.total += seconds


class Rate:
    """Rows in a second, over the last ten of them.

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
        """Hear how many rows were learned up to a moment."""
        self._latest = (now, rows)
        # Twenty points are enough for a rate, and as many as are kept.
        if self._points and now - self._points[-1][0] < _RATE_S / _RATE_POINTS:
            return
        self._points.append(self._latest)
        while len(self._points) > 2 and now - self._points[1][0] >= _RATE_S:
            self._points.popleft()

    @property
    def value(self) -> float:
        """Rows a second; 0 before there are two moments."""
        (began, first), (now, last) = self._points[0] if self._points else self._latest, self._latest
        return (last - first) / (now - began) if now > began else 0.0


@dataclass(frozen=True, slots=True)
class Save:
    """A checkpoint that was acknowledged.

    Attributes
    ----------
    path
        The file.
    n_bytes
        Its size.
    seconds
        How long it took, the journals included.
    at
        When it was complete, in seconds since 1970.
    """

    path: Path
    n_bytes: int
    seconds: float
    at: float


class RuntimeStats:
    """What one process did.

    Attributes
    ----------
    steps
        Seconds of a minibatch, each the mean of the stretch in which it was learned.
    reads
        Seconds that the thread that reads took for a chunk of rows, waiting for them included.
    saves
        Seconds of a checkpoint, in the thread that saves.
    n_failed_saves
        How many could not be saved.
    saved
        The last one of this process; ``None`` before.
    rate
        Rows learned in a second, lately.
    n_ready
        Returns how many chunks were read ahead, and wait.
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
        """Hand chunks on, and note how long each took; not for how long there was none."""
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
