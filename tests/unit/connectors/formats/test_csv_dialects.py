"""Dialects of CSV text: no header, comments, escapes, long delimiters, short rows, repeated headers."""

import bz2
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import Cursor, Follow, RowError, SchemaError, open_source
from connectors.files import intervals
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.plain_text import plain_text, record_ends
from connectors.pipes import pipe, text_writer
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError
from stream_bp.planning.plan import plan

SCHEMA = pa.schema([("x", pa.int64()), ("z", pa.int64()), ("y", pa.string())])
ROWS = [(i, i % 5, "ab,\"'"[i % 5] * (i % 3)) for i in range(40)]

Row = tuple[Any, ...]


def write(
    *, names: bool = True, before: str = "", between: str = "", delimiter: str = ",", escape: str = "", quote: str = '"'
) -> str:
    """Return text with the rows; what is quoted may hold the delimiter."""
    text = before + (delimiter.join("xzy") + "\n" if names else "")
    for x, z, y in ROWS:
        cell = y.replace(quote, (escape or quote) + quote)
        text += f"{x}{delimiter}{z}{delimiter}{quote}{cell}{quote}\n" + between * (x % 4 == 1)
    return text


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "names": (write(names=False), {"names": ["x", "z", "y"]}),
    "names and a header": (write(), {"names": ["x", "z", "y"]}),
    "names, quotes of the first row": (write(names=False, quote="'"), {"names": ["x", "z", "y"]}),
    "comments": (write(before="# by hand\n#\n\n", between="# \"no, it's\\\n#x\n"), {"comment": "#"}),
    "lines before": (write(before='a "title\n\n1,2\n'), {"skip_rows": 3}),
    "sep": (write(before="sep=;\n", delimiter=";"), {}),
    "sep that is not told by the header": (write(before="\ufeffsep=~\r\n", delimiter="~"), {}),
    "sep and comments": (write(before="sep=;\n% a,b,c,d\n", delimiter=";", between="%\n"), {"comment": "%"}),
    "escapes": (write(escape="\\"), {"escape": "\\"}),
    "long delimiter": (write(delimiter="||"), {"delimiter": "||"}),
    "blanks after commas": (write(delimiter=", "), {"delimiter": ", "}),
    "runs of blanks": (write(delimiter=" \t  ").replace("\n", " \n  "), {"delimiter": "whitespace"}),
    "single quotes": (write(quote="'"), {}),
    "repeated header": (write(between="x,z,y\n"), {}),
    "repeated header in quotes": (write(between='"x","z","y"\n'), {}),
    "no last line break": (write().removesuffix("\n"), {}),
    "all": (
        write(names=False, before="1\n", between="#'\"\n", delimiter="::", escape="\\"),
        {"names": ["x", "z", "y"], "skip_rows": 1, "comment": "#", "delimiter": "::", "escape": "\\"},
    ),
}


def read(source: Any, cursor: Cursor | None = None, schema: pa.Schema = SCHEMA) -> tuple[list[Row], list[Cursor]]:
    """Return all rows, and the position after each of them."""
    rows: list[Row] = []
    cursors = []
    with source.open(schema, cursor) as reader:
        for block in reader:
            rows += zip(*(column.to_pylist() for column in block.records.columns), strict=True)
            cursors += [Cursor.from_json(block.cursor(n).to_json()) for n in range(1, len(block) + 1)]
    return rows, cursors


def expected(text: str) -> list[Row]:
    """Return the rows, with empty cells as missing."""
    return [(x, z, y or None) for x, z, y in ROWS]


@pytest.mark.parametrize("kind", KINDS)
def test_every_dialect_gives_the_same_rows_and_resumes_after_each(tmp_path: Path, kind: str) -> None:
    """Types, values and positions are right at every block size, and from every position."""
    text, settings = KINDS[kind]
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    found = open_source(path, **settings)
    assert found.schema == SCHEMA
    ends = set()
    for block_size in (16, 61, 1 << 20):
        rows, cursors = read(open_source(path, block_size=block_size, **settings))
        assert rows == expected(text)
        ends.add(tuple(cursor.state["seen"][0]["offset"] for cursor in cursors))
        for cursor in cursors[:: 7 if block_size == 16 else 23]:
            assert read(open_source(path, block_size=61, **settings), cursor)[0] == expected(text)[cursor.row :]
    assert len(ends) == 1, "positions do not depend on blocks"


