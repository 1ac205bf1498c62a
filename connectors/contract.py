"""The former name of `connectors.testing`, which packages may still import."""

from connectors.testing import N_ROWS, SCHEMA, SourceContract, blocks, rows, table, through_json

__all__ = ["N_ROWS", "SCHEMA", "SourceContract", "blocks", "rows", "table", "through_json"]
