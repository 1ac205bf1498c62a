"""JSON lines: values, types, bad lines, and independence of blocks."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import BadRow, Cursor, RowError, SchemaError, SourceError, open_source
from connectors.fields import copy_of
from connectors.files.followed_source import Follow
from connectors.testing import through_json


def source_of(tmp_path: Path, text: str | bytes, **settings: Any) -> Any:
    """Write a file of lines, and open it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(path, **settings)


def read(source: Any, schema: pa.Schema | None = None, cursor: Cursor | None = None) -> tuple[list[Any], list[BadRow]]:
    """Return all rows and all bad rows."""
    rows: list[Any] = []
    bad: list[BadRow] = []
    with source.open(schema or source.schema, cursor) as reader:
        for block in reader:
            rows += block.records.to_pylist()
            bad += [note for note in block.notes if isinstance(note, BadRow)]
        bad += [note for note in reader.notes if isinstance(note, BadRow)]
    return rows, bad


def test_objects_become_columns_and_a_missing_key_is_null(tmp_path: Path) -> None:
    """The order is that of the first appearance; a column is named by its path."""
    text = '{"place": {"city": "Rom", "at": {"x": 1}}, "n": 1}\n\n{"n": 2, "new.key": true}\r\n{"place": null}\n'
    source = source_of(tmp_path, text)
    assert source.schema.names == ["place.city", "place.at.x", "n", "new.key"]
    assert read(source)[0] == [
        {"place.city": "Rom", "place.at.x": 1, "n": 1, "new.key": None},
        {"place.city": None, "place.at.x": None, "n": 2, "new.key": True},
        {"place.city": None, "place.at.x": None, "n": None, "new.key": None},
    ]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "-5", "null"], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["1", "99999999999999999999"], pa.float64()),
        (["NaN", "1.5"], pa.float64()),
        (["true", "null"], pa.bool_()),
        (['"a"', '"007"'], pa.string()),
        (['"2024-01-31"'], pa.date32()),
        (['"2024-01-31T10:00:00"', '"2024-02-01 11:30"'], pa.timestamp("us")),
        (['"2024-01-31T10:00:00Z"', '"2024-01-31T10:00:00+02:00"'], pa.timestamp("us", "UTC")),
        (["null"], pa.null()),
        (["1", '"a"'], pa.string()),
    ],
)
def test_types_are_inferred_from_the_values(tmp_path: Path, values: list[str], type_: pa.DataType) -> None:
    """Numbers, booleans, moments and words; a mixture is words."""
    source = source_of(tmp_path, "".join(f'{{"k": 1, "v": {value}}}\n' for value in values))
    assert source.schema.field("v").type == type_
    assert len(read(source)[0]) == len(values)


def test_a_mixture_is_said_and_copied_as_it_is_written(tmp_path: Path) -> None:
    """Numbers in a column of words keep their digits, with a warning."""
    source = source_of(tmp_path, '{"v": 1.10}\n{"v": "a"}\n{"v": true}\n')
    assert [row["v"] for row in read(source)[0]] == ["1.10", "a", "true"]
    assert "numbers" in source.type_warnings["v"]
    assert "--types v=number" in source.type_warnings["v"]


def test_integers_in_a_column_of_words_keep_their_text(tmp_path: Path) -> None:
    """Whoever parses them: Arrow reads a block of integers alone."""
    numbers = ["12", "-3", "null", "9223372036854775807", "99999999999999999999", "-0", "1.50", '"007"']
    schema = pa.schema([("v", pa.string())])
    expected = [None if word == "null" else word.strip('"') for word in numbers]
    for size in (16, 1 << 20):
        for n in (4, 8):
            text = "".join(f'{{"v": {number}}}\n' for number in numbers[:n])
            assert [row["v"] for row in read(source_of(tmp_path, text, block_size=size), schema)[0]] == expected[:n]


def test_a_column_is_read_and_copied_as_it_is_written(tmp_path: Path) -> None:
    """Its numbers are numbers, and its text is kept."""
    schema = pa.schema([("v", pa.float64()), copy_of("v", pa.string())])
    rows, _ = read(source_of(tmp_path, '{"v": 1.10}\n{"v": 2}\n{"v": null}\n'), schema)
    assert [tuple(row.values()) for row in rows] == [(1.1, "1.10"), (2.0, "2"), (None, None)]


