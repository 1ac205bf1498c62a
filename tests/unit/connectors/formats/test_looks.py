"""Files whose content is not what their names say: compressions are read, and the rest is refused by what it is."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from connectors import ConnectorError, SchemaError, SourceError, open_source
from connectors.files import intervals
from connectors.files.followed_source import Follow
from connectors.formats.looks import look
from connectors.source import Source

TEXT = b"i,x\n" + b"1,2\n" * 30
LINES = b'{"i": 1, "x": 2}\n' * 30
TABLE = pa.table({"i": [1, 2, 3], "x": [2, 2, 2]})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a followed file count as complete after a short time."""
    for name, value in {"LOOK_S": 0.02, "LIST_S": 0.02, "QUIET_S": 0.05, "WHOLE_S": 0.1}.items():
        monkeypatch.setattr(intervals, name, value)


def zstd(text: bytes) -> bytes:
    """Return compressed text."""
    packed: bytes = pa.compress(text, "zstd", asbytes=True)
    return packed


def count(source: Source) -> int:
    """Return the number of rows."""
    with source.open(source.schema) as reader:
        return sum(len(block) for block in reader)


def written(write: Callable[[Any, Any], Any]) -> bytes:
    """Return what a writer makes of the table."""
    sink = io.BytesIO()
    write(TABLE, sink)
    return sink.getvalue()


def stream() -> bytes:
    """Return the table as an Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


def workbook() -> bytes:
    """Return the beginning of an Excel workbook."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return sink.getvalue()


def database(tmp_path: Path) -> bytes:
    """Return an SQLite database."""
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("create table t (i)")
    connection.close()
    found = (tmp_path / "db").read_bytes()
    (tmp_path / "db").unlink()
    return found


def array() -> bytes:
    """Return a NumPy array."""
    sink = io.BytesIO()
    np.save(sink, np.arange(3))
    return sink.getvalue()


PARQUET, ARROW = written(pq.write_table), written(feather.write_feather)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_compression_is_known_by_its_content(tmp_path: Path, compress: Any, name: str) -> None:
    """The name need not say it, also where the file is followed; the two formats of text behave alike."""
    (tmp_path / name).write_bytes(compress(TEXT if name == "a.csv" else LINES))
    assert count(open_source(tmp_path / name)) == 30
    assert count(open_source(tmp_path, follow=Follow(idle_timeout_s=0.5))) == 30


