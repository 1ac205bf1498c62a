"""What a network does when its error has grown, and what that is worth: a table of accuracies around a change.

Usage: python -m tests.benchmarks.reactions [--rows N] [--json FILE]

The stream is River's Agrawal, whose classes follow its first rule, and from the middle on its fourth. Every optimiser
has its default learning rate, but for the last two lines.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from river.datasets import synth

from connectors import Source, open_source
from stream_bp import Job

__all__ = ["OPTIMIZERS", "REACTIONS", "accuracies", "stream"]

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"optimizer": "momentum"},
    "adagrad": {"optimizer": "adagrad"},
    "rmsprop": {"optimizer": "rmsprop"},
    "adam": {"optimizer": "adam"},
    "sgd, inverse-time": {"lr_schedule": "inverse-time", "decay_steps": 500},
}
REACTIONS = ("none", "boost-learning-rate", "reset-optimizer", "reset-head")


def stream(n: int) -> Source:
    """Return n rows before the change, and n behind it."""
    rows = []
    for rule, seed in ((0, 1), (3, 2)):
        for x, y in synth.Agrawal(classification_function=rule, seed=seed).take(n):
            rows.append({**x, "label": "yes" if y else "no"})
    return open_source(pa.Table.from_pylist(rows))


def accuracies(source: Source, n: int, **settings: Any) -> dict[str, float]:
    """Return the prequential accuracy of the last tenth before the change, of the next one, and of all behind it."""
    with tempfile.TemporaryDirectory() as folder:
        Job(source, target="label", run_dir=str(Path(folder) / "run"), **settings).run()
        with (Path(folder) / "run" / "history.csv").open() as file:
            right = {int(line["rows"]): float(line["accuracy"]) * int(line["rows"]) for line in csv.DictReader(file)}

    def between(first: float, last: float) -> float:
        start, stop = (min(right, key=lambda rows: abs(rows - wanted)) for wanted in (first, last))
        return (right[stop] - right[start]) / (stop - start)

    return {"before": between(0.9 * n, n), "next tenth": between(n, 1.1 * n), "all behind": between(n, 2 * n)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="before the change, and behind it")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    source, found = stream(given.rows), []
    table = Table("optimiser", "on drift", "before", "next tenth", "all behind", box=None)
    for optimizer, settings in OPTIMIZERS.items():
        for how in REACTIONS:
            figures = accuracies(source, given.rows, on_drift=how, **settings)
            found.append({"optimizer": optimizer, "on_drift": how, **figures})
            table.add_row(optimizer, how, *(f"{figure:.3f}" for figure in figures.values()))
    Console().print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
