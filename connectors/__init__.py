"""Sources of rows: Parquet files, CSV files and tables, read in order, from any position.

>>> import pyarrow as pa
>>> source = open_source(pa.table({"x": [1.0, 2.0, 3.0]}))
>>> with source.open(source.schema) as reader:
...     block = next(reader)
>>> with source.open(source.schema, block.cursor(2)) as reader:
...     next(reader).records.to_pylist()
[{'x': 3.0}]

The exports are listed in ``__init__.pyi``; each is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