@pytest.mark.parametrize("kind", KINDS)
def test_every_dialect_is_read_from_a_pipe_compressed_and_in_another_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The files of a spool are read as the text itself, whatever their number."""
    text, settings = KINDS[kind]
    (tmp_path / "a.csv").write_bytes(bz2.compress(text.encode("utf-16")))
    assert read(open_source(tmp_path / "a.csv", block_size=61, **settings))[0] == expected(text)
    monkeypatch.setattr(text_writer, "_FILE_BYTES", 200)
    monkeypatch.setattr(pipe, "READ_BYTES", 61)
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(text.encode()))
    thread.start()
    source = open_source(tmp_path / "pipe", spool=str(tmp_path / "kept"), **settings)
    rows, cursors = read(source)
    thread.join()
    assert source.schema == SCHEMA
    assert rows == expected(text)
    assert len(list((tmp_path / "kept").iterdir())) > 1
    assert read(source, cursors[20])[0] == rows[21:]


@pytest.mark.parametrize("kind", KINDS)
def test_every_dialect_is_followed_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A growing file is read at any cut as it would be whole."""
    for name, value in {"LOOK_S": 0.002, "LIST_S": 0.002, "QUIET_S": 0.002}.items():
        monkeypatch.setattr(intervals, name, value)
    text, settings = KINDS[kind]
    data, path = text.encode(), tmp_path / "a.csv"
    step = 97

    def grow() -> None:
        for at in range(0, len(data), step):
            time.sleep(0.004)
            with path.open("ab") as file:
                file.write(data[at : at + step])

    path.touch()
    thread = threading.Thread(target=grow)
    thread.start()
    rows, _ = read(open_source(path, follow=Follow(idle_timeout_s=0.4), **settings))
    thread.join()
    assert rows == expected(text)[: len(rows)]
    assert len(rows) >= len(ROWS) - (not text.endswith("\n"))


def test_short_rows_are_bad_or_padded(tmp_path: Path) -> None:
    """The error names the option; padded fields are missing, also in the last record, and long rows stay bad."""
    path = tmp_path / "a.csv"
    path.write_text('x,z,y\n1\n2,3\n"4",5,b\n6,')
    with pytest.raises(RowError, match=r"row 0 \(line 2\): expected 3 fields, found 1; --short-rows pad reads"):
        read(open_source(path))
    rows, cursors = read(open_source(path, short_rows="pad"))
    assert rows == [(1, None, None), (2, 3, None), (4, 5, "b"), (6, None, None)]
    assert [cursor.state["seen"][0]["offset"] for cursor in cursors] == [8, 12, 20, 22]
    assert open_source(path, short_rows="pad").schema == SCHEMA
    path.write_text("x,z,y\n1\n2,3,a,\n")
    with pytest.raises(RowError, match=r"row 1 \(line 3\): expected 3 fields, found 4: "):
        read(open_source(path, short_rows="pad"))


def test_an_escape_is_named_where_it_would_help(tmp_path: Path) -> None:
    r"""A row with \" and an unclosed quote; other rows do not name it."""
    path = tmp_path / "a.csv"
    path.write_text('x,z,y\n1,2,"say \\"hi\\" now"\n')
    with pytest.raises(RowError, match=r"add --escape '\\'"):
        read(open_source(path))
    assert read(open_source(path, escape="\\"))[0] == [(1, 2, 'say "hi" now')]
    path.write_text('x,z,y\n1,2,"a" b\n')
    with pytest.raises(RowError) as caught:
        read(open_source(path))
    assert "--escape" not in str(caught.value)


