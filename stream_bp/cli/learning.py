"""How the commands run a job that learns, and print its summary."""

import shlex
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


def learn(config: JobConfig, watched: Watching, how: dict[str, Any], *, as_json: bool, is_verbose: bool) -> int:
    """Run a job and print its summary.

    Parameters
    ----------
    config
        The settings of the job.
    watched
        The settings of the process.
    how
        More arguments of :class:`~stream_bp.job.job.Job`.
    as_json
        Whether the summary is one JSON object.
    is_verbose
        Whether it has internals: gradient sizes, numerics, digests. As JSON it always has.

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
        _print(summary, config, is_verbose=is_verbose)
    return exit_code(summary.stop_reason)


def _print(summary: Summary, config: JobConfig, *, is_verbose: bool) -> None:
    write(
        f"{summary.rows:,} rows in {summary.minibatches:,} minibatches, {summary.stop_reason.replace('_', ' ')}; "
        f"{summary.rows_per_second:,.0f} rows/s, {summary.seconds:.1f} s, {summary.peak_rss_bytes / 2**20:,.0f} MiB"
    )
    Console(emoji=False).print(table(summary.to_json()))
    for line in describe_quality(summary.quality):
        write(line)
    for change in summary.numerics_changes:
        write(describe_change(change))
    if is_verbose:
        _print_internals(summary)
    for line in _next_steps(summary, config):
        write(line)


def _print_internals(summary: Summary) -> None:
    for layer, sizes in enumerate(summary.layers, start=1):
        figures = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in sizes.items())
        write(f"layer {layer}: {figures}")
    write(f"computed by {reproducibility.describe(summary.numerics)}")
    if summary.weights_sha256 is not None:
        write(f"weights sha256 {summary.weights_sha256}")
    if summary.checkpoint is not None:
        write(f"checkpoint {summary.checkpoint}")


def _next_steps(summary: Summary, config: JobConfig) -> list[str]:
    """Return the commands that may come next: resume a job that was stopped, else look at it and predict."""
    if config.run_dir is None:
        return ["not saved; add --run-dir DIR to save checkpoints and history"]
    run_dir = shlex.quote(config.run_dir)
    if exit_code(summary.stop_reason):  # a signal
        return [f"next: stream-bp resume {run_dir}", f"      stream-bp report {run_dir}"]
    steps = [
        f"next: stream-bp report {run_dir}",
        f"      stream-bp predict {run_dir} SOURCE --output predictions.parquet",
    ]
    if summary.stop_reason in {"max_rows", "max_minibatches"}:
        # `resume` has the same limit, so it would learn nothing.
        limit = summary.stop_reason.replace("_", "-")
        steps.append(f"      the same command with a larger --{limit}, to learn more rows")
    return steps
