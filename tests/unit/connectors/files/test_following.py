"""Sources that are followed: text that grows and is rotated, folders in which files appear, decisions about order."""

import errno
import gzip
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import Cursor, CursorError, Decisions, FileCursor, Follow, Reader, RowError, SourceError, open_source
from connectors.files import intervals, listing, recognition
from connectors.files.opener import FileOpener
from connectors.formats import parquet as formats_parquet
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer

OPEN: list[Reader] = []
SCHEMA = pa.schema([("n", pa.int64())])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shorten all waiting times."""
    for name, value in {"LOOK_S": 0.05, "LIST_S": 0.05, "QUIET_S": 0.1, "WHOLE_S": 0.5}.items():
        monkeypatch.setattr(intervals, name, value)
    yield
    while OPEN:
        OPEN.pop().close()


def write(path: Path, *numbers: int, header: bool = True, end: str = "\n") -> Path:
    """Write, or append, rows of text."""
    with path.open("a") as file:
        file.write(("n\n" if header else "") + "\n".join(map(str, numbers)) + end)
    return path


def parquet(path: Path, *numbers: int) -> Path:
    """Write a Parquet file that appears at once."""
    hidden = path.with_name(f".{path.name}.tmp")
    pq.write_table(pa.table({"n": numbers}), hidden)
    return hidden.rename(path)


class Following:
    """A reader of a place, with the rows that it has read so far."""

    def __init__(self, place: Path | str, cursor: Cursor | None = None, decisions: Decisions | None = None, **how: Any):
        settings = {"idle_timeout_s": 1.5, **how}
        self.source = open_source(place, follow=Follow(**settings), block_size=64)
        self.decisions = decisions or Decisions()
        self.reader: Reader = self.source.open(SCHEMA, cursor, self.decisions)
        OPEN.append(self.reader)
        self.cursor = cursor or Cursor.start()

    def read(self, n: int) -> list[int]:
        """Read at least so many rows, in blocks of any size."""
        found: list[int] = []
        while len(found) < n:
            block = next(self.reader)
            found += block.records["n"].to_pylist()
            if len(block):
                self.cursor = Cursor.from_json(block.cursor(len(block)).to_json())
        return found

    def rest(self) -> list[int]:
        """Read until no more rows come."""
        found: list[int] = []
        for block in self.reader:
            found += block.records["n"].to_pylist()
            if len(block):
                self.cursor = Cursor.from_json(block.cursor(len(block)).to_json())
        self.reader.close()
        return found

    def is_idle(self) -> bool:
        """Return whether no row is available now."""
        return len(next(self.reader)) == 0


def test_text_is_read_as_it_grows_and_a_half_written_record_is_held_back(tmp_path: Path) -> None:
    """An incomplete record is held back; a run resumed at any row reads the rest."""
    path = write(tmp_path / "log.csv", 1, 2, 3, end="\n45")
    following = Following(path)
    assert following.read(3) == [1, 2, 3]
    assert following.is_idle()
    cursor = following.cursor
    write(path, 6, 7, header=False, end="\n")  # 45 becomes 456
    assert following.rest() == [456, 7]
    assert Following(path, cursor).rest() == [456, 7]
    assert Following(path, following.cursor).rest() == []


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_log_that_is_renamed_is_read_to_its_end_and_then_the_new_one(tmp_path: Path, is_idle: bool) -> None:
    """It is the same file under another name; a run that was down meanwhile finds it too."""
    path = write(tmp_path / "log.csv", 1, 2)
    write(tmp_path / "log-old.csv", -1)
    os.utime(tmp_path / "log-old.csv", (1, 1))
    following = Following(path)
    assert following.read(2) == [1, 2]
    if is_idle:
        assert following.is_idle()
    write(path, 3, header=False)
    path.rename(tmp_path / "log-1.csv")
    write(tmp_path / "log-1.csv", 4, header=False)
    write(path, 5, 6)
    later = Following(path, following.cursor)
    assert following.rest() == [3, 4, 5, 6]
    assert later.rest() == [3, 4, 5, 6]


def test_a_log_that_is_renamed_twice_while_nobody_looks_loses_nothing(tmp_path: Path) -> None:
    """All files that were changed since are read, the oldest first."""
    path = write(tmp_path / "log.csv", 1, 2)
    following = Following(path)
    following.read(2)
    following.reader.close()
    for i in (1, 2):
        write(path, 10 * i, header=False)
        path.rename(tmp_path / f"log.csv.{i}")
        os.utime(tmp_path / f"log.csv.{i}", (time.time() + i, time.time() + i))
        write(path, 10 * i + 1)
    assert Following(path, following.cursor).rest() == [10, 11, 20, 21]


def test_a_log_that_is_copied_and_truncated_begins_anew(tmp_path: Path) -> None:
    """Rows that were unread before the truncation are read from the copy."""
    path = write(tmp_path / "log.csv", 1, 2)
    following = Following(path)
    assert following.read(2) == [1, 2]
    write(path, 3, header=False)
    shutil.copy(path, tmp_path / "log.csv.1")
    with path.open("w") as file:
        file.write("n\n4\n")
    cursor = following.cursor
    assert following.rest() == [3, 4]
    assert Following(path, cursor).rest() == [3, 4]
    assert Following(path, following.cursor).rest() == []


@pytest.mark.parametrize("order", ["name", "time"])
def test_files_that_land_are_read_once_in_order(tmp_path: Path, order: str) -> None:
    """By name or by time; a late file is read once; other files are ignored."""
    for i, name in enumerate(("b", "a")):
        parquet(tmp_path / f"{name}.parquet", i)
        os.utime(tmp_path / f"{name}.parquet", (1_000 + i, 1_000 + i))
    (tmp_path / "notes.txt").write_text("n\n99\n")
    write(tmp_path / "_hidden.csv", 98)
    following = Following(tmp_path, order=order)
    assert following.read(2) == ([1, 0] if order == "name" else [0, 1])
    assert following.is_idle()
    parquet(tmp_path / "aa.parquet", 2, 3)
    write(tmp_path / "c.csv", 4)
    assert following.rest() == [2, 3, 4]
    assert Following(tmp_path, following.cursor).rest() == []
    (tmp_path / "a.parquet").unlink()
    (tmp_path / "c.csv").rename(tmp_path / "d.csv")
    assert Following(tmp_path, following.cursor).rest() == [], "what was read may be removed, and renamed"


def test_a_pattern_is_followed(tmp_path: Path) -> None:
    """Folders may appear later too."""
    (tmp_path / "1").mkdir()
    parquet(tmp_path / "1" / "a.parquet", 1)
    following = Following(f"{tmp_path}/*/*.parquet")
    assert following.read(1) == [1]
    (tmp_path / "2").mkdir()
    parquet(tmp_path / "2" / "a.parquet", 2)
    parquet(tmp_path / "2" / "b.other", 3)
    assert following.rest() == [2]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
def test_compressed_text_that_is_uploaded_in_place_is_read_when_it_is_whole(tmp_path: Path, name: str) -> None:
    """During the upload no row is read, and the source is not idle; later it is resumed anywhere."""
    write(tmp_path / "0.csv", -1)
    text = b"n\n" + b"".join(b"%d\n" % n for n in range(5000))
    data = pa.compress(text, "gzip" if name.endswith("gz") else "zstd", asbytes=True)
    following = Following(tmp_path, idle_timeout_s=0.4)
    assert following.read(1) == [-1]
    with (tmp_path / name).open("wb") as file:
        for begin in range(0, len(data), len(data) // 5 + 1):
            file.write(data[begin : begin + len(data) // 5 + 1])
            file.flush()
            assert following.is_idle()
            assert following.is_idle()
    numbers = following.read(100)
    assert numbers == list(range(len(numbers)))
    resumed = Following(tmp_path, following.cursor, following.decisions)
    assert numbers + following.rest() == list(range(5000))
    assert numbers + resumed.rest() == list(range(5000))


def test_a_partial_upload_is_waited_for(tmp_path: Path) -> None:
    """A Parquet file is not read before it has a footer."""
    whole = parquet(tmp_path / "whole.data", *range(100)).read_bytes()
    following = Following(parquet(tmp_path / "a.parquet", 1).parent)
    assert following.read(1) == [1]
    slow = tmp_path / "b.parquet"
    slow.write_bytes(whole[:300])
    parquet(tmp_path / "c.parquet", 200)
    for _ in range(3):
        assert following.is_idle()
    slow.write_bytes(whole)
    assert following.rest() == [*range(100), 200]


def test_compressed_text_that_is_cut_off_is_one_bad_row(tmp_path: Path) -> None:
    """There are as many bad rows as in a source that ends."""
    packed = gzip.compress(b"n\n" + b"".join(b"%d\n" % n for n in range(5_000)))
    (tmp_path / "a.csv.gz").write_bytes(packed[: len(packed) // 2])
    counts = []
    for follow in (None, Follow(idle_timeout_s=1.5)):
        source = open_source(tmp_path, follow=follow, keeps_bad_rows=True)
        with source.open(SCHEMA) as reader:
            blocks = list(reader)
        bad = [*(one for block in blocks for one in block.bad), *reader.bad]
        counts.append((sum(map(len, blocks)), [(one.kind, one.offset) for one in bad]))
    assert counts[0] == counts[1]
    assert [kind for kind, _ in counts[0][1]] == ["damage"]


def test_a_file_that_never_becomes_whole_is_an_error_or_a_bad_row(tmp_path: Path) -> None:
    """After a while without a write it counts as complete."""
    parquet(tmp_path / "a.parquet", 1)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nonsense")
    parquet(tmp_path / "c.parquet", 2)
    with pytest.raises(SourceError, match=r"b\.parquet"):
        Following(tmp_path).rest()
    source = open_source(tmp_path, follow=Follow(idle_timeout_s=2), keeps_bad_rows=True)
    with source.open(SCHEMA) as reader:
        blocks = [block for block in reader if len(block)]
    assert [block.records["n"].to_pylist() for block in blocks] == [[1], [2]]
    assert [bad.kind for block in blocks for bad in block.bad] == ["damage"]


def test_text_that_was_left_and_grows_is_gone_on_with(tmp_path: Path) -> None:
    """A pause is not an end: text written after it is read after the files in between."""
    a = write(tmp_path / "a.csv", 1, 2)
    following = Following(tmp_path)
    assert following.read(2) == [1, 2]
    write(tmp_path / "b.csv", 3)
    assert following.read(1) == [3]
    write(a, 4, header=False)
    assert following.rest() == [4]
    assert Following(tmp_path, following.cursor).rest() == []


def test_what_was_written_to_a_file_that_was_left_comes_behind_the_next(tmp_path: Path) -> None:
    """A run that resumes from before reads it in this order, though all text is there by then."""
    a = write(tmp_path / "a.csv", 1)
    following = Following(tmp_path)
    following.read(1)
    write(a, 2, header=False)
    following.read(1)
    cursor = following.cursor
    write(tmp_path / "b.csv", 3)
    assert following.read(1) == [3]
    write(a, 4, header=False)
    assert following.rest() == [4]
    assert Following(tmp_path, cursor, following.decisions).rest() == [3, 4]
    assert Following(tmp_path, None, following.decisions).rest() == [1, 2, 3, 4]
    assert Following(tmp_path, cursor).rest() == [4, 3], "the control: without decisions it is one file"
    a.write_text("n\n1\n")
    with pytest.raises(CursorError, match=r"a\.csv: the file was truncated"):
        Following(tmp_path, None, following.decisions).rest()


def test_a_log_that_is_turned_while_nobody_looks_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """A run that resumes from before finds the files under their present names, in the same order."""
    path = write(tmp_path / "log.csv", 1, 2)
    following = Following(path)
    assert following.read(2) == [1, 2]
    cursor = following.cursor
    path.rename(tmp_path / "log.csv.1")
    write(path, 3, 4)
    assert following.read(2) == [3, 4]
    following.reader.close()
    (tmp_path / "log.csv.1").rename(tmp_path / "log.csv.2")
    path.rename(tmp_path / "log.csv.1")
    write(path, 5)
    for start, rest in ((None, [1, 2, 3, 4, 5]), (cursor, [3, 4, 5])):
        assert Following(path, start, following.decisions).rest() == rest
    assert Following(path).rest() == [5], "the control: a run that begins reads the log that is there"
    for name in ("log.csv.1", "log.csv.2"):  # as in a copy of the folder, with other inode numbers
        shutil.copy(tmp_path / name, tmp_path / "copy")
        os.replace(tmp_path / "copy", tmp_path / name)  # noqa: PTH105
    assert Following(path, cursor, following.decisions).rest() == [3, 4, 5]


def test_a_copy_that_was_read_is_not_read_again(tmp_path: Path) -> None:
    """A run that resumes from before the copy and truncation of a log finds its offset in the copy."""
    path = write(tmp_path / "log.csv", 1, 2)
    following = Following(path)
    assert following.read(2) == [1, 2]
    cursor = following.cursor
    write(path, 3, header=False)
    shutil.copy(path, tmp_path / "log.csv.1")
    with path.open("w") as file:
        file.write("n\n4\n")
    assert following.read(2) == [3, 4]
    following.reader.close()
    assert Following(path, cursor, following.decisions).rest() == [3, 4]
    assert Following(path, following.cursor, following.decisions).rest() == []


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_log_in_another_encoding_is_read_once(tmp_path: Path, encoding: str) -> None:
    """The file may have fewer bytes than its text in UTF-8; that does not mean that it was truncated."""
    path = tmp_path / "log.csv"
    path.write_text("n,w\n1,éééééé\n2,日本語日本語\n" if encoding == "utf-16" else "n,w\n1,éééééé\n2,éé\n", encoding)
    source = open_source(path, follow=Follow(idle_timeout_s=0.5), encoding=encoding)
    found = []
    with source.open(SCHEMA) as reader:
        for block in reader:
            found += block.records["n"].to_pylist()
            if len(found) < 4 and len(block):
                with path.open("a", encoding="utf-16-le" if encoding == "utf-16" else encoding) as file:
                    file.write(f"{len(found) + 1},é\n")
    assert found == [1, 2, 3, 4]


def test_a_log_is_followed_as_it_is_written(tmp_path: Path) -> None:
    """Null words and a decimal comma apply to later rows too."""
    path = tmp_path / "log.csv"
    path.write_text("n;x\n1;?\n2;1,5\n")
    source = open_source(path, follow=Follow(idle_timeout_s=0.5), null_values=("?",), decimal=",")
    found: list[float | None] = []
    with source.open(source.schema) as reader:
        for block in reader:
            found += block.records["x"].to_pylist()
            if len(found) == 2 and len(block):
                with path.open("a") as file:
                    file.write("3;?\n4;2,5\n")
    assert found == [None, 1.5, None, 2.5]


def test_a_log_with_a_column_without_a_name_is_followed(tmp_path: Path) -> None:
    """The column has the same name in later rows, in this file and in others."""
    path = tmp_path / "a.csv"
    path.write_text(",n\n1,1\n2,2\n")
    source = open_source(tmp_path, follow=Follow(idle_timeout_s=0.5))
    assert source.schema.names == ["column 1", "n"]
    found: list[int] = []
    with source.open(source.schema) as reader:
        for block in reader:
            found += block.records["column 1"].to_pylist()
            if len(found) == 2 and len(block):
                with path.open("a") as file:
                    file.write("3,3\n")
                (tmp_path / "b.csv").write_text(",n\n4,4\n")
    assert found == [1, 2, 3, 4]


def test_a_log_that_has_but_its_header_is_known_by_the_rows_that_come(tmp_path: Path) -> None:
    """A log may be rotated before it has a row; its inode number does not mislead a resumed run."""
    path = write(tmp_path / "log.csv", 1, 2)
    following = Following(path)
    assert following.read(2) == [1, 2]
    cursor = following.cursor

    def turn(copy: str, *numbers: int) -> None:
        shutil.copy(path, tmp_path / copy)
        with path.open("w") as file:
            file.write("n\n")
        if numbers:
            write(path, *numbers, header=False)

    turn("log.csv.1")
    for _ in range(4):
        assert following.is_idle()
    following.reader.close()
    write(path, 3, header=False)
    turn("log.csv.2", 4)
    later = Following(path, cursor, following.decisions)
    assert later.rest() == [3, 4]
    assert Following(path, cursor, later.decisions).rest() == [3, 4]


@pytest.mark.parametrize("kind", ["file", "folder", "pipe"])
@pytest.mark.parametrize("end", ["\n45", "\n", "\n\n"], ids=["part of a record", "no rest", "blank line"])
def test_part_of_a_record_is_told_of_where_waiting_ends(tmp_path: Path, kind: str, end: str) -> None:
    """The record was not read, and without a message it would be missed in silence."""
    path = tmp_path / ("pipe" if kind == "pipe" else "log.csv")
    said: list[str] = []
    if kind == "pipe":
        os.mkfifo(path)
        fd = os.open(path, os.O_RDWR)  # a writer that stays
        os.write(fd, f"n\n1\n2{end}".encode())
    else:
        write(path, 1, 2, end=end)
    source = open_source(
        tmp_path if kind == "folder" else path, follow=Follow(idle_timeout_s=0.3), on_message=said.append
    )
    with source.open(SCHEMA) as reader:
        assert [n for block in reader for n in block.records["n"].to_pylist()] == [1, 2]
    if kind == "pipe":
        os.close(fd)
    held = [f"{path}: the last record is incomplete: 2 bytes held back"]
    assert [line for line in said if "waiting" not in line] == (held if end == "\n45" else [])


def test_half_a_letter_at_the_end_is_held_back(tmp_path: Path) -> None:
    """In a multi-byte encoding, a write may end within a character."""
    path = tmp_path / "log.csv"
    path.write_text("n\n1\n", "utf-16-le")
    source = open_source(path, follow=Follow(idle_timeout_s=0.5), encoding="utf-16-le")
    pieces = ["22\n33".encode("utf-16-le")[:9], "22\n33".encode("utf-16-le")[9:] + "\n".encode("utf-16-le")]
    found = []
    with source.open(SCHEMA) as reader:
        for block in reader:
            found += block.records["n"].to_pylist()
            if pieces:
                with path.open("ab") as file:
                    file.write(pieces.pop(0))
    assert found == [1, 22, 33]


def test_a_file_that_is_written_anew_with_more_is_gone_on_with(tmp_path: Path) -> None:
    """A copying program replaces a file by one of the same name; another name is another file."""
    a = write(tmp_path / "a.csv", 1, 2)
    following = Following(tmp_path)
    assert following.read(2) == [1, 2]
    write(tmp_path / "b.csv", 7)
    assert following.read(1) == [7]
    shutil.copy(a, tmp_path / ".a.tmp")
    write(tmp_path / ".a.tmp", 3, header=False)
    (tmp_path / ".a.tmp").rename(a)
    assert following.rest() == [3]
    number = (tmp_path / "b.csv").stat().st_ino
    (tmp_path / "b.csv").rename(tmp_path / "d.csv")  # as if the system reused its inode number for the same content
    os.utime(tmp_path / "d.csv")
    assert (tmp_path / "d.csv").stat().st_ino == number
    assert Following(tmp_path, following.cursor).rest() == [7]


def test_where_a_log_was_truncated_is_decided(tmp_path: Path) -> None:
    """Unread rows come from the copy at its turn, also for a run that resumes from before."""
    m = write(tmp_path / "m.csv", 1, 2)
    following = Following(tmp_path)
    assert following.read(2) == [1, 2]
    cursor = following.cursor
    write(m, 3, header=False)
    shutil.copy(m, tmp_path / ".n")
    with m.open("w") as file:
        file.write("")
    (tmp_path / ".n").rename(tmp_path / "n.csv")
    write(tmp_path / "b.csv", 7)
    rest = following.rest()
    assert sorted(rest) == [3, 7]
    assert Following(tmp_path, cursor, following.decisions).rest() == rest


def test_a_record_that_was_left_without_end_can_be_mended(tmp_path: Path) -> None:
    """An error at the end of a run is not a decision: the record is read again as it is then."""
    a = write(tmp_path / "a.csv", 1, end="\n2x")
    write(tmp_path / "b.csv", 9)
    following = Following(tmp_path)
    assert following.read(1) == [1]
    with pytest.raises(RowError, match="2x"):
        following.rest()
    a.write_text("n\n1\n22\n")
    assert Following(tmp_path, following.cursor, following.decisions).rest() == [22, 9]


def test_the_file_that_is_read_is_not_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it precedes the last file that was dropped from the list."""
    monkeypatch.setattr(recognition, "_KEPT", 10)
    for i in range(20):
        parquet(tmp_path / f"{i:03}.parquet", i)
    following = Following(tmp_path)
    assert following.read(20) == list(range(20))
    write(tmp_path / "009b.csv", 100)
    assert following.read(1) == [100]
    write(tmp_path / "009b.csv", 101, header=False)
    assert following.rest() == [101]


