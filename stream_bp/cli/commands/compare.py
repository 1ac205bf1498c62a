"""``stream-bp compare``: compare models on the same stream."""

import sys
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from connectors import open_source
from stream_bp.cli.output import write, write_json
from stream_bp.cli.settings import take_watching
from stream_bp.cli.terminal_plot import draw
from stream_bp.comparison.compare import Comparison, compare
from stream_bp.config.job import SINGLE_ROWS, JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.signals import exit_code
from stream_bp.monitoring.formatting import comparison_table, describe_bad_rows
from stream_bp.monitoring.observers import observing, telling_errors

__all__ = ["run"]


def run(sources: list[str], models: list[str], settings: dict[str, Any], *, as_json: bool) -> int:
    """Let models learn the same rows, one model after the other, under settings that suit single rows."""
    watched = take_watching(settings)
    with telling_errors(watched, Console(stderr=True)):
        if not sources:
            raise ConfigError("no source: name the files, folders or patterns to learn from")
        config = JobConfig.of({"batch_size": 1, **SINGLE_ROWS, "drift_detector": "none", **settings})
        observe = partial(observing, watched, Console(stderr=True))
        with observe() as observer:
            source = open_source(*sources, **config.source_settings, on_message=observer.on_message)
        comparison = compare(source, config, models, observe)
        if as_json:
            write_json(comparison.to_json())
        else:
            _print(comparison)
        for name, reason in comparison.failures.items():
            write(f"{name} is left out: {reason}", file=sys.stderr)
        return exit_code(comparison.stop_reason)


def _print(comparison: Comparison) -> None:
    console = Console(emoji=False)
    n_rows = max((score.rows for score in comparison.scores), default=0)
    console.print(escape(f"{comparison.task} of {comparison.target}, {n_rows:,} rows"), highlight=False)
    console.print(comparison_table(comparison.to_json()))
    curves = {score.name: score.curve for score in comparison.scores}
    label = comparison.curve_metric
    is_colored = console.color_system is not None and not console.no_color
    if picture := draw(curves, label=label, width=console.width, is_colored=is_colored):
        write(f"\n{label} over the last 1000 rows")
        console.print(Text.from_ansi(picture), soft_wrap=True)
    for line in describe_bad_rows(comparison.bad_rows):
        write(line)
