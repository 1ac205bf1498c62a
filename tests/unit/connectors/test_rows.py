"""Rows: which cells are valid, and which message reports the others."""

import datetime as dt
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import (
    ConnectorError,
    RecordBatchSlice,
    RowError,
    SchemaError,
    Source,
    SourceError,
    open_source,
    rebatch,
)
from connectors.errors import foreign_errors
from connectors.formats.csv import text as csv_text
from connectors.memory import MemorySource


def values(source: Source, *types: pa.DataType) -> list[tuple[object, ...]]:
    """Read all rows, the columns as these types."""
    schema = pa.schema(list(zip(source.schema.names, types, strict=True)))
    with source.open(schema) as reader:
        return [tuple(row.values()) for block in reader for row in block.records.to_pylist()]


def text(folder: Path, content: bytes, block_size: int = 16) -> Source:
    """Return a source of one CSV file."""
    path = folder / "a.csv"
    path.write_bytes(content)
    return open_source(path, block_size=block_size)


def test_what_is_null(tmp_path: Path) -> None:
    """Always an empty cell; in numbers also NA and similar words, and blanks; in strings those are text."""
    content = b'x,w\n,\nNA,NA\nnan,""\nnull,null\n2,Namibia\n'
    rows = values(text(tmp_path, content), pa.float64(), pa.string())
    assert rows == [(None, None), (None, "NA"), (None, None), (None, "null"), (2.0, "Namibia")]
    assert values(text(tmp_path, b"x,w\n ,  \n 7,a\n\t,b\n"), pa.int64(), pa.string()) == [
        (None, "  "),
        (7, "a"),
        (None, "b"),
    ]
    source = text(tmp_path, b"x,w\n" + b"7,a\n" * 98 + b"  ,a\n ,b\n")
    assert source.schema.field("x").type == pa.int64(), "a column of numbers with gaps"


@pytest.mark.parametrize("block_size", [16, 17, 31, 1 << 20])
def test_every_kind_of_line_end_and_blank_line(tmp_path: Path, block_size: int) -> None:
    """Line feeds, carriage returns, both, blank lines anywhere, and no line break at the end."""
    content = b"\r\n\nx,w\r\n\r\n\n1,a\r2,b\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n3,c\r\n\r\n4,d"
    rows = values(text(tmp_path, content, block_size), pa.int64(), pa.string())
    assert rows == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


