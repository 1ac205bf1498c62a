"""``stream-bp resume``: continue the job in a run directory."""

from pathlib import Path
from typing import Any

from rich.console import Console

from stream_bp.cli.learning import learn
from stream_bp.config.monitoring import Watching
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.monitoring.observers import telling_errors
from stream_bp.persistence import checkpoints
from stream_bp.persistence.state_schema import saved_job

__all__ = ["run"]


def run(run_dir: str, watching: dict[str, Any], *, allow_inexact_resume: bool, as_json: bool) -> int:
    """Continue the job in a run directory, with the settings it was started with."""
    watched = Watching.of(watching)
    with telling_errors(watched, Console(stderr=True)):
        if not Path(run_dir).is_dir():
            raise ConfigError(f"{run_dir} is not a run directory")
        loaded = checkpoints.load(run_dir)
        config = saved_job(loaded.snapshot)
        sources = tuple(loaded.snapshot.state["sources"])
        if not sources:
            raise CheckpointError(
                f"{run_dir} was learned from rows in memory; resume it from Python with the same rows"
            )
        config = config.model_copy(update={"run_dir": run_dir, "source": sources})
        return learn(config, watched, as_json=as_json, restart=False, allow_inexact_resume=allow_inexact_resume)