def test_a_file_that_goes_before_it_was_opened_is_not_waited_for(tmp_path: Path) -> None:
    """A started file may be removed; rows of an opened file may have been learned."""
    write(tmp_path / "a.csv", 1)
    following = Following(tmp_path)
    assert following.read(1) == [1]
    cursor = following.cursor
    (tmp_path / "b.csv").touch()
    for _ in range(4):
        assert following.is_idle()
    assert following.decisions.recall("left 0") is not None, "it would be next"
    (tmp_path / "b.csv").unlink()
    write(tmp_path / "c.csv", 3)
    assert following.rest() == [3]
    (tmp_path / "c.csv").unlink()
    write(tmp_path / "d.csv", 4)
    with pytest.raises(CursorError, match=r"c\.csv: the next file is gone or changed.*put it back"):
        Following(tmp_path, cursor, following.decisions).rest()
    write(tmp_path / "c.csv", 3)
    assert Following(tmp_path, cursor, following.decisions).rest() == [3, 4]


def test_neighbours_of_a_file_are_not_what_it_was(tmp_path: Path) -> None:
    """Only files with its name and a number or a time, or with its inode number."""
    path = write(tmp_path / "rows.csv", 1)
    others = [
        "rows_test.csv",
        "rows.schema.json",
        "rows-old.csv",
        "rows_2.csv",
        "rows.csv.gz",
        "rows.csv.bak",
        "rowsx.csv.1",
    ]
    for name in others:
        write(tmp_path / name, 99)
    (tmp_path / "rows.csv.7").mkdir()
    following = Following(path)
    assert following.read(1) == [1]
    for i, name in enumerate(("rows.csv.1", "rows-20240131.csv", "rows.csv.2024-01-31_10", "rows.3.csv", "anything")):
        path.rename(tmp_path / name)
        write(path, 2 + i)
        assert following.read(1) == [2 + i]
    write(tmp_path / "anything", 50, header=False)
    assert following.rest() == [50], "the control: one that was read under its name is read on under another"


