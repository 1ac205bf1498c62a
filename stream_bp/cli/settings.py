"""The settings that a command is given, before they become a job's."""

from pathlib import Path
from typing import Any

from stream_bp.config.monitoring import Watching

__all__ = ["absolute", "take_watching"]


def take_watching(settings: dict[str, Any]) -> Watching:
    """Take the settings of the process out of those of the job."""
    return Watching.of({name: settings.pop(name) for name in [*settings] if name in Watching.model_fields})


def absolute(place: str) -> str:
    """Return a place as it is called from any folder. Links and patterns stay as they are."""
    return place if "://" in place or place == "-" else str(Path.cwd() / place)
