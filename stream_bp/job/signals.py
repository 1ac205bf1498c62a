"""The signals that stop a job, and the exit code of a process that one of them stopped.

The module imports the standard library alone: the command line asks it before the imports that take a second.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

__all__ = ["EXIT_CODES", "STOP_SIGNALS", "StopSignals", "heeded"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a job to finish its minibatch, to save, and to end."""

EXIT_CODES = {number.name: 128 + number for number in STOP_SIGNALS}
"""By the name of a signal, which is the reason that a stopped job gives, the exit code of its process."""


def heeded() -> list[signal.Signals]:
    """Return those of the signals that are not ignored: nohup, or a shell in the background, ignores some."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class StopSignals:
    """Remembers the first signal that asks the job to stop, as long as it is entered.

    Attributes
    ----------
    received
        The number of that signal; ``None`` before there is one.

    Notes
    -----
    Only the main thread can install handlers; elsewhere nothing is heard. A signal that is ignored stays ignored. A
    second SIGINT raises KeyboardInterrupt: a person at the keyboard does not want to wait for the checkpoint.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def name(self) -> str | None:
        """The name of the signal that was received, as ``SIGTERM``."""
        return None if self.received is None else signal.Signals(self.received).name

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._receive) for number in heeded()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number