def test_a_folder_is_read_whatever_its_name_ends_with(tmp_path: Path) -> None:
    """Other programs write folders that are named like data files; the files in them are read."""
    for name in ("x", "y"):
        (tmp_path / f"{name}.csv").mkdir()
        write(tmp_path / f"{name}.csv" / "part-0.csv", ord(name))
    assert Following(f"{tmp_path}/**/*.csv").rest() == [ord("x"), ord("y")]
    write(tmp_path / "z.csv", 7)
    assert Following(tmp_path).rest() == [ord("x"), ord("y"), 7]


def test_types_are_told_from_files_that_have_rows(tmp_path: Path) -> None:
    """Empty files before them do not count; for a log that was just rotated, its old file counts."""
    (tmp_path / "many").mkdir()
    for i in range(30):
        write(tmp_path / "many" / f"{i:02}.csv", end="")
    write(tmp_path / "many" / "last.csv", 1)
    assert Following(tmp_path / "many").rest() == [1]
    path = write(tmp_path / "log.csv", 1)
    following = Following(path)
    assert following.rest() == [1]
    write(path, 2, header=False)
    path.rename(tmp_path / "log.csv.1")
    assert Following(path, following.cursor).rest() == [2]
    write(path, end="")
    assert Following(path, following.cursor).rest() == [2]


