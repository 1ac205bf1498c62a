"""Every error that stream-bp raises itself; a source's own errors are in :mod:`connectors.errors`.

The tree, with the exit code of the command line::

    StreamBPError
    ├── ConfigError (ValueError)            2   a setting is wrong, or two contradict each other
    ├── DataError (ValueError)              1   the rows cannot be learned from
    │   └── MissingValueError               1   a row has no value where one must be
    ├── CheckpointError (ValueError)        3   a checkpoint is damaged, foreign, or of another job
    │   ├── NumericsError                   3   it was written under other numerics (versions, BLAS, threads)
    │   └── DiskError                       6   the disk refuses: no space, read-only, an input/output error
    ├── DivergenceError (ArithmeticError)   4   a loss or a weight is no longer finite
    └── LockedError (BlockingIOError)       5   another process writes to this run directory

A message is one line: what, where, found, expected, and the way out.
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DiskError",
    "DivergenceError",
    "LockedError",
    "MissingValueError",
    "NumericsError",
    "StreamBPError",
]


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
    """A row has no value in a column where the settings say that it must have one.

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
    """A checkpoint was written under other numerics: resuming would not give the same bits."""


class DiskError(CheckpointError):
    """The disk refuses to read or write a run directory; what it acknowledged before stands."""

    exit_code = 6


class DivergenceError(StreamBPError, ArithmeticError):
    """A loss or a weight is no longer a finite number."""

    exit_code = 4


class LockedError(StreamBPError, BlockingIOError):
    """Another process writes to this run directory."""

    exit_code = 5
