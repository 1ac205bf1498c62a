"""Standard input and named pipes: their data is kept in files and read from there, and a job resumes from it."""

import contextlib
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import ConnectorError, Cursor, Follow, NewColumnsError, SourceError, open_source
from connectors.files import intervals
from connectors.files.listing import Listing
from connectors.files.recognition import Recognition
from connectors.formats.csv.format import CsvFormat
from connectors.formats.csv.records import whole_records
from connectors.pipes import batch_writer, text_writer
from connectors.pipes import pipe as pipe_module
from stream_bp.cli import output
from stream_bp.cli.commands import compare, evaluate, predict
from stream_bp.cli.commands import train as train_command
from stream_bp.job.job import Job
from stream_bp.monitoring.log import Log
from stream_bp.persistence.checkpoints import load

SCHEMA = pa.schema([("n", pa.int64())])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all waiting times."""
    for name, value in {"LOOK_S": 0.02, "LIST_S": 0.02, "QUIET_S": 0.05}.items():
        monkeypatch.setattr(intervals, name, value)


def pour(fifo: Path, data: bytes, step: int = 1 << 20) -> threading.Thread:
    """Write to a named pipe in a thread."""

    def work() -> None:
        with fifo.open("wb", buffering=0) as file:
            for start in range(0, len(data), step):
                file.write(data[start : start + step])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def rows(source: Any, cursor: Cursor | None = None) -> tuple[list[int], Cursor]:
    """Read all rows, and return the position of their end."""
    found, end = [], cursor or Cursor.start()
    with source.open(SCHEMA, cursor) as reader:
        for block in reader:
            found += block.records["n"].to_pylist()
            end = Cursor.from_json(block.cursor(len(block)).to_json()) if len(block) else end
    return found, end


def fifo(folder: Path) -> Path:
    """Make a named pipe."""
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def text(start: int, stop: int, header: str = "n,w\n") -> bytes:
    """Return rows, some of them quoted over lines."""
    return (header + "".join(f'{n},"a\n{n}"\n' for n in range(start, stop))).encode()


def test_a_pipe_is_read_by_a_process_with_many_open_files(tmp_path: Path) -> None:
    """The descriptor may have any number; `select` fails above 1,023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1_200:
        pytest.skip("so many files cannot be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_200), hard))
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_050)]
    try:
        pipe = fifo(tmp_path)
        thread = pour(pipe, text(0, 10))
        assert rows(open_source(pipe))[0] == list(range(10))
        thread.join()
    finally:
        for fd in others:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("step", [3, 1 << 20])
