"""Write ``stream_bp/docs/commands.md`` from the command line itself: ``make docs`` does."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

import stream_bp
from stream_bp.cli import options as cli_options
from stream_bp.cli.app import _WITH_SETTINGS, app
from stream_bp.config.fields import choices_of
from stream_bp.config.job import JobConfig

__all__ = ["PATH", "reference"]

PATH = Path(stream_bp.__file__).parent / "docs" / "commands.md"

_PREFACE = """# Every command and every flag

Written by `make docs` from the command line itself; `stream-bp COMMAND --help` says the same. In a TOML file that is
given with `--config` every flag of `train` is a key, with `-` or `_`. The default *none* says that nothing is set; with
`predict --follow` it is then as `train` has it.
"""
_TYPES = {"str": "text", "int": "whole number", "float": "number", "bool": "switch"}
_DEFAULT = re.compile(r"\s*\[default: ([^\]]*)\]")


def reference() -> str:
    """Return the page: the command line as a whole, then command after command in the order of its help."""
    group: Any = typer.main.get_command(app)
    lines = [_PREFACE, "## stream-bp", "", group.help, "", *_table("flag", group.params)]
    for name, listed in group.commands.items():
        # The flags of those with a job's settings are made when they are called.
        command = cli_options.command(_WITH_SETTINGS[name]) if name in _WITH_SETTINGS else listed
        options = [param for param in command.params if param.opts[0].startswith("-")]
        arguments = [param for param in command.params if param not in options]
        lines += ["", f"## {name}", "", command.help, "", f"    {_usage(name, arguments)}", ""]
        lines += [*_table("argument", arguments), "", *_table("flag", options)]
    return "\n".join(lines) + "\n"


def _usage(name: str, arguments: Sequence[Any]) -> str:
    words = [f"{param.metavar}{'…' if param.nargs < 0 else ''}" for param in arguments]
    shown = [word if param.required else f"[{word}]" for word, param in zip(words, arguments, strict=True)]
    return " ".join(["stream-bp", name, *shown, "[FLAG…]"])


def _table(role: str, params: Sequence[Any]) -> Iterator[str]:
    yield f"| {role} | type | default | |"
    yield "|---|---|---|---|"
    for param in params:
        choices, (text, default) = _choices(param), _text_and_default(param)
        if choices:
            text = text.removesuffix(f": {', '.join(choices)}")
        cells = (_name(param), " · ".join(choices) or _type(param), default, text)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _name(param: Any) -> str:
    names = [param.metavar] if param.metavar else [*param.opts, *param.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _type(param: Any) -> str:
    annotation = param.type_descriptor.annotation
    if annotation == list[str]:
        return "text, several" if param.nargs < 0 else "text, repeatable"
    return _TYPES[annotation.__name__]


def _choices(param: Any) -> list[str]:
    """Return the words that a setting of a job may be, where its help ends with them."""
    field = JobConfig.model_fields.get(param.name)
    words = choices_of(field) if field is not None else []
    return words if words and param.help.partition(" [default")[0].endswith(f": {', '.join(words)}") else []


def _text_and_default(param: Any) -> tuple[str, str]:
    """Return the help without the default that it tells, and that default."""
    told = _DEFAULT.search(param.help)
    if told is not None:
        return _DEFAULT.sub("", param.help), told[1]
    if param.required:
        return param.help, "required"
    return param.help, "no" if param.default is False else "none"


if __name__ == "__main__":
    PATH.write_text(reference())
