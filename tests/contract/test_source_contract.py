"""Every connector is tested by the contract."""

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from connectors import ConnectorError, CursorError, MemorySource, RowError, Source, SourceError, open_source
from connectors.testing import SCHEMA, SourceContract, blocks, rows, table, through_json


def split(whole: pa.Table) -> list[pa.Table]:
    """Cut rows into four parts, one of them empty."""
    return [whole.slice(0, 30), whole.slice(30, 0), whole.slice(30, 41), whole.slice(71)]


def write_csv(part: pa.Table, path: Path) -> None:
    """Write CSV, compressed according to its name."""
    with pa.output_stream(str(path), compression="detect") as stream:
        pacsv.write_csv(part, stream)


def write_lines(part: pa.Table, path: Path) -> None:
    """Write JSON lines, compressed according to the name."""
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in part.to_pylist()).encode())


class TestMemory(SourceContract):
    """A table in memory, in small blocks."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Keep the table."""
        return MemorySource(rows, block_rows=13)


class TestParquet(SourceContract):
    """One Parquet file of small row groups."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        pq.write_table(rows, folder / "a.parquet", row_group_size=17)
        return open_source(folder / "a.parquet")


class TestParquetFiles(SourceContract):
    """A folder of Parquet files, one of them empty."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        for i, part in enumerate(split(rows)):
            pq.write_table(part, folder / f"part-{i}.parquet", row_group_size=9)
        return open_source(folder)


class TestParquetTypes(SourceContract):
    """Parquet files with text of several types, and an index."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        metadata = {"pandas": '{"index_columns": ["i"]}'}
        types = (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.string())
        for i, (part, type_) in enumerate(zip(split(rows), types, strict=True)):
            words = part.column("word").cast(type_) if i != 2 else part.column("word").dictionary_encode()
            whole = part.set_column(part.schema.get_field_index("word"), "word", words)
            path = folder / f"part-{i}.parquet"
            pq.write_table(whole.replace_schema_metadata(metadata), path, row_group_size=9)
        return open_source(folder)


class TestCsv(SourceContract):
    """One CSV file, read in blocks of 64 bytes."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        write_csv(rows, folder / "a.csv")
        return open_source(folder / "a.csv", block_size=64)

    def make_bad(self, folder: Path) -> Source:
        """Write a word where a number is expected, after the rows that types are inferred from."""
        source = self.make(table(), folder)
        text = (folder / "a.csv").read_text().replace("\n2,", "\noops,", 1)
        (folder / "a.csv").write_text(text)
        return source


def in_dialect(part: pa.Table, *, delimiter: str = ",", escape: str = "", comment: str = "", header: str = "") -> str:
    """Return text with quoted words, and a comment before each third record; a missing last field is left out."""
    names = ["i", "word", "flag", "x"]
    text = header or delimiter.join(names) + "\n"
    for i, row in enumerate(part.select(names).to_pylist()):
        word = row["word"].replace(escape or '"', (escape or '"') * 2)
        word = word.replace('"', escape + '"') if escape else word
        cells = [str(row["i"]), f'"{word}"', str(row["flag"]).lower(), str(row["x"])]
        text += comment * (i % 3 == 0) + delimiter.join(cells[: 3 if row["x"] is None else 4]) + "\n"
    return text


