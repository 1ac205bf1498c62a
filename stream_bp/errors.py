"""Errors that stream-bp raises. Errors of a source are in :mod:`connectors.errors`.

The tree::

    StreamBPError
    ├── ConfigError (ValueError)            a setting is wrong, or two contradict each other
    ├── DataError (ValueError)              the rows cannot be learned from
    │   └── MissingValueError               a required value is missing
    ├── CheckpointError (ValueError)        a checkpoint is damaged, unknown, or of another job
    │   ├── NumericsError                   it was written under other numerics (versions, BLAS, threads)
    │   └── DiskError                       the disk failed: no space, read-only, an input/output error
    ├── DivergenceError (ArithmeticError)   training diverged: a loss or a weight is not finite
    └── LockedError (BlockingIOError)       another process writes to this run directory

A message is one line: what, where, found, expected, and what to do. The ``exit_code`` of a class is one of
:data:`EXIT_CODES`.
"""

from typing import Final, Self

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
"""Exit codes of the command line after an error, with their meanings."""


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command line for an error. It is 1 for errors without one, as those of a source."""
    return int(getattr(error, "exit_code", 1))


class StreamBPError(Exception):
    """The base of all errors that stream-bp raises."""

    exit_code = 1


class ConfigError(StreamBPError, ValueError):
    """A setting is wrong, or two settings contradict each other."""

    exit_code = 2


class DataError(StreamBPError, ValueError):
    """The rows cannot be learned from."""

    exit_code = 1


class MissingValueError(DataError):
    """A row has no value in a column where the settings require one.

    Parameters
    ----------
    row
        Which row, counted from 0: in its block, or in the run.
    column
        Name of the column.
    place
        Start of the message: the position in the source, if it is known.
    """

    def __init__(self, row: int, column: str, place: str = "") -> None:
        super().__init__(
            f"{place}row {row}: column {column!r} has no value (null, empty, NaN, infinite or beyond ±1e100); "
            "fix the row, or choose another policy with --missing"
        )
        self.row, self.column = row, column


class CheckpointError(StreamBPError, ValueError):
    """A checkpoint is damaged, has an unknown version, or belongs to another job."""

    exit_code = 3


class NumericsError(CheckpointError):
    """A checkpoint was written under other numerics, so a resumed job would not give the same bits."""


class DiskError(CheckpointError):
    """The disk failed to read or write a run directory. Data that was saved before is safe."""

    exit_code = 6


class DivergenceError(StreamBPError, ArithmeticError):
    """Training diverged: a loss or a weight is no longer a finite number."""

    exit_code = 4

    @classmethod
    def of(cls, found: str) -> Self:
        """Return the error for a number that is not finite.

        Parameters
        ----------
        found
            What is not finite, and where.

        Examples
        --------
        >>> print(DivergenceError.of("the loss is not finite at step 4, row 9"))
        training diverged: the loss is not finite at step 4, row 9; lower learning_rate, or set clip_norm
        """
        return cls(f"training diverged: {found}; lower learning_rate, or set clip_norm")


class LockedError(StreamBPError, BlockingIOError):
    """Another process writes to this run directory."""

    exit_code = 5