@pytest.mark.parametrize("block_size", [16, 1 << 12, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_there_may_be_any_number_of_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int, end: bytes
) -> None:
    """They are not a record that is too long, nor the end of the file: rows after them are read."""
    monkeypatch.setattr(csv_text, "MAX_RECORD", 1 << 10)
    content = b"x,w\n" + 5_000 * end + b"1,a\n" + 5_000 * end + b'2,"b"\n' + 1_000 * end + b"3,c\n" + 5_000 * end
    rows = values(text(tmp_path, content, block_size), pa.int64(), pa.string())
    assert rows == [(1, "a"), (2, "b"), (3, "c")]
    assert values(text(tmp_path, 5_000 * end + content, block_size), pa.int64(), pa.string()) == rows


FOR_EVER, STAMP = "9999-12-31 00:00:00", "2024-01-01 00:00:01.000000001"


@pytest.mark.parametrize(
    ("cells", "kind", "n_bad"),
    [
        ([STAMP] * 300 + ["oops"], pa.timestamp("ns"), 1),
        ([STAMP] * 300 + [FOR_EVER], pa.timestamp("ns"), 1),
        (["2024-01-01 00:00:01.5"] * 300 + [FOR_EVER, "oops"], pa.timestamp("us"), 1),
        (["2024-01-01 00:00:01Z"] * 300 + ["oops"], pa.timestamp("us", "UTC"), 1),
        ([" 2024-01-01 00:00:01"] * 300, pa.timestamp("us"), 0),
        (["true "] * 300, pa.string(), 0),
        (["true", " true"] * 300, pa.string(), 0),
        (["true"] * 300 + ["oops"], pa.bool_(), 1),
        (["2024-01-01"] * 300 + ["oops"], pa.date32(), 1),
        ([" 7"] * 300 + ["oops"], pa.int64(), 1),
    ],
)
def test_a_type_that_is_told_is_one_that_the_cells_are_of(
    tmp_path: Path, cells: list[str], kind: pa.DataType, n_bad: int
) -> None:
    """Cells not only match its pattern: nearly all of them can be parsed."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["x,w", *(f"{cell},b" for cell in cells)]) + "\n")
    source = open_source(path, keeps_bad_rows=True)
    assert source.schema.field("x").type == kind
    with source.open(source.schema) as reader:
        blocks = list(reader)
    assert sum(map(len, blocks)) == len(cells) - n_bad
    assert sum(len(block.bad) for block in blocks) + len(reader.bad) == n_bad


def test_a_moment_that_means_for_ever_may_stand_beside_nanoseconds(tmp_path: Path) -> None:
    """Files with both units form one column in microseconds; rounding is the same before and after 1970."""
    for_ever, early = dt.datetime(9999, 12, 31), dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)
    pq.write_table(pa.table({"t": pa.array([for_ever, None], pa.timestamp("us"))}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"t": pa.array([-1, 1_999, None], pa.timestamp("ns"))}), tmp_path / "b.parquet")
    source = open_source(tmp_path)
    assert source.schema.types == [pa.timestamp("us")]
    assert values(source, pa.timestamp("us")) == [
        (for_ever,),
        (None,),
        (early,),
        (dt.datetime(1970, 1, 1, 0, 0, 0, 1),),
        (None,),
    ]


@pytest.mark.parametrize("block_size", [16, 1 << 20])
def test_a_quote_within_a_field_is_a_letter(tmp_path: Path, block_size: int) -> None:
    """A sign for inches does not quote."""
    content = b'x,w\n1,5" pipe\n2,"a ""b"" c"\n3,6" pipe\n4,"two\nlines"\n'
    rows = values(text(tmp_path, content, block_size), pa.int64(), pa.string())
    assert rows == [(1, '5" pipe'), (2, 'a "b" c'), (3, '6" pipe'), (4, "two\nlines")]


def test_columns_are_found_by_name_in_each_file(tmp_path: Path) -> None:
    """The order of columns may differ between files, and from the requested order."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("z,y,x\n9,4,3\n")
    with open_source(tmp_path).open(pa.schema([("y", pa.int64()), ("x", pa.float32())])) as reader:
        assert [block.records.to_pylist() for block in reader] == [[{"y": 2, "x": 1.0}], [{"y": 4, "x": 3.0}]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,w\n1,a\n2\n", r"a\.csv, row 1 \(line 3\): expected 2 fields, found 1; --short-rows pad .*: '2'"),
        (b"x,w\n1,a\n\n2,b,c\n", r"a\.csv, row 1 \(line 4\): expected 2 fields, found 3: '2,b,c'"),
        (b'x,w\n2,"b\n3,c\n', r"a\.csv, row 0 \(line 2\): this record opens a quote that is never closed"),
        (b'x,w\n1,a\n2,"b"c\n', r"a\.csv, row 1 \(line 3\): text between a closing quote and the end of its field"),
        (b"x,w\n1,a\n2,\0\n", r"a\.csv, row 1 \(line 3\): a NUL byte"),
    ],
)
def test_a_record_that_is_none_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """It does not influence the types, and is reported at its row."""
    source = text(tmp_path, content)
    assert source.schema.names == ["x", "w"]
    with pytest.raises(RowError, match=words):
        values(source, pa.int64(), pa.string())


def test_rows_are_counted_over_the_stream_and_lines_in_the_file(tmp_path: Path) -> None:
    """The error for a cell gives file, row, line, column, the expected type, and the cell."""
    (tmp_path / "a.csv").write_text("x,w\n1,a\n2,b\n")
    (tmp_path / "b.csv").write_text('x,w\n3,"c\nc"\n\nfour,d\n')
    with pytest.raises(RowError, match=r"b\.csv, row 3 \(line 5\): column 'x': expected double, found 'four'"):
        values(open_source(tmp_path, block_size=16), pa.float64(), pa.string())


