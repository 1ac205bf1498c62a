"""What a job would do, found out without learning a row and without writing a file."""

from dataclasses import asdict, dataclass
from typing import Any

from connectors import Source
from stream_bp.config.job import JobConfig
from stream_bp.job.resume import ResumePlan, find_checkpoint
from stream_bp.nn.reproducibility import single_thread
from stream_bp.persistence.checkpoints import Checkpointer
from stream_bp.persistence.run_directory import RunDirectory
from stream_bp.planning.doubts import doubts

__all__ = ["Preview", "preview"]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would learn from, and with.

    Attributes
    ----------
    task
        ``classification`` or ``regression``.
    columns
        One entry for each column of the source: its ``name``, ``role`` (``feature``, ``target`` or ``ignored``),
        ``type`` in the source, ``kind`` (how it is read) and number of ``inputs`` at first.
    doubts
        Lines about columns whose type may not be the intended one.
    model
        The layers, as ``layers 9-64-?``. Classes and categories add units as they appear.
    backend
        ``numpy`` or ``compiled``.
    resumes_from
        The checkpoint that the job would resume from; ``None`` if it would start.
    rows
        Rows that the job has learned by then.
    """

    task: str
    columns: list[dict[str, Any]]
    doubts: list[str]
    model: str
    backend: str
    resumes_from: str | None
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        return asdict(self)


def preview(source: Source, config: JobConfig, *, restart: bool = False, allow_inexact_resume: bool = False) -> Preview:
    """Find out what :meth:`Job.run <stream_bp.job.job.Job.run>` would do.

    Parameters
    ----------
    source
        Where rows come from. Its first rows are read.
    config
        The settings of the job.
    restart, allow_inexact_resume
        As for :class:`~stream_bp.job.job.Job`.

    Raises
    ------
    ConfigError, DataError, ConnectorError, CheckpointError
        As the job itself would raise before its first row.
    """
    checkpoint = None
    if config.run_dir is not None and not restart:
        directory = RunDirectory(config.run_dir)
        if directory.path.is_dir():
            checkpoint = find_checkpoint(directory, Checkpointer(directory.checkpoints), is_resumable=True)
    with single_thread():
        plan = ResumePlan(source, config, checkpoint=checkpoint)
        state = plan.state(may_differ=allow_inexact_resume)
    encoder = state.model.encoder
    roles = {column.name: ("feature", column) for column in encoder.features}
    roles |= {column.name: ("target", column) for column in encoder.targets}
    columns = []
    for field in source.schema:
        role, column = roles.get(field.name, ("ignored", None))
        n_inputs = len(column.inputs) if role == "feature" and column is not None else 0
        kind = "" if column is None else "category" if column.kind == "string" else column.kind
        columns.append({"name": field.name, "role": role, "type": str(field.type), "kind": kind, "inputs": n_inputs})
    return Preview(
        encoder.task,
        columns,
        [] if checkpoint is not None else doubts(source, config, encoder),
        state.model.description,
        plan.config.backend,
        None if checkpoint is None else str(checkpoint.path),
        state.rows,
    )
