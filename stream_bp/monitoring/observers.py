"""The observers of a job that a command runs: a panel or a log, and Prometheus over HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from rich.console import Console

from connectors.errors import ConnectorError
from stream_bp.config.fields import seconds
from stream_bp.config.monitoring import Watching
from stream_bp.errors import StreamBPError, exit_code
from stream_bp.job.observer import Observer, Observers
from stream_bp.monitoring.log import JsonLog, Log, json_line
from stream_bp.monitoring.terminal import TerminalPanel

__all__ = ["observing", "telling_errors"]


@contextmanager
def observing(watching: Watching, console: Console, title: str = "") -> Iterator[Observer]:
    """Yield the observers of a job.

    Parameters
    ----------
    watching
        The settings.
    console
        The console for the progress.
    title
        The name of the job, where several follow each other.

    Raises
    ------
    ConfigError
        If the metrics cannot be served at their address.
    """
    with ExitStack() as stack:
        observers: list[Observer] = []
        if not watching.quiet:
            observers.append(stack.enter_context(_progress(watching, console, title)))
        if watching.metrics_port is not None:
            from stream_bp.monitoring.endpoint import Metrics  # noqa: PLC0415 - imported only with --metrics-port

            metrics = stack.enter_context(
                Metrics(watching.metrics_port, watching.metrics_host, seconds(watching.readiness_timeout))
            )
            observers.append(metrics)
            for observer in observers:
                observer.on_message(f"metrics on {metrics.url}")
        yield Observers(observers)


@contextmanager
def telling_errors(watching: Watching, console: Console) -> Iterator[None]:
    """Write an error to a JSON log, and set its ``is_told``, so that it is not printed again."""
    try:
        yield
    except (StreamBPError, ConnectorError) as error:
        if watching.log_format == "json":
            _write(console, json_line("error", str(error), exit_code=exit_code(error)))
            error.is_told = True  # type: ignore[union-attr]
        raise


def _progress(watching: Watching, console: Console, title: str) -> TerminalPanel | Log:
    # A dumb terminal cannot move the cursor, so each redraw would add a panel below the last one.
    if watching.log_format == "text" and console.file.isatty() and not console.is_dumb_terminal:
        return TerminalPanel(console, title)
    log = JsonLog if watching.log_format == "json" else Log
    return log(partial(_write, console), title)


def _write(console: Console, line: str) -> None:
    with suppress(OSError):  # a log that cannot be written does not end the job
        console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
