"""Parquet files whose row groups do not hold what their footer says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import ConnectorError, Cursor, Source, SourceError, open_source
from tests.parquet_bytes import column_chunk, edit_footer, edit_page, field, row_group
from tests.stores import S3, s3_server

Edit = Callable[[Path], None]


def write(path: Path) -> None:
    """Write two row groups of five rows."""
    rows = pa.table({"a": range(10), "b": [float(i) for i in range(10)]})
    pq.write_table(rows, path, row_group_size=5, use_dictionary=False, compression="none")


def counts(rows: int, total: int, values: int | None = None) -> Edit:
    """Return an edit of the footer: rows of the first row group, of the file, and values of its columns."""

    def edit(footer: Any) -> None:
        field(row_group(footer, 0), 3)[2] = rows
        field(footer, 3)[2] = total
        for column in (0, 1):
            field(column_chunk(footer, 0, column), 5)[2] = 5 if values is None else values

    return lambda path: edit_footer(path, edit)


def pages(columns: tuple[int, ...], values: int) -> Edit:
    """Return an edit of the first data page of columns: it has fewer values than its column chunk."""

    def edit(path: Path) -> None:
        offsets: list[int] = []
        edit_footer(path, lambda footer: offsets.extend(field(column_chunk(footer, 0, i), 9)[2] for i in columns))
        for offset in offsets:
            edit_page(path, offset, lambda header: field(field(header, 5)[2], 1).__setitem__(2, values))

    return edit


def short_column(path: Path) -> None:
    """Take one value from a column in the footer."""
    edit_footer(path, lambda footer: field(column_chunk(footer, 0, 1), 5).__setitem__(2, 4))


# What happens, the edit, the rows that are left with --on-bad-row skip, and how many rows are lost.
DAMAGES: dict[str, tuple[Edit, list[int], int]] = {
    "fewer in pages": (pages((0, 1), 2), [0, 1, 5, 6, 7, 8, 9], 3),
    "fewer in one page": (pages((1,), 2), [5, 6, 7, 8, 9], 5),
    "more in the footer": (counts(7, 12), [5, 6, 7, 8, 9], 7),
    "more in all of the footer": (counts(7, 12, 7), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2),
    "fewer in the footer": (counts(3, 8), [5, 6, 7, 8, 9], 3),
    "far more": (counts(1 << 62, (1 << 62) + 5), [5, 6, 7, 8, 9], 1 << 62),
    "a short column": (short_column, [5, 6, 7, 8, 9], 5),
}


def read(source: Source, cursor: Cursor | None = None) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Return the values of a column, and what is known of bad rows."""
    values: list[int] = []
    bad = []
    with source.open(source.schema, cursor) as reader:
        for block in reader:
            values += block.records.column("a").to_pylist()
            bad += block.bad
        bad += reader.bad
    return values, [(one.kind, one.row, one.n_rows) for one in bad]


@pytest.mark.parametrize("case", DAMAGES)
def test_a_row_group_without_all_its_rows_is_damage(tmp_path: Path, case: str) -> None:
    """It is an error; or a bad row, after the rows that can be read, from the start and from the middle."""
    edit, left, n_lost = DAMAGES[case]
    path = tmp_path / "a.parquet"
    write(path)
    edit(path)
    with pytest.raises(SourceError, match=r"a\.parquet: (row group 0: expected|columns do not have the same size)"):
        read(open_source(path))
    source = open_source(path, keeps_bad_rows=True)
    damage = ("damage", len(left) - 5, n_lost)
    assert read(source) == (left, [damage])
    with source.open(source.schema) as reader:
        cursors = [block.cursor(n) for block in reader for n in range(len(block))]
    for row, cursor in enumerate(cursors):
        again = open_source(path, keeps_bad_rows=True)
        assert read(again, cursor) == (left[row:], [damage] if row <= damage[1] else [])


def test_a_damaged_row_group_is_named_with_a_remedy(tmp_path: Path) -> None:
    """The line says what is expected, what is found, and what helps."""
    write(tmp_path / "a.parquet")
    pages((0, 1), 2)(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"row group 0: expected 5 rows, found 2; the file is damaged: .* skip$"):
        read(open_source(tmp_path / "a.parquet"))


@pytest.mark.parametrize(("rows", "total"), [(5, 11), (-5, 0), (-1, 10)])
def test_a_footer_that_contradicts_itself_is_refused(tmp_path: Path, rows: int, total: int) -> None:
    """No row is read: nobody knows which number is right."""
    path = tmp_path / "a.parquet"
    write(path)
    counts(rows, total)(path)
    with pytest.raises(ConnectorError, match=r"a\.parquet: the footer is damaged: it says .* write the file again"):
        open_source(path)


def test_a_footer_of_many_row_groups_is_checked_before_the_first_row(tmp_path: Path) -> None:
    """To check it takes a while, so that a look at the columns alone does not."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(100)}), path, row_group_size=1)
    edit_footer(path, lambda footer: field(footer, 3).__setitem__(2, 99))
    source = open_source(path)
    with pytest.raises(
        SourceError, match="the footer is damaged: it says 99 rows in all, and 100 in its 100 row groups"
    ):
        source.open(source.schema)


def test_columns_that_are_not_wanted_may_be_damaged(tmp_path: Path) -> None:
    """What is read is whole."""
    write(tmp_path / "a.parquet")
    short_column(tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    with source.open(pa.schema([("a", pa.int64())])) as reader:
        assert [value for block in reader for value in block.records.column("a").to_pylist()] == [*range(10)]


def test_a_remote_row_group_without_all_its_rows_is_damage(tmp_path: Path) -> None:
    """As on a disk."""
    write(tmp_path / "a.parquet")
    pages((0, 1), 2)(tmp_path / "a.parquet")
    with s3_server() as authority:
        bucket = S3(authority, "damage")
        bucket.put("a.parquet", (tmp_path / "a.parquet").read_bytes())
        with pytest.raises(SourceError, match="row group 0: expected 5 rows, found 2"):
            read(open_source(bucket.http("a.parquet")))
        source = open_source(bucket.http("a.parquet"), keeps_bad_rows=True)
        assert read(source) == ([0, 1, 5, 6, 7, 8, 9], [("damage", 2, 3)])