def test_text_comes_through_a_pipe(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of any size, and in any number of files; the last line may lack a line break."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 500)
    pipe = fifo(tmp_path)
    thread = pour(pipe, text(0, 300).rstrip(b"\n"), step)
    source = open_source(pipe)
    assert source.schema.names == ["n", "w"]
    assert source.description == str(pipe)
    assert rows(source)[0] == list(range(300))
    thread.join()


@pytest.mark.parametrize("line", [b'-1,"x\n', b"-1," + b"x" * 5000 + b"\n"], ids=["quote", "line"])
def test_a_record_that_is_too_long_is_a_bad_row_and_is_not_kept_in_memory(
    tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text after an unclosed quote is read as from a file, also after the spool is resumed."""
    monkeypatch.setattr(text_writer, "MAX_RECORD", 2000)
    monkeypatch.setattr("connectors.formats.csv.text.MAX_RECORD", 2000)
    monkeypatch.setattr(pipe_module, "READ_BYTES", 500)
    data = (
        b"n,w\n"
        + b"".join(b"%d,a\n" % n for n in range(100))
        + line
        + b"".join(b"%d,a\n" % n for n in range(100, 2000))
    )
    pending: list[int] = []

    def counted(text: bytes, *how: Any, **named: Any) -> int:
        pending.append(len(text))
        return whole_records(text, *how, **named)

    monkeypatch.setattr(text_writer, "whole_records", counted)
    for first, last in ((0, 2000), (2000, 2010)):  # the second time it starts after the rows that it holds
        more = data if not first else b"n,w\n" + b"".join(b"%d,a\n" % n for n in range(first, last))
        pipe = fifo(tmp_path)
        writer = pour(pipe, more, 500)
        source = open_source(pipe, spool=str(tmp_path / "kept"), keeps_bad_rows=True)
        found, bad = [], []
        with source.open(SCHEMA) as reader:
            for block in reader:
                found += block.records["n"].to_pylist()
                bad += [row.content for row in block.bad]
        writer.join()
        pipe.unlink()
        assert found == list(range(last))
        assert bad == [line[:2000].rstrip(b"\n")] or bad == [line[:2000]]
        if not first:
            assert 2000 < max(pending) <= 4000


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_text_in_another_encoding_comes_through_a_pipe(tmp_path: Path, encoding: str) -> None:
    """The files are in UTF-8."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, "n;größe\n1;é\n2;ü\n".encode(encoding), 3)
    source = open_source(pipe)
    assert source.schema.names == ["n", "größe"]
    assert rows(source)[0] == [1, 2]
    thread.join()


def test_words_for_nothing_and_a_decimal_comma_come_through_a_pipe(tmp_path: Path) -> None:
    """The text is kept unchanged, and read with the given dialect."""
    pipe = fifo(tmp_path)
    text = b"n;x\n1;?\n2;1,5\n"
    thread = pour(pipe, text, 3)
    source = open_source(pipe, spool=str(tmp_path / "kept"), null_values=("?",), decimal=",")
    assert source.schema.types == [pa.int64(), pa.float64()]
    with source.open(source.schema) as reader:
        found = [row["x"] for block in reader for row in block.records.to_pylist()]
    assert found == [None, 1.5]
    thread.join()
    assert b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir()) == text


def test_arrow_comes_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of batches, small and large ones."""
    monkeypatch.setattr(batch_writer, "_FILE_ROWS", 50)
    sink = pa.BufferOutputStream()
    table = pa.table({"n": range(300), "s": [{"a": i} for i in range(300)]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for size in (1, 1, 100, 3, 195):
            start = sum((1, 1, 100, 3, 195)[: (1, 1, 100, 3, 195).index(size)]) if size != 1 else 0
            writer.write_table(table.slice(start, size) if size != 1 else table.slice(0, 0))
        writer.write_table(table.slice(0, 0))
    pipe = fifo(tmp_path)
    thread = pour(pipe, sink.getvalue().to_pybytes(), 1_000)
    source = open_source(pipe)
    assert source.schema.names == ["n", "s.a"]
    found = rows(source)[0]
    assert found == [*range(2, 102), *range(102, 105), *range(105, 300)]
    thread.join()


def test_a_steady_stream_of_arrow_is_read_while_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between batches do not delay the batches before them."""
    monkeypatch.setattr(batch_writer, "_GATHER_S", 0.3)
    pipe, is_read = fifo(tmp_path), threading.Event()

    def drip() -> None:
        with pipe.open("wb", buffering=0) as file, pa.ipc.new_stream(file, SCHEMA) as writer:
            for n in range(1_000):
                if not is_read.is_set():
                    writer.write_batch(pa.record_batch([[n]], schema=SCHEMA))
                    time.sleep(0.02)

    thread = threading.Thread(target=drip)
    thread.start()
    source = open_source(pipe)
    with source.open(SCHEMA) as reader:
        first = next(block for block in reader if len(block))
        assert thread.is_alive(), "it is still written to"
        is_read.set()
        found = [n for block in [first, *reader] for n in block.records["n"].to_pylist()]
    thread.join()
    assert found == list(range(len(found)))


@pytest.mark.parametrize("is_other", [False, True], ids=["same columns", "other columns"])
def test_streams_of_arrow_come_one_behind_the_other(tmp_path: Path, is_other: bool) -> None:
    """As `cat` sends them; each may have its own columns, like files."""
    first = pa.table({"n": range(10), "w": ["a"] * 10})
    second = pa.table({"w": ["b"] * 10, "n": range(10, 20)}) if is_other else first.slice(0, 5)
    pipe = fifo(tmp_path)
    thread = pour(pipe, arrow(first) + arrow(second) + arrow(first.slice(0, 0)), 100)
    assert rows(open_source(pipe))[0] == first["n"].to_pylist() + second["n"].to_pylist()
    thread.join()


def test_what_comes_behind_a_stream_of_arrow_and_is_none_is_refused(tmp_path: Path) -> None:
    """The rows before it are read."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, arrow(pa.table({"n": range(10)})) + b"n\n1\n")
    found: list[int] = []
    with (
        open_source(pipe).open(SCHEMA) as reader,
        pytest.raises(SourceError, match="pipe: other data follows an Arrow"),
    ):
        found.extend(n for block in reader for n in block.records["n"].to_pylist())
    assert found == list(range(10))
    thread.join()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x1f\x8b\x08rest", "gzip data cannot be read .*decompress it"),
        (b"PAR1rest", "a Parquet file cannot be read .*write it to a file"),
        (b"ARROW1\0\0rest", "an Arrow file .*send a stream"),
        (b'{\n "n": 1,\n "w": "a"}\n', "one JSON document over several lines cannot be read .*jq -c"),
        (b'[{"n": 1, "w": "a"}]\n', "a JSON array cannot be read .*jq -c"),
        (b"<!DOCTYPE html>\n<p>n,w", "an HTML page cannot be read"),
        (b"", "no rows"),
    ],
)
def test_what_cannot_be_read_from_a_pipe_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    """The error is one line with the remedy."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, data)
    with pytest.raises(SourceError, match=f"^{re.escape(str(pipe))}: .*{words}"):
        open_source(pipe)
    thread.join()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'n,"w"x\n1,2\n', ": the header cannot be read"),
        (b"n,w\n1,2\n3\n", r", row 1 \(line 3\): expected 2 fields"),
        (b"n,w\n" + b"1,2\n" * 100 + b"3\n", r", part [1-9]\d*, row 100 \(line \d+\): expected 2 fields"),
    ],
    ids=["header", "row", "row of a later file"],
)
def test_an_error_names_the_pipe_and_no_file_that_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, words: str
) -> None:
    """A temporary file would mean nothing to the user; a file of a permanent spool is named."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 50)
    monkeypatch.setattr(pipe_module, "READ_BYTES", 50)
    pipe, kept = fifo(tmp_path), tmp_path / "kept"
    for folder, place in ((None, re.escape(str(pipe))), (str(kept), rf"{kept}/spool-\d*\.csv")):
        thread = pour(pipe, data, 50)
        expected = words if folder is None else words.replace(r", part [1-9]\d*", "")
        with pytest.raises(ConnectorError, match=f"^{place}{expected}"):
            rows(open_source(pipe, spool=folder))
        thread.join()


def test_a_bad_row_and_new_columns_name_the_pipe(tmp_path: Path) -> None:
    """These events outlast the temporary files of a spool."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, b"n,w\n1,2\n3\n4,5\n")
    with open_source(pipe, keeps_bad_rows=True).open(SCHEMA) as reader:
        assert {note.place for block in reader for note in block.bad} == {str(pipe)}
    thread.join()
    thread = pour(pipe, arrow(pa.table({"n": [1]})) + arrow(pa.table({"n": [2], "w": [3]})))
    with (
        open_source(pipe).open(SCHEMA, known=["n"]) as reader,
        pytest.raises(NewColumnsError, match=f"{pipe}, part 2: ") as caught,
    ):
        list(reader)
    assert caught.value.place == f"{pipe}, part 2"
    thread.join()