def test_a_last_record_without_end_is_whole_after_a_while(tmp_path: Path) -> None:
    """A file may end without a line break; if its last record continues later, that is an error."""
    a = write(tmp_path / "a.csv", 1, 2, end="")
    write(tmp_path / "b.csv", 3)
    following = Following(tmp_path)
    assert following.rest() == [1, 2, 3]
    write(a, 22, header=False)
    with pytest.raises(CursorError, match=r"a\.csv.*learned while incomplete"):
        Following(tmp_path, following.cursor).rest()


def test_a_file_that_waits_for_its_turn_is_something_to_be_read(tmp_path: Path) -> None:
    """The idle timeout does not end the source while another file is waiting."""
    write(tmp_path / "a.csv", 1, 2, end="\n3")
    write(tmp_path / "b.csv", 4)
    assert Following(tmp_path, idle_timeout_s=0.2).rest() == [1, 2, 3, 4]


def test_what_was_touched_is_not_read_again(tmp_path: Path) -> None:
    """The content decides, not the time."""
    a = write(tmp_path / "a.csv", 1)
    write(tmp_path / "b.csv", 2)
    following = Following(tmp_path)
    assert following.rest() == [1, 2]
    os.utime(a)
    assert Following(tmp_path, following.cursor).rest() == []