REMARKS = [
    ("# exported\n# by hand\nx,z,y\n1,2,a\n3,4,b\n", "first line has 1 field, and the rows have 3; .*--comment '#'"),
    ("Sales of 2024\nx;z;y\n1;2;a\n3;4;b\n", "first line has 1 field, and the rows have 3; .*--skip-rows 1"),
    ("Sales\nby hand\nx;z;y;w\n1;2;a;b\n3;4;b;c\n", "--skip-rows 2"),
    ("2024-01-01,5,red\n2024-01-02,6,blue\n", "looks like data, not names: '2024-01-01' and '5' are values; .*--names"),
    ("red,yes\nblue,no\nred,no\nblue,yes\n", "'red' and 'yes' are cells of their columns, too; .*--names"),
    ("x||z||y\n1||2||a\n", "has '||' between names; .*--delimiter"),
    ("x::z::y\n1::2::a\n", "has '::' between words; .*--delimiter '::'"),
    ("x,,y\n1,2,a\n", ""),
    ("  \n \nx,y\n1,a\n", ""),
    ("x  z  y\n1  2  a\n", "has 3 words; .*--delimiter whitespace"),
    ('x, y\n1, "a"\n2, "b"\n', "column 'y' has quotes after blanks.*--delimiter ', '"),
    ("x,y\n1,a\nx,y\n2,b\n", "lines that repeat the header are left out"),
    ("country,2019,2020\nde,1,2\nfr,3,4\n", ""),
    ("0,1,2\n5,6,a\n7,8,b\n", ""),
    ("#id,x,y\n1,2,a\n", ""),
    ("x,y\n1,a\n", ""),
    ("sep=;\nx;y\n1;a\n", ""),
]


@pytest.mark.parametrize(("text", "words"), REMARKS)
def test_what_is_odd_is_said_once(tmp_path: Path, text: str, words: str) -> None:
    """The remark names the option, and an ordinary file has none."""
    path = tmp_path / "a.csv"
    path.write_text(text)
    remarks = open_source(path).remarks
    assert len(remarks) == bool(words), remarks
    if words:
        assert re.search(words.replace("||", r"\|\|"), remarks[0]), remarks[0]


def test_lines_of_blanks_before_the_header_are_no_header(tmp_path: Path) -> None:
    """Also with comments between them, and where rows are read again from the middle."""
    path = tmp_path / "a.csv"
    path.write_text("\n  \r\n# by hand\n   \nx;y\n1;a\n2;b\n")
    for block_size in (16, 1 << 20):
        source = open_source(path, comment="#", block_size=block_size)
        assert source.schema.names == ["x", "y"]
        with source.open(source.schema) as reader:
            first = next(reader)
        with source.open(source.schema, first.cursor(1)) as reader:
            assert [row for block in reader for row in block.records.to_pylist()] == [{"x": 2, "y": "b"}]


def test_a_header_counts_though_names_are_given(tmp_path: Path) -> None:
    """A model of text without a header predicts for text with one, whatever the order of its columns."""
    path = tmp_path / "a.csv"
    path.write_text("y,z,x\na,2,1\nb,4,3\n")
    source = open_source(path, names=["x", "z", "y"])
    assert source.schema.names == ["y", "z", "x"]
    assert read(source)[0] == [(1, 2, "a"), (3, 4, "b")]
    path.write_text("")
    assert open_source(path, names=["x", "z", "y"]).schema.names == ["x", "z", "y"]


def test_names_lose_what_nobody_sees(tmp_path: Path) -> None:
    """Blanks, marks and quotes after blanks are no part of a name; names of which one is chosen must differ."""
    path = tmp_path / "a.csv"
    path.write_text('\ufeff\ufeffx, "z" ,\u00a0y\u200b, y\n1,2,a,b\n')
    assert open_source(path).schema.names == ["x", "z", "y", "y_1"]


def test_a_repeated_header_is_a_row_where_it_may_be_one(tmp_path: Path) -> None:
    """In a list of words, or with numbers among the names; in columns of words it is none."""
    path = tmp_path / "a.csv"
    words = pa.schema([("x", pa.string())])
    for text, rows in (
        ("x\nx\na\n", [("x",), ("a",)]),
        ("x,1\nx,1\na,2\n", [("x",), ("a",)]),
        ("x,y\nx,y\na,b\nmax,yes\nx,y\n", [("a",), ("max",)]),
        ('x,y\n"x,y",b\nx,y\r\n\nx,y', [("x,y",)]),
    ):
        path.write_text(text)
        for block_size in (16, 1 << 20):
            assert read(open_source(path, block_size=block_size), schema=words)[0] == rows