class TestNamesAndComments(SourceContract):
    """Text without a header, with comments that hold quotes, and lines before it."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        text = in_dialect(rows, comment='# "it\'s",\n\n', header='Report, "by hand\n\n')
        (folder / "a.csv").write_text(text)
        how: dict[str, Any] = {"names": ["i", "word", "flag", "x"], "comment": "#", "skip_rows": 2}
        return open_source(folder / "a.csv", block_size=64, short_rows="pad", **how)


class TestEscapes(SourceContract):
    """Compressed text in which quotes stand after backslashes."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        text = in_dialect(rows, delimiter="\t", escape="\\")
        (folder / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
        return open_source(folder / "a.csv.gz", block_size=64, escape="\\", short_rows="pad")


class TestLongDelimiter(SourceContract):
    """A delimiter of two characters, in files of which one is in another encoding."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        for i, part in enumerate(split(rows)):
            encoding = "utf-16" if i == 2 else "utf-8"
            (folder / f"part-{i}.csv").write_text(in_dialect(part, delimiter=", "), encoding=encoding)
        return open_source(folder, block_size=64, delimiter=", ", short_rows="pad")


class TestWhitespace(SourceContract):
    """Fields between blanks, and the header repeated in the middle."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        parts = [in_dialect(part, delimiter=" \t ", header="i  word flag\tx \n") for part in split(rows)]
        (folder / "a.dat").write_text("".join(parts) if len(rows) else "i word flag x\n")
        return open_source(folder / "a.dat", block_size=64, delimiter="whitespace", short_rows="pad")


class TestGzip(SourceContract):
    """One compressed CSV file."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        write_csv(rows, folder / "a.csv.gz")
        return open_source(folder / "a.csv.gz", block_size=200)


class TestXz(SourceContract):
    """One CSV file compressed with xz, under a name that does not say so."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        write_csv(rows, folder / "plain.tmp")
        (folder / "a.csv").write_bytes(lzma.compress((folder / "plain.tmp").read_bytes()))
        (folder / "plain.tmp").unlink()
        return open_source(folder / "a.csv", block_size=200)


class TestJsonLines(SourceContract):
    """One file of JSON lines, read in blocks of 64 bytes."""

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        """Without a record there is no column, and the message says so."""
        with pytest.raises(SourceError, match="the file is empty"):
            self.make(table().slice(0, 0), tmp_path)

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        write_lines(rows, folder / "a.jsonl")
        return open_source(folder / "a.jsonl", block_size=64)

    def make_bad(self, folder: Path) -> Source:
        """Write a word where a number is expected, after the rows that types are inferred from."""
        source = self.make(table(), folder)
        text = (folder / "a.jsonl").read_text().replace('{"i": 2,', '{"i": "oops",', 1)
        (folder / "a.jsonl").write_text(text)
        return source


class TestJsonLinesFiles(SourceContract):
    """Several files of JSON lines, compressed with bz2, one of them empty, whose names say nothing."""

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        """Without a record there is no column, and the message says so."""
        with pytest.raises(SourceError, match="the file is empty"):
            self.make(table().slice(0, 0), tmp_path)

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        for i, part in enumerate(split(rows)):
            write_lines(part, folder / f"part-{i}.bz2")
        return open_source(folder, block_size=100, format="jsonl")


class TestArrowFile(SourceContract):
    """One Arrow file of small batches."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file."""
        with pa.ipc.new_file(folder / "a.arrow", rows.schema) as writer:
            writer.write_table(rows, max_chunksize=17)
        return open_source(folder / "a.arrow")


class TestArrowStreams(SourceContract):
    """A folder of Arrow streams in files, compressed inside, one of them without rows."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        for i, part in enumerate(split(rows)):
            with pa.ipc.new_stream(folder / f"part-{i}.feather", part.schema, options=options) as writer:
                writer.write_table(part, max_chunksize=9)
        return open_source(folder)


class TestZstdFiles(SourceContract):
    """A pattern that matches several compressed CSV files, one with a header only."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files."""
        for i, part in enumerate(split(rows)):
            write_csv(part, folder / f"part-{i}.csv.zst")
        return open_source(str(folder / "part-*.csv.zst"), block_size=100)


class TestNestedCsv(SourceContract):
    """A folder with folders, as Spark writes it, whose CSV files lie at different depths."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four files and a mark."""
        for name, part in zip(("a.csv", "day1.csv/x.csv", "day2/1/x.csv", "e.csv"), split(rows), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_csv(part, folder / name)
        (folder / "day1.csv" / "_SUCCESS").touch()
        return open_source(folder, block_size=64)


class HiveContract(SourceContract):
    """A folder of partitions, whose names hold one column."""

    ending: str

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one file for each value of ``flag`` in a row, with the value in the name of its folder."""
        flags = rows["flag"].to_pylist()
        starts = [i for i in range(len(flags)) if i == 0 or flags[i] != flags[i - 1]]
        for number, (start, end) in enumerate(zip(starts, [*starts, len(flags)][1:], strict=True)):
            part, path = rows.slice(start, end - start), folder / f"run={number:03}" / f"flag={flags[start]}"
            path.mkdir(parents=True, exist_ok=True)
            write = write_csv if self.ending == "csv" else pq.write_table
            write(part.drop_columns(["flag"]), path / f"x.{self.ending}")
        if not starts:
            write_csv(rows, folder / "a.csv")
        return open_source(folder, block_size=64)


class TestHiveCsv(HiveContract):
    """The values of one column are in the names of the folders of CSV files."""

    ending = "csv"


class TestHiveParquet(HiveContract):
    """The values of one column are in the names of the folders of Parquet files."""

    ending = "parquet"


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.csv.gz", "a.jsonl", "a.arrow"])
@pytest.mark.parametrize("change", ["edit", "truncate", "remove"])
def test_a_changed_place_is_refused_by_name(tmp_path: Path, name: str, change: str) -> None:
    """Point 8: an edited, truncated or missing file is refused, and the message names it."""
    path = tmp_path / name
    others = {"parquet": pq.write_table, "jsonl": write_lines, "arrow": feather.write_feather}
    write: Any = others.get(name.rpartition(".")[2], write_csv)
    write(table(), path)
    cursor = through_json(blocks(open_source(path), 60)[0].cursor(60))
    if change == "remove":
        path.unlink()
    elif change == "truncate":
        write(table(20), path)
    else:
        edited = table().set_column(0, "i", pa.array([7, *range(1, 103)], pa.int64()))
        write(edited, path)
        os.utime(path, ns=(1, 1))
    with pytest.raises((CursorError, SourceError), match=name.replace(".", r"\.")):
        blocks(open_source(path), 10, cursor)


def test_an_appended_csv_goes_on(tmp_path: Path) -> None:
    """Rows that were appended to a CSV file are read from its old end."""
    path = tmp_path / "a.csv"
    write_csv(table(), path)
    last = blocks(open_source(path), 200)[-1]
    end = through_json(last.cursor(len(last)))
    with path.open("a") as file:
        file.write('103,1.5,"new",true\n')
    assert rows(blocks(open_source(path), 10, end)) == [{"word": "new", "i": 103, "x": 1.5, "flag": True}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oops,1,w,true", r"row 2 \(line 4\): column 'i': expected int64, found 'oops'"),
        ("1,2", "expected 4 fields, found 2"),
        ("1,2,3,true,5", "expected 4 fields, found 5"),
        ('1,"' + "z" * 200_000 + '",', "expected 4 fields, found 3"),
        ('1,2,"never closed,true', "never closed"),
        ("1,2,nul\0,true", "NUL"),
        ("1,2,\udcff,true", "UTF-8"),
    ],
)
def test_a_bad_cell_names_row_and_column(tmp_path: Path, line: str, words: str) -> None:
    """Point 9: one line with the file, row and column, what was found, and what was expected."""
    path = tmp_path / "bad.csv"
    text = f"i,x,word,flag\n0,1.0,a,true\n1,1.0,b,false\n{line}\n3,1.0,c,true\n"
    path.write_bytes(text.encode(errors="surrogateescape"))
    good = tmp_path / "good.csv"
    good.write_text("i,x,word,flag\n0,1.0,a,true\n")
    with pytest.raises(RowError, match=words) as caught:
        blocks(open_source(good, block_size=16), 1) and blocks(open_source(path), 1)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
@pytest.mark.parametrize("cut", [0.2, 0.6, 0.95])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, name: str, cut: float) -> None:
    """A file that was cut off raises a `ConnectorError` with its name."""
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(b"i,x,word,flag\n" + b"1,2.0,w,true\n" * 5000))
    else:
        pq.write_table(table(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(ConnectorError, match=name.replace(".", r"\.")):
        blocks(open_source(path), 10)


_PEAK = """
import sys
from pathlib import Path
import pyarrow as pa
from connectors import open_source, rebatch
schema = pa.schema([(f"x{i}", pa.float64()) for i in range(5)])
n = 0
with open_source(sys.argv[1]).open(schema) as reader:
    for block in rebatch(reader, 1000):
        n += len(block)
# Not ru_maxrss: a process inherits that from its parent.
print(n, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_memory_does_not_grow_with_the_stream(tmp_path: Path, name: str) -> None:
    """Reading ten times as many rows takes at most 16 MiB more."""
    peaks = []
    # The allocators need a few row groups to settle, so the shorter stream must have some too. Arrow's own allocator
    # keeps as much as its threads happened to need at once. That differs between runs by as much as is asserted here.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    for n in (300_000, 3_000_000):
        path = tmp_path / f"{n}-{name}"
        part = pa.table({f"x{i}": pa.array(range(n), pa.float64()) for i in range(5)})
        if name.endswith("parquet"):
            pq.write_table(part, path, row_group_size=50_000)
        else:
            pacsv.write_csv(part, path)
        command = [sys.executable, "-c", _PEAK, str(path)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        read, peak = map(int, done.stdout.split())
        assert read == n
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 16 * 1024


def test_the_contract_catches_a_source_that_forgets_its_offset(tmp_path: Path) -> None:
    """The control: a source that reopens at the start of its block fails the contract."""

    class Forgetful(MemorySource):
        def open(self, schema: pa.Schema, cursor: Any = None, decisions: Any = None, known: Any = None) -> Any:
            return super().open(schema, None)

    whole = blocks(Forgetful(table()), 10)
    assert rows(blocks(Forgetful(table()), 10, whole[0].cursor(10))) != rows(whole[1:])
    assert SCHEMA.names != table().schema.names
