"""Cursors: invalid ones are refused, and so are files that do not hold the rows before a cursor."""

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import (
    Cursor,
    CursorError,
    FileCursor,
    Follow,
    MemorySource,
    RecordBatchSlice,
    Source,
    open_source,
    rebatch,
)


def stop(source: Source, n: int) -> Cursor:
    """Read n rows, one at a time, and return the position there."""
    with source.open(source.schema) as reader:
        for row, block in enumerate(rebatch(reader, 1)):
            if row == n - 1:
                return block.cursor(1)
    raise AssertionError("the source is shorter")


def rest(source: Source, cursor: Cursor) -> list[object]:
    """Return the values of the first column from a cursor onwards."""
    with source.open(source.schema, cursor) as reader:
        return [value for block in reader for value in block.records.column(0).to_pylist()]


def csv(path: Path, *values: object) -> Path:
    """Write a CSV file of one column."""
    path.write_text("\n".join(["x", *map(str, values)]) + "\n")
    return path


IDENTITY: dict[str, Any] = {
    "name": "a.csv", "size": 1, "mtime_ns": 1, "ctime_ns": 1, "inode": 1, "offset": 1, "digest": "00"
}  # fmt: skip
A_DIGEST, B_DIGEST = (
    "aea284871ddeeebac4b57b7a8ee7dad070886e690408ce2409306b9b6487beb1",
    "b5e412b1be5ce9e20d3e3fea70a65a7b50ec5d837f86f4310d76469934c25cda",
)  # of x\n1\n2\n, and of x\n3\n
START: dict[str, Any] = {"row": 0, "file": 0, "seen": [], "before": []}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "expected an object"),
        ({}, "expected an object with keys"),
        ({**START, "more": 1}, "expected an object with keys"),
        ({**START, "row": -1}, "'row' must be an integer"),
        ({**START, "row": True}, "'row' must be an integer"),
        ({**START, "seen": [{**IDENTITY, "offset": 1.5}]}, "'offset' must be an integer"),
        ({**START, "seen": "a"}, "'seen' must be a list"),
        ({**START, "before": "a"}, "'before' must be a list"),
        ({**START, "seen": [{}]}, "expected an object with keys"),
        ({**START, "seen": [{**IDENTITY, "digest": 5}]}, "'digest' must be a string"),
        ({**START, "seen": [IDENTITY, IDENTITY]}, "between 1 and 1 files, found 2"),
        ({**START, "file": 1}, "between 1 and 2 files, found 0"),
    ],
)
def test_what_is_no_cursor_is_refused(data: object, words: str) -> None:
    """A damaged checkpoint is detected before a file is opened."""
    with pytest.raises(CursorError, match=words):
        FileCursor.from_cursor(Cursor.from_json(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"row": 1}, "expected an object with keys"),
        ({"row": 1, "state": None, "file": 0}, "expected an object with keys"),
        ({"row": -1, "state": None}, "'row' must be an integer"),
        ({"row": "1", "state": None}, "'row' must be an integer"),
        ({"row": 1, "state": None}, "between 1 and 1 files, found 0"),
        ({"row": 1, "state": 7}, "its state does not describe files: .* found 7"),
        ({"row": 1, "state": {"sha256": "00"}}, "its state does not describe files: .*'sha256'.*--restart"),
        ({"row": 1, "state": {"file": 0, "seen": [IDENTITY], "before": [], "horizon": [0, 0, 0]}}, "'horizon' must"),
        ({"row": 1, "state": {"file": True, "seen": [IDENTITY], "before": []}}, "'file' must be an integer"),
    ],
)
def test_what_is_no_state_of_files_is_refused(data: object, words: str, tmp_path: Path) -> None:
    """The source detects it before it opens a file."""
    source = open_source(csv(tmp_path / "a.csv", 1, 2))
    with pytest.raises(CursorError, match=words):
        source.open(source.schema, Cursor.from_json(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"row": 1, "state": None}, "its state does not describe rows in memory"),
        ({"row": 1, "state": {"sha256": 5}}, "its state does not describe rows in memory"),
        ({"row": 1, "state": {"sha256": "00", "more": 1}}, "its state does not describe rows in memory"),
        ({"row": 1, "state": {"sha256": "00"}}, "not the rows of the checkpoint"),
        ({**START, "row": 1, "seen": [IDENTITY]}, "not the rows of the checkpoint"),
        ({**START, "row": 1, "seen": [{**IDENTITY, "digest": 5}]}, "'digest' must be a string"),
    ],
)
def test_what_is_no_state_of_rows_in_memory_is_refused(data: object, words: str) -> None:
    """The state of a file describes other rows."""
    source = MemorySource(pa.table({"x": [1, 2]}))
    with pytest.raises(CursorError, match=words):
        source.open(source.schema, Cursor.from_json(data))