def test_numbers_in_strings_are_numbers_on_request(tmp_path: Path) -> None:
    """As in CSV: blanks around them do not matter, and words for nothing are null."""
    source = source_of(
        tmp_path, '{"v": " 1.5"}\n{"v": "N/A"}\n{"v": 2}\n{"v": "?"}\n{"v": -9}\n', null_values=["?", "-9"]
    )
    assert [row["v"] for row in read(source, pa.schema([("v", pa.float64())]))[0]] == [1.5, None, 2.0, None, None]


def test_arrays_are_left_out_and_said(tmp_path: Path) -> None:
    """One remark for a column."""
    source = source_of(tmp_path, '{"v": 1, "tags": ["a"]}\n{"v": 2, "tags": []}\n')
    assert source.schema.names == ["v"]
    assert "'tags' holds arrays" in source.remarks[0]


BAD = [
    ('{"i": "oops", "w": "a"}', "type", "column 'i': expected int64, found 'oops'"),
    ('{"i": 1.5, "w": "a"}', "type", "column 'i': expected int64, found 1.5"),
    ('{"i": {"x": 1}}', "type", "expected int64, found an object"),
    ('{"i": 1, "i": 2}', "fields", "column 'i': the key 'i' occurs twice"),
    ('{"i": 1}{"i": 2}', "fields", "not JSON: extra data at character 9"),
    ('{"i": 1', "fields", "not JSON: expecting"),
    ("[1]", "fields", "expected a JSON object, found an array"),
    ("i,w", "fields", "not JSON"),
    ('{"i": 1\0}', "nul", "a NUL byte"),
    ('{"w": "\udcff"}', "encoding", "column 'w'"),
    ('{"w": "\\ud800"}', "encoding", "column 'w'"),
    ('{"t": "soon"}', "type", "column 't': 'soon'"),
]


