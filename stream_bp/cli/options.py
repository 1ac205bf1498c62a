"""The flags that are settings: one for each field of :class:`JobConfig` and of :class:`Watching`."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from stream_bp.cli.help import CONTEXT, Command
from stream_bp.config.fields import Settings, choices_of, section_of
from stream_bp.config.job import IDENTITY, SINGLE_ROWS, JobConfig
from stream_bp.config.job import READING as MEANING
from stream_bp.config.monitoring import Watching

__all__ = ["FOLLOWING", "READING", "command"]

READING = ("types", *MEANING, "on_bad_row")
"""How ``predict`` and ``evaluate`` read a source; by default as the checkpoint did."""

FOLLOWING = ("run_dir", "checkpoint_every", "follow_order", "idle_timeout", "linger", "max_bad_rows", "spool")
"""What only ``predict --follow`` takes."""

_WATCHING = tuple(Watching.model_fields)
_AS_LEARNED = "as the checkpoint"
_TIMES = {"idle_timeout", "linger", "readiness_timeout"}
_SHORT = {"quiet": "-q"}
_REPEATED = {
    *("target", "features", "ignore", "categorical", "numeric", "passthrough_columns"),
    *("null_values", "types", "names"),
}


@dataclass(frozen=True)
class _Flags:
    """The settings that a command takes.

    Attributes
    ----------
    names
        Their names.
    defaults
        Defaults that differ from those of the fields; a text is only shown.
    sections
        Sections of the help that differ from those of the fields.
    """

    names: tuple[str, ...]
    defaults: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)


_FLAGS = {
    "train": _Flags((*(name for name in JobConfig.model_fields if name != "source"), *_WATCHING)),
    "compare": _Flags(
        (
            *(name for name in IDENTITY if name not in {"drift_detector", "on_drift"}),
            *("on_bad_row", "max_bad_rows", "max_rows", "quiet", "log_format"),
        ),
        {"batch_size": 1, **SINGLE_ROWS},
    ),
    "resume": _Flags(_WATCHING),
    "predict": _Flags(
        (*READING, "passthrough_columns", "follow", *FOLLOWING, *_WATCHING),
        dict.fromkeys(READING, _AS_LEARNED),
        dict.fromkeys(("follow", *FOLLOWING), "With --follow"),
    ),
    "evaluate": _Flags(READING, dict.fromkeys(READING, _AS_LEARNED)),
}


def command(function: Callable[..., None]) -> Any:
    """Make a command of a function.

    Parameters
    ----------
    function
        Its keyword arguments become flags, as Typer makes them. Its ``**settings`` become the flags of the settings
        that the command takes. It gets only the settings that were given.

    Returns
    -------
    Any
        Typer's command.
    """
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    flags = _FLAGS[function.__name__]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=_flag(name, flags), default=None)
        for name in flags.names
    ]

    @wraps(function)
    def called(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in flags.names}
        function(**arguments, **{name: value for name, value in given.items() if value not in (None, [])})

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own]
    # In a section, settings come before switches such as --restart.
    last = [p for p in parameters if p.default is False]
    first = [p for p in parameters if p.default is not False]
    called.__signature__ = inspect.Signature([*first, *settings, *last])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in [*parameters, *settings]}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(function.__name__, cls=Command, context_settings=CONTEXT)(called)
    return typer.main.get_command(app)


def _flag(name: str, flags: _Flags) -> Any:
    described = _fields(name).model_fields[name]
    kind, choices = _type(name), choices_of(described)
    long = f"--{name.replace('_', '-')}"
    names = [f"{long}/--no-{long[2:]}" if kind == bool | None else long, *([_SHORT[name]] if name in _SHORT else [])]
    option = typer.Option(
        *names,
        metavar=_metavar(name, kind),
        help=_help(name, flags.defaults.get(name)),
        show_default=False,
        rich_help_panel=flags.sections.get(name, section_of(described)),
        autocompletion=(lambda incomplete: [word for word in choices if word.startswith(incomplete)])
        if choices
        else None,
    )
    return Annotated[kind, option]


def _fields(name: str) -> type[Settings]:
    """Return the class that has a field for a flag."""
    return Watching if name in Watching.model_fields else JobConfig


def _type(name: str) -> Any:
    """Return the type of a flag: a number, a list of columns, or text."""
    annotation = _fields(name).model_fields[name].annotation
    if name in _REPEATED:
        return list[str] | None
    for kind in (bool, int, float):
        if annotation is kind or kind in get_args(annotation):
            return kind | None
    return str | None


def _metavar(name: str, kind: Any) -> str | None:
    """Return what stands for the value of a flag in its help; a switch has none."""
    if kind == bool | None:
        return None
    described = _fields(name).model_fields[name]
    if name in _REPEATED:
        return {"null_values": "WORDS", "types": "COLUMN=TYPE", "names": "COLUMNS"}.get(name, "COLUMN")
    if name.endswith("_dir") or name == "spool":
        return "DIR"
    if choices_of(described):
        return "NAME"
    return {int | None: "N", float | None: "X"}.get(kind, "TIME" if name in _TIMES else "TEXT")


def _help(name: str, default: object) -> str:
    described = _fields(name).model_fields[name]
    text, choices = str(described.description), choices_of(described)
    if default is not None:  # the command's own default, not the job's
        text = re.sub(r" \[default: [^]]*\]", "", text)
    is_named = all(re.search(rf"\b{word}\b", text) for word in choices)
    if choices and not is_named:
        text += f": {', '.join(choices)}"
    default = described.default if default is None else default
    if (described.is_required() and default is described.default) or default in (None, ()) or "[default" in text:
        return text
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    if shown is False:
        return text
    shown = "yes" if shown is True else shown
    return f"{text} [default: {shown}]"
