"""What each command does and prints: results on standard output, progress and remarks on standard error.

Each function returns the exit code of the process; errors are raised.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from connectors import Follow, Source, open_source, told
from stream_bp import inference
from stream_bp.cli.terminal_plot import draw
from stream_bp.comparison.compare import Comparison
from stream_bp.comparison.compare import compare as run_comparison
from stream_bp.config.job import DIALECT, SINGLE_ROWS, JobConfig, read_toml
from stream_bp.config.monitoring import Watching
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.job.signals import exit_code
from stream_bp.job.summary import Summary
from stream_bp.monitoring.formatting import comparison_table, show, table, tell_bad, tell_change, tell_quality
from stream_bp.monitoring.observers import observing, telling_errors
from stream_bp.nn import reproducibility
from stream_bp.persistence import checkpoints
from stream_bp.persistence.state_schema import saved_config, saved_job

__all__ = ["compare", "evaluate", "inspect", "predict", "predict_what_comes", "report", "resume", "train"]

_say = partial(print, flush=True)  # at once, so that a closed pipe is met here


def train(
    sources: list[str],
    config: str | None,
    settings: dict[str, Any],
    *,
    fresh: bool,
    allow_different_numerics: bool,
    as_json: bool,
) -> int:
    """Learn the rows of some places, under the settings of a TOML file and those given, which win."""
    settings = {**(read_toml(config) if config is not None else {}), **settings}
    watched = _watching(settings)
    with telling_errors(watched, Console(stderr=True)):
        if sources:
            settings["source"] = sources
        job_config = JobConfig.of(settings)
        if not job_config.source:
            raise ConfigError("no source: name the files, folders or patterns to learn from")
        # Absolute, so that the job can be resumed from another folder; links and patterns stay what they are.
        places: dict[str, Any] = {"source": tuple(map(_absolute, job_config.source))}
        if job_config.predictions is not None:
            places["predictions"] = _absolute(job_config.predictions)
        job_config = job_config.model_copy(update=places)
        how: dict[str, Any] = {"fresh": fresh, "allow_different_numerics": allow_different_numerics}
        return _run(job_config, watched, as_json=as_json, **how)


def resume(run_dir: str, watching: dict[str, Any], *, allow_different_numerics: bool, as_json: bool) -> int:
    """Go on with the job in a run directory."""
    watched = Watching.of(watching)
    with telling_errors(watched, Console(stderr=True)):
        if not Path(run_dir).is_dir():
            raise ConfigError(f"{run_dir} is not a run directory")
        loaded = checkpoints.load(run_dir)
        config = saved_job(loaded.snapshot)
        sources = tuple(loaded.snapshot.state["sources"])
        if not sources:
            raise CheckpointError(
                f"{run_dir} was learned from rows in memory; resume it from Python with the same rows"
            )
        config = config.model_copy(update={"run_dir": run_dir, "source": sources})
        return _run(config, watched, as_json=as_json, fresh=False, allow_different_numerics=allow_different_numerics)


def compare(sources: list[str], models: list[str], settings: dict[str, Any], *, as_json: bool) -> int:
    """Let models learn the same rows, one model after the other, under settings that suit single rows."""
    watched = _watching(settings)
    with telling_errors(watched, Console(stderr=True)):
        if not sources:
            raise ConfigError("no source: name the files, folders or patterns to learn from")
        config = JobConfig.of({"batch_size": 1, **SINGLE_ROWS, "drift": "none", **settings})
        observe = partial(observing, watched, Console(stderr=True))
        with observe() as observer:
            source = open_source(*sources, **config.source_settings, tell=observer.note)
        comparison = run_comparison(source, config, models, observe)
        if as_json:
            _write_json(comparison.to_json())
        else:
            _show_comparison(comparison)
        for name, reason in comparison.failures.items():
            _say(f"{name} is left out: {reason}", file=sys.stderr)
        return exit_code(comparison.stop_reason)


def predict(
    model: str,
    sources: list[str],
    output: str,
    keep_columns: list[str],
    reading: dict[str, Any],
    *,
    following: list[str],
    is_quiet: bool,
) -> int:
    """Predict every row of some places, read as the checkpoint's own unless said otherwise, into a file."""
    if following:
        raise ConfigError(f"{following[0]}: it goes with --follow")
    loaded = checkpoints.load(model)
    source = _open_beside(loaded, sources, reading, None if is_quiet else _tell)
    written = inference.predict(loaded, source, output, keep_columns)
    if not is_quiet:
        _tell(f"{written['rows']:,} predictions in {output}", *tell_bad(written["bad_rows"]))
    return 0


