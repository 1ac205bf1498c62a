"""How Arrow reads CSV: which cells are null, of which types columns are, and what ends a field.

An empty cell is null, whatever the type; so is a word that the dialect names. In a number or truth value so are blanks,
and Arrow's usual words (NA, NaN, null …); in a string they are strings: ``NA`` is Namibia.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.formats.csv.dialect import Dialect
from connectors.schemas import NOTHING

__all__ = ["BLANKS", "convert_options", "read_records", "text_to_null"]

# Arrow would cancel a parse at a signal: a job asked to stop would end with an error instead of a checkpoint.
pa.enable_signal_handlers(False)

BLANKS = (*(" " * n for n in range(1, 17)), "\t")
_BOM = b"\xef\xbb\xbf"


def convert_options(
    wanted: Iterable[pa.Field], dialect: Dialect, nothing: Sequence[str] = (*NOTHING, *BLANKS)
) -> pacsv.ConvertOptions:
    """Return how cells become values; of no column wanted, Arrow tells the types of all."""
    types = {field.name: field.type for field in wanted}
    return pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        include_missing_columns=True,
        null_values=[*nothing, *dialect.null_values],
        decimal_point=dialect.decimal,
    )


def read_records(text: bytes, header: list[str], convert: pacsv.ConvertOptions, dialect: Dialect) -> pa.Table:
    """Parse in one piece and one thread, so that nothing is cut but by us."""
    if text.startswith(_BOM):  # Arrow would leave it out; behind a blank line it is text like other text
        text = b"\n" + text
    return pacsv.read_csv(
        pa.py_buffer(text),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.delimiter or ",",
            quote_char=dialect.quote_byte.decode() or False,
            newlines_in_values=True,
        ),
        convert_options=convert,
    )


def text_to_null(column: pa.Array, dialect: Dialect) -> pa.Array:
    """Let what is empty, or a word for it, be null: by a new bitmap, for a scalar would make Arrow import pandas."""
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not is_text or column.null_count:  # a column that the file lacks is null already
        return column
    is_filled = np.from_dlpack(pc.binary_length(column)) > 0
    if dialect.null_values:
        is_word = pc.is_in(column, value_set=pa.array(dialect.null_values, column.type))
        is_filled &= ~np.from_dlpack(is_word.cast(pa.uint8())).view(bool)
    if is_filled.all():
        return column
    bitmap = pa.py_buffer(np.packbits(is_filled, bitorder="little"))
    _, offsets, text = column.buffers()
    return pa.Array.from_buffers(column.type, len(column), [bitmap, offsets, text])
