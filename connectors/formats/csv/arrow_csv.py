"""Options for Arrow's CSV parser: null cells, column types, and delimiters.

An empty cell is null in a column of any type, and so is a null word of the dialect. Blanks and Arrow's usual words (NA,
NaN, null …) are null in columns of numbers and booleans. In a column of strings they are text: ``NA`` is Namibia.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.arrays import flags, is_text, texts, with_nulls
from connectors.formats.csv.dialect import Dialect
from connectors.schemas import NOTHING

__all__ = ["BLANKS", "convert_options", "read_records", "text_to_null"]

# Otherwise Arrow cancels a parse at SIGINT or SIGTERM, and the job ends with an error instead of a checkpoint.
pa.enable_signal_handlers(False)

BLANKS = (*(" " * n for n in range(1, 17)), "\t")
_BOM = b"\xef\xbb\xbf"


def convert_options(
    wanted: Iterable[pa.Field], dialect: Dialect, nothing: Sequence[str] = (*NOTHING, *BLANKS)
) -> pacsv.ConvertOptions:
    """Return how cells become values; without wanted columns, Arrow reads all and infers their types."""
    types = {field.name: field.type for field in wanted}
    return pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        include_missing_columns=True,
        null_values=[*nothing, *dialect.null_values],
        decimal_point=dialect.decimal,
    )


def read_records(text: bytes, header: list[str], convert: pacsv.ConvertOptions, dialect: Dialect) -> pa.Table:
    """Parse text in one block and one thread, so that Arrow never cuts a record in two."""
    if text.startswith(_BOM):  # Arrow would drop it; after a blank line it keeps it, as part of the first field
        text = b"\n" + text
    return pacsv.read_csv(
        pa.py_buffer(text),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.delimiter or ",",
            quote_char=dialect.quote_byte.decode() or False,
            escape_char=dialect.escape or False,
            newlines_in_values=True,
        ),
        convert_options=convert,
    )


def text_to_null(column: pa.Array, dialect: Dialect) -> pa.Array:
    """Replace empty strings and the dialect's null words by null."""
    if not is_text(column.type) or column.null_count:  # a column that the file lacks is all null already
        return column
    # A new bitmap instead of `if_else`: a scalar would make Arrow import pandas.
    is_filled = np.from_dlpack(pc.binary_length(column)) > 0
    if dialect.null_values:
        is_filled &= ~flags(pc.is_in(column, value_set=texts(dialect.null_values, column.type)))
    return column if is_filled.all() else with_nulls(column, is_filled)