def test_the_order_that_was_decided_stays(tmp_path: Path) -> None:
    """A run that resumes from before a decision reads files in the same order, though others came since."""
    parquet(tmp_path / "a.parquet", 1)
    following = Following(tmp_path)
    following.read(1)
    cursor = following.cursor
    parquet(tmp_path / "c.parquet", 3)
    assert following.read(1) == [3]
    parquet(tmp_path / "b.parquet", 2)
    assert following.rest() == [2]
    assert Following(tmp_path, cursor, following.decisions).rest() == [3, 2]
    assert Following(tmp_path, cursor).rest() == [2, 3], "the control: without them the order is another one"


def test_a_cursor_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists the last files; older ones are known by their position in the order."""
    monkeypatch.setattr(recognition, "_KEPT", 10)
    for i in range(50):
        parquet(tmp_path / f"{i:03}.parquet", i)
    following = Following(tmp_path)
    assert following.rest() == list(range(50))
    assert len(FileCursor.from_cursor(following.cursor).seen) <= 11
    assert Following(tmp_path, following.cursor).rest() == []
    parquet(tmp_path / "049b.parquet", 100)
    parquet(tmp_path / "045b.parquet", 101)
    assert Following(tmp_path, following.cursor).rest() == [101, 100]


def test_what_is_known_of_files_does_not_grow_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were read may be removed, for example after a day; they are dropped from memory."""
    monkeypatch.setattr(recognition, "_KEPT", 10)
    parquet(tmp_path / "000.parquet", 0)
    following = Following(tmp_path)
    assert following.read(1) == [0]
    sizes = []
    for i in range(1, 60):
        parquet(tmp_path / f"{i:03}.parquet", i)
        assert following.read(1) == [i]
        assert following.is_idle()
        (tmp_path / f"{i - 5:03}.parquet").unlink(missing_ok=True)
        blocks: Any = following.reader._blocks
        known = blocks._recognition
        sizes.append((len(blocks._cursor.seen), len(known._finished), len(known._there), len(blocks._queue)))
    early, late = (np.array(part).max(axis=0) for part in (sizes[:30], sizes[30:]))
    assert (late <= early).all()


def test_a_file_that_comes_too_late_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a file that was read and dropped from the list; so it is reported, once, at the same row."""
    monkeypatch.setattr(recognition, "_KEPT", 10)
    for i in range(50):
        parquet(tmp_path / f"{i:03}.parquet", i)
    following = Following(tmp_path)
    assert following.rest() == list(range(50))
    parquet(tmp_path / "007b.parquet", 100)
    parquet(tmp_path / "060.parquet", 60)
    with pytest.raises(SourceError, match=r"007b\.parquet: the file appeared after 10 later files"):
        Following(tmp_path, following.cursor).rest()
    decisions = Decisions()
    for _ in range(2):  # the second time from the decisions
        source = open_source(tmp_path, follow=Follow(idle_timeout_s=0.5), keeps_bad_rows=True)
        with source.open(SCHEMA, following.cursor, decisions) as reader:
            [block] = [block for block in reader if len(block)]
        assert block.records["n"].to_pylist() == [60]
        assert [(bad.kind, bad.row, Path(bad.place).name) for bad in block.bad] == [("late", 50, "007b.parquet")]


def test_two_files_that_grow_in_turn_stay_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts as one file, and files that were read in between stay known too."""
    monkeypatch.setattr(recognition, "_KEPT", 4)
    write(tmp_path / "c.csv", -1)
    following = Following(tmp_path)
    assert following.read(1) == [-1]
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, -2)
    assert following.read(2) == [-2, -2]
    for n in range(12):
        write(tmp_path / f"{'ab'[n % 2]}.csv", n, header=False)
        assert following.read(1) == [n]
    cursor = FileCursor.from_cursor(following.cursor)
    assert len(cursor.seen) == 4  # the last is being read, and was before
    assert cursor.horizon.name == ""
    write(tmp_path / "c.csv", 99, header=False)
    assert Following(tmp_path, following.cursor).rest() == following.rest() == [99]


def test_a_file_of_the_future_keeps_no_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of time it is the last one, with any number of files before it."""
    monkeypatch.setattr(recognition, "_KEPT", 4)
    tomorrow = time.time() + 86_400
    os.utime(parquet(tmp_path / "0.parquet", 0), (tomorrow, tomorrow))
    following = Following(tmp_path, order="time")
    assert following.read(1) == [0]
    for n in range(1, 12):
        parquet(tmp_path / f"{n}.parquet", n)
        assert following.read(1) == [n]
    assert Following(tmp_path, following.cursor, order="time").rest() == []


@pytest.mark.parametrize("order", ["name", "time"])
def test_a_file_that_is_moved_in_too_late_is_told_whatever_its_time(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the place is followed; a file that was there before is not reported."""
    monkeypatch.setattr(recognition, "_KEPT", 4)
    folder = tmp_path / "rows"
    folder.mkdir()
    for n in range(12):
        os.utime(write(folder / f"{n:02}.csv", n), (1_000 + n, 1_000 + n))
    source = open_source(folder, follow=Follow(order=order, idle_timeout_s=1.5), keeps_bad_rows=True)
    reader = source.open(SCHEMA)
    OPEN.append(reader)
    assert sum(len(next(reader)) for _ in range(12)) == 12
    assert len(next(reader)) == 0
    (folder / "01.csv").rename(folder / "01b.csv")
    (folder / "02.csv").chmod(0o600)
    for name in ("03", "11"):
        with gzip.open(folder / f"{name}.csv.gz", "wb") as file:
            file.write((folder / f"{name}.csv").read_bytes())
        shutil.copystat(folder / f"{name}.csv", folder / f"{name}.csv.gz")
        (folder / f"{name}.csv").unlink()
    assert len(next(reader)) == 0
    late = write(tmp_path / "late.csv", 100)
    os.utime(late, (1_003, 1_003))
    late.rename(folder / "03c.csv")
    assert [len(block) for block in reader if len(block)] == []
    assert [(bad.kind, Path(bad.place).name) for bad in reader.bad] == [("late", "03c.csv")]


