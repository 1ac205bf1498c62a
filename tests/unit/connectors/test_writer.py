"""Writing rows: a whole file or none, in every format that can be written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import RowError, SchemaError, SourceError, open_source, open_writer
from connectors.writer import Writer

ROWS = pa.record_batch({"i": pa.array([1, None, 3], pa.int64()), "s": ["a,b", 'q"', None]})


def files(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def _write_and_fail(writer: Writer, error: Exception) -> None:
    writer.write_batch(ROWS)
    raise error


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.csv.gz", "A.CSV"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    """Values and nulls survive, and nothing else is left in the folder."""
    with open_writer(tmp_path / name, ROWS.schema) as writer:
        writer.write_batch(ROWS)
        writer.write_batch(ROWS)
    source = open_source(tmp_path / name)
    with source.open(ROWS.schema) as reader:
        assert [row for block in reader for row in block.records.to_pylist()] == 2 * ROWS.to_pylist()
    assert files(tmp_path) == [name]


def test_nothing_written_is_a_file_without_rows(tmp_path: Path) -> None:
    """It still has a header or a footer."""
    for name in ("a.parquet", "a.csv"):
        with open_writer(tmp_path / name, ROWS.schema):
            pass
        assert open_source(tmp_path / name).schema.names == ["i", "s"]


def test_small_batches_share_a_row_group(tmp_path: Path) -> None:
    """A thousand batches are not a thousand row groups, and pages carry checksums."""
    with open_writer(tmp_path / "a.parquet", ROWS.schema) as writer:
        for _ in range(1000):
            writer.write_batch(ROWS)
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert (metadata.num_rows, metadata.num_row_groups) == (3000, 1)


def test_an_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """The old file is there, the temporary one is gone, and the caller's error is unchanged."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    writer = open_writer(path, ROWS.schema)
    with pytest.raises(PermissionError, match="the caller's own"), writer:
        _write_and_fail(writer, PermissionError("the caller's own"))
    assert path.read_text() == "old"
    assert files(tmp_path) == ["a.csv"]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """An unknown file type, a folder, a missing folder, other columns, a null that would be lost."""
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(SourceError, match=r"unknown file type; supported: \.parquet, \.csv, \.csv\.gz"):
        open_writer(tmp_path / "a.txt", ROWS.schema)
    with pytest.raises(SourceError, match="is a folder"):
        open_writer(tmp_path / "b.csv", ROWS.schema)
    with pytest.raises(SourceError, match=r"a\.csv: no such file or directory"):
        open_writer(tmp_path / "none" / "a.csv", ROWS.schema)
    with (
        pytest.raises(SchemaError, match="expected rows of i: int64, s: string, found i: int64"),
        open_writer(tmp_path / "a.csv", ROWS.schema) as writer,
    ):
        writer.write_batch(ROWS.select(["i"]))
    with (
        pytest.raises(RowError, match="blank line"),
        open_writer(tmp_path / "a.csv", ROWS.select(["i"]).schema) as writer,
    ):
        writer.write_batch(ROWS.select(["i"]))
    assert files(tmp_path) == ["b.csv"]


@pytest.mark.parametrize(
    ("name", "type_"),
    [("a.csv", pa.list_(pa.int64())), ("a.csv.gz", pa.list_(pa.int64())), ("a.parquet", pa.month_day_nano_interval())],
)
def test_a_type_that_cannot_be_written_leaves_nothing(tmp_path: Path, name: str, type_: pa.DataType) -> None:
    """It is refused when the file is opened, so no temporary file remains."""
    (tmp_path / name).write_text("old")
    with pytest.raises(SourceError, match=rf"{name}: .*(list<item: int64>|month_day_nano_interval)"):
        open_writer(tmp_path / name, pa.schema([("x", type_)]))
    assert files(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "old"
