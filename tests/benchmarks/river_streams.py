"""Prequential tables on the streams that come with River, beside River's own models.

Usage: python tests/benchmarks/river_streams.py [--stream FILE --target COLUMN] [--only NAME] [--rows N] [--json FILE]

Every model predicts a row, then learns it: one pass, one process, one thread. The clock runs over these two calls
alone; a prediction of None is not scored, as in River's ``evaluate``. Ours have their defaults, and so have River's:
its trees of classes see the rows as they are, everything else standardised numbers and one-hot strings, and for values
a tree is shown both ways. Four streams of River's package are left out: AirlinePassengers and WaterFlow have no feature
but the time, SolarFlare and Yeast have several targets.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Number
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from river import compose, datasets, forest, linear_model, metrics, neighbors, preprocessing, tree

from connectors import open_source
from stream_bp.config.job import JobConfig
from stream_bp.nn import reproducibility
from stream_bp.planning.plan import plan
from stream_bp.river import MLPClassifier, MLPRegressor

NAMES = ("Phishing", "Bananas", "ImageSegments", "Shuttle", "TrumpApproval", "ChickWeights", "SP500Stocks")
SPEED, PASSES, REPEATS = "speed", 8, 7
METRICS: Any = metrics  # not all of it is typed

Row = tuple[dict[str, Any], Any]
Makers = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Stream:
    """Rows in their order, and whether their target is a value or a class."""

    name: str
    is_regression: bool
    rows: list[Row]

    @cached_property
    def is_binary(self) -> bool:
        """Whether the target has two labels."""
        return len({y for _, y in self.rows}) == 2

    @cached_property
    def has_strings(self) -> bool:
        """Whether a feature is a string anywhere."""
        return any(isinstance(value, str) for x, _ in self.rows for value in x.values())


@dataclass(frozen=True)
class Result:
    """What one model came to on one stream."""

    stream: str
    model: str
    rows: int
    scores: dict[str, float]
    rows_per_second: float
    memory_kib: float


def river_stream(name: str, n: int | None) -> Stream:
    """Read a stream of River's package, or its first n rows."""
    dataset = getattr(datasets, name)()
    rows = [(dict(x), y) for x, y in dataset]
    return Stream(name, dataset.task == "Regression", rows[:n])


def own_stream(path: Path, target: str, n: int | None) -> Stream:
    """Read a file, or its first n rows, but for rows without a target.

    Of two labels the later one becomes True: River's logistic regression takes no other.
    """
    source = open_source(path)
    is_regression = plan(source, JobConfig.of({"target": target})).task == "regression"
    with source.open(source.schema) as reader:
        records = [record for block in reader for record in block.records.to_pylist()][:n]
    rows = [(record, y) for record in records if (y := record.pop(target)) is not None]
    stream = Stream(path.stem, is_regression, rows)
    if is_regression or not stream.is_binary:
        return stream
    later = max({y for _, y in rows})
    return Stream(path.stem, is_regression, [(x, y == later) for x, y in rows])


def prepared(model: Any, stream: Stream) -> Any:
    """Put River's scaler before a model, and its one-hot encoder where there are strings."""
    scaler = preprocessing.StandardScaler()
    if not stream.has_strings:
        return scaler | model
    numbers, strings = compose.SelectType(Number), compose.SelectType(str)
    return ((numbers | scaler) + (strings | preprocessing.OneHotEncoder())) | model


def models(stream: Stream) -> Makers:
    """Return what makes each model that a stream is learned with, ours first."""
    return values_models(stream) if stream.is_regression else class_models(stream)


def class_models(stream: Stream) -> Makers:
    """Return what makes the classifiers."""
    linear = linear_model.LogisticRegression if stream.is_binary else linear_model.SoftmaxRegression
    return {
        "stream_bp MLPClassifier": MLPClassifier,
        linear.__name__: lambda: prepared(linear(), stream),
        "HoeffdingTreeClassifier": tree.HoeffdingTreeClassifier,
        "HoeffdingAdaptiveTreeClassifier": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=1),
        "ARFClassifier": lambda: forest.ARFClassifier(seed=1),
        "KNNClassifier": lambda: prepared(neighbors.KNNClassifier(), stream),
    }


def values_models(stream: Stream) -> Makers:
    """Return what makes the regressors; a tree learns raw rows too, if these are numbers alone."""
    made: Makers = {
        "stream_bp MLPRegressor": MLPRegressor,
        "LinearRegression": lambda: prepared(linear_model.LinearRegression(), stream),
        "HoeffdingTreeRegressor": lambda: prepared(tree.HoeffdingTreeRegressor(), stream),
        "HoeffdingTreeRegressor, raw": tree.HoeffdingTreeRegressor,
        "HoeffdingAdaptiveTreeRegressor": lambda: prepared(tree.HoeffdingAdaptiveTreeRegressor(seed=1), stream),
        "ARFRegressor": lambda: prepared(forest.ARFRegressor(seed=1), stream),
        "KNNRegressor": lambda: prepared(neighbors.KNNRegressor(), stream),
    }
    if stream.has_strings:
        del made["HoeffdingTreeRegressor, raw"]
    return made


