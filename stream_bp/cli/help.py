"""Commands of the command line: their help in sections, and one line for a wrong flag."""

from typing import Any

import typer
from typer.core import TyperCommand

from connectors.suggestions import nearest
from stream_bp.config.sections import SECTIONS

__all__ = ["CONTEXT", "Command", "UsageError", "describe_usage_error"]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""Settings of Typer that hold for all commands."""

# Typer does not export the base class of its parser's errors.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises for arguments that it cannot read."""

_FOLLOWING = "With --follow"
_OTHER = "Other"


class Command(TyperCommand):
    """A command whose help lists its flags in the sections of the settings, a line or two each."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and flags, section by section."""
        sections: dict[str, list[Any]] = {name: [] for name in ("Arguments", *SECTIONS, _FOLLOWING, _OTHER)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_argument = param.param_type_name == "argument"
                sections["Arguments" if is_argument else _section(param)].append(_shortened(*record))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _section(param: Any) -> str:
    return getattr(param, "rich_help_panel", None) or _OTHER


def _shortened(names: str, text: str) -> tuple[str, str]:
    """Show ``--no-x`` only for a switch that is on: it is accepted anyway."""
    return (names if "[default: yes]" in text else names.partition(" / ")[0]), text


def describe_usage_error(error: Any) -> str:
    """Return a usage error as one line that says what helps.

    Parameters
    ----------
    error
        A :data:`UsageError`.
    """
    command = error.ctx.command_path if error.ctx is not None else "stream-bp"
    message = error.format_message().rstrip(".").replace(". Did", "; did")
    if (flag := getattr(error, "option_name", None)) is not None and hasattr(error, "possibilities"):
        flags = [name for param in error.ctx.command.get_params(error.ctx) for name in param.opts]
        message = f"no such option: {flag}{nearest(flag, flags)}"
    return f"{message[0].lower()}{message[1:]} (see {command} --help)"