@pytest.mark.parametrize(("line", "kind", "words"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, line: str, kind: str, words: str) -> None:
    """With its number, and the rows around it stay."""
    schema = pa.schema([("i", pa.int64()), ("w", pa.string()), ("t", pa.date32())])
    good = '{"i": 1, "w": "b", "t": "2024-01-31"}\n'
    text = (good + "\n" + line + "\n" + good).encode(errors="surrogateescape")
    rows, bad = read(source_of(tmp_path, text, keeps_bad_rows=True), schema)
    assert len(rows) == 2
    assert [(one.row, one.kind, one.offset) for one in bad] == [(1, kind, len(good) + 1)]
    assert words in bad[0].reason
    with pytest.raises(RowError, match=r"a\.jsonl, row 1 \(line 3\)"):
        read(source_of(tmp_path, text), schema)


def test_what_a_line_holds_besides_does_not_matter(tmp_path: Path) -> None:
    """Keys that no column has may occur twice, and hold anything; blank lines are no records."""
    text = b'{"i": 1}\n  \n{"i": 2, "z": 1, "z": "\xff"}\n{"i": 3, "y": [1, {"i": 4}]}\n{"i": "x"}\n'
    rows, bad = read(source_of(tmp_path, text, keeps_bad_rows=True), pa.schema([("i", pa.int64())]))
    assert [row["i"] for row in rows] == [1, 2, 3]
    assert len(bad) == 1


def lines(n: int) -> Iterator[str]:
    """Yield lines of every kind, one in six of them bad."""
    chance = random.Random(7)
    others = [line for line, *_ in BAD] + ["   ", '{"i": 3, "f": "4"}', '{"w": 1.10}', '{"f": NaN}', '{"f": Inf}', "{}"]
    for i in range(n):
        good = {"i": i, "n": i, "f": i / 8, "w": "é" * (i % 5), "p": {"c": f"{i % 3}"}, "t": "2024-01-31"}
        yield chance.choice(others) if not i % 6 else json.dumps(good, ensure_ascii=i % 2 == 0)


def test_rows_and_cursors_do_not_depend_on_blocks(tmp_path: Path) -> None:
    """Which lines share a block decides who parses them, and nothing else; a reader may be resumed at every row."""
    text = "\n".join(lines(150)).encode(errors="surrogateescape")
    kinds = {
        "i": pa.int64(),
        "n": pa.string(),
        "f": pa.float64(),
        "w": pa.string(),
        "p.c": pa.string(),
        "t": pa.date32(),
    }
    schema = pa.schema(list(kinds.items()))
    found = []
    for size in (16, 100, 1000, 1 << 20):
        source = source_of(tmp_path, text, keeps_bad_rows=True, block_size=size)
        rows, bad = read(source, schema)
        found.append((list(map(repr, rows)), [(one.row, one.offset, one.kind, one.reason) for one in bad]))
    assert all(one == found[0] for one in found)
    with source.open(schema) as reader:
        block = next(reader)
    for n in range(0, len(rows), 7):
        rest, bad = read(source_of(tmp_path, text, keeps_bad_rows=True), schema, through_json(block.cursor(n)))
        assert (list(map(repr, rest)), len(bad)) == (found[0][0][n:], sum(one[0] >= n for one in found[0][1]))


def test_types_do_not_depend_on_blocks(tmp_path: Path) -> None:
    """The sample is the first MiB of records."""
    text = '{"v": 1}\n' * 120_000 + '{"v": 1.5}\n'
    for size in (64, 1 << 21):
        assert source_of(tmp_path, text, block_size=size).schema.field("v").type == pa.int64()


def test_a_growing_file_is_followed_and_resumed(tmp_path: Path) -> None:
    """An incomplete line is held back; a reader resumed in the middle reads on."""
    path = tmp_path / "log.ndjson"
    path.write_text('{"v": 1}\n{"v": 2}\n{"v": ')
    source = open_source(path, follow=Follow(idle_timeout_s=0.2))
    with source.open(source.schema) as reader:
        block = next(reader)
        assert block.records["v"].to_pylist() == [1, 2]
        cursor = through_json(block.cursor(1))
        with path.open("a") as file:
            file.write("3}\n")
        assert next(reader).records["v"].to_pylist() == [3]
    assert [row["v"] for row in read(open_source(path, follow=Follow(idle_timeout_s=0.2)), None, cursor)[0]] == [2, 3]


def test_a_column_of_values_and_of_objects_is_refused(tmp_path: Path) -> None:
    """Both cannot be read at once."""
    source = source_of(tmp_path, '{"a": {"b": 2}, "c": 1}\n{"a": 1}\n', keeps_bad_rows=True)
    assert source.schema.names == ["a.b", "c"]
    (tmp_path / "b.jsonl").write_text('{"a": 1, "c": 1}\n')
    schema = pa.schema([("a", pa.int64()), ("a.b", pa.int64())])
    with pytest.raises(SchemaError, match=r"'a\.b' is in an object, and 'a' is a column of values too"):
        read(open_source(tmp_path / "a.jsonl", tmp_path / "b.jsonl"), schema)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """The message says what is expected."""
    with pytest.raises(RowError, match="expected one JSON object on each line; for CSV give --format csv"):
        source_of(tmp_path, "a,b\n1,2\n")
    with pytest.raises(SourceError, match="the file is empty"):
        source_of(tmp_path, "\n\n")


def test_types_do_not_depend_on_how_rows_are_cut_into_files(tmp_path: Path) -> None:
    """They follow from the first MiB of the stream: a later word is a bad row of one file as of many."""
    lines = [f'{{"n": {i}, "pad": "{"x" * 100}"}}\n' for i in range(20_000)]
    lines[15_000] = '{"n": "word", "pad": ""}\n'
    found = []
    for n_files in (1, 7, 40):
        folder = tmp_path / str(n_files)
        folder.mkdir()
        size = -(-len(lines) // n_files)
        for i in range(n_files):
            (folder / f"{i:02}.jsonl").write_text("".join(lines[i * size : (i + 1) * size]))
        source = open_source(folder, keeps_bad_rows=True)
        with source.open(source.schema) as reader:
            blocks = list(reader)
        found.append((source.schema.types, source.type_warnings, [bad.row for block in blocks for bad in block.bad]))
    assert found[0] == found[1] == found[2]
    assert found[0] == ([pa.int64(), pa.string()], {}, [15_000])


def test_a_mixture_over_several_files_is_said_once(tmp_path: Path) -> None:
    """The line counts the values of all files."""
    (tmp_path / "a.jsonl").write_text('{"v": 1}\n' * 8)
    (tmp_path / "b.jsonl").write_text('{"v": "low"}\n{"v": "low"}\n{"late": true}\n')
    source = open_source(tmp_path)
    assert source.schema.field("v").type == pa.string()
    assert "80% numbers and 20% strings" in source.type_warnings["v"]
