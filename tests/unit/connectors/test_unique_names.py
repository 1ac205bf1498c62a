"""Names that tell columns apart."""

import pytest

from connectors.schemas import unique_names


@pytest.mark.parametrize(
    ("names", "expected", "remarks"),
    [
        (["a", "b"], ["a", "b"], []),
        (["a", "a"], ["a", "a_1"], ["columns with the same name: column 2, again 'a', is called 'a_1'"]),
        (
            ["v", "v", "v_1", "v"],
            ["v", "v_2", "v_1", "v_3"],
            ["columns with the same name: column 2, again 'v', is called 'v_2'; column 4, again 'v', is called 'v_3'"],
        ),
        (["", "x"], ["column 1", "x"], ["columns without a name: column 1 is called 'column 1'"]),
        (
            ["x", " ", "column 2"],
            ["x", "column 2_1", "column 2"],
            ["columns without a name: column 2 is called 'column 2_1'"],
        ),
        (["A", "a"], ["A", "a"], []),
    ],
)
def test_names_become_unique(names: list[str], expected: list[str], remarks: list[str]) -> None:
    """The first column keeps its name; no column takes a name that stands in the file."""
    assert unique_names(names) == (expected, remarks)


def test_many_equal_names_take_little_time_and_one_line() -> None:
    """The next free number is remembered."""
    names, remarks = unique_names(["v"] * 20_000)
    assert len(set(names)) == 20_000
    assert names[-1] == "v_19999"
    assert len(remarks) == 1
    assert remarks[0].endswith("; and 19994 more")
