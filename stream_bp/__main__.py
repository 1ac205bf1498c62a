"""The start of the command line, and what must stand before the second that the imports take."""

import signal
import sys
from types import FrameType

__all__ = ["main"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the command line; a signal that comes before a job can heed it ends the process with its exit code."""
    # Process 1 of a container is not even ended by a signal that it has no handler for. What is ignored (by nohup, by
    # a shell in the background) stays ignored.
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)

    from stream_bp.cli import main  # noqa: PLC0415 - it takes a second, and a signal may come in it

    main()


def _exit(number: int, frame: FrameType | None) -> None:
    # A second one must not come between this exit and its end.
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
