"""The journals of a run: what its metrics were, what it could not read, what changed in its source."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from stream_bp.persistence.filesystem import FileSystem
from stream_bp.persistence.journal import AppendLog, Mark
from stream_bp.persistence.run_directory import RUN_FILES, RunDirectory, former_column

__all__ = ["RunLogs", "open_run_logs"]


class RunLogs:
    """The journals of a run, by name: a checkpoint vouches for all of them.

    Parameters
    ----------
    journals
        A context manager closes them.
    """

    def __init__(self, **journals: AppendLog) -> None:
        self._journals = journals

    def __getitem__(self, name: str) -> AppendLog:
        return self._journals[name]

    def mark(self) -> dict[str, Mark]:
        """Tell how far each reaches."""
        return {name: journal.mark() for name, journal in self._journals.items()}

    def sync(self, marks: Mapping[str, Any] | None = None) -> None:
        """Make the rows up to some marks durable; all, if none are given."""
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
    """Go on with the journals that a checkpoint vouches for, or begin them.

    Parameters
    ----------
    directory
        Where they are.
    columns
        Those of the history.
    state
        Of the checkpoint that the job goes on from; ``None`` if it begins.
    disk
        The way to them.

    Raises
    ------
    CheckpointError
        If one is not as the checkpoint left it.
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
