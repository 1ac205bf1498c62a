"""Rows that cannot be read: an error, or counted, or kept, up to a limit; from text and from damaged files."""

import csv
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import ConnectorError, RecordBatchSlice, RowError, SourceError, open_source
from connectors.formats import base as files_module
from connectors.formats.csv import arrow_csv
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError
from stream_bp.job.bad_rows import escaped
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.persistence.checkpoints import load

GOOD = [f"{i},{i / 4},{'ab'[i % 2]}" for i in range(200)]
BAD = {3: "1,2", 50: "x,1,a", 51: '1,"2"3,a', 199: "1,2,a,4", 200: "1,2,\0"}


def write(path: Path, bad: dict[int, str] | None = None) -> Path:
    """Write a file of 200 rows, with what is none before the rows of some numbers."""
    lines = []
    for i in range(len(GOOD) + 1):
        lines += [line for at, line in (BAD if bad is None else bad).items() if at == i]
        lines += GOOD[i : i + 1]
    path.write_text("\n".join(["i,x,label", *lines]) + "\n")
    return path


def run(path: Path, **settings: Any) -> Summary:
    """Learn a file."""
    config = JobConfig.of(
        {"target": "label", "batch_size": 8, "hidden_layers": (4,), "checkpoint_every": "1", **settings}
    )
    return Job(open_source(path, **config.source_settings), config).run()


def quarantined(run_dir: Path) -> list[dict[str, str]]:
    """Return what was kept."""
    with (run_dir / "quarantine.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what tells how long each text was that is parsed from here on."""
    texts: list[int] = []
    parse = arrow_csv.read_records

    def counted(text: bytes, *rest: Any) -> Any:
        texts.append(len(text))
        return parse(text, *rest)

    monkeypatch.setattr(arrow_csv, "read_records", counted)
    return texts


@pytest.mark.parametrize("cell", ["2024-03-01 10:00:{}", "True", "1.5e{}", "{}", "word"])
@pytest.mark.parametrize("wrong", ["short", "oops,1,a", "oops,1,a,more"])
def test_a_bad_row_is_found_in_few_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, wrong: str
) -> None:
    """Whatever the types of the columns are: no cell is parsed by itself for nothing, neither to tell types."""
    lines = [f"{i},{cell.format(10 + i % 50)},{cell.format(10 + i % 50)}" for i in range(2_000)]
    for at in (1_900, 1_000, 100):
        lines[at:at] = [wrong]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["i,x,label", *lines]) + "\n")
    texts = parsed(monkeypatch)
    source = open_source(path, keeps_bad_rows=True)
    with source.open(source.schema) as reader:
        blocks = list(reader)
        bad = [*(row for block in blocks for row in block.bad), *reader.bad]
    assert (sum(map(len, blocks)), len(bad)) == (2_000, 3)
    assert len(texts) < 100
    assert sum(texts) < 100 * path.stat().st_size


@pytest.mark.parametrize("wrong", [None, "oops"])
@pytest.mark.parametrize(
    "cell", ["word", "2024-03-01 10:00:{:02}", "2024-03-01 10:00:00.1234567{:02}", "9999-01-{:02} 10:00:00", "{}"]
)
def test_types_of_many_columns_are_told_by_reading_the_text_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, wrong: str | None
) -> None:
    """Not once more for each of them, whatever they hold, and whether a word stands among their values or not."""
    n_columns = 100
    rows = [[cell.format(10 + i % 9)] * n_columns for i in range(200)]
    if wrong is not None:
        rows[120] = [wrong] * n_columns
    path = tmp_path / "rows.csv"
    header = [f"c{i}" for i in range(n_columns)]
    path.write_text("".join(",".join(line) + "\n" for line in [header, *rows]))
    texts = parsed(monkeypatch)
    assert len(set(open_source(path).schema.types)) == 1
    assert sum(texts) < 30 * path.stat().st_size


