"""CSV text against Python's own csv module, at every block size and from every position."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors import Cursor, open_source

CELLS = st.text(st.sampled_from('ab,"\n\r é0.'), max_size=6)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12)
SCHEMA = pa.schema([("n", pa.int64()), ("a", pa.string()), ("b", pa.string())])


def written(cells: list[tuple[str, str]], newline: str, *, is_quoted: bool, ends: bool) -> bytes:
    """Write numbered rows as Python's csv module does."""
    file = io.StringIO()
    # It quotes a line break only if it is part of its own; ours ends a record at any: see the caller.
    if is_quoted:
        writer = csv.writer(file, lineterminator=newline, quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(file, lineterminator=newline, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(SCHEMA.names)
    writer.writerows([i, *row] for i, row in enumerate(cells))
    text = file.getvalue()
    return (text if ends else text.removesuffix(newline)).encode()


def read(path: Path, block_size: int, cursor: Cursor | None = None) -> tuple[list[dict[str, object]], list[Cursor]]:
    """Read rows, and the cursor after each."""
    found, cursors = [], []
    with open_source(path, block_size=block_size).open(SCHEMA, cursor) as reader:
        for block in reader:
            found += block.records.to_pylist()
            cursors += [block.cursor(n + 1) for n in range(len(block))]
    return found, cursors


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cells=ROWS,
    newline=st.sampled_from(["\n", "\r\n"]),
    is_quoted=st.booleans(),
    ends=st.booleans(),
    sizes=st.lists(st.integers(16, 90), min_size=2, max_size=2),
)
@example(cells=[("two\r\nlines", 'q"'), ("", "")], newline="\r\n", is_quoted=True, ends=False, sizes=[16, 17])
def test_rows_and_cursors_do_not_depend_on_blocks(
    tmp_path: Path, *, cells: list[tuple[str, str]], newline: str, is_quoted: bool, ends: bool, sizes: list[int]
) -> None:
    """What Python's csv reads is read, whatever the block size, with the same cursors, and resumed after every row."""
    if not is_quoted:
        cells = [(a.replace("\r", ""), b.replace("\r", "")) for a, b in cells]
    path = tmp_path / "rows.csv"
    path.write_bytes(written(cells, newline, is_quoted=is_quoted, ends=ends))
    expected = [{"n": i, "a": a or None, "b": b or None} for i, (a, b) in enumerate(cells)]
    whole, cursors = read(path, 1 << 20)
    assert whole == expected
    for size in sizes:
        assert read(path, size) == (whole, cursors)
    for cursor in cursors:
        assert read(path, sizes[0], cursor)[0] == expected[cursor.row :]


@pytest.mark.parametrize("block_size", [16, 17, 64, 1 << 20])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, block_size: int) -> None:
    """A BOM before the header changes nothing."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfn,a,b\n0,x,y\n")
    assert read(path, block_size)[0] == [{"n": 0, "a": "x", "b": "y"}]
