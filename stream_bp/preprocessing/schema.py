"""Choose the features among the columns of a source, and decide how each is read.

The types of columns, and their use:

| type                     | as a feature                                                    | as a target            |
|--------------------------|-----------------------------------------------------------------|------------------------|
| number, decimal          | a number; null, NaN, ±Inf, beyond ±1e100 missing                | a value, or a class    |
| boolean                  | 0 or 1                                                          | a class                |
| duration                 | a number of seconds                                             | refused by name        |
| date, timestamp, time    | numbers: see :data:`PARTS`                                      | refused by name        |
| string, or a dictionary  | a category                                                      | a class                |
| anything else            | refused by name                                                 | refused by name        |

The connectors split structs and lists of a fixed size into columns: ``place.city``, ``pixel[0]`` … A name of such a
group stands for all its columns. The index of a data frame is a feature only if a setting names it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

from connectors.fields import notation, with_notation
from connectors.notations.specs import declared
from connectors.schemas import is_index
from connectors.suggestions import ignored, nearest, typed
from stream_bp.errors import ConfigError, DataError

__all__ = [
    "PARTS",
    "Column",
    "Kind",
    "Task",
    "choose",
    "declared_column",
    "expand",
    "field_in",
    "is_number",
    "is_text",
    "learnable",
    "present",
    "target_columns",
    "type_in",
]

Task = Literal["classification", "regression"]
Kind = Literal["number", "integer", "bool", "string", "timestamp", "date", "time", "duration"]

_CYCLES = ("year_sin", "year_cos", "week_sin", "week_cos")
PARTS: dict[str, tuple[str, ...]] = {
    "timestamp": ("days", *_CYCLES, "day_sin", "day_cos"),
    "date": ("days", *_CYCLES),
    "time": ("day_sin", "day_cos"),
}
"""The numbers that a column of times becomes, each an input ``COLUMN:PART``.

``days`` counts the days since 1970 began, with their fraction. The others give the place of a moment in the year (of
365.2425 days), in the week (from Monday) and in the day. Each is a point on a circle, so the end of a period lies next
to its beginning. Moments are in UTC. A timestamp without a zone is taken as written.
"""

_TYPES = {
    "number": pa.float64(),
    "bool": pa.bool_(),
    "integer": pa.int64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
}
_LABELS = {"number", "integer", "bool", "string"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the source, and how it is read.

    Attributes
    ----------
    name
        Its name in the source.
    kind
        ``number``, ``integer``, ``bool``, ``string``, ``timestamp``, ``date``, ``time`` or ``duration``.
    zone
        Time zone of a timestamp. A timestamp as text must name it.
    notation
        How its values are written, where they are text, such as ``date:%d/%m/%Y``; ``None`` for the usual ways.
    """

    name: str
    kind: Kind
    zone: str | None = None
    notation: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"column {self.name!r}: expected a kind among {get_args(Kind)}, found {self.kind!r}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the numbers that it becomes. A category has none."""
        if self.kind == "string":
            return ()
        return tuple(f"{self.name}:{part}" for part in PARTS[self.kind]) if self.kind in PARTS else (self.name,)


def choose(
    schema: pa.Schema,
    targets: Sequence[str],
    *,
    features: Sequence[str] = (),
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
) -> list[Column]:
    """Choose the features among the columns of a source.

    Parameters
    ----------
    schema
        Natural types of the source.
    targets, features, ignore
        Names of columns, or of groups of them. Default features: every column that is neither target nor ignored, nor
        the index of a data frame.
    categorical, numeric
        Features to read as words, and as numbers, whatever their type.
    types
        Declared types, by column: :func:`connectors.notations.specs.declared` reads each.

    Returns
    -------
    list of Column
        In the order of the source, or of ``features``.

    Raises
    ------
    ConfigError
        If a named column is not in the source, or is named for two purposes. If no feature is left.
    DataError
        If the type of a column cannot be learned from.
    """
    types = types or {}
    if strange := [name for name in types if name not in schema.names]:
        hint = nearest(strange[0], schema.names) or _listed(schema.names)
        raise ConfigError(f"types: column {strange[0]!r} is not in the source{hint}")
    given = {"target": targets, "ignored": ignore, "feature": features, "categorical": categorical, "numeric": numeric}
    named = {role: expand(role, names, schema.names) for role, names in given.items()}
    left_out = {*named["target"], *named["ignored"]}
    for role in ("feature", "categorical", "numeric"):
        if clash := left_out.intersection(named[role]):
            raise ConfigError(f"column {min(clash)!r} is a feature, but also a target or ignored; choose one")
    if clash := {*named["categorical"]}.intersection(named["numeric"]):
        raise ConfigError(f"column {min(clash)!r} is both categorical and numeric; choose one")
    said = {*named["categorical"], *named["numeric"]}
    by_default = [field.name for field in schema if field.name in said or not is_index(field)]
    chosen = [name for name in (named["feature"] or by_default) if name not in left_out]
    if not chosen:
        index = [field.name for field in schema if is_index(field)]
        hint = f"; the index {', '.join(map(repr, index))} is left out unless --features names it" if index else ""
        raise ConfigError(
            f"no feature is left; the source has only the columns {', '.join(map(repr, schema.names))}{hint}"
        )
    if unused := {*named["categorical"], *named["numeric"]}.difference(chosen):
        raise ConfigError(
            f"column {min(unused)!r} is categorical or numeric, but not among the features; add it to --features"
        )
    return [
        declared_column(schema.field(name), types[name], is_target=False)
        if name in types
        else Column(name, "string")
        if name in named["categorical"]
        else _number(schema.field(name))
        if name in named["numeric"]
        else _feature(schema.field(name))
        for name in chosen
    ]


