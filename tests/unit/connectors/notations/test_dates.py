"""Dates and times in the formats of people and of logs."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from connectors.notations.dates import DateNotation, guess_dates
from connectors.notations.specs import notation_of

READ = [
    ("%m/%d/%Y", ["01/01/2020", "01/13/2020"], ["2020-01-01", "2020-01-13"]),
    ("%d.%m.%Y", ["31.12.2020", "1.1.2021"], ["2020-12-31", "2021-01-01"]),
    ("%b %d, %Y", ["Jan 5, 2020", "February 29, 2020"], ["2020-01-05", "2020-02-29"]),
    ("%Y/%m/%d", ["2020/01/02", "2020/01/13"], ["2020-01-02", "2020-01-13"]),
    ("%d-%b-%y", ["05-Jan-21", "31-Dec-99"], ["2021-01-05", "1999-12-31"]),
    ("%m/%d/%Y %I:%M %p", ["12/31/2020 11:59 PM", "01/01/2021 12:05 am"], ["2020-12-31 23:59", "2021-01-01 00:05"]),
    ("%Y-%m-%d %H:%M:%S %Z", ["2020-01-01 00:00:00 UTC", "2020-07-01 01:00:00 EST"], ["2020-01-01", "2020-07-01 06"]),
    ("%Y-%m-%d %H:%M %Z", ["2020-06-01 12:00 Europe/Berlin"], ["2020-06-01 10:00"]),
    ("%Y-%m-%d %H:%M %Z", ["2020-12-01 12:00 Europe/Berlin"], ["2020-12-01 11:00"]),
    ("%d/%b/%Y:%H:%M:%S %z", ["10/Oct/2000:13:55:36 -0700"], ["2000-10-10 20:55:36"]),
    ("%a, %d %b %Y %H:%M:%S %Z", ["Mon, 06 Jul 2020 12:00:00 GMT"], ["2020-07-06 12:00"]),
    ("%Y/%m/%d %H:%M:%S.%f", ["2020/02/29 01:02:03.25"], ["2020-02-29 01:02:03.250"]),
]


@pytest.mark.parametrize(("format_", "cells", "moments"), READ)
def test_the_format_of_cells_is_found_and_reads_them(format_: str, cells: list[str], moments: list[str]) -> None:
    """The guess fits, and its spec gives the format again."""
    (notation,) = guess_dates(cells)
    assert notation.format == format_
    values, is_bad = notation.parse(pa.array([*cells, None]))
    assert not is_bad.any()
    assert values.null_count == 1
    read = [moment.replace(tzinfo=UTC) for moment in values.cast(pa.timestamp("us")).to_pylist()[:-1]]
    assert read == [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in moments]
    assert notation_of(notation.spec) == notation


def test_where_day_and_month_can_be_confused_both_formats_are_found() -> None:
    """The caller must not choose one of them in silence."""
    assert {one.format for one in guess_dates(["01/02/2020", "03/04/2020"])} == {"%d/%m/%Y", "%m/%d/%Y"}
    assert [one.format for one in guess_dates(["01.02.2020", "03.04.2020"])] == ["%d.%m.%Y"]


@pytest.mark.parametrize("cells", [["Feb 30, 2020"], ["2020-13-01"], ["15:30"], ["1.2.3"], ["hello"], ["1,234"], []])
def test_other_cells_have_no_format(cells: list[str]) -> None:
    """No format is made up for what is not a date."""
    assert guess_dates(cells) == []


@pytest.mark.parametrize(
    "cell", ["29/02/2023", "00/01/2020", "1/1/20", "01/01/2020 x", "32/01/2020", "01/13/2020", "", "2020-01-01"]
)
def test_other_dates_are_bad(cell: str) -> None:
    """A day that does not exist, or another format, is reported."""
    values, is_bad = DateNotation("%d/%m/%Y").parse(pa.array([cell]))
    assert values.to_pylist() == [None]
    assert is_bad.tolist() == [True]


def test_an_unknown_zone_is_bad_and_the_year_1_is_not() -> None:
    """Zones are known by name; years are not limited to those of nanoseconds."""
    _, is_bad = DateNotation("%Y-%m-%d %H:%M %Z").parse(pa.array(["2020-01-01 10:00 XYZ", "2020-01-01 10:00 utc"]))
    assert is_bad.tolist() == [True, False]
    values, _ = DateNotation("%d.%m.%Y").parse(pa.array(["01.01.0001", "31.12.9999"]))
    assert [str(value) for value in values.to_pylist()] == ["0001-01-01", "9999-12-31"]
