"""Chooses the columns and the task of a source before its first row is learned."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from connectors import Source
from connectors.fields import notation
from connectors.notations.dates import guess_dates
from connectors.notations.numbers import guess_number, is_number_like
from connectors.notations.specs import declared
from connectors.schemas import exception
from connectors.suggestions import typed
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError, DataError
from stream_bp.preprocessing.arrow_buffers import distinct
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import Task, is_number, is_text, present

__all__ = ["MOST_GUESSED_CLASSES", "plan"]

MOST_GUESSED_CLASSES = 20
"""Whole numbers with more distinct values than this are values, not classes."""

_GUESSED_FROM = 10_000  # rows: a guess must not depend on how rows are cut into blocks, row groups or files
_LOOKED_AT = 1_000


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
    settings = config.encoder_settings
    if config.new_columns == "learn":  # --ignore may name a column that only a later file has
        settings["ignore"] = present(config.ignore, schema.names)
    # A first plan finds wrong names and types before rows are read.
    draft: Task = "regression" if config.task == "regression" else "classification"
    types = _completed(source, config.declared_types)
    try:
        ColumnPlan.of(schema, config.target, draft, **{**settings, "types": types})
    except ConfigError as error:
        raise _explained(error, source) from None
    task, classes = _task(source, config, types)
    encoder = Encoder(ColumnPlan.of(schema, config.target, task, **{**settings, "types": {**types, **classes}}))
    # The second class of an unbounded stream may arrive late.
    if not source.is_unbounded:
        _refuse_hopeless(source, encoder)
    return encoder


def _explained(error: ConfigError, source: Source) -> ConfigError:
    """Return an error about columns, with what is odd about the line that should name them."""
    about = next((line for line in source.remarks if "the first line" in line), None)
    return error if about is None else ConfigError(f"{error}; {about}")


def _completed(source: Source, types: Mapping[str, str]) -> dict[str, str]:
    """Return the declared types, with the notations of columns of text that are declared as numbers or dates.

    Raises
    ------
    ConfigError
        If a date could be read in several ways.
    """
    open_ = [
        field
        for name, spec in types.items()
        if name in source.schema.names
        and declared(spec).kind in {"number", "date"}
        and declared(spec).notation is None
        and is_text((field := source.schema.field(name)).type)
        and notation(field) is None
    ]
    if not open_:
        return dict(types)
    rows = source.first_rows(pa.schema(open_), _LOOKED_AT)
    return {**types, **{field.name: _with_notation(field.name, types[field.name], rows) for field in open_}}


def _with_notation(name: str, spec: str, rows: pa.Table) -> str:
    cells = [str(cell) for cell in distinct(rows.column(name))]
    if declared(spec).kind == "number":
        number = guess_number([cell for cell in cells if is_number_like(cell)])
        return spec if number is None else number.spec
    dates = guess_dates(cells)
    if len(dates) == 1:
        return dates[0].spec
    formats = [one.spec for one in dates] or ["date:%d/%m/%Y"]
    raise ConfigError(f"types: give the format of {name!r}, such as {typed(name, *formats)}")


def _task(source: Source, config: JobConfig, types: Mapping[str, str]) -> tuple[Task, dict[str, str]]:
    """Return the task, and the types of targets that follow from it.

    Strings, booleans and a few different whole numbers are classes; other numbers are values.
    """
    fields = [source.schema.field(name) for name in config.target if name not in types]
    if config.task != "auto":
        task = config.task
    elif config.output != "auto":  # an output function implies the task
        task = "regression" if config.output == "identity" else "classification"
    else:
        task = "classification"
        numbers = [field for field in fields if is_number(field.type)]
        said = [declared(types[name]).kind for name in config.target if name in types]
        if "number" in said or (numbers and not _look_like_classes(source, numbers)):
            return "regression", {}
        _refuse_empty(source, config.target)
        fractional = {field.name: "integer" for field in numbers if pa.types.is_floating(field.type)}
        return task, {**fractional, **_worded(fields)}
    return task, _worded(fields) if task == "classification" else {}


def _worded(fields: Sequence[pa.Field]) -> dict[str, str]:
    """Return the type text for classes that are numbers with few exceptions: a rare class is a class."""
    return {field.name: "text" for field in fields if exception(field) is not None}


def _refuse_empty(source: Source, targets: Sequence[str]) -> None:
    schema = pa.schema([pa.field(name, pa.string()) for name in targets[:1]])
    if not source.is_unbounded and not source.first_rows(schema, 1).num_rows:
        raise DataError(f"{source.description}: no rows")


def _look_like_classes(source: Source, fields: Sequence[pa.Field]) -> bool:
    """Return whether the first numbers of every target are whole and few."""
    # Text with few exceptions would be a bad row here.
    schema = pa.schema([field.with_type(pa.string()) if exception(field) is not None else field for field in fields])
    met: dict[str, set[Any]] = {field.name: set() for field in fields}
    for rows in source.first_rows(schema, _GUESSED_FROM).to_batches():
        for name, values in met.items():
            values.update(map(_as_number, distinct(rows.column(name))))
    return all(len(values) <= MOST_GUESSED_CLASSES + 1 and _are_whole(values) for values in met.values())


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _are_whole(values: set[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) <= MOST_GUESSED_CLASSES and all(value.is_integer() for value in known)


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
