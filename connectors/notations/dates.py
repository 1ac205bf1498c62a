"""Dates and times in a format, with the directives of Python's ``strptime``.

The spec is the format: ``date:%d/%m/%Y %H:%M``. Month names and AM/PM are English. Numbers may have fewer digits than
the directive has. A zone is an offset, UTC, GMT, an abbreviation of RFC 2822, or a name such as ``Europe/Berlin``.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import are_equal, filled, flags, numbers, texts, with_nulls

__all__ = ["DateNotation", "guess_dates"]

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?)[.]?"
)
_DAYS = "(?:mon(?:day)?|tues?(?:day)?|wed(?:nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)[.]?"
_DIRECTIVES = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{2})",
    "S": "(?P<S>[0-9]{2})",
    "f": "(?P<f>[0-9]{1,9})",
    "p": "(?P<p>[ap]\\.?m\\.?)",
    "b": f"(?P<b>{_MONTH})",
    "a": _DAYS,
    "z": "(?P<z>z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "Z": "(?P<Z>[A-Za-z][A-Za-z0-9_+/-]*)",
}
_SYNONYMS = {"B": "b", "A": "a", "e": "d", "h": "b", "k": "H", "l": "I"}
_COMPOUND = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M"}
_TIMES = frozenset("HIMSfp")
# RFC 2822 fixes these; other abbreviations have different meanings in different countries.
_OFFSETS_H = {"utc": 0, "gmt": 0, "ut": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6}
_OFFSETS_H |= {"pst": -8, "pdt": -7, "cet": 1, "cest": 2}
_US = 1_000_000
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DateNotation:
    """Dates in a format.

    Parameters
    ----------
    format
        Text with directives: ``%Y %y %m %d %b %B %a %A %H %I %M %S %f %p %z %Z``; ``%%`` is a per cent sign.

    Raises
    ------
    ValueError
        A directive is unknown or occurs twice, or the format has no date.

    Examples
    --------
    >>> cells = pa.array(["31/01/2024", "1/2/2024", "2024"])
    >>> [str(day) for day in DateNotation("%d/%m/%Y").parse(cells)[0].to_pylist()]
    ['2024-01-31', '2024-02-01', 'None']
    """

    format: str

    def __post_init__(self) -> None:
        names = self._names
        for name in names:
            if name not in _DIRECTIVES:
                raise ValueError(f"unknown directive %{name}; known: {' '.join('%' + one for one in _DIRECTIVES)}")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the directive %{twice[0]} occurs twice")
        if not {*names} & {"Y", "y"} or not {*names} & {"m", "b"} or "d" not in names:
            raise ValueError("a date needs a year, a month and a day, as in %d/%m/%Y")
        if "I" in names and "p" not in names:
            raise ValueError("%I needs %p, or use %H")

    @cached_property
    def _written(self) -> str:
        """The format with synonyms and compound directives replaced."""
        expanded = re.sub(r"%([A-Za-z])", lambda found: _COMPOUND.get(found[1], found[0]), self.format)
        return re.sub(r"%([A-Za-z])", lambda found: "%" + _SYNONYMS.get(found[1], found[1]), expanded)

    @cached_property
    def _names(self) -> list[str]:
        return [found[1] for found in re.finditer(r"%(.)", self._written) if found[1] != "%"]

    @cached_property
    def _pattern(self) -> str:
        """The pattern of a cell, in the syntax of RE2."""
        parts = re.split(r"(%.)", self._written)
        body = "".join(
            ("%" if part == "%%" else _DIRECTIVES[part[1]])
            if part.startswith("%")
            else re.sub(r"(?:\\? )+", " +", re.escape(part))
            for part in parts
        )
        return rf"(?i)^\s*{body}\s*$"

    @property
    def spec(self) -> str:
        """The text that describes the notation."""
        return f"date:{self.format}"

    @property
    def has_time(self) -> bool:
        """Whether the format has a time of day."""
        return bool(_TIMES.intersection(self._names))

    @property
    def has_zone(self) -> bool:
        """Whether the format has a zone."""
        return bool({"z", "Z"}.intersection(self._names))

    @property
    def type(self) -> pa.DataType:
        """A date; with a time of day a timestamp, and in UTC if the format has a zone."""
        if not self.has_time:
            return pa.date32()
        return pa.timestamp("us", "UTC" if self.has_zone else None)

    def parse(self, cells: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
        """Convert cells to dates; see `Notation.parse`."""
        cells = cells.cast(pa.string())
        parts = pc.extract_regex(cells, self._pattern)
        has_cell, has_parts = flags(pc.is_valid(cells)), flags(pc.is_valid(parts))
        read = {name: parts.field(name) for name in self._names if name != "a"}
        micros, is_valid = _moments(read, len(cells))
        zone_us, is_known = _offsets(read, micros, len(cells))
        is_good = has_parts & has_cell & is_valid & is_known
        micros = np.where(is_good, micros - zone_us, 0)
        values = micros if self.has_time else (micros // (86_400 * _US)).astype(np.int32)
        return with_nulls(numbers(values), is_good).view(self.type), has_cell & ~is_good


def _moments(read: dict[str, pa.Array], n: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return microseconds since 1970 before the zone is applied, and which rows are real dates; shapes (n,)."""
    zeros = np.zeros(n, np.int64)
    number = {name: _integers(read[name]) if name in read else zeros for name in "YymdHIMS"}
    year, month, day, hour = (number[name] for name in "YmdH")
    if "y" in read:
        year = number["y"] + np.where(number["y"] < 69, 2000, 1900)  # as POSIX has it
    if "b" in read:
        month = _month_numbers(read["b"])
    is_valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= _days_in(year, month)) & (year >= 1)
    if "I" in read:
        is_pm = flags(pc.match_substring_regex(read["p"], "(?i)^p"))
        is_valid &= (number["I"] >= 1) & (number["I"] <= 12)
        hour = number["I"] % 12 + 12 * is_pm
    is_valid &= (hour < 24) & (number["M"] < 60) & (number["S"] < 61)
    fraction = zeros
    if "f" in read:
        fraction = _integers(pc.utf8_slice_codeunits(pc.utf8_rpad(read["f"], 6, "0"), 0, 6))
    seconds = _day_numbers(year, month, day) * 86_400 + hour * 3_600 + number["M"] * 60 + number["S"]
    return seconds * _US + fraction, is_valid