@pytest.mark.parametrize(("ending", "compress"), [("bz2", bz2.compress), ("xz", lzma.compress)])
def test_damage_of_a_compression_is_one_bad_row(tmp_path: Path, ending: str, compress: Any) -> None:
    """The records before it are read, however large the blocks are."""
    text = b"i,x\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 1000) for i in range(200_000))
    path = tmp_path / f"a.csv.{ending}"
    packed = compress(text)
    path.write_bytes(packed[: len(packed) * 3 // 4])
    found = {count(open_source(path, keeps_bad_rows=True, block_size=size)) for size in (1 << 16, 1 << 20)}
    assert len(found) == 1
    assert found.pop() > 0
    with pytest.raises(ConnectorError, match=rf"a\.csv\.{ending}"):
        count(open_source(path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"<!DOCTYPE html>\n<title>404</title>", "an HTML page; fetch the file itself"),
        ("a.parquet", b"\n <HTML><body>", "an HTML page"),
        ("a.jsonl", b'<?xml version="1.0"?>\n<Error/>', "an XML document"),
        ("a.csv", POINTER, "a Git LFS pointer; .*git lfs pull"),
        ("a.parquet", POINTER, "a Git LFS pointer"),
        ("a.arrow", POINTER, "a Git LFS pointer"),
        ("a.csv", PARQUET, "a Parquet file; give --format parquet"),
        ("a.jsonl", ARROW, "an Arrow file; give --format arrow"),
        ("a.csv", stream(), "an Arrow stream; give --format arrow"),
        ("a.arrow", PARQUET, "a Parquet file; give --format parquet"),
        ("a.parquet", ARROW, "an Arrow file; give --format arrow"),
        ("a.parquet", gzip.compress(PARQUET, mtime=0), "gzip data; decompress it first: gzip -d"),
        ("a.csv.gz", gzip.compress(PARQUET, mtime=0), "a Parquet file"),
        ("a.csv", workbook(), r"an Excel workbook \(\.xlsx\); save the sheet as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"an old Excel workbook \(\.xls\)"),
        ("a.csv", b"%PDF-1.7\n", "a PDF document"),
        ("a.csv", pickle.dumps({"i": [1]}), "a Python pickle"),
        ("a.csv", array(), "a NumPy array"),
        ("a.csv.gz", gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), "a tar archive"),
        ("a.parquet", TEXT, "text; give --format csv"),
        ("a.parquet", LINES, "JSON lines; give --format jsonl"),
        ("a.csv", LINES, "JSON lines; give --format jsonl"),
        ("a.csv", b'[{"i": 1}]', r"a JSON array; make it JSON lines: jq -c '\.\[\]'"),
        ("a.jsonl", b'[\n{"i": 1}\n]', "a JSON array"),
        ("a.jsonl", json.dumps({"i": 1}, indent=1).encode(), "one JSON document over several lines"),
        ("a.csv", TEXT.decode().encode("utf-16-le"), "UTF-16 without a byte order mark; set --encoding utf-16-le"),
        ("a.csv", TEXT.decode().encode("utf-32-be"), "set --encoding utf-32-be"),
        ("a.jsonl", LINES.decode().encode("utf-16-be"), "set --encoding utf-16-be"),
        ("a.csv", LINES.decode().encode("utf-16"), "JSON lines; give --format jsonl"),
        ("a.csv", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty; expected Parquet"),
        ("a.arrow", b"", "the file is empty; expected Arrow"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.parquet", PARQUET[:-9], "the Parquet file has no footer; it was cut off"),
        ("a.parquet", PARQUET[:-4] + b"PARE", "the Parquet file is encrypted"),
        ("a.arrow", ARROW[:-9], "the Arrow file has no footer; it was cut off"),
    ],
)
def test_what_a_file_looks_like_is_said(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """One line with the file and the remedy; where bad rows are kept, the file is one."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        open_source(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_sqlite_database_is_named(tmp_path: Path) -> None:
    """It is often given a name of text."""
    (tmp_path / "a.csv").write_bytes(database(tmp_path))
    with pytest.raises(SourceError, match="an SQLite database; export the table"):
        open_source(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "head",
    [
        b"i,x\n1,2\n",
        b"[id],[name]\n",
        b"{a},b\n1,2\n",
        b"<b,a>\n1,2\n",
        b"ORC,DUCK,PK,version\n1,2,3,4\n",
        b"\xef\xbb\xbfi,x\n",
        "größe,weiß\n".encode("cp1252"),
        "i,x\n1,2\n".encode("utf-16"),
        b"",
    ],
)
def test_text_of_a_table_looks_like_nothing_else(head: bytes) -> None:
    """A false alarm would refuse a good file."""
    assert look(head) is None


def test_format_overrides_the_ending(tmp_path: Path) -> None:
    """For names without a known ending, in a folder, and where the ending is wrong."""
    for name, content, kind in (
        ("a", TEXT, "csv"),
        ("b.data", LINES, "jsonl"),
        ("c.csv", PARQUET, "parquet"),
        ("d.parquet", ARROW, "arrow"),
        ("e.json", gzip.compress(LINES, mtime=0), "jsonl"),
    ):
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).write_bytes(content)
        for place in (folder / name, folder, str(folder / "*")):
            assert open_source(place, format=kind).schema.names == ["i", "x"]
        assert count(open_source(folder / name, format=kind)) in {3, 30}
        assert count(open_source(folder, format=kind, follow=Follow(idle_timeout_s=0.5))) in {3, 30}
    with pytest.raises(SchemaError, match="format: expected one of parquet, csv, jsonl, arrow, found 'json'"):
        open_source(tmp_path, format="json")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.data", PARQUET, "unknown file type; .* it looks like a Parquet file: give --format parquet"),
        ("a.json", LINES, "it looks like JSON lines: give --format jsonl"),
        ("a", TEXT, "if it is CSV, give --format csv"),
    ],
)
def test_an_unknown_ending_names_the_option(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """The content decides which value of ``--format`` is named."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=words):
        open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pq", "a.parq", "a.txt", "a.dat", "a.ndjson", "a.feather", "a.ipc", "a.TXT.GZ"])
def test_other_endings_are_known(tmp_path: Path, name: str) -> None:
    """They are those that people give to such files."""
    ending = name.split(".")[1].lower()
    kinds = {"pq": PARQUET, "parq": PARQUET, "ndjson": LINES, "feather": ARROW, "ipc": ARROW}
    (tmp_path / name).write_bytes(kinds.get(ending, TEXT))  # also text that was decompressed and kept its name
    assert count(open_source(tmp_path)) in {3, 30}


def test_notes_beside_data_are_not_data(tmp_path: Path) -> None:
    """A file .txt is read where it is named, or where nothing else in the folder is data."""
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "README.txt").write_text("These are rows.\n")
    assert [Path(path).name for path in open_source(tmp_path).paths] == ["a.csv"]
    assert count(open_source(tmp_path, follow=Follow(idle_timeout_s=0.5))) == 30


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    """In a folder and given directly."""
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "b.csv").symlink_to("/nowhere/b.csv")
    for place in (tmp_path, tmp_path / "b.csv"):
        with pytest.raises(SourceError, match=r"b\.csv: a link to '/nowhere/b\.csv', which does not exist"):
            open_source(place)


def test_a_file_without_columns_is_named(tmp_path: Path) -> None:
    """There is nothing to learn from."""
    pq.write_table(TABLE.select([]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: the file has \d+ rows and no columns"):
        open_source(tmp_path / "a.parquet")