def predict_what_comes(
    model: str,
    sources: list[str],
    settings: dict[str, Any],
    watching: dict[str, Any],
    *,
    fresh: bool,
    allow_different_numerics: bool,
) -> int:
    """Predict rows as they come to a place, into a folder; asked again, go on."""
    watched = Watching.of(watching)
    with telling_errors(watched, Console(stderr=True)):
        loaded = checkpoints.load(model)
        if "run_dir" not in settings:
            raise ConfigError("run_dir: what follows keeps there how far it is; name one with --run-dir")
        places = {"source": tuple(map(_absolute, sources)), "predictions": _absolute(settings["predictions"])}
        config = inference.following(loaded, {**settings, **places})
        how: dict[str, Any] = {"fresh": fresh, "allow_different_numerics": allow_different_numerics}
        with observing(watched, Console(stderr=True)) as observer:
            summary = Job(_open(config, observer), config, frozen=loaded, observer=observer, **how).run()
        if not watched.quiet:
            _tell(f"{summary.rows:,} predictions in {config.predictions}", *tell_bad(summary.quality["bad_rows"]))
        return exit_code(summary.stop_reason)


def evaluate(model: str, sources: list[str], reading: dict[str, Any], *, as_json: bool) -> int:
    """Score a checkpoint on every row of some places, read as its own unless said otherwise."""
    loaded = checkpoints.load(model)
    result = inference.evaluate(loaded, _open_beside(loaded, sources, reading, _tell))
    if as_json:
        _write_json(result)
    else:
        _say(f"{result['rows']:,} rows, not learned")
        Console(emoji=False).print(table(result))
        for line in tell_bad(result["bad_rows"]):
            _say(line)
    return 0


def inspect(model: str, *, as_json: bool) -> int:
    """Show what a checkpoint holds."""
    loaded = checkpoints.load(model)
    content = {**inference.inspect(loaded), "rejected": [reason for _, reason in loaded.rejected]}
    if as_json:
        _write_json(content)
    else:
        _show_content(content)
    return 0


def report(run_dirs: list[str], output: str | None, *, serves: bool, port: int | None) -> int:
    """Write what runs came to as a page, or serve it while they go on."""
    try:
        from stream_bp.report import page, run  # noqa: PLC0415 - an extra
        from stream_bp.report.server import Live  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(f'a report takes {error.name}: pip install "stream-bp[report]"') from None
    runs = run.named(run_dirs)
    if not serves and port is not None:
        raise ConfigError("port: it goes with --serve, which serves the page on loopback")
    if serves and output is not None:
        raise ConfigError("output: a report is either written, or served with --serve")
    if serves:
        with Live(runs, port or 0) as live:
            live.wait(lambda: _tell(f"report on {live.url}, until Ctrl-C"))
        return 0
    path = Path(output or "report.html")
    page.refuse_foreign(path)
    told = page.tell([run.read_record(place, name) for name, place in runs.items()])
    page.save(path, page.document(told))
    _tell(f"report in {path}")
    return 0


def _absolute(place: str) -> str:
    return place if "://" in place or place == "-" else str(Path.cwd() / place)


def _watching(settings: dict[str, Any]) -> Watching:
    """Take out of settings those of the process."""
    return Watching.of({name: settings.pop(name) for name in [*settings] if name in Watching.model_fields})


