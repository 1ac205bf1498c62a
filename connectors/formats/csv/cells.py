"""What the cells of a column look like: numbers, dates, truth values, or words that mean nothing."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.formats.csv.arrow_csv import BLANKS
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.records import Positions
from connectors.schemas import NOTHING, failures

__all__ = ["DECIMAL", "LIKELY", "are_like", "have_value", "suspicious_cells"]

_NUMBER = r"-?[0-9]{1,17}"
DECIMAL = r"[+-]?(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_ZONE = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
# What a column of words is, if nearly all of its cells are so; the first that fits. See `_written` for the mark.
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
# What certainly is of a type.
_PLAIN = (
    (pa.types.is_int64, _NUMBER),
    (pa.types.is_floating, r"-?[0-9]{1,17}(?:{mark}[0-9]{1,17})?"),
    (pa.types.is_boolean, "true|false"),
)


def have_value(words: pa.ChunkedArray, dialect: Dialect) -> pa.ChunkedArray:
    """Tell which of some words are not such as mean that there is nothing."""
    return pc.invert(pc.match_substring_regex(words, _nothing(dialect.null_values)))


@lru_cache(maxsize=256)
def _nothing(null_values: tuple[str, ...]) -> str:
    """Return the pattern of what means that there is nothing: once, and not for each column."""
    return "^(?:" + "|".join(map(re.escape, (*NOTHING, *BLANKS, *null_values))) + ")$"


def are_like(words: pa.ChunkedArray, pattern: str, dialect: Dialect) -> pa.ChunkedArray:
    """Tell which of some words are as a pattern says, but for blanks."""
    return pc.match_substring_regex(words, rf"^\s*(?:{_marked(pattern, dialect.decimal)})\s*$")


@lru_cache(maxsize=256)
def _marked(pattern: str, decimal: str) -> str:
    """Return a pattern with the decimal mark that numbers are written with."""
    return pattern.replace("{mark}", re.escape(decimal))


def suspicious_cells(cells: pa.Array, type_: pa.DataType, dialect: Dialect) -> Positions:
    """Return the indices of cells that are not plainly of a type: where some are not, nearly all others are."""
    if pa.types.is_binary(type_):
        return np.empty(0, np.int64)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return np.array(failures(cells, pa.string()), np.int64)
    pattern = next((pattern for is_it, pattern in _PLAIN if is_it(type_)), None)
    if pattern is None:
        return np.arange(len(cells))
    plain = pc.match_substring_regex(cells, f"^(?:{_marked(pattern, dialect.decimal)})?$")
    return np.flatnonzero(~np.from_dlpack(plain.cast(pa.uint8())).view(bool))