def test_a_log_that_is_truncated_and_grows_beyond_where_it_was_begins_anew(tmp_path: Path) -> None:
    """The size shows nothing, since it grew between two looks; the bytes before its old end do."""
    path = write(tmp_path / "log.csv", 1, 2, 3)
    following = Following(path)
    assert following.read(3) == [1, 2, 3]
    assert following.is_idle()
    write(path, 4, header=False)
    shutil.copy(path, tmp_path / "log.csv.1")
    with path.open("r+") as file:
        file.truncate(0)
        file.write("n\n5\n6\n7\n8\n9\n10\n")
    assert following.rest() == [4, 5, 6, 7, 8, 9, 10]


def test_a_part_of_a_log_that_is_compressed_before_it_was_read_is_refused(tmp_path: Path) -> None:
    """The error names it; it is read once it is decompressed. Compression after the read is fine."""
    path = write(tmp_path / "log.csv", 1)

    def turn(n: int, *, is_compressed: bool) -> None:
        path.rename(rotated := tmp_path / f"log.csv.{n}")
        if is_compressed:
            compress(rotated)
        write(path, n)

    def compress(rotated: Path) -> None:
        with gzip.open(f"{rotated}.gz", "wb") as file:
            file.write(rotated.read_bytes())
        shutil.copystat(rotated, f"{rotated}.gz")
        rotated.unlink()

    following = Following(path)
    assert following.read(1) == [1]
    turn(2, is_compressed=False)
    assert following.read(1) == [2]
    compress(tmp_path / "log.csv.2")
    os.utime(tmp_path / "log.csv.2.gz")  # some programs do not keep the time
    time.sleep(0.01)
    write(path, 3, header=False)
    assert following.read(1) == [3]
    path.rename(tmp_path / "log.csv.3")  # compressed while it is open, and gone
    compress(tmp_path / "log.csv.3")
    os.utime(tmp_path / "log.csv.3.gz")
    write(path, 4)
    assert following.read(1) == [4]
    turn(5, is_compressed=False)
    time.sleep(0.01)
    turn(6, is_compressed=True)
    with pytest.raises(SourceError, match=r"log\.csv\.6\.gz: .*compressed before it was read; decompress it"):
        following.rest()
    packed = tmp_path / "log.csv.6.gz"
    with gzip.open(packed, "rb") as file:
        (tmp_path / "log.csv.6").write_bytes(file.read())
    shutil.copystat(packed, tmp_path / "log.csv.6")
    packed.unlink()
    assert Following(path, following.cursor).rest() == [5, 6]


def test_a_part_of_a_log_that_was_compressed_before_a_stream_began_is_not_of_it(tmp_path: Path) -> None:
    """Its time does not matter: a copy of the place has new times."""
    path = write(tmp_path / "log.csv", 1)
    with gzip.open(tmp_path / "log.csv.1.gz", "wb") as file:
        file.write(b"n\n-1\n")
    later = time.time() + 60
    os.utime(tmp_path / "log.csv.1.gz", (later, later))
    following = Following(path)
    assert following.read(1) == [1]
    assert following.is_idle()
    write(path, 2, header=False)
    assert following.rest() == [2]


def test_a_log_that_is_compressed_in_the_middle_of_its_last_record_is_read_to_its_end(tmp_path: Path) -> None:
    """The reader has the file open, and the compressed file begins with the same text."""
    path = write(tmp_path / "log.csv", 1, 2, end="\n3")
    following = Following(path)
    assert following.read(2) == [1, 2]
    assert following.is_idle()
    path.rename(tmp_path / "log.csv.1")
    with gzip.open(tmp_path / "log.csv.1.gz", "wb") as file:
        file.write((tmp_path / "log.csv.1").read_bytes())
    (tmp_path / "log.csv.1").unlink()
    write(path, 4)
    assert following.rest() == [3, 4]


@pytest.mark.parametrize("end", [".csv", ".csv.gz"])
def test_what_a_file_was_is_known_beside_a_copy_of_it_that_grew(tmp_path: Path, end: str) -> None:
    """The copy is read on; the file itself is not read again, not even by a resumed run."""
    path = write(tmp_path / "a.csv", 1)
    write(tmp_path / "b.csv", 2)
    following = Following(tmp_path)
    assert following.read(2) == [1, 2]
    assert following.is_idle()
    content = path.read_bytes()
    if end == ".csv":
        path.rename(tmp_path / "c.csv")
    grown = content + b"3\n"
    (tmp_path / f"a{end}").write_bytes(gzip.compress(grown) if end.endswith("gz") else grown)
    assert following.rest() == [3]
    assert Following(tmp_path, following.cursor, following.decisions).rest() == []
    assert Following(tmp_path, following.cursor).rest() == []


def test_a_run_that_goes_on_comes_to_the_same_cursor(tmp_path: Path) -> None:
    """Also after a file that got only blank lines since it was left."""
    write(tmp_path / "a.csv", 1)
    write(tmp_path / "b.csv", 2)
    following = Following(tmp_path)
    assert following.read(1) == [1]
    before = following.cursor
    assert following.read(1) == [2]
    assert following.is_idle()
    with (tmp_path / "a.csv").open("a") as file:
        file.write("\n\n")
    assert following.is_idle()
    time.sleep(0.3)
    assert following.is_idle()
    write(tmp_path / "c.csv", 3)
    assert following.read(1) == [3]
    again = Following(tmp_path, before, following.decisions)
    assert again.read(2) == [2, 3]
    assert again.source.same_rows_before(again.cursor, following.cursor)


def test_what_is_no_footer_is_not_read_for_one(tmp_path: Path) -> None:
    """The last bytes of an upload are data, and could be taken for a huge footer length."""
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(1_000_000) + (900_000).to_bytes(4, "little") + b"data")
    head = formats_parquet.ParquetFormat().head(str(path))
    assert head.digest == hashlib.sha256(path.read_bytes()[-8:]).hexdigest()