def test_a_type_is_tried_once_however_many_columns_and_files_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether text can be read as it is a question to Arrow that each column of each file had asked."""
    header = ",".join(f"c{i}" for i in range(50))
    for i in range(20):
        (tmp_path / f"{i}.csv").write_text(f"{header}\n{','.join(['1.5'] * 50)}\n")
    texts = parsed(monkeypatch)
    source = open_source(tmp_path)
    with source.open(source.schema) as reader:
        assert sum(map(len, reader)) == 20
    assert len(texts) < 10 * 20


def test_bad_rows_are_kept_with_their_place_reason_and_bytes(tmp_path: Path) -> None:
    """What is learned is what a file without them teaches; what is not is in the quarantine, and counted by kind."""
    path = write(tmp_path / "rows.csv")
    summary = run(path, on_bad_row="quarantine", run_dir=str(tmp_path / "run"))
    clean = run(write(tmp_path / "clean.csv", {}))
    assert (summary.rows, summary.weights_sha256, summary.metrics) == (200, clean.weights_sha256, clean.metrics)
    assert summary.quality["bad_rows"] == {"fields": 2, "type": 1, "quotes": 1, "nul": 1}
    kept = quarantined(tmp_path / "run")
    assert [(int(row["row"]), row["kind"]) for row in kept] == [
        (3, "fields"),
        (50, "type"),
        (51, "quotes"),
        (199, "fields"),
        (200, "nul"),
    ]
    text = path.read_bytes()
    for row, line in zip(kept, BAD.values(), strict=True):
        assert text[int(row["offset"]) :].startswith(line.encode())
        assert row["content"] == escaped(line.encode() + b"\n")
        assert row["source"] == str(path)
    assert kept[1]["reason"] == "column 'i': expected double, found 'x'"


def test_skipped_rows_are_counted_alone(tmp_path: Path) -> None:
    """No file is made, and the history tells how many there were when."""
    summary = run(write(tmp_path / "rows.csv"), on_bad_row="skip", run_dir=str(tmp_path / "run"))
    assert sum(summary.quality["bad_rows"].values()) == 5
    assert not (tmp_path / "run" / "quarantine.csv").exists()
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        assert [row["bad_rows"] for row in csv.DictReader(file)][-1] == "5"


def test_an_error_is_what_a_job_ends_with_unless_told_otherwise(tmp_path: Path) -> None:
    """The first bad row is named; the same job, told to skip, goes on from where it ended."""
    path = write(tmp_path / "rows.csv", {50: "x,1,a"})
    settings: dict[str, Any] = {"run_dir": str(tmp_path / "run")}
    with pytest.raises(RowError, match=r"rows\.csv, row 50 \(line 52\): column 'i': expected double, found 'x'"):
        run(path, **settings)
    assert load(tmp_path / "run").snapshot.state["rows"] == 48
    assert run(path, **settings, on_bad_row="skip").rows == 200


@pytest.mark.parametrize(("limit", "row"), [("0", 3), ("2", 51), ("3", 199), ("4", 200)])
def test_a_bad_row_too_many_ends_the_job(tmp_path: Path, limit: str, row: int) -> None:
    """Up to it everything is learned and saved, and kept; a higher limit goes on."""
    path, run_dir = write(tmp_path / "rows.csv"), tmp_path / "run"
    settings: dict[str, Any] = {"on_bad_row": "quarantine", "run_dir": str(run_dir)}
    with pytest.raises(RowError, match=f"row {row} .*bad row number {int(limit) + 1}, more than --max-bad-rows"):
        run(path, max_bad_rows=limit, **settings)
    assert load(run_dir).snapshot.state["rows"] == row - row % 8
    assert len(quarantined(run_dir)) == int(limit) + 1
    summary = run(path, max_bad_rows="5", **settings)
    assert summary.rows == 200
    whole = run(path, max_bad_rows="5", on_bad_row="quarantine", run_dir=str(tmp_path / "whole"))
    assert summary.weights_sha256 == whole.weights_sha256
    assert quarantined(run_dir) == quarantined(tmp_path / "whole")


def test_a_share_means_something_after_a_thousand_records(tmp_path: Path) -> None:
    """A bad first row is no hundred percent; at the end the share counts in any case."""
    path = write(tmp_path / "rows.csv")
    assert run(path, on_bad_row="skip", max_bad_rows="3%").rows == 200
    with pytest.raises(RowError, match="5 of 205 rows are bad"):
        run(path, on_bad_row="skip", max_bad_rows="2%")
    path.write_text("i,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(1_500)) + "1\n" * 40 + "1,a\n" * 500)
    with pytest.raises(RowError, match=r"row 1500 .*bad row number 31,"):
        run(path, on_bad_row="skip", max_bad_rows="2%")


def test_settings_that_contradict_each_other_are_refused() -> None:
    """A quarantine needs a place, a limit something to limit."""
    with pytest.raises(ConfigError, match="run-dir"):
        Job(open_source(table()), target="label", on_bad_row="quarantine")
    with pytest.raises(ConfigError, match="max_bad_rows has no effect with on_bad_row error"):
        JobConfig.of({"target": "y", "max_bad_rows": 3})
    for wrong in ("-1", "half", "101%", "1.5"):
        with pytest.raises(ConfigError, match="max_bad_rows: expected a number of rows"):
            JobConfig.of({"target": "y", "on_bad_row": "skip", "max_bad_rows": wrong})


def test_bad_rows_do_not_decide_types(tmp_path: Path) -> None:
    """A word among a hundred numbers, in the part that types are told from, is a bad row, not a column of words."""
    lines = [f"{i},{'ab'[i % 2]}" for i in range(300)]
    lines[7] = "oops,a"
    (tmp_path / "rows.csv").write_text("x,label\n" + "\n".join(lines))
    assert open_source(tmp_path / "rows.csv").schema.field("x").type == pa.int64()
    assert run(tmp_path / "rows.csv", on_bad_row="skip").quality["bad_rows"] == {"type": 1}
    mixed = [f"{i if i % 50 else 'n. a.'},a" for i in range(300)]
    (tmp_path / "rows.csv").write_text("x,label\n" + "\n".join(mixed))
    assert open_source(tmp_path / "rows.csv").schema.field("x").type == pa.string()


def test_a_file_of_another_kind_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a good row must not fill the memory."""
    monkeypatch.setattr(files_module, "_MOST_BAD", 1_000)
    path = tmp_path / "rows.csv"
    path.write_text("i,x,label\n1,2,a\n2,3,b\n" + "nothing\n" * 1_200)
    with pytest.raises(RowError, match="more than 1,000 consecutive bad rows"):
        run(path, on_bad_row="skip")


