"""``stream-bp report``: write the page of some runs, or serve it."""

from pathlib import Path

from stream_bp.cli import output
from stream_bp.errors import ConfigError

__all__ = ["run"]


def run(run_dirs: list[str], file: str | None, *, serves: bool, port: int | None) -> int:
    """Write a report of runs as a page, or serve it while they run."""
    try:
        from stream_bp.report import page  # noqa: PLC0415 - an extra
        from stream_bp.report import run as runs  # noqa: PLC0415
        from stream_bp.report.server import Live  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(f'a report takes {error.name}: pip install "stream-bp[report]"') from None
    places = runs.named(run_dirs)
    if not serves and port is not None:
        raise ConfigError("--port needs --serve, which serves the page on 127.0.0.1")
    if serves and file is not None:
        raise ConfigError("output: a report is either written, or served with --serve")
    if serves:
        with Live(places, port or 0) as live:
            live.wait(lambda: output.remark(f"report on {live.url}, until Ctrl-C"))
        return 0
    path = Path(file or "report.html")
    page.refuse_foreign(path)
    told = page.tell([runs.read_record(place, name) for name, place in places.items()])
    page.save(path, page.document(told))
    output.remark(f"report in {path}")
    return 0
