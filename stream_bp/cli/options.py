"""The flags that come from settings: one for each field of :class:`JobConfig` and of :class:`Watching`."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from stream_bp.config.fields import Settings, choices_of
from stream_bp.config.job import IDENTITY, SINGLE_ROWS, JobConfig
from stream_bp.config.monitoring import Watching

__all__ = ["command"]

_WATCHING = list(Watching.model_fields)
_NAMES = {
    "train": [*(name for name in JobConfig.model_fields if name != "source"), *_WATCHING],
    "compare": [
        *(name for name in IDENTITY if name not in {"target", "drift_detector", "on_drift"}),
        *("on_bad_row", "max_bad_rows", "max_rows", "quiet", "log_format"),
    ],
    "resume": _WATCHING,
    "predict": _WATCHING,
}
"""The fields that each command takes."""

_DEFAULTS: dict[str, dict[str, Any]] = {"compare": {"batch_size": 1, **SINGLE_ROWS}}
"""The defaults of a command where they are not those of the field."""


def command(function: Callable[..., None]) -> Any:
    """Make a command of a function.

    Parameters
    ----------
    function
        Its keyword arguments become flags, as Typer makes them. Its ``**settings`` become the flags of the job's
        settings, after those without a default of their own. It gets only the settings that were given.

    Returns
    -------
    Any
        Typer's command.
    """
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names, defaults = _NAMES[function.__name__], _DEFAULTS.get(function.__name__, {})
    settings = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=_flag(name, defaults.get(name)), default=None
        )
        for name in names
    ]

    @wraps(function)
    def called(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in names}
        function(**arguments, **{name: value for name, value in given.items() if value not in (None, [])})

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own]
    first = [p for p in parameters if p.default is None]
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*first, *settings, *(p for p in parameters if p.default is not None)]
    )
    called.__annotations__ = {p.name: p.annotation for p in [*parameters, *settings]}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(function.__name__)(called)
    return typer.main.get_command(app)


def _flag(name: str, default: object) -> Any:
    return Annotated[_type(name), typer.Option(help=_help(name, default), show_default=False)]


def _fields(name: str) -> type[Settings]:
    """Return the class that has a field for a flag."""
    return Watching if name in Watching.model_fields else JobConfig


def _type(name: str) -> Any:
    """Return the type of a flag: a number, a list of columns, or text."""
    annotation = _fields(name).model_fields[name].annotation
    if name in {"target", "features", "ignore", "categorical", "numeric", "passthrough_columns", "null_values"}:
        return list[str] | None
    for kind in (bool, int, float):
        if annotation is kind or kind in get_args(annotation):
            return kind | None
    return str | None


def _help(name: str, default: object) -> str:
    field = _fields(name).model_fields[name]
    text = str(field.description)
    if (choices := choices_of(field)) and type(None) not in get_args(field.annotation):
        text += f": {', '.join(choices)}"
    if default is not None:  # the command's own default, not the job's
        text = re.sub(r" \[default: [^]]*\]", "", text)
    default = field.default if default is None else default
    if field.is_required() or default in (None, ()) or "[default" in text:
        return text
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    shown = ("yes" if shown else "no") if isinstance(shown, bool) else shown
    return f"{text} [default: {shown}]"
