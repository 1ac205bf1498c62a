"""Places that a user writes, and the files that they mean."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import SchemaError, SourceError, open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two CSV files, and with files that are not data."""
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("x\n1\n")
    for name in ("_notes.csv", ".hidden.csv", "README.md"):
        (tmp_path / name).write_text("nothing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.csv").write_text("x\n2\n")
    return tmp_path


def names(*places: object) -> list[str]:
    """Return the file names of some places."""
    return [Path(path).name for path in open_source(*places).paths]


def test_a_folder_stands_for_its_supported_files_by_name(folder: Path) -> None:
    """Hidden files, names with an underscore and other types are ignored; folders in it are read too."""
    assert names(folder) == ["a.csv", "b.csv", "c.csv"]


def test_a_pattern_is_sorted_and_may_reach_into_folders(folder: Path) -> None:
    """``**`` finds files at any depth, in the order of their paths."""
    assert names(str(folder / "*.csv")) == ["a.csv", "b.csv"]
    assert names(str(folder / "**" / "*.csv")) == ["a.csv", "b.csv", "c.csv"]


def test_several_places_are_read_in_the_order_given(folder: Path) -> None:
    """The order is the caller's; a file given twice is read twice."""
    assert names(folder / "b.csv", str(folder / "a.csv"), folder / "b.csv") == ["b.csv", "a.csv", "b.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_found(tmp_path: Path) -> None:
    """An existing file is found by its name before the name is read as a pattern."""
    (tmp_path / "a[1].csv").write_text("x\n1\n")
    assert names(tmp_path / "a[1].csv") == ["a[1].csv"]


def test_paths_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job finds its files again from any working directory."""
    monkeypatch.chdir(folder)
    assert open_source("a.csv").paths == (str(folder / "a.csv"),)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("aa.csv", "no such file or folder; did you mean 'a.csv'"),
        ("none/a.csv", "no such file or folder"),
        ("README.md", r"unknown file type; supported: \.parquet, .*--format csv"),
        ("*.json", "no data file there; supported:"),
        ("empty", "no data file there; supported:"),
    ],
)
def test_a_place_that_is_none_is_refused(folder: Path, place: str, words: str) -> None:
    """The message names the place and the remedy."""
    (folder / "empty").mkdir()
    with pytest.raises(SourceError, match=words) as caught:
        open_source(folder / place)
    assert str(folder / place) in str(caught.value)


def test_other_ways_to_name_nothing_are_refused(folder: Path) -> None:
    """No place, an address, a table among files."""
    with pytest.raises(SourceError, match="no source"):
        open_source()
    with pytest.raises(SourceError, match="scheme 'ftp' is not supported"):
        open_source("ftp://host/a.csv")
    with pytest.raises(SourceError, match="cannot be combined"):
        open_source(pa.table({"x": [1]}), folder / "a.csv")


def test_formats_may_be_mixed(tmp_path: Path) -> None:
    """Inferred types of text give way to declared types of Parquet; rows follow in the order of files."""
    (tmp_path / "a.csv").write_text("x,w\n1,u\n")
    pq.write_table(pa.table({"w": ["v"], "x": [2.5]}), tmp_path / "b.parquet")
    source = open_source(tmp_path)
    assert source.schema == pa.schema([("x", pa.float64()), ("w", pa.string())])
    assert source.description.startswith("2 CSV and Parquet files from")
    with source.open(source.schema) as reader:
        rows = [row for block in reader for row in block.records.to_pylist()]
    assert rows == [{"x": 1.0, "w": "u"}, {"x": 2.5, "w": "v"}]


def test_foreign_errors_name_the_file(tmp_path: Path) -> None:
    """A file that is not Parquet, or neither gzip nor text, is a `ConnectorError` on one line."""
    for name in ("a.parquet", "a.csv.gz", "a.csv.zst"):
        path = tmp_path / name
        path.write_bytes(b"\0\1this is something else altogether")
        with pytest.raises(SourceError, match=name.replace(".", r"\.")) as caught:
            open_source(path)
        assert "\n" not in str(caught.value)


def test_an_empty_file_alone_has_no_columns(tmp_path: Path) -> None:
    """Without a header it cannot be read; among other files it adds no row."""
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(SourceError, match=r"a\.csv: the file is empty"):
        open_source(tmp_path)
    (tmp_path / "b.csv").write_text("x\n1\n")
    source = open_source(tmp_path)
    with source.open(source.schema) as reader:
        assert [block.records.to_pylist() for block in reader] == [[{"x": 1}]]


def test_types_of_several_csv_files_are_widened(tmp_path: Path) -> None:
    """Types are inferred: integers give way to floats, any type to strings, null to any type."""
    (tmp_path / "a.csv").write_text("i,s,n\n1,1,\n")
    (tmp_path / "b.csv").write_text("s,i,n\nword,1.5,7\n")
    assert open_source(tmp_path).schema == pa.schema([("i", pa.float64()), ("s", pa.string()), ("n", pa.int64())])


def test_moments_in_text_are_those_of_iso_8601(tmp_path: Path) -> None:
    """Dates, times and timestamps are recognised in this format; an ambiguous date is a string."""
    row = "2020-01-01,12:00:00,9999-01-01T00:00:00,2020-01-01 10:00:00.123456789,2020-01-01T10:00:00+02:00,1/2/2020"
    (tmp_path / "a.csv").write_text(f"d,t,w,n,z,o\n{row}\n")
    found = open_source(tmp_path).schema.types
    stamps = [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC")]
    assert found == [pa.date32(), pa.time32("s"), *stamps, pa.string()]


def test_a_date_in_one_text_and_a_moment_in_another_are_moments(tmp_path: Path) -> None:
    """The inferred types of two files are merged."""
    (tmp_path / "a.csv").write_text("d\n2020-01-02\n")
    (tmp_path / "b.csv").write_text("d\n2020-01-02 12:00:00.5\n")
    source = open_source(tmp_path)
    with source.open(source.schema) as reader:
        found = [str(value) for block in reader for value in block.records["d"].to_pylist()]
    assert found == ["2020-01-02 00:00:00", "2020-01-02 12:00:00.500000"]


def test_types_of_several_parquet_files_must_agree(tmp_path: Path) -> None:
    """Types are declared: the error names both files, the column and both types, unless both are numbers."""
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1.5]}), tmp_path / "b.parquet")
    assert open_source(tmp_path).schema.types == [pa.float64()]
    pq.write_table(pa.table({"x": ["1.5"]}), tmp_path / "c.parquet")
    with pytest.raises(SchemaError, match=r"c\.parquet: column 'x' is string here, but double in .*b\.parquet"):
        open_source(tmp_path)


def test_a_column_that_one_file_lacks_is_null_there(tmp_path: Path) -> None:
    """The first file decides the columns; a column that no file has is refused by name."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n3,4\n")
    source = open_source(tmp_path)
    assert source.schema.names == ["x", "y"]
    with source.open(source.schema) as reader:
        assert [row for block in reader for row in block.records.to_pylist()] == [{"x": 1, "y": 2}, {"x": 3, "y": None}]
    with pytest.raises(SchemaError, match=r"a\.csv: no column 'w'"):
        source.open(pa.schema([("w", pa.int64())]))


