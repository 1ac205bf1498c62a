"""Classify the cells of a column: numbers, dates, booleans, or words for a missing value."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import flags, texts
from connectors.formats.csv.arrow_csv import BLANKS
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.records import Positions
from connectors.schemas import NOTHING, failures

__all__ = ["DECIMAL", "ISO", "LIKELY", "are_like", "suspicious_cells", "values_of"]

_NUMBER = r"-?[0-9]{1,17}"
DECIMAL = r"[+-]?(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_ZONE = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
ISO = f"{_DAY}(?:[ T]{_HOUR}{_ZONE}?)?"
# A column of words gets the first type whose pattern fits nearly all of its cells. See `_marked` for {mark}.
LIKELY = (
    (pa.bool_(), "true|false"),
    (pa.int64(), _NUMBER),
    (pa.float64(), DECIMAL),
    (pa.date32(), _DAY),
    (pa.time32("s"), "[0-9]{2}:[0-9]{2}(?::[0-9]{2})?"),
    (pa.timestamp("us"), f"{_DAY}(?:[ T]{_HOUR})?"),
    (pa.timestamp("ns"), f"{_DAY}(?:[ T]{_HOUR})?"),
    (pa.timestamp("us", "UTC"), f"{_DAY}[ T]{_HOUR}{_ZONE}"),
    (pa.timestamp("ns", "UTC"), f"{_DAY}[ T]{_HOUR}{_ZONE}"),
)
# Stricter patterns: a cell that matches needs no check by Arrow, which would cost more.
_PLAIN = (
    (pa.types.is_int64, _NUMBER),
    (pa.types.is_floating, r"-?[0-9]{1,17}(?:{mark}[0-9]{1,17})?"),
    (pa.types.is_boolean, "true|false"),
)


def values_of(cells: pa.ChunkedArray, dialect: Dialect) -> pa.ChunkedArray:
    """Return the cells that are values: neither null, nor a word for a missing value."""
    words = cells.drop_null()
    is_nothing = pc.is_in(words, value_set=_nothing(dialect.null_values))
    return words.filter(pc.invert(is_nothing)) if pc.any(is_nothing).as_py() else words


@lru_cache(maxsize=256)
def _nothing(null_values: tuple[str, ...]) -> pa.Array:
    """Return the words for a missing value; cached, since every column needs them."""
    return texts((*NOTHING, *BLANKS, *null_values))


def are_like(words: pa.ChunkedArray, pattern: str, dialect: Dialect) -> pa.ChunkedArray:
    """Return which words match a pattern, apart from blanks around them."""
    return pc.match_substring_regex(words, rf"^\s*(?:{_marked(pattern, dialect.decimal)})\s*$")


@lru_cache(maxsize=256)
def _marked(pattern: str, decimal: str) -> str:
    """Return a pattern with the decimal mark of the dialect."""
    return pattern.replace("{mark}", re.escape(decimal))


def suspicious_cells(cells: pa.Array, type_: pa.DataType, dialect: Dialect) -> Positions:
    """Return the indices of cells that may not be of a type."""
    # Only these few are then parsed one by one, which is slow.
    if pa.types.is_binary(type_):
        return np.empty(0, np.int64)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return np.array(failures(cells, pa.string()), np.int64)
    pattern = next((pattern for is_it, pattern in _PLAIN if is_it(type_)), None)
    if pattern is None:
        return np.arange(len(cells))
    plain = pc.match_substring_regex(cells, f"^(?:{_marked(pattern, dialect.decimal)})?$")
    return np.flatnonzero(~flags(plain))