def test_bytes_that_are_no_text_name_their_cell(tmp_path: Path) -> None:
    """A file in another encoding is refused at its first such character, unless that column is not read."""
    source = text(tmp_path, "x,w\n1,a\n2,é\n".encode("latin-1"))
    with pytest.raises(RowError, match=r"row 1 \(line 3\): column 'w': '\\\\xe9' is not valid UTF-8"):
        values(source, pa.int64(), pa.string())
    with source.open(pa.schema([("x", pa.int64())])) as reader:
        assert sum(len(block) for block in reader) == 2


def test_a_record_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that is never closed must not fill the memory."""
    source = text(tmp_path, b"x\n1\n" + b"2\n" * 800_000 + b'"' + b"3\n" * 3_000_000, 1 << 16)
    monkeypatch.setattr(csv_text, "MAX_RECORD", 1 << 20)
    with pytest.raises(RowError, match=r"\(line 800003\): a record of more than 1 MiB; check for a quote"):
        values(source, pa.int64())


@pytest.mark.parametrize(("kind", "n_rows"), [("quotes", 10), ("long", 1_000)])
def test_what_begins_no_record_has_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, n_rows: int
) -> None:
    """The text decides the kind, and the bad row has the same one."""
    monkeypatch.setattr(csv_text, "MAX_RECORD", 1 << 10)
    path = tmp_path / "a.csv"
    path.write_bytes(b'x\n1\n"2\n' + b"3\n" * n_rows)
    with closing(csv_text.TextFile(str(path), 1 << 8)) as file:
        assert file.header() == b"x\n"
        assert file.records() == (b"1\n", None)
        line, complaint = file.records()
        assert line == b'"2\n'
        assert complaint is not None
        assert complaint[0] == kind
    source = open_source(path, keeps_bad_rows=True)
    with source.open(pa.schema([("x", pa.int64())])) as reader:
        blocks = list(reader)
        bad = [*(row for block in blocks for row in block.bad), *reader.bad]
    assert sum(map(len, blocks)) == n_rows + 1
    assert [(row.kind, row.reason) for row in bad] == [complaint]


def test_a_reader_stops_at_its_first_error(tmp_path: Path) -> None:
    """A caller that ignores an error gets neither later rows nor the next file."""
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 20 + "one\n" + "2\n" * 20)
    (tmp_path / "b.csv").write_text("x\n3\n")
    with open_source(tmp_path, block_size=16).open(pa.schema([("x", pa.int64())])) as reader:
        with pytest.raises(RowError, match="'one'"):
            list(reader)
        with pytest.raises(SourceError, match="closed"):
            next(reader)


def test_types_that_text_cannot_be_are_refused_on_opening(tmp_path: Path) -> None:
    """The error comes before the first row, with the column and its type."""
    with pytest.raises(SchemaError, match=r"a\.csv: column 'x' cannot be read from text as list<item: double>"):
        values(text(tmp_path, b"x\n1\n"), pa.list_(pa.float64()))


def parquet(folder: Path, column: pa.Array) -> Source:
    """Return a source of one Parquet file."""
    pq.write_table(pa.table({"x": column}), folder / "a.parquet", row_group_size=3)
    return open_source(folder / "a.parquet")


def in_memory(folder: Path, column: pa.Array) -> Source:
    """Return a source of a table."""
    return MemorySource(pa.table({"x": column}), block_rows=3)


@pytest.mark.parametrize("make", [parquet, in_memory])
def test_a_value_without_an_exact_counterpart_is_named(tmp_path: Path, make: object) -> None:
    """A cast is exact, or the error names the row."""
    assert callable(make)
    column = pa.array([1.0, 2, 3, 4, None, 5.5, 7])
    with pytest.raises(RowError, match=r"row 5: column 'x': '5.5' \(double\) cannot be converted exactly to int64"):
        values(make(tmp_path, column), pa.int64())
    assert values(make(tmp_path, pa.array([2**53 + 1])), pa.float64()) == [(2.0**53,)], "a quantity may be rounded"
    with pytest.raises(RowError, match=r"row 1: column 'x': 'two' \(string\) cannot be converted exactly to int64"):
        values(make(tmp_path, pa.array(["1", "two"])), pa.int64())
    with pytest.raises(SchemaError, match=r"column 'x' is list<.*> (and cannot be read as|here, expected) double"):
        values(make(tmp_path, pa.array([[1.0], [1.0, 2.0]])), pa.float64())


def test_a_flipped_bit_in_a_page_is_an_error(tmp_path: Path) -> None:
    """If the file has checksums, damage is not read as numbers."""
    path = tmp_path / "a.parquet"
    options = {"write_page_checksum": True, "use_dictionary": False, "compression": "none"}
    pq.write_table(pa.table({"x": [1.0, 2.125, 3.0]}), path, **options)
    content = bytearray(path.read_bytes())
    # Neither the least nor the greatest value: those are also in the statistics, which have no checksum.
    content[content.index(struct.pack("<d", 2.125))] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.parquet: .*CRC"):
        values(open_source(path), pa.float64())


def test_a_file_that_disappears_between_two_looks_is_named(tmp_path: Path) -> None:
    """The file was there when the source was made."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n")
    source = open_source(tmp_path)
    (tmp_path / "b.csv").unlink()
    with pytest.raises(SourceError, match=r"b\.csv: no such file or directory"):
        values(source, pa.int64())


