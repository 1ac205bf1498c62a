"""``stream-bp inspect``: show what a checkpoint holds."""

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from stream_bp import inference
from stream_bp.cli.output import write, write_json
from stream_bp.monitoring.formatting import describe_change, describe_quality, show, table
from stream_bp.persistence import checkpoints

__all__ = ["run"]


def run(model: str, *, as_json: bool) -> int:
    """Show what a checkpoint holds."""
    loaded = checkpoints.load(model)
    content = {**inference.inspect(loaded), "rejected": [reason for _, reason in loaded.rejected]}
    if as_json:
        write_json(content)
        return 0
    for reason in content["rejected"]:
        write(f"passed over: {reason}", file=sys.stderr)
    _print_model(content)
    if "minibatches" in content:
        _print_job(content)
    return 0


def _print_model(content: dict[str, Any]) -> None:
    """Print what every checkpoint holds, an estimator's too."""
    console = _console()
    task = content["columns"]["task"]
    console.print(escape(f"{content['checkpoint']}: {task} of {', '.join(content['config']['target'])}"))
    console.print(
        f"{content['rows']:,} rows, {content['minibatches']:,} minibatches, step {content['step']:,}, "
        f"{content['stop_reason'] or 'not finished'}"
        if "minibatches" in content
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
    console.print(f"weights sha256: {content['weights_sha256']}")


def _print_job(content: dict[str, Any]) -> None:
    """Print what the checkpoint of a job holds besides."""
    console, cursor = _console(), content["position"]["cursor"]
    console.print(
        escape(f"next row: {cursor['row']:,} of epoch {content['position']['epoch']}, {', '.join(content['sources'])}")
    )
    for change in content["numerics_changes"]:
        console.print(escape(describe_change(change)))
    Console(emoji=False).print(table(content))
    for line in describe_quality(content["quality"]) if content["quality"] else ():
        write(line)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True, emoji=False)
