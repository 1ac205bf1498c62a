"""The signals that stop a job, and the exit code of each. Standard library only, so that importing it is cheap."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["EXIT_CODES", "SIGNALS", "StopSignals", "exit_code"]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that stop a job. No other module lists them."""

# 128 + number is what a shell reports for a process that a signal ended.
EXIT_CODES: Final = {number.name: 128 + number for number in sorted(SIGNALS)}
"""The exit code of each stop reason that is a signal."""


def exit_code(stop_reason: str) -> int:
    """Return the exit code of a job that ended without an error.

    Parameters
    ----------
    stop_reason
        As in :class:`~stream_bp.job.summary.Summary`.

    Examples
    --------
    >>> exit_code("end_of_stream"), exit_code("SIGTERM")
    (0, 143)
    """
    return EXIT_CODES.get(stop_reason, 0)


class StopSignals:
    """Turns a signal into a request to stop, while its context is open.

    Only the main thread may install handlers: in another thread the context does nothing. A signal that is ignored (by
    ``nohup``, by a shell for a background process) stays ignored. The former handlers return at the end.

    A second SIGINT raises KeyboardInterrupt, so a user need not wait for the checkpoint.

    Attributes
    ----------
    first
        The first signal that arrived; it is kept when the context ends.

    Examples
    --------
    >>> with StopSignals() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> stop.is_requested, stop.reason
    (True, 'SIGTERM')
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._former: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def is_requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.first is not None

    @property
    def reason(self) -> str | None:
        """The stop reason: the name of the first signal."""
        return None if self.first is None else self.first.name

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._former:
            signal.signal(*self._former.popitem())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.first is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.first = self.first or signal.Signals(number)
