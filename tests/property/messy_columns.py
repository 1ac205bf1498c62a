"""Columns as people and programs write them: the cells, and the values that are meant."""

import datetime as dt
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

__all__ = ["GAPS", "KINDS", "Messy", "messy"]

GAPS = ("", "", "NA", "null", "nan", "N/A")
"""Cells that mean a missing number or date; in a column of words only the empty cell does."""


class Messy(NamedTuple):
    """One column.

    Attributes
    ----------
    kind
        How it is written; see `KINDS`.
    cells
        What stands in the file.
    values
        What is meant; None for a missing value.
    is_text
        Whether the cells are what is meant, so that a column of numbers would lose something.
    """

    kind: str
    cells: list[str]
    values: list[Any]
    is_text: bool


def messy(random: Random, n: int) -> Messy:
    """Return a column of a random kind, with a few missing values and exceptions."""
    kind = random.choice(list(KINDS))
    cells, values = KINDS[kind](random, n)
    is_text = kind in TEXTS
    if random.random() < 0.3:
        for i in random.sample(range(n), n // 10):
            cells[i], values[i] = ("" if is_text else random.choice(GAPS)), None
    if not is_text and kind != "empty" and n >= 20 and random.random() < 0.15:
        where = range(n) if random.random() < 0.5 else range(n - n // 10, n)
        for i in random.sample(where, random.choice([1, 1, 2])):
            cells[i] = values[i] = random.choice(["unknown", "?", "-", "n.a.", "see note", "*", "1O", "12;5", "#REF!"])
    return Messy(kind, cells, values, is_text)


def _numbers(random: Random, n: int, digits: int = 2, largest: float = 90_000) -> list[float]:
    return [round(random.uniform(-largest, largest), digits) for _ in range(n)]


def _written(value: float, thousands: str, decimal: str, digits: int = 2) -> str:
    """Return a number without its sign, with marks."""
    return f"{abs(value):,.{digits}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def _marked(thousands: str, decimal: str, before: str = "", after: str = "", negative: str = "-{}") -> Any:
    """Return a kind of numbers with these marks."""

    def column(random: Random, n: int) -> tuple[list[str], list[Any]]:
        values = _numbers(random, n)
        cells = [f"{before}{_written(value, thousands, decimal)}{after}" for value in values]
        return [negative.format(c) if v < 0 else c for c, v in zip(cells, values, strict=True)], list(values)

    return column


def _of(value: Callable[[Random], Any], cell: Callable[[Any], str] = str) -> Any:
    """Return a kind in which each value is drawn alone."""

    def column(random: Random, n: int) -> tuple[list[str], list[Any]]:
        values = [value(random) for _ in range(n)]
        return [cell(one) for one in values], values

    return column


def _day(random: Random) -> dt.date:
    return dt.date(1995, 1, 1) + dt.timedelta(days=random.randrange(14_000))


def _moment(random: Random) -> dt.datetime:
    return dt.datetime(1999, 5, 6) + dt.timedelta(seconds=random.randrange(900_000_000))


def _minute(random: Random) -> dt.datetime:
    return _moment(random).replace(second=0)


def _utc(random: Random) -> dt.datetime:
    return _moment(random).replace(tzinfo=dt.UTC)


def _dates(shape: str) -> Any:
    return _of(_day, lambda one: one.strftime(shape))


def _moments(shape: str, value: Callable[[Random], Any] = _moment) -> Any:
    return _of(value, lambda one: one.strftime(shape))


def _constant(random: Random, n: int) -> tuple[list[str], list[Any]]:
    value = random.choice([0, 7, 1.5])
    return [str(value)] * n, [value] * n


def _late(random: Random, n: int) -> tuple[list[str], list[Any]]:
    """Whole numbers at first, then fractions."""
    values = [float(random.randrange(100)) if i < n // 2 else random.randrange(1000) / 8 for i in range(n)]
    return [f"{value:g}" for value in values], list(values)


def _empty_at_first(random: Random, n: int) -> tuple[list[str], list[Any]]:
    values = [None if i < n // 2 else random.randrange(1000) for i in range(n)]
    return ["" if value is None else str(value) for value in values], list(values)


WORDS = (
    "red",
    "green",
    "Straße",
    "a,b",
    'say "x"',
    "two\nlines",
    " padded ",
    "O'Neil",
    "x;y",
    "a|b",
    "tab\there",
    "#1",
)

KINDS: dict[str, Callable[[Random, int], tuple[list[str], list[Any]]]] = {
    "whole": _of(lambda random: random.randrange(-500, 5000)),
    "small": _of(lambda random: random.randrange(3)),
    "large": _of(lambda random: random.randrange(2**53, 2**63)),
    "huge": _of(lambda random: random.randrange(2**64, 2**80)),
    "plus": _of(lambda random: random.randrange(1, 900), lambda one: f"+{one}"),
    "fraction": _of(lambda random: round(random.uniform(-9e4, 9e4), 3)),
    "bare point": _of(lambda random: random.randrange(1, 99) / 100, lambda one: f"{one:.2f}".removeprefix("0")),
    "scientific": _of(lambda random: random.randrange(1, 1000) * 10.0 ** random.randrange(-9, 9), "{:.2e}".format),
    "comma": _marked("", ","),
    "thousands": _marked(",", "."),
    "thousands and comma": _marked(".", ","),
    "blanks": _marked(" ", ","),
    "no-break blanks": _marked("\u00a0", ","),
    "Swiss": _marked("'", "."),
    "dollars": _marked(",", ".", "$"),
    "negative dollars": _marked(",", ".", "$", "", "({})"),
    "euros": _marked(".", ",", "", " €"),
    "code": _marked(",", ".", "USD "),
    "minus behind": _marked("", ".", "", "", "{}-"),
    "per cent": _marked("", ".", "", "%"),
    "per cent with comma": _marked("", ",", "", " %"),
    "kilograms": _marked("", ".", "", " kg"),
    "milliseconds": _of(lambda random: random.randrange(5000), lambda one: f"{one}ms"),
    "truth": _of(lambda random: random.random() < 0.5, lambda one: str(one).lower()),
    "ISO date": _dates("%Y-%m-%d"),
    "ISO moment": _moments("%Y-%m-%d %H:%M:%S"),
    "ISO moment with T": _moments("%Y-%m-%dT%H:%M:%S"),
    "ISO moment with Z": _moments("%Y-%m-%dT%H:%M:%SZ", _utc),
    "ISO moment with zone": _moments("%Y-%m-%d %H:%M:%S+00:00", _utc),
    "day first": _dates("%d/%m/%Y"),
    "month first": _dates("%m/%d/%Y"),
    "day first with dots": _dates("%d.%m.%Y"),
    "month name": _dates("%d %b %Y"),
    "month name first": _dates("%b %d, %Y"),
    "short year": _dates("%d-%b-%y"),
    "year first": _dates("%Y/%m/%d"),
    "half day": _moments("%m/%d/%Y %I:%M %p", _minute),
    "weekday": _moments("%a, %d %b %Y %H:%M:%S", _moment),
    "time": _of(lambda random: _moment(random).time(), lambda one: one.strftime("%H:%M:%S")),
    "compact date": _dates("%Y%m%d"),
    "constant": _constant,
    "late fraction": _late,
    "empty at first": _empty_at_first,
    "empty": lambda _, n: ([""] * n, [None] * n),
    "words": _of(lambda random: random.choice(WORDS)),
    "yes and no": _of(lambda random: random.choice(["yes", "no"])),
    "zeros in front": _of(lambda random: f"{random.randrange(100):05}"),
    "version": _of(lambda random: f"{random.randrange(9)}.{random.randrange(20)}.{random.randrange(9)}"),
    "item number": _of(lambda random: f"{random.choice('ABC')}{random.randrange(100)}"),
    "hexadecimal": _of(lambda random: f"{random.randrange(2**32):08x}"),
    "range": _of(lambda random: f"{random.randrange(9)}-{random.randrange(10, 90)}"),
    "telephone": _of(lambda random: f"+49 30 {random.randrange(10**6):06}"),
    "words for nothing": _of(lambda random: random.choice(["NA", "none", "-", "x"])),
}
"""The kinds of columns, by name."""

TEXTS = {
    "words",
    "yes and no",
    "zeros in front",
    "version",
    "item number",
    "hexadecimal",
    "range",
    "telephone",
    "words for nothing",
}
"""The kinds of which the text itself is meant."""
