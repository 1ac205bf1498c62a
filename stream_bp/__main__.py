"""The start of the command line: installs handlers of signals before the imports, which take a second."""

import os
import signal
import sys
from types import FrameType

from stream_bp.job.signals import SIGNALS

__all__ = ["main"]


def main() -> None:
    """Run the command line. A signal that arrives before a job handles it ends the process with its exit code."""
    # Without a handler a signal does not even end process 1 of a container. An ignored signal (by nohup, by a shell for
    # a background process) stays ignored.
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)

    from stream_bp.cli.app import main  # noqa: PLC0415 - takes a second, in which a signal may arrive

    try:
        main()
    finally:
        _ignore_signals()
        _drop_log()


def _exit(number: int, frame: FrameType | None) -> None:
    _ignore_signals()
    sys.exit(128 + number)


def _ignore_signals() -> None:
    """Ignore signals from here to the end of the process, while threads are joined and files are closed."""
    # At its very end Python restores the default of each signal that has a handler. A signal would then change the exit
    # code, so it must be ignored. Python complains about a signal that arrived earlier and is ignored before it was
    # handled: hence a handler that does nothing comes first.
    for handler in (_pass, signal.SIG_IGN):
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _drop_log() -> None:
    """Drop what standard error does not take. Python flushes it again at exit, where a failure is exit code 120."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.flush()
    except OSError:
        # The remaining lines are lost, and the flush at exit succeeds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _pass(number: int, frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    main()
