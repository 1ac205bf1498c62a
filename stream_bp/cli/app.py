"""The command line: parses, calls, maps errors to exit codes; no logic.

Results go to standard output, progress to standard error, an error is one line. The exit codes are listed by
:func:`stream_bp.cli.exit_codes.exit_codes`.
"""

import importlib
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import stream_bp
from connectors.errors import ConnectorError
from stream_bp.cli.environment import prepare_libraries
from stream_bp.cli.flags import AsJson, Checkpoint, InexactResume, MaybeSources, Restart, Sources, Verbose
from stream_bp.cli.help import CONTEXT, Command, UsageError, describe_usage_error
from stream_bp.comparison import river_models
from stream_bp.config.renamed import current_name
from stream_bp.errors import StreamBPError, exit_code

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """The commands. The flags of those that take settings are made when one is called, not to list them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in _WITH_SETTINGS:
            from stream_bp.cli import options  # noqa: PLC0415

            command = options.command(_WITH_SETTINGS[name])
        return name, command, rest


app = typer.Typer(
    cls=_Commands,
    help="Learn a neural network from a stream of rows, one minibatch at a time. Score every row before learning it. "
    "Resume with bit-identical results.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # Former names of flags keep working, and no help text lists them.
    context_settings={**CONTEXT, "token_normalize_func": current_name},
)

_MODELS = ", ".join(dict.fromkeys([*river_models.names("classification"), *river_models.names("regression")]))


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback for an error")] = False,
    keep_blas_kernel: Annotated[
        bool,
        typer.Option("--keep-blas-kernel", help="Let OpenBLAS choose its kernels, even if it does not know the CPU"),
    ] = False,
) -> None:
    prepare_libraries(keeps_kernel=keep_blas_kernel)
    if version:
        typer.echo(f"stream-bp {stream_bp.__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def _run(command: str, *arguments: Any, **named: Any) -> NoReturn:
    """Import a command, and NumPy and Arrow with it, now that it is called: a help text needs neither."""
    module = importlib.import_module(f"stream_bp.cli.commands.{command}")
    raise typer.Exit(module.run(*arguments, **named))


def train(
    sources: MaybeSources = None,
    *,
    config: Annotated[
        str | None,
        typer.Option(help="Read settings from this TOML file; flags win", rich_help_panel="Data", show_default=False),
    ] = None,
    restart: Restart = False,
    allow_inexact_resume: InexactResume = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings as TOML and exit", rich_help_panel="Output")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print columns, types and layers; learn nothing", rich_help_panel="Output"),
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    **settings: Any,
) -> None:
    """Learn from a stream of rows; resume if the run directory holds this job."""
    how = {"restart": restart, "allow_inexact_resume": allow_inexact_resume}
    shows = {"prints_config": print_config, "is_dry_run": dry_run, "as_json": as_json, "is_verbose": verbose}
    _run("train", sources or [], config, settings, how, **shows)


def compare(
    sources: MaybeSources = None,
    models: Annotated[
        str | None,
        typer.Option(
            help=f"Compare these, with commas: {_MODELS} [default: all that fit the task]", rich_help_panel="Model"
        ),
    ] = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Compare models on the same stream, one after the other."""
    names = [name.strip() for name in (models or "").split(",") if name.strip()]
    _run("compare", sources or [], names, settings, as_json=as_json)


def resume(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Resume the job in this run directory")],
    allow_inexact_resume: InexactResume = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    **watching: Any,
) -> None:
    """Resume the job in a run directory, with its own settings."""
    how = {"restart": False, "allow_inexact_resume": allow_inexact_resume}
    _run("resume", run_dir, watching, how, as_json=as_json, is_verbose=verbose)


def predict(
    model: Checkpoint,
    sources: Sources,
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Write this file: .parquet, .csv or .csv.gz; with --follow a folder",
            rich_help_panel="Output",
        ),
    ],
    restart: Restart = False,
    allow_inexact_resume: InexactResume = False,
    **settings: Any,
) -> None:
    """Predict every row of a source: the class and the probability of each, or the number."""
    how = {"restart": restart, "allow_inexact_resume": allow_inexact_resume}
    _run("predict_follow" if settings.pop("follow", False) else "predict", model, sources, output, settings, how)


def evaluate(model: Checkpoint, sources: Sources, as_json: AsJson = False, **reading: Any) -> None:
    """Score a checkpoint on every row of a source; learn nothing."""
    _run("evaluate", model, sources, reading, as_json=as_json)


_WITH_SETTINGS: dict[str, Callable[..., None]] = {
    "train": train,
    "compare": compare,
    "resume": resume,
    "predict": predict,
    "evaluate": evaluate,
}
for _name, _function in _WITH_SETTINGS.items():
    app.command(_name, help=_function.__doc__)(lambda: None)


@app.command(cls=Command)
def inspect(model: Checkpoint, as_json: AsJson = False) -> None:
    """Show what a checkpoint holds."""
    _run("inspect", model, as_json=as_json)


@app.command(cls=Command)
def report(
    run_dirs: Annotated[
        list[str], typer.Argument(metavar="RUN_DIR...", help="Show this run directory; several are compared")
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Write this file [default: report.html]",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Serve the page on 127.0.0.1, and update it while a job runs", rich_help_panel="Output"
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve it on this port [default: a free one]", rich_help_panel="Output"),
    ] = None,
) -> None:
    """Create an HTML report of one or more runs: scores, gradients, drift, throughput."""
    _run("report", run_dirs, output, serves=serve, port=port)


def main() -> None:
    """Run the command line; every error that is ours becomes one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # data may contain any script
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False, prog_name="stream-bp") or 0)
    except UsageError as error:
        _fail(describe_usage_error(error), 2)
    except (StreamBPError, ConnectorError) as error:
        if "--debug" in sys.argv:
            raise
        if getattr(error, "is_told", False):
            sys.exit(exit_code(error))
        _fail(str(error), exit_code(error))
    except MemoryError as error:
        _fail(f"not enough memory: {error}", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(line: str, code: int) -> NoReturn:
    print(f"stream-bp: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
