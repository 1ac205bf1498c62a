"""The log files of a run that checkpoints cover: metrics, bad rows, events, drift."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.journal import AppendLog, Mark
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.persistence.run_files import RUN_FILES, former_column

__all__ = ["RunLogs", "open_run_logs"]


class RunLogs:
    """The log files of a run, by name. A checkpoint covers all of them.

    Parameters
    ----------
    journals
        The log files. Leaving the context closes them.
    """

    def __init__(self, **journals: AppendLog) -> None:
        self._journals = journals

    def __getitem__(self, name: str) -> AppendLog:
        return self._journals[name]

    def mark(self) -> dict[str, Mark]:
        """Return the extent of each."""
        return {name: journal.mark() for name, journal in self._journals.items()}

    def sync(self, marks: Mapping[str, Any] | None = None) -> None:
        """Make the rows up to some marks durable; by default, all rows."""
        for name, journal in self._journals.items():
            journal.sync(None if marks is None else marks[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for journal in self._journals.values():
                stack.enter_context(journal)


def open_run_logs(
    directory: RunDirectory, columns: Sequence[str], state: Mapping[str, Any] | None, disk: FileSystem
) -> RunLogs:
    """Open the log files at the marks of a checkpoint, or create them.

    Parameters
    ----------
    directory
        The run directory.
    columns
        The columns of the history.
    state
        The state in the checkpoint that the job resumes from; ``None`` for a new job.
    disk
        Reads and writes the files.

    Raises
    ------
    CheckpointError
        If a log file has changed since the checkpoint.
    """
    journals = {}
    for name, known in RUN_FILES.items():
        if not known.has_mark:
            continue
        mark = None if state is None else state.get(name)
        names = known.columns or columns
        former = known.former_columns or [former_column(name, of_values="mae" in names) for name in names]
        open_journal = AppendLog.fresh if mark is None else partial(AppendLog.resume, mark=mark, former=former)
        journals[name] = open_journal(directory.file(name), names, disk=disk, is_optional=known.is_optional)
    return RunLogs(**journals)