def arrow_errors() -> Iterator[type[Exception]]:
    """Return every kind of error that Arrow may raise."""
    for kind in vars(pa.lib).values():
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__.startswith("Arrow"):
            yield kind


@pytest.mark.parametrize("kind", [*arrow_errors(), FileNotFoundError, PermissionError, IsADirectoryError, EOFError])
def test_every_foreign_error_becomes_ours(kind: type[Exception]) -> None:
    """It is one line with the place, and has the original as its cause."""
    with pytest.raises(SourceError, match=r"^a\.csv: what$") as caught, foreign_errors("a.csv"):
        raise kind("What\nand more")
    assert isinstance(caught.value.__cause__, kind)


def test_our_own_errors_pass() -> None:
    """They already name the place."""
    error = RowError("as it is")
    with pytest.raises(ConnectorError) as caught, foreign_errors("a.csv"):
        raise error
    assert caught.value is error


def test_every_word_for_null_has_an_n() -> None:
    """Text without that letter is parsed without null words, so Arrow must know no other word."""
    assert [word for word in pacsv.ConvertOptions().null_values if "n" not in word.lower()] == [""]


@pytest.mark.parametrize(("bad", "words"), [("oops", "expected int64, found 'oops'"), ("\0", "a NUL byte")])
@pytest.mark.parametrize("block_size", [16, 64, 1 << 20])
def test_every_row_before_a_bad_one_is_read(tmp_path: Path, block_size: int, bad: str, words: str) -> None:
    """At any block size, the rows before the first bad one come, then its error, then no more."""
    path = tmp_path / "a.csv"
    rows = "x,w\n" + "1,a\n" * 20 + "{},b\n" + "2,c\n" * 20
    path.write_text(rows.format("4"))
    source = open_source(path, block_size=block_size)
    path.write_text(rows.format(bad))  # only now: types are inferred from the first MiB when the source is made
    found: list[int] = []
    with source.open(pa.schema([("x", pa.int64())])) as reader:
        with pytest.raises(RowError, match=rf"line 22.*{words}"):
            keep(found, reader)
        with pytest.raises(SourceError, match="closed"):
            next(reader)
    assert found == [1] * 20


def keep(found: list[int], blocks: Iterator[RecordBatchSlice]) -> None:
    """Collect the values of column x of all blocks, up to an error."""
    for block in blocks:
        found += block.records.column("x").to_pylist()


def test_rows_that_wait_for_their_block_come_before_an_error() -> None:
    """A multiple of the unit is yielded; without a unit, no row."""
    block = MemorySource(pa.table({"x": list(range(7))}))

    def failing() -> Iterator[RecordBatchSlice]:
        with block.open(block.schema) as reader:
            yield from reader
        raise SourceError("somewhere: lost")

    for unit, n_rows in ((None, 5), (1, 7), (2, 7), (3, 5)):
        found: list[int] = []
        with pytest.raises(SourceError, match="lost"):
            keep(found, rebatch(failing(), 5, unit=unit))
        assert found == [*range(n_rows)]
