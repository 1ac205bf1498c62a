"""Arrow files and streams: nested columns, damage, and independence of batches."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import BadRow, SourceError, open_source
from connectors.testing import through_json

ROWS = pa.table(
    {
        "i": range(100),
        "w": pa.array([f"word {i % 7}" for i in range(100)]).dictionary_encode(),
        "place": [{"city": "Rom", "x": i} for i in range(100)],
    }
)


def write(path: Path, rows: pa.Table = ROWS, size: int = 10, *, streams: int = 0) -> Path:
    """Write a file, or streams that follow each other."""
    for n in range(max(1, streams)):
        sink: Any = path.open("ab")
        with sink, (pa.ipc.new_stream if streams else pa.ipc.new_file)(sink, rows.schema) as writer:
            per_stream = len(rows) // max(1, streams)
            part = rows.slice(n * per_stream, per_stream)
            for start in range(0, per_stream, size):
                # A slice would be written with the values of the whole table.
                writer.write_table(part.take(list(range(start, min(start + size, per_stream)))))
    return path


def read(path: Path, cursor: Any = None) -> tuple[list[Any], list[BadRow]]:
    """Return rows and bad rows."""
    source = open_source(path, keeps_bad_rows=True)
    with source.open(source.schema, cursor) as reader:
        blocks = list(reader)
        notes = [*(note for block in blocks for note in block.notes), *reader.notes]
    rows = [row for block in blocks for row in block.records.to_pylist()]
    return rows, [note for note in notes if isinstance(note, BadRow)]


@pytest.mark.parametrize("streams", [0, 1, 4])
def test_batches_and_streams_do_not_matter(tmp_path: Path, streams: int) -> None:
    """Structs and dictionaries are read as in Parquet; several streams in a file are one."""
    small = write(tmp_path / "a.arrow", streams=streams)
    large = write(tmp_path / "b.feather", size=1000)
    assert open_source(small).schema.names == ["i", "w", "place.city", "place.x"]
    assert read(small) == read(large)
    assert len(read(small)[0]) == 100
    assert read(small)[0][17] == {"i": 17, "w": "word 3", "place.city": "Rom", "place.x": 17}


def test_words_for_nothing_and_lists_are_those_of_parquet(tmp_path: Path) -> None:
    """The same conversions apply."""
    rows = pa.table({"v": [1.5, -9.0], "p": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64()))})
    write(tmp_path / "a.arrow", rows, streams=1)
    source = open_source(tmp_path / "a.arrow", null_values=["-9"])
    assert source.schema.names == ["v", "p[0]", "p[1]"]
    with source.open(source.schema) as reader:
        assert next(reader).records.to_pylist() == [{"v": 1.5, "p[0]": 1, "p[1]": 2}, {"v": None, "p[0]": 3, "p[1]": 4}]


def test_some_columns_of_a_file_are_read(tmp_path: Path) -> None:
    """In the order of the request."""
    source = open_source(write(tmp_path / "a.arrow"))
    schema = pa.schema([("place.x", pa.float64()), ("i", pa.int64())])
    with source.open(schema) as reader:
        assert next(reader).records.slice(0, 1).to_pylist() == [{"place.x": 0.0, "i": 0}]


@pytest.mark.parametrize("streams", [0, 1])
def test_damage_is_a_bad_row_and_memory_is_not_read_beyond(tmp_path: Path, streams: int) -> None:
    """An offset of strings that points outside of its batch is found; other batches of a file stay."""
    rows = pa.table({"i": range(100), "w": [f"word {i:03}" for i in range(100)]})
    path = write(tmp_path / "a.arrow", rows, streams=streams)
    content = bytearray(path.read_bytes())
    at = content.index(b"word 050")
    offsets = content.rindex(b"".join(n.to_bytes(4, "little") for n in (0, 8, 16, 24)), 0, at)
    content[offsets + 8 : offsets + 12] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    found, bad = read(path)
    assert [row["i"] for row in found] == [i for i in range(100) if i < 50 or (i >= 60 and not streams)]
    assert [(one.row, one.kind, one.n_rows) for one in bad] == [(50, "damage", 0)]
    source = open_source(path)
    with source.open(source.schema) as reader, pytest.raises(SourceError, match=r"a\.arrow: .*damaged"):
        list(reader)


def test_a_reader_is_resumed_beyond_damage(tmp_path: Path) -> None:
    """The bad row is reported again only before the row that follows it."""
    rows = pa.table({"w": [f"word {i:03}" for i in range(100)]})
    path = write(tmp_path / "a.arrow", rows)
    content = bytearray(path.read_bytes())
    content[content.index(b"word 050")] = 0xFF  # not UTF-8
    path.write_bytes(content)
    source = open_source(path, keeps_bad_rows=True)
    with source.open(source.schema) as reader:
        blocks = list(reader)
    n = 0
    for block in blocks:
        for k in range(len(block) + 1):
            rest, bad = read(path, through_json(block.cursor(k)))
            assert (len(rest), len(bad)) == (90 - n - k, int(n + k <= 50))
        n += len(block)


def test_a_stream_without_an_end_is_said(tmp_path: Path) -> None:
    """A file that was cut off between two batches would look complete."""
    path = write(tmp_path / "a.arrow", streams=1)
    path.write_bytes(path.read_bytes()[:-8])
    found, bad = read(path)
    assert len(found) == 100
    assert "no end mark" in bad[0].reason
