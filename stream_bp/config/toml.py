"""Settings in a TOML file: read, with the line of each, and written."""

import re
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from stream_bp.config.fields import Settings, section_of
from stream_bp.config.renamed import RENAMED, with_current_names
from stream_bp.config.sections import SECTIONS
from stream_bp.errors import ConfigError

__all__ = ["read_toml", "write_toml"]

_KEY = re.compile(r"""^[ \t]*(["']?)([\w-]+)\1[ \t]*=""", re.MULTILINE)


def read_toml(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read settings from a TOML file.

    Parameters
    ----------
    path
        The file. Its keys are the flags of ``stream-bp train``, with ``-`` or ``_``; former names are accepted.

    Returns
    -------
    settings : dict
        Values by the present names of the settings.
    places : dict
        Where each setting is written, as ``job.toml, line 3: batch-size``.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or has a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    settings = {key.replace("-", "_"): value for key, value in found.items()}
    if len(settings) < len(found):
        raise ConfigError(f"{path}: a key is given twice, once with - and once with _")
    places: dict[str, str] = {}
    for match in _KEY.finditer(text):
        key = match[2]
        line = text.count("\n", 0, match.start()) + 1
        name = key.replace("-", "_")
        places.setdefault(RENAMED.get(name, name), f"{path}, line {line}: {key}")
    return with_current_names(settings), places


def write_toml(*parts: Settings) -> str:
    """Return settings as TOML, section by section; :func:`read_toml` reads them back.

    Parameters
    ----------
    parts
        What to write. A setting without a value is left out: TOML has no word for it.

    Examples
    --------
    >>> from stream_bp.config.monitoring import Watching
    >>> print(write_toml(Watching(quiet=True)).splitlines()[:2])
    ['# Output', 'quiet = true']
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for part in parts:
        for name, value in part.model_dump(mode="json", exclude_none=True).items():
            sections[section_of(type(part).model_fields[name])][name.replace("_", "-")] = value
    written = [f"# {title}\n{tomli_w.dumps(settings)}" for title, settings in sections.items() if settings]
    return "\n".join(written)
