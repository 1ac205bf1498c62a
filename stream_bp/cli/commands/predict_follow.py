"""``stream-bp predict --follow``: predict rows as they arrive, into a folder."""

from typing import Any

from rich.console import Console

from stream_bp import inference
from stream_bp.cli import output
from stream_bp.cli.settings import absolute
from stream_bp.cli.sources import open_for_job
from stream_bp.config.monitoring import Watching
from stream_bp.errors import ConfigError
from stream_bp.job.job import Job
from stream_bp.job.signals import exit_code
from stream_bp.monitoring.formatting import describe_bad_rows
from stream_bp.monitoring.observers import observing, telling_errors
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(
    model: str,
    sources: list[str],
    settings: dict[str, Any],
    watching: dict[str, Any],
    *,
    restart: bool,
    allow_inexact_resume: bool,
) -> int:
    """Predict rows as they arrive, into a folder; resume where the run directory holds this job."""
    watched = Watching.of(watching)
    with telling_errors(watched, Console(stderr=True)):
        loaded = checkpoints.load(model)
        if "run_dir" not in settings:
            raise ConfigError("run_dir: what follows keeps there how far it is; name one with --run-dir")
        places = {"source": tuple(map(absolute, sources)), "predictions_dir": absolute(settings["predictions_dir"])}
        config = inference.following(loaded, {**settings, **places})
        how: dict[str, Any] = {"restart": restart, "allow_inexact_resume": allow_inexact_resume}
        with observing(watched, Console(stderr=True)) as observer:
            summary = Job(open_for_job(config, observer), config, frozen=loaded, observer=observer, **how).run()
        if not watched.quiet:
            bad_rows = describe_bad_rows(summary.quality["bad_rows"])
            output.remark(f"{summary.rows:,} predictions in {config.predictions_dir}", *bad_rows)
        return exit_code(summary.stop_reason)