def learnable(schema: pa.Schema) -> list[Column]:
    """Return the columns that can be learned from, without an index."""
    return [_feature(field) for field in schema if _kind(field.type) is not None and not is_index(field)]


def expand(role: str, names: Iterable[str], found: Sequence[str]) -> list[str]:
    """Return the columns that names stand for: the columns themselves, or those of a struct or a list."""
    columns = []
    for name in names:
        group = _group(name, found)
        # A target is one column, never a group.
        if not group or (role == "target" and name not in found):
            hint = nearest(name, found) or _listed(found)
            raise ConfigError(f"{role} column {name!r} is not in the source{hint}")
        columns += group
    return columns


def _group(name: str, found: Sequence[str]) -> list[str]:
    return [name] if name in found else [leaf for leaf in found if leaf.startswith((f"{name}.", f"{name}["))]


def present(names: Iterable[str], found: Sequence[str]) -> list[str]:
    """Return those names that stand for columns in the source."""
    return [name for name in names if _group(name, found)]


def _listed(names: Sequence[str]) -> str:
    return f"; it has {', '.join(map(repr, names[:20]))}{', …' if len(names) > 20 else ''}" if names else ""


def target_columns(
    schema: pa.Schema, targets: Sequence[str], task: Task, types: Mapping[str, str] | None = None
) -> list[Column]:
    """Return the columns to predict; `types` are declared types by column.

    Raises
    ------
    ConfigError
        If one is not in the source.
    DataError
        If its type cannot be predicted.
    """
    return [_target(schema.field(name), task, types or {}) for name in expand("target", targets, schema.names)]


def field_in(column: Column, found: pa.DataType | None) -> pa.Field:
    """Return the field to request for a column with the type ``found`` in a source."""
    field = pa.field(column.name, type_in(column, found))
    return field if column.notation is None else with_notation(field, column.notation)


def type_in(column: Column, found: pa.DataType | None) -> pa.DataType:
    """Return the type to request for a column with the type ``found``. Types that need no conversion stay."""
    is_times = column.kind not in _LABELS and found is not None and _kind(found) == column.kind
    if is_times or (found == pa.float32() and column.kind == "number"):
        return found
    return pa.timestamp("us", column.zone) if column.kind == "timestamp" else _TYPES[column.kind]


def is_number(type_: pa.DataType) -> bool:
    """Return whether values of a type can be quantities."""
    return _kind(type_) in {"number", "integer"}


def is_text(type_: pa.DataType) -> bool:
    """Return whether values of a type are text."""
    return _kind(type_) == "string"


def _kind(type_: pa.DataType) -> Kind | None:
    """Return the kind of column for an Arrow type, or None."""
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    kinds: dict[Kind, bool] = {
        "bool": pa.types.is_boolean(type_),
        "integer": pa.types.is_integer(type_),
        "number": pa.types.is_floating(type_) or pa.types.is_decimal(type_) or pa.types.is_null(type_),
        "string": pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_),
        "timestamp": pa.types.is_timestamp(type_),
        "date": pa.types.is_date(type_),
        "time": pa.types.is_time(type_),
        "duration": pa.types.is_duration(type_),
    }
    return next((kind for kind, is_it in kinds.items() if is_it), None)


def _feature(field: pa.Field) -> Column:
    kind = _kind(field.type)
    if kind is None:
        raise DataError(
            f"feature column {field.name!r} is of type {field.type}, which is neither a number, a time nor a category; "
            f"leave it out with {ignored(field.name)}"
        )
    zone = field.type.tz if kind == "timestamp" else None
    return Column(field.name, "number" if kind == "integer" else kind, zone, _spec(field))


def _spec(field: pa.Field) -> str | None:
    """Return the notation of a source's field, as text."""
    found = notation(field)
    return None if found is None else found.spec


def _number(field: pa.Field) -> Column:
    kind = _kind(field.type)
    if kind not in _LABELS:
        raise DataError(f"numeric column {field.name!r} is of type {field.type}, which cannot be read as one number")
    return Column(field.name, "number", notation=_spec(field))


def declared_column(field: pa.Field, spec: str, *, is_target: bool) -> Column:
    """Return a column of a declared type. Without a notation, that of the source is used."""
    given, kind = declared(spec), _kind(field.type)
    how = _spec(field) if given.notation is None else given.notation.spec
    match given.kind:
        case "text":
            return Column(field.name, "string")
        case "number" | "integer":
            if kind not in _LABELS:
                raise DataError(f"types: column {field.name!r} is of type {field.type}, which is not a number")
            is_whole = given.kind == "integer" and is_target
            return Column(field.name, "integer" if is_whole else "number", notation=how)
        case "boolean":
            return Column(field.name, "bool")
        case "time":
            return Column(field.name, "time")
    if given.notation is not None:
        type_ = given.notation.type
    elif kind in {"date", "timestamp"}:
        type_ = field.type
    else:
        raise ConfigError(f"types: give the format of {field.name!r}, such as {typed(field.name, 'date:%d/%m/%Y')}")
    moment: Kind = "date" if pa.types.is_date(type_) else "timestamp"
    return Column(field.name, moment, getattr(type_, "tz", None), how)


def _target(field: pa.Field, task: Task, types: Mapping[str, str]) -> Column:
    column = declared_column(field, types[field.name], is_target=True) if field.name in types else None
    kind = _kind(field.type) if column is None else column.kind
    if kind is None or kind not in _LABELS or (task == "regression" and kind == "string"):
        wanted = "a number" if task == "regression" else "a label (a string, a boolean or a number)"
        raise DataError(f"target column {field.name!r} is of type {field.type}, which is not {wanted}")
    how = _spec(field) if column is None else column.notation
    return Column(field.name, "number" if task == "regression" else kind, notation=how)
