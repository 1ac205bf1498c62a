"""Columns of a source that are copied beside predictions."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from connectors import Source
from connectors.fields import copy_of, source_column
from connectors.notations.specs import declared
from stream_bp.errors import ConfigError
from stream_bp.preprocessing.schema import Column, declared_column, expand, field_in

__all__ = ["beside", "copied_from", "copies", "kept_columns", "with_copies"]


def kept_columns(schema: pa.Schema, names: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Return the columns to copy next to predictions.

    Raises
    ------
    ConfigError
        If one is not in the source, or is a target.
    """
    kept = list(dict.fromkeys(expand("passthrough", names, schema.names)))
    if clash := {*targets}.intersection(kept):
        raise ConfigError(
            f"passthrough column {min(clash)!r} is a target, and the predictions have a column with that name"
        )
    return kept


def copies(
    source: Source,
    names: Sequence[str],
    types: Mapping[str, str],
    learned: Sequence[Column] = (),
    *,
    is_typed: bool = False,
) -> list[pa.Field]:
    """Return the fields that copy columns of a source: as written, or in their declared types.

    Parameters
    ----------
    source
        The source.
    names
        The columns, of :func:`kept_columns`.
    types
        Declared types, by column.
    learned
        Columns that are learned. Their notations were found where a declared type has none.
    is_typed
        Whether text is copied in the inferred types instead, as release 0.3.0 did.
    """
    fields, found = [], {column.name: column.notation for column in learned if column.notation is not None}
    for name in names:
        field = source.schema.field(name)
        if name in types:
            given = declared(types[name])
            is_open = given.notation is None and given.kind in {"number", "date"}
            column = declared_column(field, found.get(name, types[name]) if is_open else types[name], is_target=True)
            field = field_in(column, pa.string() if column.notation else field.type)
        elif not is_typed:
            field = pa.field(name, source.written_type(name))
        if source.has_copies and not is_typed:
            field = copy_of(name, field.type).with_metadata(
                {**(field.metadata or {}), **copy_of(name, field.type).metadata}
            )
        fields.append(field)
    return fields


def with_copies(schema: pa.Schema, copied: Sequence[pa.Field]) -> pa.Schema:
    """Return the columns to request from a source: ``schema``, then the columns to copy."""
    return pa.schema([*schema, *(field for field in copied if field.name not in schema.names)])


def copied_from(records: pa.RecordBatch, copied: Sequence[pa.Field]) -> pa.RecordBatch:
    """Return the copied columns of rows, under their names in the source."""
    columns = [records.column(field.name) for field in copied]
    return pa.RecordBatch.from_arrays(columns, names=[source_column(field) for field in copied])


def beside(copied: pa.RecordBatch, answer: pa.RecordBatch) -> pa.RecordBatch:
    """Return copied columns, then those of predictions. Raise a ConfigError if two have the same name."""
    if clash := {*copied.schema.names}.intersection(answer.schema.names):
        raise ConfigError(f"passthrough column {min(clash)!r} has the name of a predicted column; rename it")
    schema = pa.schema([*copied.schema, *answer.schema])
    return pa.record_batch([*copied.columns, *answer.columns], schema=schema)