def learn(model: Any, rows: list[Row]) -> tuple[list[Any], float]:
    """Predict each row, then learn it; return the predictions and the seconds."""
    predictions = []
    began = time.perf_counter()
    for x, y in rows:
        predictions.append(model.predict_one(x))
        model.learn_one(x, y)
    return predictions, time.perf_counter() - began


def measure(stream: Stream, name: str, model: Any) -> Result:
    """Learn a stream with a model and score it."""
    predictions, seconds = learn(model, stream.rows)
    kinds = (METRICS.MAE, METRICS.R2) if stream.is_regression else (METRICS.Accuracy, METRICS.CohenKappa)
    found = [kind() for kind in kinds]
    for (_, y), prediction in zip(stream.rows, predictions, strict=True):
        if prediction is not None:
            for metric in found:
                metric.update(y, prediction)
    scores = {type(metric).__name__: float(metric.get()) for metric in found}
    memory = model._raw_memory_usage / 1024
    return Result(stream.name, name, len(predictions), scores, len(predictions) / seconds, memory)


def table(stream: Stream, results: list[Result]) -> Table:
    """Lay the results of one stream out; ours is bold."""
    laid_out = Table(title=f"{stream.name}: {len(stream.rows):,} rows", title_justify="left")
    laid_out.add_column("model", no_wrap=True)
    for heading in (*results[0].scores, "rows/s", "KiB"):
        laid_out.add_column(heading, justify="right")
    for result in results:
        scores = [f"{score:,.4f}" if abs(score) < 1e6 else f"{score:.1e}" for score in result.scores.values()]
        is_ours = result.model.startswith("stream_bp")
        figures = (*scores, f"{result.rows_per_second:,.0f}", f"{result.memory_kib:,.0f}")
        laid_out.add_row(result.model, *figures, style="bold" if is_ours else None)
    return laid_out


def single_row_speed() -> dict[str, list[float]]:
    """Alternate the network's backends and River's logistic regression on Phishing; return the rows/s of every run."""
    stream = river_stream("Phishing", None)
    contestants: Makers = {
        "MLPClassifier, numpy": lambda: MLPClassifier(backend="numpy"),
        "MLPClassifier, compiled": lambda: MLPClassifier(backend="compiled"),
        "StandardScaler | LogisticRegression": lambda: prepared(linear_model.LogisticRegression(), stream),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    rows = stream.rows * PASSES
    for _ in range(REPEATS):
        for name, make in contestants.items():
            rates[name].append(len(rows) / learn(make(), rows)[1])
    return rates


def show_speed(console: Console, rates: dict[str, list[float]]) -> None:
    """Print the median and the spread of each contestant, and what the median is of River's."""
    console.print(f"Rows per second, one row at a time: Phishing, {PASSES} passes, {REPEATS} runs in turn")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    *_, theirs = medians.values()
    for name, found in rates.items():
        spread = f"({min(found):,.0f} to {max(found):,.0f})"
        console.print(f"  {name:36} {medians[name]:9,.0f}  {spread:20} {medians[name] / theirs:.2f}")


def chosen_streams(arguments: argparse.Namespace) -> Iterator[Stream]:
    """Read one stream after the other, the user's own last."""
    for name in NAMES:
        if not arguments.only or name in arguments.only:
            yield river_stream(name, arguments.rows)
    if arguments.stream is not None:
        yield own_stream(arguments.stream, arguments.target, arguments.rows)


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="prequential tables on River's streams, beside River's models")
    parser.add_argument("--only", action="append", choices=(*NAMES, SPEED), help="this part; give it again for several")
    parser.add_argument("--rows", type=int, help="no more than this many rows of every stream")
    parser.add_argument("--stream", type=Path, help="a Parquet or CSV file to learn as well")
    parser.add_argument("--target", help="its column to predict")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if (arguments.stream is None) != (arguments.target is None):
        parser.error("--stream and --target go together")
    return arguments


def main() -> None:
    """Print a table for each stream, then the speed of single rows."""
    arguments, console = parsed_arguments(), Console(highlight=False)
    results: list[Result] = []
    rates: dict[str, list[float]] = {}
    with reproducibility.single_thread():
        for stream in chosen_streams(arguments):
            with console.status(stream.name):
                found = [measure(stream, name, make()) for name, make in models(stream).items()]
            console.print(table(stream, found))
            results += found
        if not arguments.only or SPEED in arguments.only:
            rates = single_row_speed()
            show_speed(console, rates)
    if arguments.json is not None:
        figures = {"results": [asdict(result) for result in results], "single_row_rates": rates}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
