"""``stream-bp train``: learn from a stream of rows."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_bp.cli.learning import learn
from stream_bp.cli.output import write, write_json
from stream_bp.cli.settings import absolute, as_written, take_watching
from stream_bp.cli.sources import open_for_job
from stream_bp.config.job import JobConfig
from stream_bp.config.monitoring import Watching
from stream_bp.config.toml import read_toml, write_toml
from stream_bp.errors import ConfigError
from stream_bp.monitoring.observers import observing, telling_errors
from stream_bp.preview import Preview, preview

__all__ = ["run"]


def run(
    sources: list[str],
    config: str | None,
    settings: dict[str, Any],
    how: dict[str, Any],
    *,
    prints_config: bool,
    is_dry_run: bool,
    as_json: bool,
    is_verbose: bool,
) -> int:
    """Learn the rows of some places, under the settings of a TOML file and those given, which win."""
    found, places = read_toml(config) if config is not None else ({}, {})
    spelled = as_written({name: place for name, place in places.items() if name not in settings})
    settings = {**found, **settings, **({"source": sources} if sources else {})}
    watched = take_watching(settings, spelled)
    with telling_errors(watched, Console(stderr=True)):
        job_config = JobConfig.of(settings, spelled)
        if prints_config:
            write(write_toml(job_config, watched), end="")
            return 0
        if not job_config.source:
            raise ConfigError("no source: name the files, folders or patterns to learn from")
        # The job may be resumed from another folder.
        paths: dict[str, Any] = {"source": tuple(map(absolute, job_config.source))}
        if job_config.predictions_dir is not None:
            paths["predictions_dir"] = absolute(job_config.predictions_dir)
        job_config = job_config.model_copy(update=paths)
        if is_dry_run:
            return _show(job_config, watched, how, as_json=as_json)
        return learn(job_config, watched, how, as_json=as_json, is_verbose=is_verbose)


def _show(config: JobConfig, watched: Watching, how: dict[str, Any], *, as_json: bool) -> int:
    """Print what the job would learn from, and with."""
    with observing(watched, Console(stderr=True)) as observer:
        found = preview(open_for_job(config, observer), config, **how)
    if as_json:
        write_json(found.to_json())
    else:
        _print(found, config)
    return 0


def _print(found: Preview, config: JobConfig) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "role", "type", "read as", "inputs"):
        grid.add_column(name, justify="right" if name == "inputs" else "left", overflow="fold")
    for column in found.columns:
        inputs = "one per category" if column["kind"] == "category" else str(column["inputs"])
        # A Text: brackets in names are not markup.
        cells = [Text(column[key]) for key in ("name", "role", "type", "kind")]
        grid.add_row(*cells, inputs if column["role"] == "feature" else "")
    Console(emoji=False).print(grid)
    for line in found.doubts:
        write(line)
    write(f"{found.task} of {', '.join(config.target)}, {found.model}, computed by {found.backend}")
    if found.resumes_from is not None:
        write(f"would resume at row {found.rows:,} from {found.resumes_from}")
    write("dry run: nothing was learned, and no file was written")
