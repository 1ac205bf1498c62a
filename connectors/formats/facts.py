"""What is known about the files of a stream together: columns, types, copies, remarks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from connectors.errors import SourceError
from connectors.formats.base import FileFacts, Format, Samples
from connectors.schemas import doubt, unify

__all__ = ["first_columns", "remarks_of", "schema_of", "type_warnings_of", "with_types", "written_type"]

FormatOf = Callable[[str], Format]


def first_columns(files: Sequence[FileFacts], schema: pa.Schema) -> pa.Schema:
    """Return the columns of the first file that has any, and rows, with their types in the schema of all files."""
    # The lengths of lists, and so the names of their elements, are unknown in a file without rows.
    with_columns = [file for file in files if file.schema is not None]
    first = next((file for file in with_columns if file.n_rows != 0), with_columns[0]).schema or schema
    return schema if first is schema else pa.schema([schema.field(name) for name in first.names], schema.metadata)


def type_warnings_of(files: Sequence[FileFacts]) -> dict[str, str]:
    """Return type warnings by column name; for each column, the warning of the first file that has one."""
    fields = [field for file in reversed(files) for field in file.schema or ()]
    return {field.name: line for field in fields if (line := doubt(field)) is not None}


def with_types(files: Sequence[FileFacts], format_of: FormatOf, samples: Samples) -> list[FileFacts]:
    """Return the facts with the types that are inferred from the samples of all files."""
    formats = {one.name: one for one in (format_of(file.name) for file in files if file.schema is not None)}
    inferred = {name: one.infer(samples) for name, one in formats.items()}
    return [_with_types(file, inferred, format_of) for file in files]


def _with_types(file: FileFacts, inferred: Mapping[str, pa.Schema], format_of: FormatOf) -> FileFacts:
    if file.schema is None or not len(found := inferred[format_of(file.name).name]):
        return file
    return replace(file, schema=_typed(file.schema, found))


def _typed(schema: pa.Schema, inferred: pa.Schema) -> pa.Schema:
    fields = []
    for old in schema:
        new = inferred.field(old.name) if old.type == pa.null() and old.name in inferred.names else old
        # A doubt about the name is more urgent than one about the type.
        fields.append(new.with_metadata({**(new.metadata or {}), **(old.metadata or {})}))
    return pa.schema(fields, schema.metadata)


def written_type(files: Sequence[FileFacts], format_of: FormatOf, schema: pa.Schema, name: str) -> pa.DataType:
    """Return the type in which a column is copied: a string if a file of text has it."""
    with_column = [file for file in files if file.schema is not None and name in file.schema.names]
    return pa.string() if any(format_of(file.name).is_text for file in with_column) else schema.field(name).type


def remarks_of(files: Sequence[FileFacts]) -> tuple[str, ...]:
    """Return the remarks about files; if several files have the same remark, only the first of them."""
    found: dict[str, str] = {}
    for file in files:
        for line in file.remarks:
            found.setdefault(line.removeprefix(f"{file.name}: "), line)
    return tuple(found.values())


def schema_of(files: Sequence[FileFacts], format_of: FormatOf, ignore: Collection[str] = ()) -> pa.Schema:
    """Return every column of some files, with the type that fits all files.

    Raises
    ------
    SourceError
        All files are empty.
    SchemaError
        Two files disagree on the type of a column.
    """
    schemas = [(file.name, file.schema) for file in files if file.schema is not None]
    if not schemas:
        what = files[0].damage or "the file is empty; expected at least a header with column names"
        raise SourceError(f"{files[0].name}: {what}")
    _, first = schemas[0]
    if len(schemas) == 1 and not first.metadata and not any(field.metadata for field in first):
        return first  # there is nothing to unify
    formats = [format_of(name) for name, _ in schemas]
    guessing = next((one for one in formats if one.guesses_types), formats[0])
    return unify(schemas, guessing.merge, ignore)