@pytest.mark.parametrize("block_size", [64, 1 << 20])
@pytest.mark.parametrize("end", ["", "4,5,b\n"])
def test_what_stands_before_too_many_bad_rows_is_handed_over(
    tmp_path: Path, block_size: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, and the bad rows in it, in whatever blocks it is read, and whether a good row comes behind them."""
    monkeypatch.setattr(files_module, "_MOST_BAD", 100)
    path = tmp_path / "rows.csv"
    path.write_text("i,x,label\n" + "1,2,a\nbad\n" * 50 + "nothing\n" * 120 + end)
    source = open_source(path, block_size=block_size, keeps_bad_rows=True)
    blocks: list[RecordBatchSlice] = []
    with source.open(source.schema) as reader, pytest.raises(RowError, match=r"row 50: more than 100 consecutive"):
        blocks.extend(reader)
    assert (sum(map(len, blocks)), sum(len(block.bad) for block in blocks)) == (50, 49)


def table(n: int = 4_000) -> pa.Table:
    """Return rows of a number and a label."""
    return pa.table({"i": range(n), "x": [str(i / 2) for i in range(n)], "label": ["ab"[i % 2] for i in range(n)]})


def test_a_damaged_row_group_costs_its_rest(tmp_path: Path) -> None:
    """A flipped bit in a page: the rows of the group behind it are left out, the next group is read."""
    path = tmp_path / "rows.parquet"
    pq.write_table(
        table(), path, row_group_size=1_000, write_page_checksum=True, compression="none", use_dictionary=False
    )
    data = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(2).column(0)
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConnectorError, match=r"rows\.parquet"):
        run(path)
    summary = run(path, on_bad_row="quarantine", run_dir=str(tmp_path / "run"))
    assert summary.rows == 3_000
    [kept] = quarantined(tmp_path / "run")
    assert (kept["row"], kept["offset"], kept["kind"]) == ("2000", "2000", "damage")
    assert kept["reason"].startswith("1000 rows up to the end of the row group are damaged")


def test_a_damaged_footer_costs_the_file(tmp_path: Path) -> None:
    """What is no Parquet at all is one bad row beside the files that are."""
    for name in ("a", "c"):
        pq.write_table(table(100), tmp_path / f"{name}.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(SourceError, match=r"b\.parquet"):
        run(tmp_path)
    summary = run(tmp_path, on_bad_row="quarantine", run_dir=str(tmp_path / "run"), epochs=2)
    assert summary.rows == 400
    [kept] = quarantined(tmp_path / "run")
    assert kept["row"] == "100"
    assert kept["reason"].startswith("the whole file cannot be read: ")
    only = tmp_path / "only.parquet"
    only.write_bytes(b"nonsense")
    with pytest.raises(SourceError, match=r"only\.parquet"):
        run(only, on_bad_row="skip")


def test_words_among_numbers_of_parquet_are_bad_rows(tmp_path: Path) -> None:
    """Where a column of words is read as numbers, a word that is none costs its row."""
    words = [str(i) for i in range(100)]
    words[40], words[50], words[51], words[99] = "forty", " 50 ", "", "ninety"
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": words, "label": ["a", "b"] * 50}), path, row_group_size=30)
    settings: dict[str, Any] = {"numeric": ["x"], "on_bad_row": "quarantine", "run_dir": str(tmp_path / "run")}
    summary = run(path, **settings)
    assert summary.rows == 98
    kept = quarantined(tmp_path / "run")
    assert [(row["row"], row["offset"], row["content"]) for row in kept] == [
        ("40", "40", "forty"),
        ("98", "99", "ninety"),
    ]
    assert summary.quality["missing"] == {"x": 1}


@pytest.mark.parametrize("size", [16, 300, 4_096, 1 << 20])
def test_text_that_was_cut_off_in_its_compression_is_read_up_to_there(tmp_path: Path, size: int) -> None:
    """The same rows whatever the block size; the record that is cut in two is none of them."""
    path = tmp_path / "rows.csv.gz"
    data = gzip.compress(b"i,x,label\n" + b"".join(b"%d,%d,a\n" % (i, i * 7919 % 1000) for i in range(30_000)))
    path.write_bytes(data[: len(data) * 2 // 3])
    source = open_source(path, block_size=size, keeps_bad_rows=True)
    values = []
    with source.open(pa.schema([("i", pa.int64())])) as reader:
        for block in reader:
            values += block.records["i"].to_pylist()
        [bad] = reader.bad
    assert values == list(range(len(values)))
    assert 15_000 < len(values) < 25_000
    assert (bad.kind, bad.row) == ("damage", len(values))
    assert f"{len(values)},".startswith(bad.content.decode()[:3])


def test_what_lies_behind_the_last_row_is_kept_whatever_the_epochs(tmp_path: Path) -> None:
    """It is met once, at the end of the first pass, and the limit holds for it."""
    path = write(tmp_path / "rows.csv", {200: "1,2", 201: "x"})
    summary = run(path, on_bad_row="quarantine", run_dir=str(tmp_path / "run"), epochs=2)
    assert summary.rows == 400
    assert summary.quality["bad_rows"] == {"fields": 1}
    assert [row["row"] for row in quarantined(tmp_path / "run")] == ["200"]
    with pytest.raises(RowError, match="bad row number 1"):
        run(path, on_bad_row="skip", max_bad_rows=0, epochs=2)


def test_rows_of_damage_count_as_many_as_they_are(tmp_path: Path) -> None:
    """A thousand rows that a damaged group takes along are a thousand; of damaged text nobody knows."""
    path = tmp_path / "rows.csv.gz"
    data = gzip.compress(b"i,x,label\n" + b"".join(b"%d,%d,%c\n" % (i, i, b"ab"[i % 2]) for i in range(3_000)))
    path.write_bytes(data[: len(data) // 2])
    assert run(path, on_bad_row="skip").quality["bad_rows"] == {"damage": 1}
    with pytest.raises(RowError, match="the number of lost rows is unknown, and --max-bad-rows sets a limit"):
        run(path, on_bad_row="skip", max_bad_rows="90%")


def test_a_wrong_checksum_costs_no_row(tmp_path: Path) -> None:
    """What can be inflated is read, and what cannot is not made up: again and again the same."""
    path = tmp_path / "rows.csv.gz"
    data = bytearray(gzip.compress(b"i,x,label\n" + b"".join(b"%d,%d,%c\n" % (i, i, b"ab"[i % 2]) for i in range(300))))
    data[-6] ^= 0x55
    path.write_bytes(data)
    summaries = [run(path, on_bad_row="skip") for _ in range(8)]
    assert {summary.rows for summary in summaries} == {300}
    assert len({summary.weights_sha256 for summary in summaries}) == 1
    assert summaries[0].quality["bad_rows"] == {"damage": 1}


def test_a_byte_that_is_no_text_costs_its_row_in_any_encoding(tmp_path: Path) -> None:
    """The rest of the file is read; as an error it is one line."""
    path = tmp_path / "rows.csv"
    lines = [f"{i};{i};{'ab'[i % 2]}".encode("cp1252") for i in range(300)]
    lines[100] = b"1;\x81;a"
    path.write_bytes("größe;b;label\n".encode("cp1252") + b"\n".join(lines))
    assert run(path, on_bad_row="skip").rows == 299
    with pytest.raises(RowError, match=r"row 100 .*invalid in its encoding"):
        run(path)


def test_bad_rows_before_a_failure_within_a_stretch_are_kept(tmp_path: Path) -> None:
    """Classes too many end a job in the middle of what is learned at once: what was passed by until then is kept."""
    lines = [f"{i},c{i}" for i in range(1_100)]
    path = tmp_path / "rows.csv"
    path.write_text("x,label\n" + "\n".join(line + "\n1" if i % 10 == 0 else line for i, line in enumerate(lines)))
    settings: dict[str, Any] = {"on_bad_row": "quarantine", "run_dir": str(tmp_path / "run"), "batch_size": 1}
    with pytest.raises(ValueError, match="more than 1000 classes"):
        run(path, task="classification", checkpoint_every="1h", **settings)
    assert load(tmp_path / "run").snapshot.state["quality"]["bad"] == {"fields": 100}
    assert len(quarantined(tmp_path / "run")) == 100


def test_a_job_that_reads_no_row_says_so(tmp_path: Path) -> None:
    """Everything bad is no success."""
    path = tmp_path / "rows.csv"
    path.write_text("x,label\n" + "n.k.,a\nn.k.,b\n" * 15)
    with pytest.raises(ValueError, match=r"no row could be read, 30 are bad \(type\)"):
        run(path, on_bad_row="skip", numeric=["x"], task="classification")


def test_a_journal_of_rows_that_no_checkpoint_has_is_not_lost_by_asking_again(tmp_path: Path) -> None:
    """The same job again, or a shorter one, leaves what was kept; a file of somebody else is refused."""
    path = write(tmp_path / "rows.csv", {200: "1,2"})
    settings: dict[str, Any] = {"run_dir": str(tmp_path / "run")}
    run(path, on_bad_row="quarantine", **settings)
    kept = (tmp_path / "run" / "quarantine.csv").read_bytes()
    run(path, on_bad_row="quarantine", **settings)
    run(path, on_bad_row="skip", max_rows=100, **settings)
    assert (tmp_path / "run" / "quarantine.csv").read_bytes() == kept
    (tmp_path / "run" / "quarantine.csv").write_text("mine\n")
    with pytest.raises(ValueError, match=r"quarantine\.csv was not written by stream-bp"):
        run(path, on_bad_row="skip", **settings)


def test_zones_are_remembered(tmp_path: Path) -> None:
    """A column of moments with a zone stays one, though a file that has grown would tell another type."""
    path = tmp_path / "rows.csv"
    path.write_text("t,label\n" + "".join(f"2020-01-01T10:{i % 60:02}:00Z,{'ab'[i % 2]}\n" for i in range(100)))
    settings: dict[str, Any] = {"run_dir": str(tmp_path / "run"), "on_bad_row": "skip"}
    run(path, **settings)
    with path.open("a") as file:
        file.write("".join(f"{'2020-01-02T10:00:00Z' if i else 'unknown'},a\n" for i in range(100)))
    summary = run(path, **settings)
    assert summary.rows == 199
    assert summary.quality["bad_rows"] == {"type": 1}


def test_a_model_that_cannot_be_resumed_ends_its_files_once(tmp_path: Path) -> None:
    """Where too many bad rows end the job of a River model, history and quarantine have each line once."""
    from river import linear_model

    path, run_dir = tmp_path / "rows.csv", tmp_path / "run"
    path.write_text("x,y\n" + "".join(f"{i % 3},{i % 2}\n" + "1,2,3\n" * (i % 5 == 4) for i in range(200)))
    settings: dict[str, Any] = {"on_bad_row": "quarantine", "max_bad_rows": "5%", "run_dir": str(run_dir)}
    job = Job(open_source(path, keeps_bad_rows=True), target="y", model=linear_model.LogisticRegression(), **settings)
    with pytest.raises(RowError, match="40 of 240 rows are bad"):
        job.run()
    assert len((run_dir / "history.csv").read_text().splitlines()) == 2
    assert len(quarantined(run_dir)) == 40