HORIZON = {"horizon": [0, "", 0]}


@pytest.mark.parametrize("more", [{}, HORIZON], ids=["without horizon", "with horizon"])
def test_a_cursor_of_files_from_an_early_build_is_resumed(tmp_path: Path, more: dict[str, Any]) -> None:
    """Its keys stood beside the row. Times and inode numbers may differ by now, the text may not."""
    csv(tmp_path / "a.csv", 1, 2)
    csv(tmp_path / "b.csv", 3, 4, 5)
    times: dict[str, Any] = {"mtime_ns": 1764550800000000000, "ctime_ns": 1764550800000000000}
    first = {"name": "a.csv", "size": 6, "inode": 77, "offset": 6, "digest": A_DIGEST, **times}
    second = {"name": "b.csv", "size": 8, "inode": 78, "offset": 4, "digest": B_DIGEST, "version": "", **times}
    data = {"row": 3, "file": 1, "seen": [first, second], "before": [], **more}
    source, cursor = open_source(tmp_path), Cursor.from_json(data)
    assert rest(source, cursor) == [4, 5]
    assert source.same_rows_before(cursor, stop(source, 3))
    assert not source.same_rows_before(cursor, stop(source, 2))
    assert source.label(cursor) == "b.csv"
    assert source.fraction(cursor) == pytest.approx(10 / 14)
    whole = {**second, "offset": 8, "digest": hashlib.sha256(b"x\n3\n4\n5\n").hexdigest()}
    again = {"row": 0, "file": 0, "seen": [], "before": [first, whole], **more}
    assert rest(source, Cursor.from_json(again)) == [1, 2, 3, 4, 5]
    assert rest(source, Cursor.from_json({**data, "before": [first, whole]})) == [4, 5]
    csv(tmp_path / "b.csv", 9, 4, 5)
    with pytest.raises(CursorError, match=r"b\.csv \(then b\.csv\): the file was replaced or edited"):
        rest(source, cursor)


def test_a_cursor_of_rows_in_memory_from_an_early_build_is_resumed() -> None:
    """It looked like that of a file, with zeros as inode number and times."""
    source = MemorySource(pa.table({"x": pa.array([1, 2, 3], pa.int64())}))
    identity = {"name": "memory", "size": 3, "mtime_ns": 0, "ctime_ns": 0, "inode": 0, "digest": source.digest}
    data = {"row": 2, "file": 0, "seen": [{**identity, "offset": 2, "version": ""}], "before": [], **HORIZON}
    cursor = Cursor.from_json(data)
    assert rest(source, cursor) == [3]
    assert source.same_rows_before(cursor, stop(source, 2))
    assert not source.same_rows_before(cursor, stop(source, 1))
    assert rest(source, Cursor.from_json({**START, "before": [{**identity, "offset": 0}]})) == [1, 2, 3]
    both = {"row": 1, "file": 0, "seen": [{**identity, "offset": 1}], "before": [{**identity, "offset": 0}]}
    assert rest(source, Cursor.from_json(both)) == [2, 3]
    assert rest(source, Cursor.from_json(START)) == [1, 2, 3]
    with pytest.raises(CursorError, match="not the rows of the checkpoint"):
        rest(MemorySource(pa.table({"x": pa.array([1, 2, 4], pa.int64())})), cursor)


def test_a_followed_place_is_resumed_from_a_cursor_of_an_early_build(tmp_path: Path) -> None:
    """It has the same keys as such a cursor, and lists only the last files."""
    csv(tmp_path / "a.csv", 1, 2)
    csv(tmp_path / "b.csv", 3, 4, 5)
    source = open_source(str(tmp_path), follow=Follow("name", 0.0))
    inode = (tmp_path / "b.csv").stat().st_ino
    identity = {"name": str(tmp_path / "b.csv"), "size": 8, "inode": inode, "offset": 4, "digest": B_DIGEST}
    times = {"mtime_ns": 1764550800000000000, "ctime_ns": 1764550800000000000}
    seen = [{**identity, **times, "version": ""}]
    data = {"row": 3, "file": 1, "seen": seen, "before": [], "horizon": [0, "a.csv", 2**62]}
    cursor = Cursor.from_json(data)
    assert rest(source, cursor) == [4, 5]
    compact = source.compact(cursor)
    assert compact.state == {"file": 1, "seen": seen, "before": [], "horizon": [0, "a.csv", 2**62]}


