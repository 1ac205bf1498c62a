"""Settings by their former names, which checkpoints, TOML files and scripts of earlier releases still use."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stream_bp.errors import ConfigError

__all__ = ["RENAMED", "current_name", "with_current_names"]

RENAMED = MappingProxyType(
    {
        "hidden": "hidden_layers",
        "schedule": "lr_schedule",
        "drift": "drift_detector",
        "engine": "backend",
        "keep": "keep_checkpoints",
        "fresh": "restart",
        "flush_after": "linger",
        "ready_within": "readiness_timeout",
        "predictions": "predictions_dir",
        "keep_columns": "passthrough_columns",
        "allow_different_numerics": "allow_inexact_resume",
    }
)
"""The current name of each setting that had another one up to release 0.2.0."""

_RENAMED_VALUES = {"missing": {"impute": "mean-indicator", "skip": "drop-row"}}


def current_name(name: str) -> str:
    """Return the current name of a setting, written with ``-`` or ``_`` as the given one is.

    Examples
    --------
    >>> current_name("keep-columns"), current_name("epochs")
    ('passthrough-columns', 'epochs')
    """
    current = RENAMED.get(name.replace("-", "_"))
    if current is None:
        return name
    return current.replace("_", "-") if "_" not in name else current


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under their current names, and with the current names of choices.

    Parameters
    ----------
    settings
        Values by name, spelled with ``_``.

    Raises
    ------
    ConfigError
        If a setting is given under both of its names.

    Examples
    --------
    >>> with_current_names({"hidden": [8], "missing": "impute"})
    {'hidden_layers': [8], 'missing': 'mean-indicator'}
    """
    current: dict[str, Any] = {}
    for name, value in settings.items():
        to = RENAMED.get(name, name)
        if to != name and to in settings:
            raise ConfigError(f"{name} is the former name of {to}, and both are given; remove {name}")
        words = _RENAMED_VALUES.get(to, {})
        current[to] = words.get(value, value) if isinstance(value, str) else value
    return current