def test_a_file_that_is_replaced_is_read_though_it_is_as_long_and_as_old(tmp_path: Path) -> None:
    """Its inode number shows it while the place is followed; equal content is not read again."""
    for name, n in (("a.csv", 1), ("b.csv", 2)):
        os.utime(write(tmp_path / name, n), (1_000, 1_000))
    following = Following(tmp_path)
    assert following.read(2) == [1, 2]
    assert following.is_idle()
    for name, n in (("a.csv", 9), ("b.csv", 2)):
        os.utime(write(tmp_path / f".{name}", n), (1_000, 1_000))
        (tmp_path / f".{name}").rename(tmp_path / name)
    assert following.rest() == [9]


def test_a_parquet_file_that_is_replaced_before_it_was_decided_for_is_not_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is for the file that was learned; if it is gone, no other file replaces it."""
    parquet(tmp_path / "a.parquet", 1)
    parquet(tmp_path / "b.parquet", 2)
    known_by = FileOpener.head
    replaced = []

    def replace_first(self: Any, name: str, part: Any) -> Any:
        if name.endswith("b.parquet"):
            replaced.append(parquet(tmp_path / "b.parquet", 3))
        return known_by(self, name, part)

    monkeypatch.setattr(FileOpener, "head", replace_first)
    following = Following(tmp_path)
    assert following.read(1) == [1]
    cursor = following.cursor
    assert following.read(1) == [2]
    assert len(replaced) == 1
    with pytest.raises(CursorError, match=r"b\.parquet: the next file is gone or changed"):
        Following(tmp_path, cursor, following.decisions).rest()


@pytest.mark.parametrize("place", ["b.parquet", "../gone.parquet"])
def test_a_parquet_file_that_is_moved_while_it_is_read_is_read_to_its_end(tmp_path: Path, place: str) -> None:
    """An open file is read under any name."""
    folder = tmp_path / "rows"
    folder.mkdir()
    path = parquet(folder / "a.parquet", *range(200_000))
    following = Following(folder)
    assert following.read(1)[0] == 0
    path.rename(folder / place)
    assert following.rest()[-1] == 199_999


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_what_the_system_does_not_hand_over_is_no_bad_row(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is complete: it is an error, and all of it is read later."""
    (parquet if name.endswith("parquet") else write)(tmp_path / name, 1, 2)
    source = open_source(tmp_path, follow=Follow(idle_timeout_s=0.5), keeps_bad_rows=True)
    kind = type(source._files.format(name))  # type: ignore[attr-defined]
    tried = []

    def fail(*arguments: object, **more: object) -> None:
        tried.append(arguments)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(kind, "open", fail)
        with source.open(SCHEMA) as reader, pytest.raises(SourceError, match="too many open files"):
            list(reader)
    assert len(tried) == 1
    with source.open(SCHEMA) as reader:
        assert sum(len(block) for block in reader) == 2


def test_compressed_text_of_the_future_is_waited_for_no_longer_than_other(tmp_path: Path) -> None:
    """Another clock may be wrong: a file that does not change for a while is complete."""
    write(tmp_path / "a.csv", 1)
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("n\n2\n")
    os.utime(tmp_path / "b.csv.gz", (time.time() + 3_600, time.time() + 3_600))
    write(tmp_path / "c.csv", 3)
    assert Following(tmp_path).rest() == [1, 2, 3]