def test_a_spool_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows are read from any position; the header may come again; an incomplete record is not a record."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 200)
    pipe, folder = fifo(tmp_path), tmp_path / "spool"
    thread = pour(pipe, text(0, 60))
    source = open_source(pipe, spool=str(folder))
    with source.open(SCHEMA) as reader:
        block = next(block for block in reader if len(block))
        cursor = block.cursor(3)
    thread.join()
    while not source._spool.has_ended:  # type: ignore[attr-defined]
        time.sleep(0.01)
    newest = max(folder.iterdir())
    newest.write_bytes(newest.read_bytes() + b'60,"half')
    thread = pour(pipe, text(60, 90))
    found, end = rows(open_source(pipe, spool=str(folder)), cursor)
    assert found == list(range(3, 90))
    thread.join()
    thread = pour(pipe, text(90, 100, header=""))
    again = open_source(pipe, spool=str(folder))
    assert rows(again, end)[0] == list(range(90, 100))
    thread.join()
    n_files = len(list(folder.iterdir()))
    again.commit(end)
    assert 0 < len(list(folder.iterdir())) < n_files
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(SourceError, match=r"notes\.txt is not a spool file"):
        open_source(pipe, spool=str(folder))


@pytest.mark.parametrize("begun", [b"", b"n", b"n,w"], ids=["empty", "half", "no line end"])
@pytest.mark.parametrize("n_before", [0, 60], ids=["first file", "further file"])
def test_a_file_that_was_not_begun_to_the_end_of_its_header_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes, n_before: int
) -> None:
    """A kill may leave such a file: no row is lost, and new text may lack the header."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 200)
    pipe, folder = fifo(tmp_path), tmp_path / "spool"
    end = None
    if n_before:
        thread = pour(pipe, text(0, n_before))
        end = rows(open_source(pipe, spool=str(folder)))[1]
        thread.join()
    folder.mkdir(exist_ok=True)
    newest = folder / f"spool-{len(list(folder.iterdir())) + 1:012d}.csv"
    newest.write_bytes(begun)
    os.utime(newest, (1, 1))  # an old file: the reader does not wait for more text in it
    thread = pour(pipe, text(n_before, 90, header="" if n_before else "n,w\n"))
    assert rows(open_source(pipe, spool=str(folder)), end)[0] == list(range(n_before, 90))
    thread.join()
    assert newest.read_bytes().startswith(b"n,w\n")


def arrow(table: pa.Table) -> bytes:
    """Return a stream of Arrow."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_names_of_what_is_kept_outlast_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each new file is synced, then its folder, then the parent of a new folder."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 200)
    monkeypatch.setattr(pipe_module, "READ_BYTES", 50)
    synced: list[tuple[str, set[str]]] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((str(path), {one.name for one in path.iterdir()} if path.is_dir() else set()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    pipe, folder = fifo(tmp_path), tmp_path / "deep" / "spool"
    thread = pour(pipe, text(0, 60) if kind == "csv" else arrow(pa.table({"n": range(60)})))
    assert rows(open_source(pipe, spool=str(folder)))[0] == list(range(60))
    thread.join()
    assert {str(tmp_path), str(tmp_path / "deep")} <= {path for path, _ in synced}
    files = sorted(folder.iterdir())
    assert len(files) > (kind == "csv")
    for file in files:
        first = min(i for i, (path, _) in enumerate(synced) if file.name in path)
        assert any(path == str(folder) and file.name in names for path, names in synced[first + 1 :])


def test_a_last_record_without_end_is_whole_when_its_writer_has_gone(tmp_path: Path) -> None:
    """Later text, also of another process, starts on a new line; the record stays."""
    pipe, folder = fifo(tmp_path), tmp_path / "spool"
    thread = pour(pipe, text(0, 10).rstrip(b"\n"))
    found, end = rows(open_source(pipe, spool=str(folder)))
    assert found == list(range(10))
    thread.join()
    thread = pour(pipe, text(10, 20))
    assert rows(open_source(pipe, spool=str(folder)), end)[0] == list(range(10, 20))
    thread.join()


def test_a_spool_that_cannot_be_written_is_told_while_the_pipe_is_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader closes the pipe, so that no writer waits for ever."""
    pipe, written = fifo(tmp_path), []

    def fail(self: Any, batches: Any) -> None:
        written.append(batches)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(batch_writer.BatchWriter, "_write_file", fail)
    done = threading.Event()

    def work() -> None:
        rows = pa.record_batch({"n": [1, 2]})
        with pipe.open("wb", buffering=0) as file, contextlib.suppress(OSError), pa.ipc.new_stream(file, SCHEMA) as out:
            out.write_batch(rows)
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(SourceError, match="no space left on device"):
        open_source(pipe, follow=Follow())
    assert len(written) == 1
    done.set()
    thread.join()


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_came_before_a_stream_broke_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """All whole batches are read; then comes the error, and the files stay."""
    monkeypatch.setattr(batch_writer, "_FILE_ROWS", 50)
    table = pa.table({"n": range(300), "w": ["w"] * 300})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=20)
    pipe, folder = fifo(tmp_path), str(tmp_path / "spool") if is_kept else None
    data = sink.getvalue().to_pybytes()
    thread = pour(pipe, data[: len(data) // 2])
    source = open_source(pipe, spool=folder)
    found: list[int] = []
    with source.open(SCHEMA) as reader, pytest.raises(SourceError, match="pipe"):
        found.extend(n for block in reader for n in block.records["n"].to_pylist())
    thread.join()
    assert len(found) > 100
    assert found == list(range(len(found)))
    if is_kept:
        thread = pour(pipe, b"")
        assert rows(open_source(pipe, spool=folder))[0] == found
        thread.join()


def test_nothing_is_lost_between_two_writers(tmp_path: Path) -> None:
    """However fast one writer follows another, the pipe always has a reader."""
    pipe = fifo(tmp_path)
    source_of: list[Any] = []
    opening = threading.Thread(
        target=lambda: source_of.append(
            open_source(pipe, spool=str(tmp_path / "spool"), follow=Follow(idle_timeout_s=1))
        )
    )
    opening.start()
    pipe.write_bytes(b"n,w\n")
    for n in range(2_000):
        pipe.write_bytes(b"%d,w\n" % n)
        time.sleep(0.001 * (n % 3 == 0))
    opening.join()
    assert rows(source_of[0])[0] == list(range(2_000))


def test_who_waits_for_a_writer_can_be_told_to_end(tmp_path: Path) -> None:
    """After a close, nothing is written to a descriptor that another file may have by now."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, text(0, 10))
    source = open_source(pipe, follow=Follow(idle_timeout_s=0.5))
    assert rows(source)[0] == list(range(10))
    thread.join()
    pump = source._spool  # type: ignore[attr-defined]
    pump.end()
    assert not pump._thread.is_alive()
    pump.end()


def test_part_of_a_record_is_no_record_where_reading_ends_before_its_writer(tmp_path: Path) -> None:
    """A stopped job keeps whole records, and no incomplete one."""
    pipe, folder = fifo(tmp_path), tmp_path / "spool"
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(text(0, 10) + b"1234")
            ready.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    source = open_source(pipe, spool=str(folder), follow=Follow(idle_timeout_s=0.5))
    ready.wait()
    pump = source._spool  # type: ignore[attr-defined]
    while not pump.n_held:
        time.sleep(0.01)
    pump.end()
    done.set()
    thread.join()
    assert b"".join(path.read_bytes() for path in sorted(folder.glob("*.csv"))) == text(0, 10)


def test_a_file_that_got_the_number_of_one_that_was_removed_is_another_one(tmp_path: Path) -> None:
    """Even if both begin with the same rows: spool files are never renamed, so the name decides."""
    old, new = tmp_path / "spool-000000000001.csv", tmp_path / "spool-000000000002.csv"
    old.write_bytes(b"n\n1\n1\n")
    new.write_bytes(b"n\n1\n1\n1\n")
    files = Listing(str(tmp_path), lambda _: CsvFormat(64), "name")
    head = CsvFormat(64).head(str(old))
    assert head is not None
    read = [replace(head, inode=new.stat().st_ino)]
    assert Recognition(files, may_be_renamed=True).left_at(str(new), read) == read[0]
    assert Recognition(files, may_be_renamed=False).left_at(str(new), read) is None


def test_a_named_pipe_is_opened_again_to_be_followed(tmp_path: Path) -> None:
    """Several writers, one after the other, each send the header."""
    pipe = fifo(tmp_path)
    thread = pour(pipe, text(0, 10))
    source = open_source(pipe, follow=Follow(idle_timeout_s=1.5))
    with source.open(SCHEMA) as reader:
        found = next(block for block in reader if len(block)).records["n"].to_pylist()
        thread.join()
        thread = pour(pipe, text(10, 20))
        found += [n for block in reader for n in block.records["n"].to_pylist()]
    assert found == list(range(20))
    thread.join()


def test_a_temporary_spool_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are removed after the read, and the folder with the source."""
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 200)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    pipe = fifo(tmp_path)
    thread = pour(pipe, text(0, 100))
    source = open_source(pipe)
    assert rows(source)[0] == list(range(100))
    [folder] = (tmp_path / "tmp").iterdir()
    assert list(folder.iterdir()) == []
    thread.join()
    del source
    assert list((tmp_path / "tmp").iterdir()) == []


def labelled(start: int, stop: int) -> bytes:
    """Return rows of text with a label."""
    return ("n,label\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(start, stop))).encode()


def train(run_dir: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a job that learns from standard input."""
    settings = ["--target", "label", "--batch-size", "8", "--hidden-layers", "4", "--checkpoint-every", "5"]
    command = [sys.executable, "-m", "stream_bp", "train", "-", *settings, "--run-dir", str(run_dir), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(run_dir: Path, rows_saved: int) -> None:
    """Wait until a checkpoint has so many rows."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            if load(run_dir).snapshot.state["rows"] >= rows_saved:
                return
        except ValueError:
            pass
        time.sleep(0.05)
    raise AssertionError("the job does not come so far")


def test_a_killed_job_goes_on_with_its_spool_to_the_same_bits(tmp_path: Path) -> None:
    """Data before the kill is learned from the spool, later data from the pipe."""
    jobs = {}
    for name, is_killed in (("killed", True), ("whole", False)):
        run_dir, kept = tmp_path / name, ("--spool", str(tmp_path / f"{name}-spool"))
        job = train(run_dir, *kept)
        assert job.stdin is not None
        job.stdin.write(labelled(0, 400))
        job.stdin.flush()
        if is_killed:
            wait_for(run_dir, 120)
            time.sleep(0.5)
            job.send_signal(signal.SIGKILL)
            with job:
                assert job.wait() == -signal.SIGKILL
            job = train(run_dir, *kept)
            assert job.stdin is not None
            job.stdin.write(labelled(400, 1_000))
        else:
            assert job.stdin is not None
            job.stdin.write(labelled(400, 1_000).removeprefix(b"n,label\n"))
        said = job.communicate()[1]
        assert job.returncode == 0, said
        loaded = load(run_dir)
        jobs[name] = (
            loaded.snapshot.state["rows"],
            loaded.snapshot.tensors["W1"].tobytes(),
            (run_dir / "history.csv").read_bytes(),
        )
    assert jobs["killed"] == jobs["whole"]
    assert jobs["killed"][0] == 1_000


def test_without_a_spool_a_job_says_what_is_lost(tmp_path: Path) -> None:
    """It resumes with the data that comes next."""
    job = train(tmp_path / "run")
    assert b"standard input is read once" in job.communicate(labelled(0, 100))[1]
    job = train(tmp_path / "run")
    assert job.communicate(labelled(500, 540))[1] is not None
    assert job.returncode == 0
    assert load(tmp_path / "run").snapshot.state["rows"] == 140


@pytest.mark.parametrize("watching", [{}, {"log_format": "json"}, {"quiet": True}], ids=["text", "json", "quiet"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_job_says_once_that_it_waits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    watching: dict[str, Any],
) -> None:
    """The message has the format of the log, and does not appear with --quiet."""
    monkeypatch.setattr(intervals, "PATIENCE_S", 0.0)
    place = fifo(tmp_path) if kind == "pipe" else tmp_path / "folder"
    if kind == "folder":
        place.mkdir()
    settings = {"target": "label", "follow": True, "idle_timeout": "0.2s", **watching}
    with pytest.raises(SourceError, match=f"{place}: no data came"):
        train_command.run(
            [str(place)], None, settings, {}, prints_config=False, is_dry_run=False, as_json=False, is_verbose=False
        )
    said = [line for line in capsys.readouterr().err.splitlines() if "waiting" in line]
    line = f"{place}: waiting for the first rows"
    if watching.get("log_format") == "json":
        assert [json.loads(one)["message"] for one in said] == [line]
    else:
        assert said == ([] if watching else [line])


@pytest.mark.parametrize("command", ["evaluate", "predict", "compare"])
def test_what_reads_a_pipe_beside_a_job_says_that_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Rows that come after that are read."""
    monkeypatch.setattr(intervals, "PATIENCE_S", 0.0)
    (tmp_path / "rows.csv").write_bytes(labelled(0, 40))
    Job(open_source(tmp_path / "rows.csv"), target="label", run_dir=str(tmp_path / "run"), hidden_layers=(4,)).run()
    pipe, said, is_told = fifo(tmp_path), list[str](), threading.Event()

    def write() -> None:
        is_told.wait(20)
        pipe.write_bytes(labelled(0, 20))

    def tell(*lines: str) -> None:
        said.extend(lines)
        is_told.set()

    thread = threading.Thread(target=write)
    thread.start()
    monkeypatch.setattr(output, "remark", tell)
    monkeypatch.setattr(Log, "on_message", lambda _, line: tell(line))
    if command == "compare":
        compare.run([str(pipe)], ["mlp"], {"target": "label"}, as_json=True)
    elif command == "evaluate":
        evaluate.run(str(tmp_path / "run"), [str(pipe)], {}, as_json=True)
    else:
        out = str(tmp_path / "out.csv")
        predict.run(str(tmp_path / "run"), [str(pipe)], out, {}, {})
    thread.join()
    line = f"{pipe}: waiting for the first rows"
    assert said[:1] == [line]
    assert said.count(line) == 1
