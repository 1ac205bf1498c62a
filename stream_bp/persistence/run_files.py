"""The files that a job writes besides its checkpoints: names, columns and their meanings, now and formerly."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RUN_FILES", "RunFile", "current_column", "former_column"]


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run directory that grows with a job.

    Parameters
    ----------
    file
        Its name.
    text
        Its content, in one line.
    meanings
        The columns of its header, in order, with the meaning of each. ``None`` if the job decides them.
    has_mark
        Whether checkpoints cover it: each checkpoint holds its extent.
    is_optional
        Whether the file does not exist before its first row.
    former_file, former_columns
        Its name and columns in release 0.2.0, where these differ. A run directory of that release keeps both.
    """

    file: str
    text: str
    meanings: Mapping[str, str] | None
    has_mark: bool = True
    is_optional: bool = True
    former_file: str | None = None
    former_columns: tuple[str, ...] | None = None

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns of its header; ``None`` if the job decides them."""
        return None if self.meanings is None else tuple(self.meanings)


RUN_FILES = {
    "history": RunFile(
        "history.csv",
        "The metrics over time. A model that cannot be resumed has this file only.",
        None,
        is_optional=False,
    ),
    "quarantine": RunFile(
        "quarantine.csv",
        "Rows that could not be read, with `--on-bad-row quarantine`.",
        {
            "row": "The next row of the stream, from 0.",
            "source": "The file.",
            "offset": "Where the row begins: a byte of text, or a row of Parquet.",
            "kind": "The kind of error: `fields`, `type`, `quotes`, `nul`, `encoding`, `long`, `damage` or `late`.",
            "reason": "The error, in one line.",
            "content": r"The bytes. A backslash is doubled; other bytes are written as `\xNN`.",
        },
    ),
    "events": RunFile(
        "events.csv",
        "Changes of columns, and drift.",
        {
            "row": "The first row after the change. For a drift: the rows learned when it was found.",
            "event": "What happened.",
            "source": "The file. Empty for a drift.",
            "subject": "The column that changed, the feature that drifted, or `error`.",
            "before": "The mean error before, or the order of the columns before. Else empty.",
            "after": "The mean error now, the PSI of the feature, or the new order of the columns. Else empty.",
        },
        former_columns=("row", "event", "source", "detail"),
    ),
    "psi": RunFile(
        "feature_drift.csv",
        "How far the distribution of each feature moved: at most 20 features a window, those from 0.1 on.",
        {
            "row": "Rows learned at the end of the window.",
            "feature": "Name of the feature.",
            "psi": "Population stability index. From 0.25 on the feature has drifted.",
        },
        former_file="drift.csv",
    ),
    "decisions": RunFile(
        "decisions.csv",
        "What a job with `--follow` decided. A resumed job decides the same.",
        {
            "row": "Rows of the stream before the decision.",
            "question": "What was decided, for example which file comes next.",
            "answer": "The decision.",
        },
        has_mark=False,
    ),
    "timeline": RunFile(
        "timeline.csv",
        "What happened when, by the clock. It is not synced, and no checkpoint depends on it.",
        {
            "time": "Time in UTC (ISO 8601, with milliseconds).",
            "event": "`start` or `end` of a process, or `sample`.",
            "rows": "Rows learned so far, over all processes of the job.",
            "minibatches": "Minibatches learned so far, over all processes of the job.",
            "checkpoints": "Checkpoints saved by this process.",
            "checkpoint_seconds": "How long the last checkpoint took.",
            "checkpoint_bytes": "Size of the last checkpoint.",
            "rss_bytes": "Memory of this process.",
            "lag_bytes": "Bytes in the source that are not learned yet.",
            "detail": "At a start: the version, and the checkpoint it resumed from. At an end: the reason.",
        },
        has_mark=False,
    ),
}
"""The files that a job writes beside its checkpoints, by their names in the code.

The columns of ``history`` are in :data:`stream_bp.job.history.COLUMNS`; the lines of ``decisions`` are in
:data:`stream_bp.persistence.decision_log.KINDS`.
"""

_FORMER = {
    "completed_epochs": "epoch",
    "clipped_values": "clipped",
    "rows_without_target": "without_target",
}
_FORMER_PREFIXES = {
    "rolling_": "windowed_",
    "no_change_": "last_label_",
    "prior_": "majority_class_",
}
_FORMER_OF_VALUES = {**_FORMER_PREFIXES, "no_change_": "last_value_"}


def former_column(name: str, *, of_values: bool = False) -> str:
    """Return the name of a history column in release 0.2.0.

    Parameters
    ----------
    name
        Its present name.
    of_values
        Whether the job is a regression.

    Examples
    --------
    >>> former_column("rolling_accuracy"), former_column("no_change_mae", of_values=True), former_column("rows")
    ('windowed_accuracy', 'last_value_mae', 'rows')
    """
    if name in _FORMER:
        return _FORMER[name]
    for prefix, former in (_FORMER_OF_VALUES if of_values else _FORMER_PREFIXES).items():
        if name.startswith(prefix):
            return former + name.removeprefix(prefix)
    return name


def current_column(name: str) -> str:
    """Return the present name of a history column of any release.

    Examples
    --------
    >>> current_column("last_value_mae"), current_column("epoch"), current_column("rolling_mae")
    ('no_change_mae', 'completed_epochs', 'rolling_mae')
    """
    for current, former in _FORMER.items():
        if name == former:
            return current
    for table in (_FORMER_PREFIXES, _FORMER_OF_VALUES):
        for prefix, former in table.items():
            if name.startswith(former):
                return prefix + name.removeprefix(former)
    return name
