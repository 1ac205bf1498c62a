"""The former name of `connectors.testing`, kept for packages that still import it."""

from connectors.testing import N_ROWS, SCHEMA, SourceContract, blocks, rows, table, through_json

__all__ = ["N_ROWS", "SCHEMA", "SourceContract", "blocks", "rows", "table", "through_json"]
