"""Declared types of columns, written as ``COLUMN=TYPE``."""

import re
from collections.abc import Collection, Sequence

from connectors.errors import SchemaError
from connectors.notations.kinds import KINDS

__all__ = ["check_types", "types_by_column"]


def types_by_column(written: Sequence[str]) -> dict[str, str]:
    """Return the declared types, by column.

    Raises
    ------
    ValueError
        One is not ``COLUMN=TYPE``.

    Examples
    --------
    >>> types_by_column(["price=number:1,234.5", "a=b=text"])
    {'price': 'number:1,234.5', 'a=b': 'text'}
    """
    return dict(map(_name_and_spec, written))


def check_types(written: Sequence[str], others: Collection[str]) -> None:
    """Refuse wrong types.

    Parameters
    ----------
    written
        The types.
    others
        Columns that are declared by another setting.

    Raises
    ------
    ValueError
        A type is unknown, or a column is declared twice.
    """
    from connectors.notations.specs import declared  # noqa: PLC0415 - it brings Arrow along

    names = [_name_and_spec(text)[0] for text in written]
    for name, spec in map(_name_and_spec, written):
        if name in others:
            raise ValueError(f"{{types}} and {{categorical}} or {{numeric}} both declare {name!r}; choose one")
        if names.count(name) > 1:
            raise ValueError(f"{{types}} declares {name!r} twice; choose one")
        try:
            declared(spec)
        except SchemaError as error:
            raise ValueError(str(error)) from error


def _name_and_spec(text: str) -> tuple[str, str]:
    """Return the column and the type; a name may hold an equals sign."""
    found = re.fullmatch(rf"(.+)=((?:{'|'.join(KINDS)})(?::.*)?)", text, re.DOTALL)
    if found is None:
        raise ValueError(
            f"types: expected COLUMN=TYPE, such as price=number, found {text!r}; types: {', '.join(KINDS)}"
        )
    return found[1].strip(), found[2]
