"""The command line: parses, calls, maps errors to exit codes; no logic.

Results go to standard output, progress to standard error, an error is one line. Exit codes: 0 done · 1 data or source ·
2 usage or configuration · 3 checkpoint · 4 divergence · 5 run directory locked · 6 the disk refuses · 129 SIGHUP ·
130 SIGINT · 143 SIGTERM.
"""

import inspect as signatures
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

import stream_bp
from connectors import ConnectorError, open_source
from stream_bp import checkpoint, inference, zoo
from stream_bp.compare import Comparison
from stream_bp.compare import compare as run_comparison
from stream_bp.config import IDENTITY, SINGLE_ROWS, JobConfig, read_toml
from stream_bp.drawing import draw
from stream_bp.errors import CheckpointError, ConfigError, StreamBPError
from stream_bp.job import Job
from stream_bp.saved import saved_job
from stream_bp.summary import Summary
from stream_bp.telemetry import Panel, comparison_table, show, table, tell_change

__all__ = ["app", "main"]

_EXIT_CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}

app = typer.Typer(
    help="Learn a neural network from a stream of rows, one minibatch at a time; score it while it learns; resume it "
    "to the same bits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE", help="files, folders or patterns")]
Checkpoint = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="checkpoint file, or run directory")]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON object to standard output")]
Fresh = Annotated[bool, typer.Option("--fresh", help="start over, removing the job that the run directory holds")]
OtherNumerics = Annotated[
    bool, typer.Option("--allow-different-numerics", help="resume although versions, BLAS or threads differ")
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="show the version and exit")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback where something fails")] = False,
) -> None:
    if version:
        typer.echo(f"stream-bp {stream_bp.__version__}")
        raise typer.Exit