def test_the_quote_follows_from_the_first_two_lines(tmp_path: Path) -> None:
    """Single quotes around fields of the first row; an apostrophe is none, and later rows change nothing."""
    for lines, quote in (
        (b"x,y\n1,'a'\n", "'"),
        (b"x,y\n'1',it''s\n", '"'),
        (b"x,y\n1,it's\n", '"'),
        (b"x,y\n1,'a\n", '"'),
        (b"'x','y'\n1,a\n", "'"),
        (b"\"x\",y\n'1',2\n", '"'),
        (b"x,y\n\n\n'1','a,b'\n", "'"),
    ):
        assert Dialect().told_by(lines).quote == quote
        assert Dialect().told_by(lines + b"'1','2'\n\"3\",4\n" * 3).quote == quote
        assert Dialect().is_told(lines)
    assert not Dialect().is_told(b"x,y\n'1")
    assert Dialect().is_told(b'"x",y\n\'1')


WRONG = [
    ({"names": ["x", "z"]}, "--names gives 2 names, but the first row has 3 fields"),
    ({"names": ["x", "x", "y"]}, "names: expected names that differ, found 'x' twice"),
    ({"names": ["x", " ", "y"]}, "names: expected names that differ, found ' '"),
    ({"comment": "##"}, "comment: expected one ASCII mark"),
    ({"comment": "x"}, "comment: expected one ASCII mark"),
    ({"comment": ",", "delimiter": ","}, "comment: ',' is part of the delimiter"),
    ({"comment": "\\", "escape": "\\"}, "comment: .* is the escape already"),
    ({"escape": '"'}, "escape: expected one ASCII mark"),
    ({"escape": "|", "delimiter": "||"}, "escape: .* is part of the delimiter"),
    ({"skip_rows": -1}, "skip_rows: expected a number of lines"),
    ({"short_rows": "drop"}, "short_rows: expected one of error and pad"),
    ({"delimiter": "a\nb"}, "delimiter: expected 1 to 8 ASCII characters"),
]


@pytest.mark.parametrize(("settings", "words"), WRONG)
def test_a_wrong_setting_is_one_line(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    """It names the setting, what was expected and what was found."""
    (tmp_path / "a.csv").write_text("1,2,a\n")
    with pytest.raises(SchemaError, match=words) as caught:
        open_source(tmp_path / "a.csv", **settings)
    assert "\n" not in str(caught.value)


def test_text_is_translated_alike_whatever_stands_around_it() -> None:
    """Comments within quotes and behind escapes stay; every end is that of the text that was read."""
    text = b'1||"a\n# "" no\n#||b"||x\n# "yes\n2||\\\n# no||y\n#\n'
    dialect = Dialect("||", '"', "utf-8", comment="#", escape="\\")
    plain = plain_text(text, dialect)
    mark = plain.dialect.delimiter_byte
    assert plain.text == b'1||"a\n# "" no\n#||b"||x\n2||\\\n# no||y\n'.replace(b"||", mark).replace(
        b"#" + mark + b"b", b"#||b"
    )
    assert record_ends(text, True, dialect).tolist() == [text.index(b'# "yes'), text.rindex(b"#")]


def test_a_job_takes_the_settings_and_explains_a_missing_column(tmp_path: Path) -> None:
    """Names may be a list or one text with commas."""
    path = tmp_path / "a.csv"
    path.write_text("# by hand\n" + "".join(f"{i},{i % 5},{'ab'[i % 2]}\n" for i in range(40)))
    for names in ("x,z,y", ["x", "z", "y"]):
        config = JobConfig.of({"target": "y", "names": names, "comment": "#", "escape": "\\", "short_rows": "pad"})
        source = open_source(path, **config.source_settings)
        assert [column.name for column in plan(source, config).targets] == ["y"]
    config = JobConfig.of({"target": "y"})
    with pytest.raises(ConfigError, match=r"'y' is not in the source; .* if it is a comment, add --comment '#'"):
        plan(open_source(path, **config.source_settings), config)
    with pytest.raises(ConfigError, match="comment: ',' is part of the delimiter"):
        JobConfig.of({"target": "y", "comment": ",", "delimiter": ","})
