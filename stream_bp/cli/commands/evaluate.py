"""``stream-bp evaluate``: score a checkpoint on a source, without learning."""

from typing import Any

from rich.console import Console

from stream_bp import inference
from stream_bp.cli import output
from stream_bp.cli.sources import open_for_checkpoint
from stream_bp.monitoring.formatting import describe_bad_rows, table
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(model: str, sources: list[str], reading: dict[str, Any], *, as_json: bool) -> int:
    """Score a checkpoint on every row of some places; read them as its own unless settings differ."""
    loaded = checkpoints.load(model)
    result = inference.evaluate(loaded, open_for_checkpoint(loaded, sources, reading, output.remark))
    if as_json:
        output.write_json(result)
    else:
        output.write(f"{result['rows']:,} rows scored, none learned")
        Console(emoji=False).print(table(result))
        for line in describe_bad_rows(result["bad_rows"]):
            output.write(line)
    return 0
