"""Numbers as people write them: marks of thousands and decimals, signs, currencies, units.

The spec shows an example: ``number:1.234,5 €`` has a dot between thousands, a comma before decimals, and a unit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import are_equal, filled, flags, numbers, texts, with_nulls
from connectors.notations.units import CURRENCIES, UNITS

__all__ = ["NumberNotation", "guess_number", "is_number_like"]

_BLANKS = " \u00a0\u2009\u202f"  # blank, no-break space, thin space, narrow no-break space
_MARKS = f".,'’_{_BLANKS}"
_MINUS = r"\-−–"
_LONGEST_AFFIX = 12
_CELL = re.compile(
    rf"[{_BLANKS}]*\(?[{_MINUS}+]?(?P<prefix>[^\d()+.,{_MINUS}]{{0,{_LONGEST_AFFIX}}}?)[{_BLANKS}]*[{_MINUS}+]?"
    rf"(?P<body>\d[\d{_MARKS}]*|[.,]\d+)(?P<exponent>[eE][+-]?\d{{1,3}})?"
    rf"[{_BLANKS}]*(?P<suffix>[^\d()+{_MINUS}{_BLANKS}][^\d()]{{0,{_LONGEST_AFFIX - 1}}}?)?"
    rf"[{_BLANKS}]*[{_MINUS}]?\)?[{_BLANKS}]*"
)
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)")
_EXAMPLE = re.compile(rf"(?P<prefix>[^\d]*)(?P<body>\d[\d{_MARKS}]*)(?P<suffix>[^\d]*)")


@dataclass(frozen=True)
class NumberNotation:
    """Numbers with certain marks and a certain unit.

    Parameters
    ----------
    decimal
        The decimal mark: ``.`` or ``,``.
    thousands
        The mark between groups of three digits; empty if there is none. A blank stands for every kind of blank.
    prefix, suffix
        The currency or the unit before and after each number, without blanks; empty if there is none.

    Examples
    --------
    >>> notation = NumberNotation.of("$1,234.5")
    >>> notation.parse(pa.array(["$1,234.50", "-$7", "($2.50)", "€3"]))[0].to_pylist()
    [1234.5, -7.0, -2.5, None]
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def of(cls, example: str) -> NumberNotation | None:
        """Read an example: with a mark between thousands, as in ``1,234.5``, or without, as in ``1234.5``.

        A mark that occurs once marks thousands if three digits follow it, and decimals otherwise. Return None if the
        text does not show a number.
        """
        found = _EXAMPLE.fullmatch(example.strip(_BLANKS))
        if found is None:
            return None
        body = found["body"].rstrip(_BLANKS)
        marks = [sign for sign in body if not sign.isdigit()]
        kinds = list(dict.fromkeys(" " if mark in _BLANKS else mark for mark in marks))
        if len(kinds) > 2 or (len(kinds) == 2 and (marks.count(kinds[1]) > 1 or kinds[1] not in ".,")):
            return None
        has_tail_of_three = re.search(r"\D\d{3}$", body) is not None
        is_thousands = len(kinds) == 1 and (len(marks) > 1 or has_tail_of_three or kinds[0] not in ".,")
        if len(kinds) == 2:
            thousands, decimal = kinds
        elif is_thousands:
            thousands, decimal = kinds[0], "," if kinds[0] == "." else "."
        else:
            thousands, decimal = "", kinds[0] if kinds else "."
        return cls(decimal, thousands, found["prefix"].strip(_BLANKS), found["suffix"].strip(_BLANKS))

    @property
    def example(self) -> str:
        """A number in this notation."""
        blank = " " if self.suffix[:1].isalpha() else ""
        return f"{self.prefix}1{self.thousands}234{self.decimal}5{blank}{self.suffix}"

    @property
    def spec(self) -> str:
        """The text that describes the notation."""
        return f"number:{self.example}"

    @property
    def type(self) -> pa.DataType:
        """Numbers are read as float64."""
        return pa.float64()

    @cached_property
    def _pattern(self) -> str:
        """The pattern of a cell, in the syntax of RE2; its groups are what a number consists of."""
        mark = f"[{_BLANKS}]" if self.thousands == " " else f"[{self.thousands}]"
        # In India, groups have two digits, with commas between them.
        fewest = "2," if self.thousands == "," else ""
        groups = rf"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{{fewest}3}})*{mark}[0-9]{{3}}|" if self.thousands else ""
        body = rf"(?:{groups}[0-9]+)(?:[{self.decimal}][0-9]*)?|[{self.decimal}][0-9]+"
        prefix, suffix = re.escape(self.prefix), re.escape(self.suffix)
        blanks = f"[{_BLANKS}]*"
        return (
            rf"^{blanks}(?P<open>\(?){blanks}(?P<first>[+{_MINUS}]?){blanks}{prefix}{blanks}(?P<second>[+{_MINUS}]?)"
            rf"(?P<body>{body})(?P<exponent>(?:[eE][+-]?[0-9]{{1,3}})?)"
            rf"{blanks}{suffix}{blanks}(?P<last>[{_MINUS}]?){blanks}(?P<close>\)?){blanks}$"
        )

    def parse(self, cells: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
        """Convert cells to numbers; see `Notation.parse`."""
        parts = pc.extract_regex(cells.cast(pa.string()), self._pattern)
        signs = [filled(parts.field(name)) for name in ("open", "first", "second", "last", "close")]
        has_open, *has_sign, has_close = [~are_equal(sign, "") for sign in signs]
        n_signs = np.sum(has_sign, axis=0)
        is_bad = flags(pc.and_(pc.is_valid(cells), pc.is_null(parts)))
        is_bad = is_bad | (n_signs > 1) | (has_open != has_close) | (has_open & (n_signs > 0))
        is_negative = has_open | np.logical_or.reduce(
            [has & ~are_equal(sign, "+") for has, sign in zip(has_sign, signs[1:4], strict=True)]
        )
        body = parts.field("body")
        if self.thousands:
            mark = f"[{_BLANKS}]" if self.thousands == " " else f"[{self.thousands}]"
            body = pc.replace_substring_regex(body, mark, "")
        if self.decimal != ".":
            body = pc.replace_substring(body, self.decimal, ".")
        text = pc.binary_join_element_wise(body, parts.field("exponent"), texts([""])[0])
        valid = ~is_bad & flags(pc.is_valid(parts)) & flags(pc.is_valid(cells))
        values = with_nulls(filled(text), valid).cast(pa.float64())
        return pc.multiply(values, numbers(np.where(is_negative, -1.0, 1.0))), is_bad


def is_number_like(cell: str) -> bool:
    """Return whether a cell is a number, perhaps with marks, a currency or a unit."""
    found = _CELL.fullmatch(cell)
    return found is not None and found["prefix"].strip(_BLANKS) in {"", *CURRENCIES}


def guess_number(cells: Sequence[str], decimal: str = ".") -> NumberNotation | None:
    """Return the notation of some cells, or None if they have no common one.

    Parameters
    ----------
    cells
        Some distinct cells of a column, without missing values. Most have the same currency or unit, or none.
    decimal
        The decimal mark of the text, for cells such as ``1,234`` that may mean both.
    """
    found = [match for cell in cells if (match := _CELL.fullmatch(cell)) is not None]
    if not found:
        return None
    prefix, suffix = (
        Counter((match[name] or "").strip(_BLANKS) for match in found).most_common(1)[0][0]
        for name in ("prefix", "suffix")
    )
    if prefix not in {"", *CURRENCIES} or suffix not in {"", *CURRENCIES, *UNITS}:
        return None
    bodies = [match["body"].rstrip(_BLANKS) for match in found]
    marks = _marks(bodies, decimal)
    return None if marks is None else NumberNotation(marks[0], marks[1], prefix, suffix)


def _marks(bodies: Sequence[str], decimal: str) -> tuple[str, str] | None:
    """Return the marks of decimals and thousands; None if they contradict each other, or all are addresses."""
    if all(map(_ADDRESS.fullmatch, bodies)):
        return None
    seen = [_roles(body) for body in bodies]
    thousands, decimals, either = (set().union(*(roles[i] for roles in seen)) for i in range(3))
    if len(thousands) > 1 or len(decimals) > 1 or thousands & decimals:
        return None
    mark, point = next(iter(thousands), ""), next(iter(decimals), "")
    for sign in either - thousands - decimals:
        # 1,234 alone may mean both. The decimal mark of the text decides, unless the cells use it otherwise.
        if point == "" and (sign == decimal or mark):
            point = sign
        elif not mark and sign != decimal:
            mark = sign
        else:
            return None
    if not point:
        point = decimal if decimal != mark else {".": ",", ",": "."}[decimal]
    return point, mark


def _roles(body: str) -> tuple[set[str], set[str], set[str]]:
    """Return the signs of a number that mark thousands, those that mark decimals, and those that may mark either."""
    marks = [" " if sign in _BLANKS else sign for sign in body if not sign.isdigit()]
    if not marks:
        return set(), set(), set()
    last, others = marks[-1], set(marks[:-1])
    if others - {last}:  # two kinds of marks: the last is the decimal mark
        return others, {last}, set()
    if others or last not in ".,":
        return {last}, set(), set()
    is_group = re.fullmatch(r"[1-9]\d{0,2}\D\d{3}", body) is not None
    return set(), set() if is_group else {last}, {last} if is_group else set()
