"""``stream-bp train``: learn a stream of rows."""

from typing import Any

from rich.console import Console

from stream_bp.cli.learning import learn
from stream_bp.cli.settings import absolute, take_watching
from stream_bp.config.job import JobConfig, read_toml
from stream_bp.errors import ConfigError
from stream_bp.monitoring.observers import telling_errors

__all__ = ["run"]


def run(
    sources: list[str],
    config: str | None,
    settings: dict[str, Any],
    *,
    restart: bool,
    allow_inexact_resume: bool,
    as_json: bool,
) -> int:
    """Learn the rows of some places, under the settings of a TOML file and those given, which win."""
    settings = {**(read_toml(config) if config is not None else {}), **settings}
    watched = take_watching(settings)
    with telling_errors(watched, Console(stderr=True)):
        if sources:
            settings["source"] = sources
        job_config = JobConfig.of(settings)
        if not job_config.source:
            raise ConfigError("no source: name the files, folders or patterns to learn from")
        # The job may be resumed from another folder.
        places: dict[str, Any] = {"source": tuple(map(absolute, job_config.source))}
        if job_config.predictions_dir is not None:
            places["predictions_dir"] = absolute(job_config.predictions_dir)
        job_config = job_config.model_copy(update=places)
        how: dict[str, Any] = {"restart": restart, "allow_inexact_resume": allow_inexact_resume}
        return learn(job_config, watched, as_json=as_json, **how)
