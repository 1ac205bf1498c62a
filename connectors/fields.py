"""What a field of a requested schema says beside its name and type: the notation of its text, and what it copies."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from connectors.notations.base import Notation
from connectors.notations.specs import notation_of

__all__ = ["as_text", "columns_of", "copy_of", "notation", "source_column", "with_notation"]

_COLUMN, _NOTATION = b"column", b"notation"


def copy_of(name: str, type_: pa.DataType) -> pa.Field:
    """Return a field that holds a column once more, in another type; no column of a source has its name.

    Examples
    --------
    >>> source_column(copy_of("id", pa.string()))
    'id'
    """
    return pa.field(f"{name}\0copy", type_, metadata={_COLUMN: name})


def source_column(field: pa.Field) -> str:
    """Return the name of the column in the source that a field is read from."""
    name = (field.metadata or {}).get(_COLUMN)
    return str(field.name if name is None else name.decode())


def columns_of(schema: Iterable[pa.Field]) -> list[str]:
    """Return the names of the columns in the source that a schema is read from, each once."""
    return list(dict.fromkeys(map(source_column, schema)))


def as_text(schema: Iterable[pa.Field]) -> pa.Schema:
    """Return the columns of a schema as text is parsed to them, each once.

    A column whose text is needed, to apply a notation or to copy it, is a string. `schemas.cast` converts it then.
    """
    fields: dict[str, list[pa.Field]] = {}
    for field in schema:
        fields.setdefault(source_column(field), []).append(field)
    return pa.schema(
        [
            (name, pa.string() if len(same) > 1 or notation(same[0]) is not None else same[0].type)
            for name, same in fields.items()
        ]
    )


def with_notation(field: pa.Field, spec: str) -> pa.Field:
    """Return a field that is read from text in a notation."""
    return field.with_metadata({**(field.metadata or {}), _NOTATION: spec})


def notation(field: pa.Field) -> Notation | None:
    """Return the notation in which the text of a field is read; None for the usual one."""
    spec = (field.metadata or {}).get(_NOTATION)
    return None if spec is None else notation_of(spec.decode())
