"""Columns from the names of folders."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import Follow, RowError, SchemaError, Source, SourceError, open_source
from connectors.files import intervals
from connectors.formats.partitions import partition_values

WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "csv": pacsv.write_csv,
    "parquet": pq.write_table,
}


@pytest.fixture(params=list(WRITERS))
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes columns into a file of a folder."""

    def write(folder: str, **columns: list[Any]) -> Path:
        path = tmp_path / "hive" / folder / f"part-0.{request.param}"
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[request.param](pa.table(columns or {"x": [1, 2]}), path)
        return path

    return write


def rows(source: Source, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
    """Return every row."""
    with source.open(schema or source.schema) as reader:
        return [row for block in reader for row in block.records.to_pylist()]


def types(source: Source) -> dict[str, str]:
    """Return the types of all columns by name."""
    return {field.name: str(field.type) for field in source.schema}


def test_partitions_are_typed_columns(put: Callable[..., Path], tmp_path: Path) -> None:
    """Whole numbers and dates are typed over all files; values are decoded; the default partition is null."""
    put("year=2023/month=01/day=2023-01-31/city=New%20York", x=[1])
    put("year=2023/month=11/day=2023-11-01/city=__HIVE_DEFAULT_PARTITION__", x=[2])
    put("year=2024/month=__HIVE_DEFAULT_PARTITION__/day=2024-02-29/city=a%2Fb", x=[3])
    source = open_source(tmp_path / "hive")
    assert types(source) == {"x": "int64", "year": "int64", "month": "int64", "day": "date32[day]", "city": "string"}
    assert [tuple(row.values()) for row in rows(source)] == [
        (1, 2023, 1, datetime.date(2023, 1, 31), "New York"),
        (2, 2023, 11, datetime.date(2023, 11, 1), None),
        (3, 2024, None, datetime.date(2024, 2, 29), "a/b"),
    ]
    assert source.remarks == ("year, month, day and city are columns from the folder names",)


@pytest.mark.parametrize("place", ["hive", "hive/", "hive/**", "hive/*/*/*", "hive/year=*", "hive/*/month=0[12]"])
def test_every_way_to_name_a_place_gives_the_same_columns(put: Callable[..., Path], tmp_path: Path, place: str) -> None:
    """A pattern does not lose them."""
    for month in ("01", "02"):
        put(f"year=2023/month={month}", x=[int(month)])
    source = open_source(f"{tmp_path}/{place}")
    assert rows(source) == [{"x": n, "year": 2023, "month": n} for n in (1, 2)]


def test_a_partition_or_a_file_alone_has_the_columns_of_the_whole(
    put: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a model of the whole can predict a part of it, from any working folder."""
    path = put("year=2023/month=01", x=[7])
    expected = [{"x": 7, "year": 2023, "month": 1}]
    for place in (path, path.parent, path.parents[1], path.parent / "*", path.parents[1] / "**" / path.name):
        assert rows(open_source(place)) == expected, place
    monkeypatch.chdir(path.parent)
    assert rows(open_source(path.name)) == rows(open_source(".")) == expected


def test_one_word_makes_a_column_text(put: Callable[..., Path], tmp_path: Path) -> None:
    """The type is decided over all files, not by the first one; too large a number is text as well."""
    for value in ("01", "2", "other"):
        put(f"v={value}/big={10**19}/d=2023-02-30", x=[1])
    source = open_source(tmp_path / "hive")
    assert types(source) == {"x": "int64", "v": "string", "big": "string", "d": "string"}
    assert [row["v"] for row in rows(source)] == ["01", "2", "other"]


def test_a_file_outside_partitions_has_nulls(put: Callable[..., Path], tmp_path: Path) -> None:
    """Even if it is the first file, which decides the other columns."""
    put("", x=[1])
    put("year=2023", x=[2])
    put("z/year=2024", x=[3])
    assert rows(open_source(tmp_path / "hive")) == [
        {"x": 1, "year": None}, {"x": 2, "year": 2023}, {"x": 3, "year": 2024},
    ]  # fmt: skip


def test_the_folder_decides_over_a_column_in_the_file(put: Callable[..., Path], tmp_path: Path) -> None:
    """It is said once, whatever the type in the file."""
    put("year=2023", x=[1], year=["a"])
    put("year=2024", year=["b"], x=[2])
    source = open_source(tmp_path / "hive")
    assert rows(source) == [{"x": 1, "year": 2023}, {"x": 2, "year": 2024}]
    assert source.remarks[1:] == ("year is a column from the folder names; the values in the files are not read",)


def test_columns_are_read_as_asked(put: Callable[..., Path], tmp_path: Path) -> None:
    """Alone, in another order and as another type; a type that does not fit is an error with a remedy."""
    put("year=2023/c=u", x=[1, 2])
    source = open_source(tmp_path / "hive")
    assert rows(source, pa.schema([("year", pa.float64())])) == [{"year": 2023.0}] * 2
    assert rows(source, pa.schema([("c", pa.string()), ("x", pa.int64()), ("year", pa.string())])) == [
        {"c": "u", "x": 1, "year": "2023"}, {"c": "u", "x": 2, "year": "2023"},
    ]  # fmt: skip
    with pytest.raises(RowError, match=r"column 'c': expected int64, found 'u' in the name of its folder.*--ignore c"):
        rows(source, pa.schema([("c", pa.int64()), ("x", pa.int64())]))


def test_a_strange_file_is_still_refused(put: Callable[..., Path], tmp_path: Path) -> None:
    """A shared partition does not make it belong to the stream."""
    put("year=2023", x=[1])
    put("year=2024", other=[2])
    with pytest.raises(SchemaError, match="does this file belong to the stream"):
        open_source(tmp_path / "hive")


def test_a_key_that_occurs_twice_in_a_path_is_refused(put: Callable[..., Path], tmp_path: Path) -> None:
    """It has two values."""
    put("a=1/b/a=2")
    with pytest.raises(SourceError, match="two folders of its path are named a="):
        open_source(tmp_path / "hive")


def test_a_new_partition_of_a_followed_folder_is_read(
    put: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed in the middle too; a value that does not fit is an error, or a bad row."""
    for interval, value in {"LOOK_S": 0.05, "LIST_S": 0.05, "QUIET_S": 0.1, "WHOLE_S": 0.5}.items():
        monkeypatch.setattr(intervals, interval, value)
    put("year=2023", x=[1, 2])
    settings: dict[str, Any] = {"follow": Follow(idle_timeout_s=1), "keeps_bad_rows": True}
    source = open_source(tmp_path / "hive", **settings)
    schema = pa.schema([("year", pa.int64()), ("x", pa.int64())])
    assert source.schema.equals(pa.schema([("x", pa.int64()), ("year", pa.int64())]))
    with source.open(schema) as reader:
        block = next(one for one in reader if len(one))
        cursor = block.cursor(1)
        put("year=2024/q=1", x=[3])
        put("year=then", x=[4])
        later = [one for one in reader if len(one)]
        bad = [*(note for one in later for note in one.bad), *reader.bad]
    assert [tuple(row.values()) for one in later for row in one.records.to_pylist()] == [(2024, 3)]
    assert [(one.kind, "found 'then'" in one.reason) for one in bad] == [("damage", True)]
    with open_source(tmp_path / "hive", **settings).open(schema, cursor) as reader:
        assert [tuple(row.values()) for one in reader for row in one.records.to_pylist()] == [(2023, 2), (2024, 3)]
    with (
        open_source(tmp_path / "hive", follow=Follow(idle_timeout_s=1)).open(schema) as reader,
        pytest.raises(RowError, match="column 'year': expected int64, found 'then'"),
    ):
        list(reader)


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("s3://b/h/year=2023/a.csv", "s3://b/h/", {"year": "2023"}),
        ("s3://b/h/year=2023/m=1/a.csv", "s3://b/h/year=2023/", {"year": "2023", "m": "1"}),
        ("https://h/d/c%3Da%2520b/a.csv", "https://h/d/", {"c": "a b"}),
        ("/x/k=v/data/a.csv", "/x/k=v/data/", {}),
        ("/x/k=v/l=/a=b.csv", "/x/k=v/l=/", {"k": "v", "l": None}),
        ("h/_k=1/=2/n=a=b/a.csv", "h/", {"n": "a=b"}),
    ],
)
def test_the_columns_of_a_path(name: str, root: str, expected: dict[str, str | None]) -> None:
    """Only whole names of folders count, of any store."""
    assert partition_values(name, root) == expected
