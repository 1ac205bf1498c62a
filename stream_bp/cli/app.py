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
from stream_bp.cli.flags import (
    AsJson,
    Checkpoint,
    Decimal,
    Delimiter,
    Encoding,
    MaybeSources,
    NullValues,
    OnBadRow,
    OtherNumerics,
    Quote,
    Restart,
    Sources,
)
from stream_bp.comparison import river_models
from stream_bp.config.renamed import current_name
from stream_bp.errors import StreamBPError, exit_code

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """The commands. The flags of those that take a job's settings are made when one is called, not to list them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in _WITH_SETTINGS:
            from stream_bp.cli import options  # noqa: PLC0415

            command = options.command(_WITH_SETTINGS[name])
        return name, command, rest


app = typer.Typer(
    cls=_Commands,
    help="Learn a neural network from a stream of rows, one minibatch at a time; score it while it learns; resume it "
    "to the same bits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # Former names of flags keep working, and no help text lists them.
    context_settings={"token_normalize_func": current_name},
)

_MODELS = ", ".join(dict.fromkeys([*river_models.names("classification"), *river_models.names("regression")]))


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="show the version and exit")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback where something fails")] = False,
    keep_blas_kernel: Annotated[
        bool,
        typer.Option(
            "--keep-blas-kernel", help="let OpenBLAS choose its kernels itself, though it may not know the processor"
        ),
    ] = False,
) -> None:
    prepare_libraries(keeps_kernel=keep_blas_kernel)
    if version:
        typer.echo(f"stream-bp {stream_bp.__version__}")
        raise typer.Exit


def _run(command: str, *arguments: Any, **named: Any) -> NoReturn:
    """Import a command, and NumPy and Arrow with it, now that it is called: a help text needs neither."""
    module = importlib.import_module(f"stream_bp.cli.commands.{command}")
    raise typer.Exit(module.run(*arguments, **named))


def train(
    sources: MaybeSources = None,
    config: Annotated[str | None, typer.Option(help="TOML file whose keys are these flags; a flag wins")] = None,
    restart: Restart = False,
    allow_inexact_resume: OtherNumerics = False,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Learn a stream of rows; resume where the run directory holds this job."""
    how = {"restart": restart, "allow_inexact_resume": allow_inexact_resume, "as_json": as_json}
    _run("train", sources or [], config, settings, **how)


