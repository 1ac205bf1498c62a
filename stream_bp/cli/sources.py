"""How the commands open the places that they read."""

from collections.abc import Callable
from typing import Any

from connectors import Follow, Source, open_source, redact
from stream_bp.cli.settings import as_written
from stream_bp.config.job import READING, JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.observer import Observer
from stream_bp.persistence import checkpoints
from stream_bp.persistence.state_schema import saved_config

__all__ = ["open_for_checkpoint", "open_for_job", "reading_of"]


def open_for_job(config: JobConfig, observer: Observer) -> Source:
    """Open the places of a job. A job that follows waits for its first row, and prints that it does."""
    follow = Follow(config.follow_order, config.idle_timeout_s) if config.follow else None
    if "-" in config.source and config.spool is None and config.run_dir is not None:
        observer.on_message(
            "standard input is read once; rows after the last checkpoint are lost if this process ends: --spool DIR "
            "saves them"
        )
    if follow is not None:
        observer.on_message(f"following {', '.join(map(redact, config.source))}")
    return open_source(*config.source, **config.source_settings, follow=follow, on_message=observer.on_message)


def open_for_checkpoint(
    loaded: checkpoints.LoadedCheckpoint,
    sources: list[str],
    reading: dict[str, Any],
    on_message: Callable[[str], object] | None,
) -> Source:
    """Open places to put a checkpoint to use.

    Parameters
    ----------
    loaded
        The checkpoint. The settings of its job determine how text is read.
    sources
        The places.
    reading
        Settings that override those of the checkpoint.
    on_message
        Called with the reason if opening takes a while.

    Returns
    -------
    Source
        The rows; they need no target.

    Raises
    ------
    ConfigError
        If a setting is wrong, or bad rows are to be kept.
    ConnectorError
        If a place cannot be read.
    """
    config = reading_of(loaded, reading)
    if reading.get("on_bad_row") == "quarantine":
        raise ConfigError("--on-bad-row quarantine is for train; choose error or skip")
    return open_source(*sources, **config.source_settings, on_message=on_message)


def reading_of(loaded: checkpoints.LoadedCheckpoint, reading: dict[str, Any]) -> JobConfig:
    """Return how rows are read: as the job of a checkpoint did, unless settings differ.

    Raises
    ------
    ConfigError
        If a setting is wrong.
    """
    saved = saved_config(loaded.snapshot)
    names = ("target", "ignore", "types", *READING, "on_bad_row")
    return JobConfig.of({name: getattr(saved, name) for name in names} | reading, as_written())
