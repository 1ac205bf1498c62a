"""``stream-bp predict --follow``: predict rows as they arrive, into a folder."""

from typing import Any

from rich.console import Console

from stream_bp import inference
from stream_bp.cli import output
from stream_bp.cli.settings import absolute, as_written, take_watching
from stream_bp.cli.sources import open_for_job
from stream_bp.errors import ConfigError
from stream_bp.job.job import Job
from stream_bp.job.signals import exit_code
from stream_bp.monitoring.formatting import describe_bad_rows
from stream_bp.monitoring.observers import observing, telling_errors
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(model: str, sources: list[str], folder: str, settings: dict[str, Any], how: dict[str, Any]) -> int:
    """Predict rows as they arrive, into a folder; resume if the run directory holds this job."""
    spelled = as_written({"predictions_dir": "--output"})
    watched = take_watching(settings, spelled)
    with telling_errors(watched, Console(stderr=True)):
        loaded = checkpoints.load(model)
        if "run_dir" not in settings:
            raise ConfigError("--follow needs --run-dir, a folder for its checkpoints")
        places = {"source": tuple(map(absolute, sources)), "predictions_dir": absolute(folder)}
        config = inference.following(loaded, {**settings, **places}, spelled)
        with observing(watched, Console(stderr=True)) as observer:
            summary = Job(open_for_job(config, observer), config, frozen=loaded, observer=observer, **how).run()
        if not watched.quiet:
            bad_rows = describe_bad_rows(summary.quality["bad_rows"])
            output.remark(f"{summary.rows:,} predictions in {config.predictions_dir}", *bad_rows)
        return exit_code(summary.stop_reason)