def test_the_cursor_of_a_source_can_be_compared_and_called(tmp_path: Path) -> None:
    """At the start, the label is the whole place; a file that was only touched has the same rows."""
    csv(tmp_path / "a.csv", 1, 2, 3)
    source = open_source(tmp_path)
    assert source.label(Cursor.start()) == source.description
    one = stop(source, 2)
    os.utime(tmp_path / "a.csv", ns=(5, 5))
    other = stop(open_source(tmp_path), 2)
    assert one != other
    assert source.same_rows_before(one, other)
    assert source.label(one).endswith("a.csv")
    assert source.compact(one) == one
    assert MemorySource(pa.table({"x": [1]})).label(one) == "memory"


def test_a_block_has_no_position_outside_itself() -> None:
    """Positions go from 0 to the number of rows."""
    block = RecordBatchSlice(pa.record_batch({"x": [1, 2]}), lambda n: replace(Cursor.start(), row=n))
    assert [block.cursor(n).row for n in range(3)] == [0, 1, 2]
    for n in (-1, 3):
        with pytest.raises(ValueError, match="no position"):
            block.cursor(n)


def test_an_edited_byte_before_the_cursor_is_found(tmp_path: Path) -> None:
    """With equal size and time, the digest shows it; bytes after the cursor may change."""
    path = csv(tmp_path / "a.csv", *range(10, 20))
    cursor, times = stop(open_source(path), 5), path.stat()
    csv(path, *range(10, 19), 99)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert rest(open_source(path), cursor) == [15, 16, 17, 18, 99]
    csv(path, 11, *range(11, 20))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        CursorError, match=r"a\.csv: the file was replaced or edited .*; restore the file, or .*--restart"
    ):
        rest(open_source(path), cursor)


def test_a_truncated_text_is_called_so(tmp_path: Path) -> None:
    """The error gives both sizes, even if only rows after the cursor were cut off."""
    path = csv(tmp_path / "a.csv", *range(10, 20))
    cursor = stop(open_source(path), 8)
    csv(path, *range(10, 19))
    with pytest.raises(CursorError, match=r"truncated \(expected at least 32 bytes, found 29\)"):
        rest(open_source(path), cursor)
    csv(path, *range(10, 14))
    with pytest.raises(CursorError, match=r"truncated \(expected at least 32 bytes, found 14\)"):
        rest(open_source(path), cursor)


def test_a_record_learned_half_written_is_refused_when_continued(tmp_path: Path) -> None:
    """A last line without a line break is read as a row; if it continues later, that row was wrong."""
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n2")
    cursor = stop(open_source(path), 2)
    path.write_text("x\n1\n2\n3\n")
    assert rest(open_source(path), cursor) == [3]
    path.write_text("x\n1\n25\n3\n")
    with pytest.raises(CursorError, match="learned while incomplete"):
        rest(open_source(path), cursor)


def test_a_finished_file_may_be_copied_but_not_grow(tmp_path: Path) -> None:
    """Rows appended to a finished file would be missed in silence."""
    first, second = csv(tmp_path / "a.csv", 1, 2), csv(tmp_path / "b.csv", 3, 4)
    cursor = stop(open_source(tmp_path), 3)
    assert FileCursor.from_cursor(cursor).file == 1
    other = tmp_path / "copy"
    other.mkdir()
    for path in (first, second):
        shutil.copy(path, other)
    assert rest(open_source(other), cursor) == [4]
    csv(first, 1, 2, 9)
    with pytest.raises(CursorError, match=r"a\.csv: the file has grown \(expected 6 bytes of text, found more\) since"):
        rest(open_source(tmp_path), cursor)
    csv(first, 1, 5)
    with pytest.raises(CursorError, match=r"a\.csv: the file was replaced or edited"):
        rest(open_source(tmp_path), cursor)


