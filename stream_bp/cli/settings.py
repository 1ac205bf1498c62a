"""The settings that a command is given, before they become a job's."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stream_bp.config.monitoring import Watching

__all__ = ["absolute", "as_written", "take_watching"]


def as_written(places: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return what spells a setting as the user wrote it.

    Parameters
    ----------
    places
        How settings are written that are not flags: in a file, or under another name.

    Examples
    --------
    >>> spelled = as_written({"epochs": "job.toml, line 3: epochs"})
    >>> spelled("batch_size"), spelled("epochs"), spelled("source")
    ('--batch-size', 'job.toml, line 3: epochs', 'SOURCE')
    """
    known = {"source": "SOURCE", **(places or {})}
    return lambda name: known.get(name) or f"--{name.replace('_', '-')}"


def take_watching(settings: dict[str, Any], spelled: Callable[[str], str]) -> Watching:
    """Take the settings of the process out of those of the job."""
    return Watching.of({name: settings.pop(name) for name in [*settings] if name in Watching.model_fields}, spelled)


def absolute(place: str) -> str:
    """Return a place as it is called from any folder. Links and patterns stay as they are."""
    return place if "://" in place or place == "-" else str(Path.cwd() / place)