def _tell(*lines: str) -> None:
    """Say something beside the result."""
    for line in lines:
        Console(stderr=True).print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _open(config: JobConfig, observer: Observer) -> Source:
    """Open the places of a job; of one that follows, wait for the first of its rows, and say so."""
    follow = Follow(config.follow_order, config.idle_timeout_s) if config.follow else None
    if "-" in config.source and config.spool is None and config.run_dir is not None:
        observer.note(
            "standard input is read once: what comes after the last checkpoint is lost with this process; --spool DIR "
            "keeps it"
        )
    if follow is not None:
        observer.note(f"following {', '.join(map(told, config.source))}")
    return open_source(*config.source, **config.source_settings, follow=follow, tell=observer.note)


def _open_beside(
    loaded: checkpoints.Loaded, sources: list[str], reading: dict[str, Any], tell: Callable[[str], object] | None
) -> Source:
    """Open places as the rows of a checkpoint were read, but for the settings that are given."""
    saved = saved_config(loaded.snapshot)
    names = ("target", "ignore", *DIALECT, "on_bad_row")
    config = JobConfig.of({name: getattr(saved, name) for name in names} | reading)
    if reading.get("on_bad_row") == "quarantine":
        raise ConfigError("on_bad_row: only a job that learns keeps bad rows; expected error or skip")
    return open_source(*sources, **config.source_settings, tell=tell)


def _run(config: JobConfig, watched: Watching, *, as_json: bool, **how: Any) -> int:
    with observing(watched, Console(stderr=True)) as observer:
        summary = Job(_open(config, observer), config, observer=observer, **how).run()
    if as_json:
        _write_json(summary.to_json())
    else:
        _show(summary)
    return exit_code(summary.stop_reason)


def _show(summary: Summary) -> None:
    _say(
        f"{summary.rows:,} rows in {summary.minibatches:,} minibatches, {summary.stop_reason.replace('_', ' ')}; "
        f"{summary.rows_per_second:,.0f} rows/s, {summary.seconds:.1f} s, {summary.peak_rss_bytes / 2**20:,.0f} MiB"
    )
    Console(emoji=False).print(table(summary.to_json()))
    for line in tell_quality(summary.quality):
        _say(line)
    for layer, sizes in enumerate(summary.layers, start=1):
        figures = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in sizes.items())
        _say(f"layer {layer}: {figures}")
    _say(f"computed by {reproducibility.describe(summary.numerics)}")
    if summary.theta_sha256 is not None:
        _say(f"theta sha256 {summary.theta_sha256}")
    for change in summary.numerics_changes:
        _say(tell_change(change))
    if summary.checkpoint is not None:
        _say(f"checkpoint {summary.checkpoint}")


def _show_comparison(comparison: Comparison) -> None:
    console = Console(emoji=False)
    n_rows = max((score.rows for score in comparison.scores), default=0)
    console.print(escape(f"{comparison.task} of {comparison.target}, {n_rows:,} rows"), highlight=False)
    console.print(comparison_table(comparison.to_json()))
    curves = {score.name: score.curve for score in comparison.scores}
    label = comparison.curve_metric
    is_colored = console.color_system is not None and not console.no_color
    if picture := draw(curves, label=label, width=console.width, is_colored=is_colored):
        _say(f"\n{label} over the last 1000 rows")
        console.print(Text.from_ansi(picture), soft_wrap=True)
    for line in tell_bad(comparison.bad_rows):
        _say(line)


def _show_content(content: dict[str, Any]) -> None:
    for reason in content["rejected"]:
        _say(f"passed over: {reason}", file=sys.stderr)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
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
    Console(emoji=False).print(table(content))
    for line in tell_quality(content["quality"]) if content["quality"] else ():
        _say(line)


def _write_json(content: dict[str, Any]) -> None:
    _say(json.dumps(content))
