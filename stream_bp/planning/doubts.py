"""What may surprise about the columns of a job, said once when it begins."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from connectors import RowError, Source
from connectors.notations.dates import guess_dates
from connectors.notations.numbers import guess_number, is_number_like
from connectors.suggestions import ignored, shorten, typed
from stream_bp.config.job import JobConfig
from stream_bp.preprocessing.arrow_buffers import distinct
from stream_bp.preprocessing.encoder import Encoder

__all__ = ["doubts"]

_LOOKED_AT = 1_000
_FEWEST = 100  # rows from which a share of them says something
_IDENTIFIES = 0.95  # share of distinct values from which a column of text is an identifier
_MANY = 0.5  # share of cells that look like numbers from which it is said


def doubts(source: Source, config: JobConfig, encoder: Encoder) -> list[str]:
    """Return a line for each surprise about the columns that are learned, unless the settings declare the column.

    Parameters
    ----------
    source
        The source. Its first rows are read.
    config, encoder
        The settings, and the columns that were chosen.
    """
    said = {*config.categorical, *config.numeric, *config.declared_types}
    words = {column.name for column in [*encoder.categorical, *encoder.targets] if column.kind == "string"}
    # A column of words that --features names is meant as such.
    said |= words.intersection(config.features)
    learned = [column.name for column in [*encoder.features, *encoder.targets] if column.name not in said]
    warnings = source.type_warnings
    lines = [*source.remarks, *(warnings[name] for name in learned if name in warnings)]
    fields = [pa.field(name, pa.string()) for name in learned if name in words and name not in warnings]
    counters = [
        source.schema.field(column.name)
        for column in encoder.features
        if column.name in learned and pa.types.is_integer(source.schema.field(column.name).type)
    ]
    if fields or counters:
        try:
            rows = source.first_rows(pa.schema([*fields, *counters]), _LOOKED_AT)
        except RowError:  # the job meets it too, after it has learned and saved the rows before
            return lines
        targets = {column.name for column in encoder.targets}
        for field in fields:
            lines += _about_words(field.name, rows.column(field.name), is_target=field.name in targets)
        lines += [line for field in counters for line in _about_counter(field.name, rows.column(field.name))]
    return lines


def _about_words(name: str, column: pa.ChunkedArray, *, is_target: bool) -> Iterator[str]:
    cells, n_values = [str(cell) for cell in distinct(column)], len(column) - column.null_count
    if not cells:
        return
    role, example = ("target " if is_target else "") + f"column {name!r}", shorten(cells[0], 30)
    dates = guess_dates(cells, _MANY)
    if dates:
        option = typed(name, *(one.spec for one in dates))
        yield f"{role} is read as words, but looks like dates, such as {example!r}; {option} reads dates"
    elif not _has_leading_zeros(cells) and _many_like_numbers(column):
        number = guess_number([cell for cell in cells if is_number_like(cell)])
        option = typed(name, number.spec if number is not None else "number:1,234.5")
        yield f"{role} is read as words, but looks like numbers, such as {example!r}; {option} reads numbers"
    elif n_values >= _FEWEST and len(cells) >= _IDENTIFIES * n_values:
        yield _identifies(role, name, len(cells), n_values, is_target=is_target)


def _has_leading_zeros(cells: list[str]) -> bool:
    """Return whether a cell begins like 007: such cells are codes, not numbers."""
    return any(cell[:1] == "0" and cell[1:2].isdigit() for cell in cells)


def _many_like_numbers(column: pa.ChunkedArray) -> bool:
    cells = [cell for cell in column.to_pylist() if cell]
    return sum(map(is_number_like, cells)) >= _MANY * len(cells)


def _about_counter(name: str, column: pa.ChunkedArray) -> Iterator[str]:
    if len(column) < _FEWEST or column.null_count:
        return
    steps = np.diff(np.from_dlpack(column.combine_chunks().cast(pa.int64())))
    if len(steps) and abs(int(steps[0])) == 1 and (steps == steps[0]).all():
        yield _identifies(f"column {name!r}", name, len(column), len(column), is_target=False)


def _identifies(role: str, name: str, n_distinct: int, n_values: int, *, is_target: bool) -> str:
    line = f"{role} has {n_distinct:,} different values in the first {n_values:,} rows, like an identifier"
    return line if is_target else f"{line}; leave it out with {ignored(name)}"
