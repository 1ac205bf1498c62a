"""Numbers as people write them."""

import pyarrow as pa
import pytest

from connectors.errors import SchemaError
from connectors.notations.numbers import NumberNotation, guess_number
from connectors.notations.specs import declared, notation_of

READ = [
    ("1,234.5", ["1,000", "8,919", "0", "-1,234,567.25"], [1000, 8919, 0, -1234567.25]),
    ("1234,5", ["0,00", "37,01", "-,5"], [0, 37.01, -0.5]),
    ("1234.5%", ["3.7%", "0.0 %", "-7%"], [3.7, 0, -7]),
    ("$1,234.5", ["$1,234.50", "-$5", "($7.00)", "$-.5", "$3-"], [1234.5, -5, -7, -0.5, -3]),
    ("1.234,5€", ["1.234,50 €", "7€"], [1234.5, 7]),
    ("1 234.5", ["1 234", "12", "1\u202f234\u202f567"], [1234, 12, 1234567]),
    ("1'234.5", ["1'234.50", "7"], [1234.5, 7]),
    ("1234.5 kg", ["12kg", "7.5 kg", "1e3 kg"], [12, 7.5, 1000]),
    ("USD1,234.5", ["USD 5.00", "USD 1,005.00"], [5, 1005]),
    ("1,234.5", ["12,34,567.5", "1,000"], [1234567.5, 1000]),
    ("1.234,5", ["12.345.678.901", "1.000"], [12345678901, 1000]),
    ("1234.5", ["−5", "5"], [-5, 5]),
]


@pytest.mark.parametrize(("example", "cells", "values"), READ)
def test_the_notation_of_cells_is_found_and_reads_them(example: str, cells: list[str], values: list[float]) -> None:
    """The guess fits, and its spec gives the notation again."""
    notation = guess_number(cells)
    assert notation is not None
    assert notation.example == example
    found, is_bad = notation.parse(pa.array([*cells, None]))
    assert found.to_pylist() == [*values, None]
    assert not is_bad.any()
    assert notation_of(notation.spec) == notation


ADDRESSES = ["192.168.100.200", "192.168.100.201"]
CODES = [["A5", "B7"], ["15:30"], ["5/7"], ["Room 5", "Room 7"], ["1.234,5", "1,234.5"], [], ADDRESSES]


@pytest.mark.parametrize("cells", CODES)
def test_codes_and_contradictions_are_no_numbers(cells: list[str]) -> None:
    """Letters may belong to a code, and marks may contradict each other."""
    assert guess_number(cells) is None


def test_the_decimal_mark_of_the_text_decides_where_a_mark_may_mean_both() -> None:
    """1,234 may be either; a leading zero shows decimals."""
    dot, comma = guess_number(["1,234", "5,678"]), guess_number(["1,234", "5,678"], decimal=",")
    assert dot is not None
    assert comma is not None
    assert dot.parse(pa.array(["1,234"]))[0].to_pylist() == [1234]
    assert comma.parse(pa.array(["1,234"]))[0].to_pylist() == [1.234]
    leading_zero = guess_number(["1,234", "0,567"])
    assert leading_zero is not None
    assert leading_zero.parse(pa.array(["0,567"]))[0].to_pylist() == [0.567]


@pytest.mark.parametrize("cell", ["$5", "1,2,3", "(5", "-5-", "--5", "5 kg", "1.2.3", "", "0,500", "x"])
def test_other_cells_are_bad(cell: str) -> None:
    """A cell in another notation is reported, and not read as something else."""
    values, is_bad = NumberNotation(thousands=",").parse(pa.array([cell]))
    assert values.to_pylist() == [None]
    assert is_bad.tolist() == [True]


@pytest.mark.parametrize("mark", [".", " ", "'"])
def test_only_commas_stand_between_groups_of_two_digits(mark: str) -> None:
    """As people write numbers in India; 10.64.194.159 is an address."""
    cells = [f"10{mark}64{mark}194{mark}159", f"1{mark}064{mark}194"]
    values, _ = NumberNotation(decimal=",", thousands=mark).parse(pa.array(cells))
    assert values.to_pylist() == [None, 1064194]


@pytest.mark.parametrize("spec", ["number:abc", "numbre", "date:%d", "date:%Y-%m-%d %Q", "text:x", "date:%Y %m %d %I"])
def test_a_type_that_cannot_be_declared_is_refused_in_one_line(spec: str) -> None:
    """The message begins with the setting."""
    with pytest.raises(SchemaError, match=r"^types: .+$"):
        declared(spec)