def _offsets(read: dict[str, pa.Array], micros: Integers, n: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return the offset from UTC in microseconds, and where the zone is known; shapes (n,)."""
    offset_us, is_known = np.zeros(n, np.int64), np.ones(n, bool)
    for name in {"z", "Z"}.intersection(read):
        zones = filled(read[name]).dictionary_encode()
        code = np.from_dlpack(zones.indices)
        for i, zone in enumerate(zones.dictionary.to_pylist()):  # few distinct zones
            here = code == i
            known = _offset_of(zone, micros[here])
            is_known[here] = known is not None
            offset_us[here] = 0 if known is None else known
    return offset_us, is_known


def _offset_of(zone: str, micros: Integers) -> int | Integers | None:
    """Return the offset of a zone from UTC at some local times; None if the zone is unknown."""
    if (found := re.fullmatch(r"([+-])(\d\d):?(\d\d)?", zone)) is not None:
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        return (-minutes if found[1] == "-" else minutes) * 60 * _US if minutes < 24 * 60 else None
    if zone.lower() in _OFFSETS_H:
        return _OFFSETS_H[zone.lower()] * 3_600 * _US
    try:
        zoneinfo.ZoneInfo(zone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None
    moments = pc.assume_timezone(
        numbers(micros).view(pa.timestamp("us")), zone, ambiguous="earliest", nonexistent="earliest"
    )
    offsets: Integers = np.subtract(micros, np.from_dlpack(moments.view(pa.int64())))
    return offsets


def _integers(cells: pa.Array) -> Integers:
    """Return numbers; 0 where there is none."""
    is_number = ~are_equal(cells := filled(cells), "")
    return np.array(np.from_dlpack(filled(with_nulls(cells, is_number), "0").cast(pa.int64())))


def _month_numbers(names: pa.Array) -> Integers:
    short = pc.utf8_slice_codeunits(pc.utf8_lower(filled(names)), 0, 3)
    month = sum(np.where(are_equal(short, name), i, 0) for i, name in enumerate(_MONTHS, 1))
    return np.asarray(month, np.int64)


def _days_in(year: Integers, month: Integers) -> Integers:
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days: Integers = lengths[np.clip(month, 0, 12)] + (is_leap & (month == 2))
    return days


def _day_numbers(year: Integers, month: Integers, day: Integers) -> Integers:
    """Return the days since 1970 began, in the present calendar."""
    # Years begin in March here, so the leap day is the last day of a year.
    shifted = year - (month <= 2)
    era = shifted // 400
    in_era = shifted - era * 400
    in_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    days: Integers = era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year - 719_468
    return days


_DATE_SHAPES = (
    *(
        f"{first}{sign}{second}{sign}{year}"
        for sign in "./-"
        for year in ("%Y", "%y")
        for first, second in (("%d", "%m"), ("%m", "%d"))[: 1 if sign == "." else 2]  # with dots, the day comes first
    ),
    *(f"{year}{sign}%m{sign}%d" for sign in "./-" for year in ("%Y", "%y")),
    *(f"%Y{sign}%d{sign}%m" for sign in "/."),
    *(f"%d{sign}%b{sign}{year}" for sign in " -/." for year in ("%Y", "%y")),
    *("%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%b-%d-%Y", "%Y %b %d", "%Y-%b-%d", "%d %b, %Y"),
)
_SIGNS = {shape: frozenset(re.sub("%.", "", shape)) for shape in _DATE_SHAPES}
_TIME_SHAPES = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f"),
    *("%I:%M %p", "%I:%M%p", "%I:%M:%S %p", "%I:%M:%S%p", "%I:%M:%S.%f %p"),
)
_ZONE_SHAPES = ("", "%z", " %z", " %Z")
_JOINTS = (" ", "T", ", ", ":", " - ", "_")


def guess_dates(cells: Sequence[str], share: float = 1.0) -> list[DateNotation]:
    """Return every notation in which some cells are dates; several if day, month or year can be confused.

    Parameters
    ----------
    cells
        Some distinct cells of a column, without missing values.
    share
        The share of them that must be dates.

    Examples
    --------
    >>> [one.format for one in guess_dates(["1/2/24", "13/2/24", "-"], 0.5)]
    ['%d/%m/%y']
    """
    typical = cells[:1] if share == 1 else _alike(cells)[:1]
    likely = _shapes(typical[0].strip()) if typical else []
    if not likely:
        return []
    column, most = texts(cells), (1 - share) * len(cells)
    n_bad = [notation.parse(column)[1].sum() for notation in likely]
    # Of a day and a month, the one that is right for more cells is meant.
    return [one for one, n in zip(likely, n_bad, strict=True) if n <= most and n == min(n_bad)]


def _alike(cells: Sequence[str]) -> list[str]:
    """Return the cells whose signs, apart from letters and digits, are the most common ones."""
    alike: dict[str, list[str]] = {}
    for cell in cells:
        alike.setdefault("".join(sign for sign in cell if not sign.isalnum()), []).append(cell)
    return max(alike.values(), key=len, default=[])


def _shapes(cell: str) -> list[DateNotation]:
    """Return the notations in which one cell may be written."""
    found: list[str] = []
    if re.search("[0-9]", cell) is None:
        return []
    signs, has_letters = set(cell), re.search("[A-Za-z]{3}", cell) is not None
    for weekday in ("", "%a, ", "%a ") if cell[:1].isalpha() else ("",):
        for day in _DATE_SHAPES:
            # A pattern takes a millisecond to compile, so most shapes are excluded by their signs first.
            if not _SIGNS[day] <= signs or ("%b" in day and not has_letters):
                continue
            start = _matched(weekday + day, cell)
            if start is None:
                continue
            if start == len(cell):
                found.append(weekday + day)
            found += [weekday + day + rest for rest in _time_shapes(cell[start:])]
    return [DateNotation(one) for one in found]


def _time_shapes(rest: str) -> list[str]:
    """Return the formats of what follows a date: a joint, a time, and a zone."""
    found = []
    for joint in _JOINTS:
        if not rest.startswith(joint):
            continue
        for time in _TIME_SHAPES:
            end = _matched(time, rest[len(joint) :])
            for zone in _ZONE_SHAPES if end is not None else ():
                tail = rest[len(joint) + (end or 0) :]
                if (zone == "" and tail == "") or (zone and _matched(zone, tail) == len(tail)):
                    found.append(joint + time + zone)
    return found


def _matched(shape: str, text: str) -> int | None:
    """Return how much of a text a format matches from its start; None if it does not."""
    parts = re.split(r"(%.)", shape)
    pattern = "".join(
        re.sub(r"\?P<\w>", "?:", _DIRECTIVES[part[1]]) if part.startswith("%") else re.escape(part) for part in parts
    )
    found = re.compile(pattern + r"(?![0-9])", re.IGNORECASE).match(text)
    return None if found is None or not text else found.end()