def _train(
    sources: list[str] | None,
    config: str | None,
    *,
    fresh: bool,
    allow_different_numerics: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Learn a stream of rows; resume where the run directory holds this job."""
    settings = read_toml(config) if config is not None else {}
    settings.update(_given(flags))
    if sources:
        settings["source"] = sources
    job_config = JobConfig.of(settings)
    if not job_config.source:
        raise ConfigError("no source: name the files, folders or patterns to learn from")
    # Absolute, so that the job can be resumed from another folder; links and patterns stay what they are.
    job_config = job_config.model_copy(update={"source": tuple(map(_absolute, job_config.source))})
    _run(job_config, fresh=fresh, allow_different_numerics=allow_different_numerics, as_json=as_json)


def _compare(sources: list[str] | None, models: str | None, *, as_json: bool, **flags: Any) -> None:
    """Let models learn the same rows, one model after the other; print and draw how well each predicts."""
    if not sources:
        raise ConfigError("no source: name the files, folders or patterns to learn from")
    config = JobConfig.of({**_COMPARE_DEFAULTS, **_given(flags)})
    names = [name.strip() for name in (models or "").split(",") if name.strip()]
    progress = Console(stderr=True)
    comparison = run_comparison(open_source(*sources), config, names, lambda name: Panel(progress, name))
    if as_json:
        _write_json(comparison.to_json())
    else:
        _show_comparison(comparison)
    for name, reason in comparison.failures.items():
        typer.echo(f"{name} is left out: {reason}", err=True)
    if comparison.stop_reason in _EXIT_CODES:
        raise typer.Exit(_EXIT_CODES[comparison.stop_reason])


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value not in (None, [])}


def _command(
    function: Callable[..., None], own: dict[str, Any], names: Iterable[str], defaults: dict[str, Any], **rest: Any
) -> None:
    """Add a command whose flags are made from fields of :class:`JobConfig`, between its own and the rest."""

    def command(**arguments: Any) -> None:
        function(**arguments)

    keyword = signatures.Parameter.KEYWORD_ONLY
    fields = {
        name: Annotated[_flag_type(name), typer.Option(help=_help(name, defaults.get(name)), show_default=False)]
        for name in names
    }
    parameters = [signatures.Parameter(name, keyword, annotation=kind, default=None) for name, kind in own.items()]
    parameters += [signatures.Parameter(name, keyword, annotation=kind, default=None) for name, kind in fields.items()]
    parameters += [signatures.Parameter(name, keyword, annotation=kind, default=False) for name, kind in rest.items()]
    command.__doc__ = function.__doc__
    command.__signature__ = signatures.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(function.__name__.strip("_"))(command)


def _flag_type(name: str) -> Any:
    """Return the type of a flag: numbers as numbers, columns as a list, everything else as it is written."""
    annotation = JobConfig.model_fields[name].annotation
    if name in {"target", "features", "ignore"}:
        return list[str] | None
    for kind in (bool, int, float):
        if annotation is kind or kind in get_args(annotation):
            return kind | None
    return str | None


def _help(name: str, default: object = None) -> str:
    field = JobConfig.model_fields[name]
    choices = get_args(field.annotation)
    text = str(field.description)
    if choices and all(isinstance(choice, str) for choice in choices):
        text += f": {', '.join(choices)}"
    default = field.default if default is None else default
    if field.is_required() or default in (None, ()) or "[default" in text:
        return text
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else "yes" if default is True else default
    return f"{text} [default: {shown}]"


_MaybeSources = Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help="files, folders or patterns")]
_Config = Annotated[str | None, typer.Option(help="TOML file whose keys are these flags; a flag wins")]
_Target = Annotated[str | None, typer.Option(help="column to predict", show_default=False)]
_COMPARE_DEFAULTS = {"batch_size": 1, **SINGLE_ROWS}
_NAMES = ", ".join(dict.fromkeys([*zoo.names("classification"), *zoo.names("regression")]))
_Models = Annotated[
    str | None, typer.Option(help=f"some of {_NAMES}, with commas [default: all that fit]", show_default=False)
]

_command(
    _train,
    {"sources": _MaybeSources, "config": _Config},
    [name for name in JobConfig.model_fields if name != "source"],
    {},
    fresh=Fresh,
    allow_different_numerics=OtherNumerics,
    as_json=AsJson,
)
_command(
    _compare,
    {"sources": _MaybeSources, "models": _Models, "target": _Target},
    [*(name for name in IDENTITY if name != "target"), "max_rows"],
    _COMPARE_DEFAULTS,
    as_json=AsJson,
)


@app.command()
def resume(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="run directory of the job")],
    allow_different_numerics: OtherNumerics = False,
    as_json: AsJson = False,
) -> None:
    """Go on with the job in a run directory, with the settings it was started with."""
    if not Path(run_dir).is_dir():
        raise ConfigError(f"{run_dir} is not a run directory")
    loaded = checkpoint.load(run_dir)
    config = saved_job(loaded.snapshot)
    sources = tuple(loaded.snapshot.state["sources"])
    if not sources:
        raise CheckpointError(f"{run_dir} was learned from rows in memory; resume it from Python with the same rows")
    _run(
        config.model_copy(update={"run_dir": run_dir, "source": sources}),
        fresh=False,
        allow_different_numerics=allow_different_numerics,
        as_json=as_json,
    )


@app.command()
def predict(
    model: Checkpoint,
    sources: Sources,
    output: Annotated[str, typer.Option("--output", "-o", help="file to write: .parquet, .csv or .csv.gz")],
) -> None:
    """Predict every row of a source: the label and the probability of each class, or the value."""
    loaded = checkpoint.load(model)
    n_rows = inference.predict(loaded, open_source(*sources), output)
    Console(stderr=True).print(escape(f"{n_rows:,} predictions in {output}"), highlight=False, soft_wrap=True)


@app.command()
def evaluate(model: Checkpoint, sources: Sources, as_json: AsJson = False) -> None:
    """Score a checkpoint on every row of a source, without learning."""
    result = inference.evaluate(checkpoint.load(model), open_source(*sources))
    if as_json:
        _write_json(result)
        return
    typer.echo(f"{result['rows']:,} rows, not learned")
    Console().print(table(result))


@app.command()
def inspect(model: Checkpoint, as_json: AsJson = False) -> None:
    """Show what a checkpoint holds."""
    loaded = checkpoint.load(model)
    content = {**inference.inspect(loaded), "rejected": [reason for _, reason in loaded.rejected]}
    if as_json:
        _write_json(content)
        return
    for reason in content["rejected"]:
        typer.echo(f"passed over: {reason}", err=True)
    console = Console(highlight=False, soft_wrap=True)
    task = content["columns"]["task"]
    console.print(escape(f"{content['checkpoint']}: {task} of {', '.join(content['config']['target'])}"))
    is_job = "minibatches" in content
    console.print(
        f"{content['rows']:,} rows, {content['minibatches']:,} minibatches, step {content['step']:,}, "
        f"{content['stop_reason'] or 'not finished'}"
        if is_job
        else f"{content['rows']:,} rows, step {content['step']:,}; a model without a job, as an estimator saves it"
    )
    for layer in content["layers"]:
        figures = ", ".join(
            f"{key.replace('_', ' ')} {show(layer[key])}" for key in ("norm", "delta_rms", "gradient_rms")
        )
        console.print(f"{layer['name']} {layer['shape'][0]}×{layer['shape'][1]}: {figures}")
    columns = [f"{column['name']} ({column['kind']})" for column in content["columns"]["features"]]
    console.print(escape(f"features: {', '.join(columns)}"))
    for target, labels in zip(content["config"]["target"], content["labels"], strict=False):
        console.print(escape(f"labels of {target}: {', '.join(map(str, labels))}"))
    console.print(f"theta sha256: {content['theta_sha256']}")
    if not is_job:
        return
    cursor = content["position"]["cursor"]
    console.print(
        escape(f"next row: {cursor['row']:,} of epoch {content['position']['epoch']}, {', '.join(content['sources'])}")
    )
    for change in content["numerics_changes"]:
        console.print(escape(tell_change(change)))
    Console().print(table(content))


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path.cwd() / place)


def _run(config: JobConfig, *, fresh: bool, allow_different_numerics: bool, as_json: bool) -> None:
    source = open_source(*config.source)
    with Panel(Console(stderr=True)) as panel:
        job = Job(source, config, fresh=fresh, allow_different_numerics=allow_different_numerics, observer=panel)
        summary = job.run()
    if as_json:
        _write_json(summary.to_json())
    else:
        _show(summary)
    if summary.stop_reason in _EXIT_CODES:
        raise typer.Exit(_EXIT_CODES[summary.stop_reason])


def _show(summary: Summary) -> None:
    typer.echo(
        f"{summary.rows:,} rows in {summary.minibatches:,} minibatches, {summary.stop_reason.replace('_', ' ')}; "
        f"{summary.rows_per_second:,.0f} rows/s, {summary.seconds:.1f} s, {summary.peak_rss_bytes / 2**20:,.0f} MiB"
    )
    Console().print(table(summary.to_json()))
    for layer, sizes in enumerate(summary.layers, start=1):
        figures = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in sizes.items())
        typer.echo(f"layer {layer}: {figures}")
    if summary.theta_sha256 is not None:
        typer.echo(f"theta sha256 {summary.theta_sha256}")
    for change in summary.numerics_changes:
        typer.echo(tell_change(change))
    if summary.checkpoint is not None:
        typer.echo(f"checkpoint {summary.checkpoint}")


def _show_comparison(comparison: Comparison) -> None:
    console = Console()
    n_rows = max((score.rows for score in comparison.scores), default=0)
    console.print(escape(f"{comparison.task} of {comparison.target}, {n_rows:,} rows"), highlight=False)
    console.print(comparison_table(comparison.to_json()))
    curves = {score.name: score.curve for score in comparison.scores}
    label = comparison.curve_metric
    is_colored = console.color_system is not None and not console.no_color
    if picture := draw(curves, label=label, width=console.width, is_colored=is_colored):
        typer.echo(f"\n{label} over the last 1000 rows")
        console.print(Text.from_ansi(picture), soft_wrap=True)


def _write_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False))


def main() -> None:
    """Run the command line; every error that is ours becomes one line and an exit code."""
    try:
        app()
    except (StreamBPError, ConnectorError) as error:
        if "--debug" in sys.argv:
            raise
        print(f"stream-bp: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(getattr(error, "exit_code", 1))
    except MemoryError as error:
        print(f"stream-bp: not enough memory: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