def test_a_finished_compressed_file_is_read_through_when_touched(tmp_path: Path) -> None:
    """The time may change, the text may not."""
    for name, values in (("a.csv.gz", [1, 2]), ("b.csv.gz", [3, 4])):
        with pa.output_stream(str(tmp_path / name), compression="gzip") as stream:
            pacsv.write_csv(pa.table({"x": values}), stream)
    cursor = stop(open_source(tmp_path), 3)
    os.utime(tmp_path / "a.csv.gz", ns=(5, 5))
    assert rest(open_source(tmp_path), cursor) == [4]
    shutil.copy(tmp_path / "b.csv.gz", tmp_path / "a.csv.gz")
    with pytest.raises(CursorError, match=r"a\.csv\.gz: the file was replaced or edited"):
        rest(open_source(tmp_path), cursor)


def test_another_order_or_number_of_files_is_refused(tmp_path: Path) -> None:
    """A new file before the others, or a missing file."""
    for i, name in enumerate(("b.csv", "c.csv")):
        csv(tmp_path / name, 2 * i, 2 * i + 1)
    cursor = stop(open_source(tmp_path), 3)
    csv(tmp_path / "a.csv", 7, 8)
    with pytest.raises(CursorError, match=r"a\.csv \(then .*b\.csv\)"):
        rest(open_source(tmp_path), cursor)
    with pytest.raises(CursorError, match=r"number 1, but the checkpoint is in file number 2 \(.*c\.csv\)"):
        rest(open_source(tmp_path / "b.csv"), cursor)


def test_parquet_keeps_size_footer_and_time(tmp_path: Path) -> None:
    """A copy with the old time is the same file; a touched file cannot be distinguished from an edited one."""
    path, copy = tmp_path / "a.parquet", tmp_path / "copy.parquet"
    pq.write_table(pa.table({"x": range(9)}), path, row_group_size=4)
    cursor = stop(open_source(path), 6)
    shutil.copy2(path, copy)
    assert rest(open_source(copy), cursor) == [6, 7, 8]
    os.utime(path, ns=(5, 5))
    with pytest.raises(CursorError, match=r"rewritten .* cp -p keeps it"):
        rest(open_source(path), cursor)
    pq.write_table(pa.table({"x": range(8)}), path)
    with pytest.raises(CursorError, match=r"replaced or edited \(expected \d+ bytes, found \d+\)"):
        rest(open_source(path), cursor)


def test_a_parquet_file_edited_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """After every block, a file must be unchanged since it was opened."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": range(9)}), path)
    source = open_source(path)
    with source.open(source.schema) as reader:
        next(reader)
        os.utime(path, ns=(5, 5))
        with pytest.raises(CursorError, match=r"a\.parquet: the file was rewritten"):
            next(reader)


def test_other_rows_in_memory_are_refused() -> None:
    """A table is recognised by its values."""
    cursor = stop(MemorySource(pa.table({"x": [1, 2, 3]})), 2)
    assert rest(MemorySource(pa.table({"x": [1, 2, 3]}), block_rows=1), cursor) == [3]
    with pytest.raises(CursorError, match="not the rows of the checkpoint"):
        rest(MemorySource(pa.table({"x": [1, 2, 4]})), cursor)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_a_cursor_depends_on_the_row_alone(tmp_path: Path, size: int) -> None:
    """It does not depend on the blocks, not even at the boundary of two files."""
    csv(tmp_path / "a.csv", 1, 2, 3)
    csv(tmp_path / "b.csv", 4, 5, 6, 7)
    source = open_source(tmp_path)
    with source.open(source.schema) as reader:
        found = [block.cursor(n + 1) for block in rebatch(reader, size) for n in range(len(block))]
    assert found == [stop(source, n + 1) for n in range(7)]


def until_read(reader: Any) -> None:
    """Wait until the text of the current file was read to its end, ahead of its rows."""
    ends = time.monotonic() + 10
    while not reader._blocks._reader._blocks._is_done:
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_what_is_written_behind_text_that_was_read_is_not_passed_over(tmp_path: Path) -> None:
    """Text is read ahead of its rows; text appended meanwhile is refused, or read next time."""
    first, last = csv(tmp_path / "a.csv", 1, 2, 3), csv(tmp_path / "b.csv", 4, 5)
    source = open_source(tmp_path)
    with source.open(source.schema) as reader:
        until_read(reader)
        first.write_text(first.read_text() + "9\n")
        with pytest.raises(CursorError, match=r"a\.csv: the file has grown"):
            list(reader)
    csv(first, 1, 2, 3)
    with source.open(source.schema) as reader:
        blocks = [next(reader), next(reader)]
        until_read(reader)
        last.write_text(last.read_text() + "6\n")
        assert next(reader, None) is None
    assert rest(open_source(tmp_path), blocks[-1].cursor(2)) == [6]
