"""The exit codes of the command line: those of errors, and those of signals."""

from stream_bp import errors
from stream_bp.job import signals

__all__ = ["exit_codes"]


def exit_codes() -> dict[int, str]:
    """Return the one table of exit codes, with the meaning of each.

    Examples
    --------
    >>> exit_codes()[0], exit_codes()[3], exit_codes()[143]
    ('done', 'checkpoint', 'SIGTERM')
    """
    return {0: "done", **errors.EXIT_CODES, **{code: name for name, code in signals.EXIT_CODES.items()}}
