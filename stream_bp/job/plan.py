"""Chooses the columns and the task of a source before its first row is learned."""

from collections.abc import Iterator, Sequence
from typing import Any

from connectors import Source
from stream_bp.config.job import JobConfig
from stream_bp.errors import DataError
from stream_bp.preprocessing.arrow_buffers import distinct
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import Column, Task, is_number, present

__all__ = ["doubtful_types", "plan"]

_MOST_CLASSES = 20  # whole numbers with more distinct values than this are values, not classes


def plan(source: Source, config: JobConfig) -> Encoder:
    """Choose columns and task, and read targets until it is clear that there is something to learn.

    Parameters
    ----------
    source
        The source of the rows.
    config
        Target, features, task.

    Returns
    -------
    Encoder
        With empty vocabularies.

    Raises
    ------
    ConfigError
        If a column is missing, or the task is unclear.
    DataError
        If there are no rows, a type cannot be learned from, or a classification has fewer than two classes.
    """
    schema = source.schema
    # A first plan finds wrong names and types before rows are read.
    draft: Task = "regression" if config.task == "regression" else "classification"
    settings = config.encoder_settings
    if config.new_columns == "learn":  # --ignore may name a column that only a later file has
        settings["ignore"] = present(config.ignore, schema.names)
    encoder = Encoder(ColumnPlan.of(schema, config.target, draft, **settings))
    task = config.task if config.task != "auto" else _guess(source, config, encoder)
    if task != draft:
        encoder = Encoder(ColumnPlan.of(schema, config.target, task, **settings))
    # The second class of an unbounded stream may arrive late.
    if not source.is_unbounded:
        _refuse_hopeless(source, encoder)
    return encoder


def doubtful_types(source: Source, config: JobConfig, features: Sequence[Column]) -> list[str]:
    """Return a line for each feature whose type may not be the intended one, unless the settings name the column."""
    said, warnings = {*config.features, *config.categorical, *config.numeric}, source.type_warnings
    return [warnings[column.name] for column in features if column.name in warnings and column.name not in said]


def _guess(source: Source, config: JobConfig, draft: Encoder) -> Task:
    """Infer the task: strings, booleans and a few different whole numbers are classes; other numbers are values."""
    # An output function implies the task.
    if config.output != "auto":
        return "regression" if config.output == "identity" else "classification"
    first = next(_targets(source, draft.columns.target_schema), None)
    if first is None:
        raise DataError(f"{source.description}: no rows")
    for name in config.target:
        column = first.column(name)
        if is_number(column.type) and not _looks_like_classes(distinct(column)):
            return "regression"
    return "classification"


def _looks_like_classes(values: list[Any]) -> bool:
    return len(values) <= _MOST_CLASSES and all(float(value).is_integer() for value in values)


def _refuse_hopeless(source: Source, encoder: Encoder) -> None:
    """Read targets until each has two classes (one value, for a regression). The first block usually suffices."""
    wanted = 2 if encoder.task == "classification" else 1
    met: dict[str, dict[Any, None]] = {column.name: {} for column in encoder.targets}
    n_rows = 0
    for records in _targets(source, encoder.columns.target_schema):
        n_rows += records.num_rows
        for name, values in met.items():
            values.update(dict.fromkeys(distinct(records.column(name))))
        if all(len(values) >= wanted for values in met.values()):
            return
    if not n_rows:
        raise DataError(f"{source.description}: no rows")
    name, values = min(met.items(), key=lambda item: len(item[1]))
    if encoder.task == "regression":
        raise DataError(f"target column {name!r} has no value in {n_rows} rows; learning needs at least one")
    found = f"only the class {next(iter(values))!r}" if values else "no class"
    raise DataError(f"target column {name!r} has {found} in {n_rows} rows; learning needs at least two")


def _targets(source: Source, schema: Any) -> Iterator[Any]:
    with source.open(schema) as reader:
        for block in reader:
            if len(block):
                yield block.records
