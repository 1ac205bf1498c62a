"""How the commands run a job that learns, and print its summary."""

from typing import Any

from rich.console import Console

from stream_bp.cli.output import write, write_json
from stream_bp.cli.sources import open_for_job
from stream_bp.config.job import JobConfig
from stream_bp.config.monitoring import Watching
from stream_bp.job.job import Job
from stream_bp.job.signals import exit_code
from stream_bp.job.summary import Summary
from stream_bp.monitoring.formatting import describe_change, describe_quality, show, table
from stream_bp.monitoring.observers import observing
from stream_bp.nn import reproducibility

__all__ = ["learn"]


def learn(config: JobConfig, watched: Watching, *, as_json: bool, **how: Any) -> int:
    """Run a job and print its summary.

    Parameters
    ----------
    config
        The settings of the job.
    watched
        The settings of the process.
    as_json
        Whether the summary is one JSON object.
    **how
        More arguments of :class:`~stream_bp.job.job.Job`.

    Returns
    -------
    int
        The exit code.
    """
    with observing(watched, Console(stderr=True)) as observer:
        summary = Job(open_for_job(config, observer), config, observer=observer, **how).run()
    if as_json:
        write_json(summary.to_json())
    else:
        _print(summary)
    return exit_code(summary.stop_reason)


def _print(summary: Summary) -> None:
    write(
        f"{summary.rows:,} rows in {summary.minibatches:,} minibatches, {summary.stop_reason.replace('_', ' ')}; "
        f"{summary.rows_per_second:,.0f} rows/s, {summary.seconds:.1f} s, {summary.peak_rss_bytes / 2**20:,.0f} MiB"
    )
    Console(emoji=False).print(table(summary.to_json()))
    for line in describe_quality(summary.quality):
        write(line)
    for layer, sizes in enumerate(summary.layers, start=1):
        figures = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in sizes.items())
        write(f"layer {layer}: {figures}")
    write(f"computed by {reproducibility.describe(summary.numerics)}")
    if summary.weights_sha256 is not None:
        write(f"weights sha256 {summary.weights_sha256}")
    for change in summary.numerics_changes:
        write(describe_change(change))
    if summary.checkpoint is not None:
        write(f"checkpoint {summary.checkpoint}")
