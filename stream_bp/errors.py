"""Every error that stream-bp raises itself; a source's own errors are in :mod:`connectors.errors`.

The tree::

    StreamBPError
    ├── ConfigError (ValueError)            a setting is wrong, or two contradict each other
    ├── DataError (ValueError)              the rows cannot be learned from
    │   └── MissingValueError               a row has no value where one must be
    ├── CheckpointError (ValueError)        a checkpoint is damaged, foreign, or of another job
    │   ├── NumericsError                   it was written under other numerics (versions, BLAS, threads)
    │   └── DiskError                       the disk refuses: no space, read-only, an input/output error
    ├── DivergenceError (ArithmeticError)   a loss or a weight is no longer finite
    └── LockedError (BlockingIOError)       another process writes to this run directory

A message is one line: what, where, found, expected, and the way out. The ``exit_code`` of a class is one of
:data:`EXIT_CODES`.
"""

from typing import Final

__all__ = [
    "EXIT_CODES",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DiskError",
    "DivergenceError",
    "LockedError",
    "MissingValueError",
    "NumericsError",
    "StreamBPError",
    "exit_code",
]

EXIT_CODES: Final = {
    1: "data or source",
    2: "usage or configuration",
    3: "checkpoint",
    4: "divergence",
    5: "run directory locked",
    6: "the disk refuses",
}
"""The exit codes of the command line after an error, with the meaning of each."""


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command line after an error. It is 1 for an error that has none: a source's."""
    return int(getattr(error, "exit_code", 1))


class StreamBPError(Exception):
    """Base of every error that stream-bp raises itself."""

    exit_code = 1


class ConfigError(StreamBPError, ValueError):
    """A setting is wrong, or two settings contradict each other."""

    exit_code = 2


class DataError(StreamBPError, ValueError):
    """The rows cannot be learned from."""

    exit_code = 1


class MissingValueError(DataError):
    """A row has no value where the settings require one.

    Parameters
    ----------
    row
        Which of the rows that were looked at.
    column
        The column's name.
    place
        Where the row is, if that is known.
    """

    def __init__(self, row: int, column: str, place: str = "") -> None:
        super().__init__(
            f"{place}row {row}: column {column!r} has no value (null, empty, NaN, infinite or beyond ±1e100); mend it, "
            "or choose another way with --missing"
        )
        self.row, self.column = row, column


class CheckpointError(StreamBPError, ValueError):
    """A checkpoint is damaged, foreign, of an unknown version, or of another job."""

    exit_code = 3


class NumericsError(CheckpointError):
    """A checkpoint was written under other numerics. Resuming it would not give the same bits."""


class DiskError(CheckpointError):
    """The disk refuses to read or write a run directory. What it acknowledged before is safe."""

    exit_code = 6


class DivergenceError(StreamBPError, ArithmeticError):
    """A loss or a weight is no longer a finite number."""

    exit_code = 4


class LockedError(StreamBPError, BlockingIOError):
    """Another process writes to this run directory."""

    exit_code = 5