def test_what_was_decided_is_found_without_looking_at_the_whole_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that resumes from far before lists the place rarely, not once for each file."""
    for n in range(40):
        parquet(tmp_path / f"{n:02}.parquet", n)
    following = Following(tmp_path)
    assert following.rest() == list(range(40))
    again = Following(tmp_path, None, following.decisions)
    listed = []
    look = listing.Listing.listed

    def counted(self: Any, *arguments: Any) -> Any:
        listed.append(1)
        return look(self, *arguments)

    monkeypatch.setattr(listing.Listing, "listed", counted)
    assert again.read(40) == list(range(40))
    assert len(listed) < 10


def test_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    """A file that was partly read and is gone cannot be resumed."""
    path = write(tmp_path / "log.csv", *range(40))
    following = Following(path)
    following.read(1)
    path.unlink()
    write(tmp_path / "log.csv", 7)
    with pytest.raises(CursorError, match=r"log\.csv"):
        Following(path, following.cursor)


def test_nothing_that_came_in_time_is_said(tmp_path: Path) -> None:
    """A place that stays empty, or does not exist."""
    with pytest.raises(SourceError, match=r"no data came within 0\.2 s"):
        open_source(tmp_path, follow=Follow(idle_timeout_s=0.2))
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(tmp_path / "no" / "log.csv", follow=Follow())
    with pytest.raises(SourceError, match="only one place"):
        open_source(tmp_path, tmp_path, follow=Follow())


def once(file: Path, words: Sequence[str], steps: Sequence[Callable[[], object]]) -> threading.Thread:
    """Act as soon as a file holds a word; then do the next action."""

    def work() -> None:
        for word, step in zip(words, steps, strict=True):
            while not (file.exists() and word in file.read_text()):
                time.sleep(0.01)
            step()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def labelled(path: Path, start: int, stop: int) -> Path:
    """Append rows with a label."""
    is_new = not path.exists()
    with path.open("a") as file:
        file.write("n,label\n" if is_new else "")
        file.writelines(f"{n},{'ab'[n % 2]}\n" for n in range(start, stop))
    return path


def config(run_dir: Path, **settings: Any) -> JobConfig:
    """Return the settings of a job that follows."""
    usual = {"target": "label", "batch_size": 8, "hidden_layers": [4], "checkpoint_every": "1", "run_dir": str(run_dir)}
    return JobConfig.of({**usual, "follow": True, "idle_timeout": "1.5s", **settings})


def test_a_minibatch_that_will_not_fill_is_learned_after_a_while(tmp_path: Path) -> None:
    """The boundary is stored: a run from an earlier checkpoint cuts there, though all rows are there by then."""
    path = labelled(tmp_path / "log.csv", 0, 20)
    steps = [lambda: labelled(path, 20, 21), lambda: labelled(path, 21, 60)]
    writer = once(tmp_path / "run" / "decisions.csv", ["border 20,", "border 21,"], steps)
    settings: Any = {"linger": "0.2s", "keep_checkpoints": 1_000}
    summary = Job(open_source(path, follow=Follow(idle_timeout_s=1.5)), config(tmp_path / "run", **settings)).run()
    writer.join()
    assert summary.rows == 60
    borders = (tmp_path / "run" / "decisions.csv").read_text()
    assert "border 20," in borders
    assert "border 21," in borders
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    history = (tmp_path / "run" / "history.csv").read_bytes()
    for checkpoint in checkpoints[2:]:
        checkpoint.unlink()
    again = Job(open_source(path, follow=Follow(idle_timeout_s=0.5)), config(tmp_path / "run", **settings)).run()
    assert again.rows == 60
    assert (again.weights_sha256, again.metrics) == (summary.weights_sha256, summary.metrics)
    assert (tmp_path / "run" / "history.csv").read_bytes() == history
    whole = Job(open_source(path, follow=Follow(idle_timeout_s=0.5)), config(tmp_path / "other", **settings)).run()
    assert whole.weights_sha256 != summary.weights_sha256, "the control: cut elsewhere, it is another network"


def test_without_patience_only_whole_minibatches_are_learned(tmp_path: Path) -> None:
    """Waiting rows are learned at the end of the source."""
    seen: list[int] = []

    class Watching(Observer):
        def on_progress(self, status: Any) -> None:
            seen.append(status.state.rows)

    path = labelled(tmp_path / "log.csv", 0, 21)
    job = Job(open_source(path, follow=Follow(idle_timeout_s=1)), config(tmp_path / "run"), observer=Watching())
    assert job.run().rows == 21
    assert set(seen) <= {8, 16, 21}
    assert 16 in seen


def test_a_job_that_waits_saves_and_can_be_stopped(tmp_path: Path) -> None:
    """While no row comes, a due checkpoint is written, and signals are handled."""

    class Stopping(Observer):
        n_saved = 0

        def on_progress(self, status: Any) -> None:
            if status.state.rows == 16 and status.checkpoint is not None and status.checkpoint.stem.endswith("2"):
                self.n_saved += 1
                os.kill(os.getpid(), 15)

    path = labelled(tmp_path / "log.csv", 0, 20)
    observer = Stopping()
    settings: Any = {"idle_timeout": None, "checkpoint_every": "0.1s"}
    job = Job(open_source(path, follow=Follow()), config(tmp_path / "run", **settings), observer=observer)
    assert job.run().stop_reason == "SIGTERM"
    assert observer.n_saved == 1


def test_settings_that_do_not_go_with_following_are_refused() -> None:
    """A followed source has no second pass; a source that ends does not wait."""
    for wrong in ({"follow": True, "epochs": 2}, {"follow": True, "shuffle_window": 9}, {"idle_timeout": "3s"}):
        with pytest.raises(ConfigError, match="follow"):
            JobConfig.of({"target": "y", **wrong})
    with pytest.raises(ConfigError, match="idle_timeout: expected a time"):
        JobConfig.of({"target": "y", "follow": True, "idle_timeout": "3"})


def test_closing_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close wakes a thread that waits for rows."""
    monkeypatch.setattr(intervals, "LOOK_S", 30)
    path = write(tmp_path / "log.csv", 1)
    following = Following(path)
    following.read(1)
    assert following.is_idle()
    waiting = threading.Thread(target=lambda: next(following.reader, None))
    waiting.start()
    time.sleep(0.3)
    began = time.monotonic()
    following.reader._blocks.close()  # type: ignore[union-attr]
    waiting.join(10)
    assert not waiting.is_alive()
    assert time.monotonic() - began < 10


def test_what_lies_there_unread_is_told_in_bytes(tmp_path: Path) -> None:
    """Text counts after the last row, a Parquet file until its first row is read, new files in full."""
    text = write(tmp_path / "a.csv", *range(100, 200))
    size = text.stat().st_size
    packed = parquet(tmp_path / "b.parquet", 1, 2).stat().st_size
    following = Following(tmp_path)
    assert following.source.lag(Cursor.start()) == size + packed
    n_read = len(following.read(1))
    assert following.source.lag(following.cursor) == size - 2 - 4 * n_read + packed
    following.rest()
    assert following.source.lag(following.cursor) == 0
    write(tmp_path / "c.csv", 7)
    assert following.source.lag(following.cursor) == 4


@pytest.mark.parametrize("order", ["name", "time"])
@pytest.mark.parametrize("pattern", ["", "/*.csv", "/**/*.csv"])
def test_a_place_may_be_moved(tmp_path: Path, pattern: str, order: str) -> None:
    """In a copy at another path no file is read twice, not even among equal files; new files are read."""
    place = tmp_path / "before"
    for day in ("1", "2"):
        folder = place / day if "**" in pattern else place
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"a{day}.csv", 1, 2, 3)
        write(folder / "same.csv" if "**" in pattern else folder / f"same{day}.csv", 7, 8)
    first = Following(f"{place}{pattern}", order=order)
    assert len(first.rest()) == 10
    shutil.copytree(place, tmp_path / "after")
    shutil.rmtree(place)
    for day in ("3", "4"):
        (tmp_path / "after" / day).mkdir()
    write((tmp_path / "after" / "3" if "**" in pattern else tmp_path / "after") / "z.csv", 9)
    second = Following(f"{tmp_path / 'after'}{pattern}", first.cursor, order=order)
    assert second.rest() == [9]
    write((tmp_path / "after" / "4" if "**" in pattern else tmp_path / "after") / "zz.csv", 10)
    assert Following(f"{tmp_path / 'after'}{pattern}", second.cursor, order=order).rest() == [10]


def test_places_that_are_moved_forget_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are known only by their position are not read again under another path."""
    monkeypatch.setattr(recognition, "_KEPT", 2)
    (tmp_path / "m").mkdir()
    for i in range(6):
        write(tmp_path / "m" / f"{i}.csv", i)
    first = Following(tmp_path / "m")
    assert first.rest() == [*range(6)]
    for name in ("a", "z"):
        shutil.copytree(tmp_path / "m", tmp_path / name)
        write(tmp_path / name / "6.csv", 6)
        assert Following(tmp_path / name, first.cursor).rest() == [6]
