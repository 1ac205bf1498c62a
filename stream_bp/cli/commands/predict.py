"""``stream-bp predict``: write a prediction for every row of a source into a file."""

from typing import Any

from stream_bp import inference
from stream_bp.cli import output
from stream_bp.cli.options import FOLLOWING
from stream_bp.cli.settings import as_written
from stream_bp.cli.sources import open_for_checkpoint, reading_of
from stream_bp.config.monitoring import Watching
from stream_bp.errors import ConfigError
from stream_bp.monitoring.formatting import describe_bad_rows
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(model: str, sources: list[str], file: str, settings: dict[str, Any], how: dict[str, Any]) -> int:
    """Predict every row of some places into a file; read them as the checkpoint's own unless settings differ."""
    watching = [name for name in settings if name in Watching.model_fields and name != "quiet"]
    following = [name for name in (*FOLLOWING, *watching) if name in settings] + [name for name in how if how[name]]
    if following:
        raise ConfigError(f"{as_written()(following[0])} needs --follow")
    is_quiet, columns = settings.pop("quiet", False), settings.pop("passthrough_columns", [])
    loaded = checkpoints.load(model)
    source = open_for_checkpoint(loaded, sources, settings, None if is_quiet else output.remark)
    written = inference.predict(loaded, source, file, columns, types=reading_of(loaded, settings).declared_types)
    if not is_quiet:
        output.remark(f"{written['rows']:,} predictions in {file}", *describe_bad_rows(written["bad_rows"]))
    return 0