def compare(
    sources: MaybeSources = None,
    models: Annotated[str | None, typer.Option(help=f"some of {_MODELS}, with commas [default: all that fit]")] = None,
    target: Annotated[str | None, typer.Option(help="column to predict")] = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Let models learn the same rows, one model after the other; print and draw how well each predicts."""
    names = [name.strip() for name in (models or "").split(",") if name.strip()]
    settings |= {"target": target} if target is not None else {}
    _run("compare", sources or [], names, settings, as_json=as_json)


def resume(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="run directory of the job")],
    allow_inexact_resume: OtherNumerics = False,
    as_json: AsJson = False,
    **watching: Any,
) -> None:
    """Go on with the job in a run directory, with the settings it was started with."""
    how = {"allow_inexact_resume": allow_inexact_resume, "as_json": as_json}
    _run("resume", run_dir, watching, **how)


def predict(
    model: Checkpoint,
    sources: Sources,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", help="file to write: .parquet, .csv or .csv.gz; with --follow a folder")
    ],
    passthrough_columns: Annotated[
        list[str] | None, typer.Option(help="column to copy in front; give it again for several")
    ] = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    encoding: Encoding = None,
    null_values: NullValues = None,
    decimal: Decimal = None,
    on_bad_row: OnBadRow = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="go on with what comes, into a folder of Parquet; killed, it goes on, too")
    ] = False,
    run_dir: Annotated[str | None, typer.Option(help="with --follow: folder for its own checkpoints")] = None,
    follow_order: Annotated[str | None, typer.Option(help="with --follow: name or time, as of train")] = None,
    idle_timeout: Annotated[str | None, typer.Option(help="with --follow: end when nothing came for so long")] = None,
    linger: Annotated[str | None, typer.Option(help="with --follow: wait so long for a whole minibatch")] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(help="with --follow: time (30s, 5m, 1h) or minibatches (500) between parts")
    ] = None,
    max_bad_rows: Annotated[
        str | None, typer.Option(help="with --follow: end at more than so many (100) or such a share (1%) of bad rows")
    ] = None,
    spool: Annotated[str | None, typer.Option(help="with --follow: folder that keeps what comes from a pipe")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="with --follow: start over, removing what was predicted before")
    ] = False,
    allow_inexact_resume: OtherNumerics = False,
    **watching: Any,
) -> None:
    """Predict every row of a source: the label and the probability of each class, or the value."""
    settings = _given(
        delimiter=delimiter,
        quote=quote,
        encoding=encoding,
        null_values=null_values,
        decimal=decimal,
        on_bad_row=on_bad_row,
    )
    job = _given(
        run_dir=run_dir,
        follow_order=follow_order,
        idle_timeout=idle_timeout,
        linger=linger,
        checkpoint_every=checkpoint_every,
        max_bad_rows=max_bad_rows,
        spool=spool,
    )
    kept = passthrough_columns or []
    if follow:
        job |= {**settings, "predictions_dir": output, "passthrough_columns": kept}
        how = {"restart": restart, "allow_inexact_resume": allow_inexact_resume}
        _run("predict_follow", model, sources, job, watching, **how)
    following = [*job, *(["restart"] if restart else []), *(name for name in watching if name != "quiet")]
    is_quiet = watching.get("quiet", False)
    _run("predict", model, sources, output, kept, settings, following=following, is_quiet=is_quiet)


_WITH_SETTINGS: dict[str, Callable[..., None]] = {
    "train": train,
    "compare": compare,
    "resume": resume,
    "predict": predict,
}
for _name, _function in _WITH_SETTINGS.items():
    app.command(_name, help=_function.__doc__)(lambda: None)


@app.command()
def evaluate(
    model: Checkpoint,
    sources: Sources,
    *,
    delimiter: Delimiter = None,
    quote: Quote = None,
    encoding: Encoding = None,
    null_values: NullValues = None,
    decimal: Decimal = None,
    on_bad_row: OnBadRow = None,
    as_json: AsJson = False,
) -> None:
    """Score a checkpoint on every row of a source, without learning."""
    reading = _given(
        delimiter=delimiter,
        quote=quote,
        encoding=encoding,
        null_values=null_values,
        decimal=decimal,
        on_bad_row=on_bad_row,
    )
    _run("evaluate", model, sources, reading, as_json=as_json)


@app.command()
def inspect(model: Checkpoint, as_json: AsJson = False) -> None:
    """Show what a checkpoint holds."""
    _run("inspect", model, as_json=as_json)


@app.command()
def report(
    run_dirs: Annotated[list[str], typer.Argument(metavar="RUN_DIR...", help="run directory; several are compared")],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="file to write [default: report.html]", show_default=False)
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="serve the page on 127.0.0.1 instead, and keep it new while a job runs")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="with --serve: where [default: one that is free]")
    ] = None,
) -> None:
    """Tell what a run came to, or how it goes, on one page for a browser: scores, gradients, drift, throughput."""
    _run("report", run_dirs, output, serves=serve, port=port)


def _given(**settings: str | list[str] | None) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value not in (None, [])}


def main() -> None:
    """Run the command line; every error that is ours becomes one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names in the data are of any script
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (StreamBPError, ConnectorError) as error:
        if "--debug" in sys.argv:
            raise
        if not getattr(error, "is_told", False):
            print(f"stream-bp: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(exit_code(error))
    except MemoryError as error:
        print(f"stream-bp: not enough memory: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
