"""The start of the command line, and what must stand before the second that the imports take."""

import os
import signal
import sys
from types import FrameType

from stream_bp.job.signals import SIGNALS

__all__ = ["main"]


def main() -> None:
    """Run the command line; a signal that comes before a job can heed it ends the process with its exit code."""
    # Process 1 of a container is not even ended by a signal that it has no handler for. What is ignored (by nohup, by
    # a shell in the background) stays ignored.
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)

    from stream_bp.cli.app import main  # noqa: PLC0415 - it takes a second, and a signal may come in it

    try:
        main()
    finally:
        _heed_no_more()
        _give_up_log()


def _exit(number: int, frame: FrameType | None) -> None:
    _heed_no_more()
    sys.exit(128 + number)


def _heed_no_more() -> None:
    """Let no second signal come between an exit and its end, where threads are waited for and files are closed."""
    # At its very end Python gives a signal with a handler back to the system, which would end the process with another
    # code: it must be ignored. But of one that has come and was not yet handled when it became so, Python would
    # complain: hence a handler first.
    for handler in (_pass, signal.SIG_IGN):
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _give_up_log() -> None:
    """Drop what standard error does not take: Python flushes it again at exit, and a failure there is exit code 120."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.flush()
    except OSError:
        # The lines that are left go nowhere, and the flush at exit succeeds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _pass(number: int, frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    main()
