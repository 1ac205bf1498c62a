"""``stream-bp predict``: write a prediction for every row of a source into a file."""

from typing import Any

from stream_bp import inference
from stream_bp.cli import output
from stream_bp.cli.sources import open_for_checkpoint
from stream_bp.errors import ConfigError
from stream_bp.monitoring.formatting import describe_bad_rows
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(
    model: str,
    sources: list[str],
    file: str,
    passthrough_columns: list[str],
    reading: dict[str, Any],
    *,
    following: list[str],
    is_quiet: bool,
) -> int:
    """Predict every row of some places, read as the checkpoint's own unless said otherwise, into a file."""
    if following:
        raise ConfigError(f"{following[0]}: it goes with --follow")
    loaded = checkpoints.load(model)
    source = open_for_checkpoint(loaded, sources, reading, None if is_quiet else output.remark)
    written = inference.predict(loaded, source, file, passthrough_columns)
    if not is_quiet:
        output.remark(f"{written['rows']:,} predictions in {file}", *describe_bad_rows(written["bad_rows"]))
    return 0