@pytest.mark.parametrize(("header", "names"), [("x,x", ["x", "x_1"]), ("x,,column 2", ["x", "column 2_1", "column 2"])])
def test_columns_get_names_that_differ(tmp_path: Path, header: str, names: list[str]) -> None:
    """Only columns in use must be clear, so a repeated name is changed, and said."""
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join('1' for _ in names)}\n")
    source = open_source(tmp_path / "a.csv")
    assert source.schema.names == names
    assert any("same name" in line for line in source.remarks) == (header == "x,x")
    (tmp_path / "b.csv").write_text('x,"y\n1,2\n')
    with pytest.raises(ValueError, match="never closed"):
        open_source(tmp_path / "b.csv")


def test_notes_beside_data_are_left_out_and_named(tmp_path: Path) -> None:
    """A text file alone is data; beside other files it is not."""
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "notes.txt").write_text("x\n2\n")
    source = open_source(tmp_path)
    assert len(source.paths) == 1
    assert any("notes.txt: not read" in line for line in source.remarks)
    assert len(open_source(tmp_path / "*.txt").paths) == 1


@pytest.mark.parametrize("block_size", [16, 1 << 20])
@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b",x,w\n", ["column 1", "x", "w"]),
        (b'"","x","w"\r\n', ["column 1", "x", "w"]),
        (b"x,w,\n", ["x", "w", "column 3"]),
        (b"x, ,column 3\n", ["x", "column 2", "column 3"]),
        (b",,\n", ["column 1", "column 2", "column 3"]),
    ],
)
def test_a_column_of_text_without_a_name_is_called_by_its_number(
    tmp_path: Path, header: bytes, names: list[str], block_size: int
) -> None:
    """Row numbers of pandas and R have no column name; it works from the start and from the middle."""
    path = tmp_path / "a.csv"
    path.write_bytes(header + b"0,1,2\n1,3,4\n2,5,6\n")
    source = open_source(path, block_size=block_size)
    assert source.schema.names == names
    with source.open(source.schema) as reader:
        cursor = next(reader).cursor(1)
    with source.open(source.schema, cursor) as reader:
        assert [tuple(row.values()) for block in reader for row in block.records.to_pylist()] == [(1, 3, 4), (2, 5, 6)]
    with source.open(pa.schema([(names[0], pa.string())])) as reader:
        assert next(reader).records[names[0]][0].as_py() == "0"


def test_a_column_of_parquet_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    """As in text."""
    pq.write_table(pa.table({"": [1], "x": [2]}), tmp_path / "a.parquet")
    assert open_source(tmp_path / "a.parquet").schema.names == ["column 1", "x"]


def test_dictionaries_are_read_as_their_values(tmp_path: Path) -> None:
    """The encoding of a column in the file does not matter."""
    words = pa.array(["a", "b", None, "a"])
    pq.write_table(pa.table({"w": words.dictionary_encode()}), tmp_path / "a.parquet")
    source = open_source(tmp_path)
    assert source.schema.field("w").type == pa.string()
    with source.open(source.schema) as reader:
        assert next(reader).records["w"].to_pylist() == ["a", "b", None, "a"]
