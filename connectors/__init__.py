"""Where rows come from: Parquet files, CSV files and tables, read in order, from any position.

>>> import pyarrow as pa
>>> source = open_source(pa.table({"x": [1.0, 2.0, 3.0]}))
>>> with source.open(source.schema) as reader:
...     block = next(reader)
>>> with source.open(source.schema, block.cursor(2)) as reader:
...     next(reader).records.to_pylist()
[{'x': 3.0}]
"""

from connectors.base import Block, Cursor, FileIdentity, Reader, Source
from connectors.errors import ConnectorError, CursorError, RowError, SchemaError, SourceError
from connectors.memory import MemorySource
from connectors.places import EXTENSIONS, open_source
from connectors.prefetch import Prefetcher, prefetch
from connectors.rebatch import rebatch
from connectors.writer import open_writer

__all__ = [
    "EXTENSIONS",
    "Block",
    "ConnectorError",
    "Cursor",
    "CursorError",
    "FileIdentity",
    "MemorySource",
    "Prefetcher",
    "Reader",
    "RowError",
    "SchemaError",
    "Source",
    "SourceError",
    "open_source",
    "open_writer",
    "prefetch",
    "rebatch",
]
