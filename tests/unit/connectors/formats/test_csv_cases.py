"""Cases of CSV text: how each is read, at every block size, compared with Python's csv module."""

import codecs
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import BadRow, SchemaError, open_source
from connectors.formats.csv.dialect import Dialect

WORDS = pa.schema([("a", pa.string()), ("b", pa.string())])
NUMBERS = pa.schema([("a", pa.int64()), ("b", pa.float64())])
Rows = list[tuple[Any, Any]]

# Records after the header a,b: the rows, and the kinds of bad rows.
IN_WORDS: list[tuple[bytes, Rows, str]] = [
    # plain fields, and the ends of records
    (b"1,2\n", [("1", "2")], ""),
    (b"1,2", [("1", "2")], ""),
    (b"1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")], ""),
    (b"1,2\r3,4\r", [("1", "2"), ("3", "4")], ""),
    (b"1,2\r3,4", [("1", "2"), ("3", "4")], ""),
    (b"1,2\n3,4\r\n5,6\r7,8", [("1", "2"), ("3", "4"), ("5", "6"), ("7", "8")], ""),
    (b"\n\n1,2\n\n\n3,4\n\n", [("1", "2"), ("3", "4")], ""),
    (b"\r\n\r\n1,2\r\n\r\n", [("1", "2")], ""),
    (b"\r\r1,2\r\r3,4\r\r", [("1", "2"), ("3", "4")], ""),
    (b"1,2\n\r3,4\n", [("1", "2"), ("3", "4")], ""),
    (b"1,2\n\r\n3,4\n", [("1", "2"), ("3", "4")], ""),
    (b"", [], ""),
    (b"\n", [], ""),
    (b"\r\n\r\n\n\r", [], ""),
    # empty, blank, and words for a missing value
    (b",\n", [(None, None)], ""),
    (b"1,\n", [("1", None)], ""),
    (b",2\n", [(None, "2")], ""),
    (b"1,", [("1", None)], ""),
    (b'"",""\n', [(None, None)], ""),
    (b'1,""', [("1", None)], ""),
    (b" , \n", [(" ", " ")], ""),
    (b" 1 , 2 \n", [(" 1 ", " 2 ")], ""),
    (b"NA,null\n", [("NA", "null")], ""),
    (b"nan,NULL\n", [("nan", "NULL")], ""),
    (b"#N/A,n/a\n", [("#N/A", "n/a")], ""),
    (b"#1,2\n", [("#1", "2")], ""),
    (b"\t,2\n", [("\t", "2")], ""),
    # quotes that enclose
    (b'"1","2"\n', [("1", "2")], ""),
    (b'"1",2\n3,"4"\n', [("1", "2"), ("3", "4")], ""),
    (b'"1","2"', [("1", "2")], ""),
    (b'"1,2",3\n', [("1,2", "3")], ""),
    (b'1,"2,3"', [("1", "2,3")], ""),
    (b'"a\nb",2\n', [("a\nb", "2")], ""),
    (b'"a\r\nb",2\r\n', [("a\r\nb", "2")], ""),
    (b'"a\rb",2\r', [("a\rb", "2")], ""),
    (b'"a\n\n\nb","c\r\n\r\nd"\n', [("a\n\n\nb", "c\r\n\r\nd")], ""),
    (b'"\n","\r"\n', [("\n", "\r")], ""),
    (b'"a\n","b\n"\n', [("a\n", "b\n")], ""),
    (b'1,"a\nb"\n2,"c\nd"\n', [("1", "a\nb"), ("2", "c\nd")], ""),
    (b'"' + b"long " * 50 + b'",2\n', [("long " * 50, "2")], ""),
    (b'"' + b"l\n" * 60 + b'",2\n3,4\n', [("l\n" * 60, "2"), ("3", "4")], ""),
    (b'" 1"," 2 "\n', [(" 1", " 2 ")], ""),
    # doubled quotes
    (b'"a""b",2\n', [('a"b', "2")], ""),
    (b'"""",2\n', [('"', "2")], ""),
    (b'"""a""",2\n', [('"a"', "2")], ""),
    (b'"""""",2\n', [('""', "2")], ""),
    (b'"a"",""b",2\n', [('a","b', "2")], ""),
    (b'"a""\n""b",2\n', [('a"\n"b', "2")], ""),
    (b'1,"a"""\n', [("1", 'a"')], ""),
    (b'1,"a"""', [("1", 'a"')], ""),
    (b'1,""""', [("1", '"')], ""),
    (b'"",2\n', [(None, "2")], ""),
    # quotes that are ordinary characters
    (b'5" pipe,2\n', [('5" pipe', "2")], ""),
    (b'5",6"\n', [('5"', '6"')], ""),
    (b'a"b"c,2\n', [('a"b"c', "2")], ""),
    (b' "a",2\n', [(' "a"', "2")], ""),
    (b'a"",2\n', [('a""', "2")], ""),
    (b'5" pipe,"two\nlines"\n', [('5" pipe', "two\nlines")], ""),
    (b'x",1\ny",2\n', [('x"', "1"), ('y"', "2")], ""),
    (b'a"\nb,c\n', [("b", "c")], "fields"),
    # broken quotes
    (b'"a"b,2\n3,4\n', [("3", "4")], "quotes"),
    (b'"a" ,2\n3,4\n', [("3", "4")], "quotes"),
    (b'"a"b"c",2\n3,4\n', [("3", "4")], "quotes"),
    (b'"a""b"c,2\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"a"b\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"a"b', [], "quotes"),
    (b'"O"Brien",2\n3,4\n', [("3", "4")], "quotes"),
    (b'"a"b,"x\ny"\n3,4\n', [("3", "4")], "quotes"),
    (b'"a,2\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"a\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"a\n3,4', [("3", "4")], "quotes"),
    (b'1,2\n3,"a\n5,6\n7,8\n', [("1", "2"), ("5", "6"), ("7", "8")], "quotes"),
    (b'1,"a\n3,"b\n5,6\n', [("5", "6")], "quotes"),
    (b'1,"', [], "quotes"),
    (b'1,"\n', [], "quotes"),
    (b'"', [], "quotes"),
    (b'1,2\n"', [("1", "2")], "quotes"),
    (b'1,"a"""b\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"""\n3,4\n', [("3", "4")], "quotes"),
    (b'1,"a\n"x,y\n3,4\n', [("3", "4")], "quotes"),
    # too few and too many fields
    (b"1\n3,4\n", [("3", "4")], "fields"),
    (b"1,2,3\n3,4\n", [("3", "4")], "fields"),
    (b"1,2,\n3,4\n", [("3", "4")], "fields"),
    (b",,\n3,4\n", [("3", "4")], "fields"),
    (b" \n3,4\n", [("3", "4")], "fields"),
    (b'""\n3,4\n', [("3", "4")], "fields"),
    (b'"a\nb"\n3,4\n', [("3", "4")], "fields"),
    (b'"a,b"\n3,4\n', [("3", "4")], "fields"),
    (b"1,2\n3\n", [("1", "2")], "fields"),
    (b"1,2\n3", [("1", "2")], "fields"),
    (b"1,2\n3,4,5", [("1", "2")], "fields"),
    (b"1\n2\n3\n", [], "fields fields fields"),
    (b"1\n\n2,3\n4\n", [("2", "3")], "fields fields"),
    (b"1;2\n3,4\n", [("3", "4")], "fields"),
    (b"1\t2\n3,4\n", [("3", "4")], "fields"),
    # bytes that are not text
    (b"1,\xff\n3,4\n", [("3", "4")], "encoding"),
    (b"\xc3,2\n3,4\n", [("3", "4")], "encoding"),
    (b"1,\xc3\xa9\n", [("1", "é")], ""),
    (b"\xe2\x86\x92,\xf0\x9f\x8e\x89\n", [("→", "🎉")], ""),
    (b"1,\xed\xa0\x80\n3,4\n", [("3", "4")], "encoding"),
    (b"1,\0\n3,4\n", [("3", "4")], "nul"),
    (b"\0\n3,4\n", [("3", "4")], "nul"),
    (b'1,"a\0b"\n3,4\n', [("3", "4")], "nul"),
    (b"1,2\n\0\0\0\0", [("1", "2")], "nul"),
    (b"1,2\n3,\0,5\n", [("1", "2")], "nul"),
    (b"1,\x01\x02\n", [("1", "\x01\x02")], ""),
    (b"1,a\x0bb\x0cc\n", [("1", "a\x0bb\x0cc")], ""),
    ("1,a\u2028b\u0085c\n".encode(), [("1", "a\u2028b\u0085c")], ""),
    (b"\xef\xbb\xbf1,2\n", [("\ufeff1", "2")], ""),
    (b"\\,\\n\n", [("\\", "\\n")], ""),
    (b'"a\\",2\n', [("a\\", "2")], ""),
    (b'"a\\"b",2\n3,4\n', [("3", "4")], "quotes"),
]

IN_NUMBERS: list[tuple[bytes, Rows, str]] = [
    (b"1,2\n", [(1, 2.0)], ""),
    (b'"1","2.5"\n', [(1, 2.5)], ""),
    (b"-1,-2e3\n", [(-1, -2000.0)], ""),
    (b"NA,nan\n", [(None, None)], ""),
    (b",\n", [(None, None)], ""),
    (b'"",""\n', [(None, None)], ""),
    (b"null,NULL\n", [(None, None)], ""),
    (b"9223372036854775807,1e308\n", [(9223372036854775807, 1e308)], ""),
    (b"9223372036854775808,1\n1,2\n", [(1, 2.0)], "type"),
    (b"1.5,1\n1,2\n", [(1, 2.0)], "type"),
    (b"one,1\n1,2\n", [(1, 2.0)], "type"),
    (b"1,two\n1,2\n", [(1, 2.0)], "type"),
    (b'1,"1,5"\n1,2\n', [(1, 2.0)], "type"),
    (b"1,1 000\n1,2\n", [(1, 2.0)], "type"),
    (b"true,1\n1,2\n", [(1, 2.0)], "type"),
    (b"1,2\n3,4\nx,6\n7,y\n9,10", [(1, 2.0), (3, 4.0), (9, 10.0)], "type type"),
    (b"x,1\n1\n\0,2\n1,2\n", [(1, 2.0)], "type fields nul"),
    (b" 1, 2\n", [(1, 2.0)], ""),
    (b"1,\xff\n1,2\n", [(1, 2.0)], "type"),
    (b"inf,1\n1,inf\n1,2\n", [(1, float("inf")), (1, 2.0)], "type"),
]

# The same after the header a;b, with a decimal comma and null words.
NULL_VALUES = ("?", "-", "\\N", "-9999", " ?")
WITH_COMMAS: list[tuple[bytes, Rows, str]] = [
    (b"1;1,2882\n", [(1, 1.2882)], ""),
    (b'"1";"-1,5e3"\n', [(1, -1500.0)], ""),
    (b"1; 2,5 \n2;,5\n3;5,\n4;7\n", [(1, 2.5), (2, 0.5), (3, 5.0), (4, 7.0)], ""),
    (b"1;1.5\n2;2,5\n", [(2, 2.5)], "type"),
    (b"1;1.000,5\n2;2,5\n", [(2, 2.5)], "type"),
    (b"1,0;1\n2;2,5\n", [(2, 2.5)], "type"),
    (b"1,5\n2;2,5\n", [(2, 2.5)], "fields"),
    (b"?;-\n\\N;\\N\n-9999;-9999\n ?; ?\n", [(None, None)] * 4, ""),
    (b'"?";"-9999"\n', [(None, None)], ""),
    (b"NA;null\n; \n", [(None, None)] * 2, ""),
    (b"-1;? \n2;?\n", [(2, None)], "type"),
    (b"--;1\n-;-99990\n", [(None, -99990.0)], "type"),
    (b"-9999;x\n-9999;?\n", [(None, None)], "type"),
]
WORDS_WITH_COMMAS: list[tuple[bytes, Rows, str]] = [
    (b"1,5;1.5\n", [("1,5", "1.5")], ""),
    (b'?;"-"\n\\N; ?\n', [(None, None)] * 2, ""),
    (b"??;  ?\n-9999;NA\n", [("??", "  ?"), (None, "NA")], ""),
    (b"a;\xff\n?;?\n", [(None, None)], "encoding"),
]


def read(path: Path, schema: pa.Schema, block_size: int, **settings: Any) -> tuple[Rows, str]:
    """Return the rows, and the kinds of bad rows."""
    rows: Rows = []
    bad: list[BadRow] = []
    with open_source(path, block_size=block_size, keeps_bad_rows=True, **settings).open(schema) as reader:
        for block in reader:
            rows += [tuple(row.values()) for row in block.records.to_pylist()]
            bad += block.bad
        bad += reader.bad
    return rows, " ".join(row.kind for row in bad)


def test_there_are_as_many_cases_as_we_say() -> None:
    """The number of cases is known, and all differ."""
    texts = [text for text, _, _ in IN_WORDS]
    assert len(set(texts)) == len(texts)
    assert len(IN_WORDS) + len(IN_NUMBERS) >= 120


@pytest.mark.parametrize("block_size", [16, 17, 1 << 20])
@pytest.mark.parametrize("schema", [WORDS, NUMBERS], ids=["words", "numbers"])
def test_text_is_read_as_written(tmp_path: Path, schema: pa.Schema, block_size: int) -> None:
    """Each case gives the same rows at every block size."""
    path = tmp_path / "case.csv"
    for text, rows, bad in IN_WORDS if schema is WORDS else IN_NUMBERS:
        path.write_bytes(b"a,b\n" + text)
        assert read(path, schema, block_size) == (rows, bad), text


@pytest.mark.parametrize("block_size", [16, 17, 1 << 20])
@pytest.mark.parametrize("schema", [WORDS, NUMBERS], ids=["words", "numbers"])
def test_commas_and_words_for_nothing_are_read_as_was_said(tmp_path: Path, schema: pa.Schema, block_size: int) -> None:
    """Each case gives the same rows at every block size."""
    path = tmp_path / "case.csv"
    for text, rows, bad in WORDS_WITH_COMMAS if schema is WORDS else WITH_COMMAS:
        path.write_bytes(b"a;b\n" + text)
        assert read(path, schema, block_size, null_values=NULL_VALUES, decimal=",") == (rows, bad), text


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        (["1", "2"], pa.int64()),
        (["1,5", "2"], pa.float64()),
        (["true", "false"], pa.bool_()),
        (["2024-01-01", "2024-01-02"], pa.date32()),
        (["2024-01-01 10:00", "2024-01-02 11:30:00.5"], pa.timestamp("us")),
        (["2024-01-01 10:00Z", "9999-01-01 10:00Z"], pa.timestamp("us", "UTC")),
        (["a", "b"], pa.string()),
        (["1.5", "2.5"], pa.float64()),
        (["-", "?"], pa.null()),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_words", [0, 2])
def test_types_are_told_from_what_is_a_value(
    tmp_path: Path, cells: list[str], type_: pa.DataType, n_words: int
) -> None:
    """Null words do not influence a type; one word in a hundred is a bad cell, not another type."""
    path = tmp_path / "a.csv"
    values = cells * 100
    values[50:50] = ["-9999", "?"] * 500
    values[50:50] = ["oops"] * n_words if not pa.types.is_null(type_) else []
    path.write_text("a;b\n" + "".join(f"{value};1\n" for value in values))
    source = open_source(path, null_values=NULL_VALUES, decimal=",", keeps_bad_rows=True)
    assert source.schema.types == [type_, pa.int64()]
    rows, bad = read(path, source.schema, 255, null_values=NULL_VALUES, decimal=",")
    n_bad = n_words if type_ not in {pa.null(), pa.string()} else 0
    assert bad.split() == ["type"] * n_bad
    n_nothing = sum(value in NULL_VALUES for value in values)
    assert sum(a is None for a, _ in rows) == n_nothing
    assert len(rows) == len(values) - n_bad


def test_a_decimal_comma_is_no_delimiter() -> None:
    """It is neither inferred as the delimiter nor accepted as one."""
    assert Dialect(decimal=",").told_by(b"a,b;c\n").delimiter == ";"
    assert Dialect(decimal=",").told_by(b"a,b,c\n").delimiter == ";"


HEADERS = [
    (b"a,b\n", ",", '"', "utf-8"),
    (b"a;b\n", ";", '"', "utf-8"),
    (b"a\tb\r\n", "\t", '"', "utf-8"),
    (b"a|b\r", "|", '"', "utf-8"),
    (b'"a;x";"b,y,z"\n', ";", '"', "utf-8"),
    (b"'a';'b'\n", ";", "'", "utf-8"),
    (b'"a\n(EUR, net)";"b"\n', ";", '"', "utf-8"),
    (b'a 5";b\n', ";", '"', "utf-8"),
    (b"a\n", ",", '"', "utf-8"),
    (b"\xef\xbb\xbfa;b\n", ";", '"', "utf-8"),
    ("größe;b\n".encode("cp1252"), ";", '"', "cp1252"),
    ("größe;b\n".encode(), ";", '"', "utf-8"),
    ("a\tb\n".encode("utf-16"), "\t", '"', "utf-16"),
    (codecs.BOM_UTF16_BE + "a;b\n".encode("utf-16-be"), ";", '"', "utf-16"),
    ("a;b\n".encode("utf-32"), ";", '"', "utf-32"),
]


@pytest.mark.parametrize(("header", "delimiter", "quote", "encoding"), HEADERS)
def test_the_header_tells_how_a_file_is_written(header: bytes, delimiter: str, quote: str, encoding: str) -> None:
    """Delimiter, quotes and encoding are inferred from it; later rows change nothing."""
    told = Dialect(delimiter, quote, encoding)
    assert Dialect().told_by(header) == told
    assert Dialect().told_by(header + b"1,2|3\xff\t4;5'6'\n" * 9) == told


@pytest.mark.parametrize("block_size", [16, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_name_may_have_a_line_break(tmp_path: Path, encoding: str, block_size: int) -> None:
    """As in a cell of a spreadsheet; the delimiter is inferred from the text after it too."""
    path = tmp_path / "a.csv"
    path.write_text('"net\r\n(EUR, 2024)\nsum";b\n1;2\n', encoding, newline="")
    source = open_source(path, block_size=block_size)
    assert source.schema.names == ["net\r\n(EUR, 2024)\nsum", "b"]
    assert source.schema.types == [pa.int64(), pa.int64()]


@pytest.mark.parametrize("block_size", [16, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "shift_jis", "utf-32"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str, block_size: int) -> None:
    """They are converted to UTF-8; an encoding that cannot be inferred must be given."""
    path = tmp_path / "a.csv"
    word = "größe" if encoding in {"latin-1", "cp1252"} else "かな"
    path.write_bytes(f'a;b\n1;"{word};"\n2;{word}\n'.encode(encoding))
    told = {} if encoding in {"utf-16", "utf-32"} else {"encoding": encoding}
    assert read(path, WORDS, block_size, **told) == ([("1", f"{word};"), ("2", word)], "")


@pytest.mark.parametrize(
    ("settings", "text", "rows"),
    [
        ({"delimiter": ":"}, b"a:b\n1:2,3\n", [("1", "2,3")]),
        ({"delimiter": " "}, b"a b\n1 2\n", [("1", "2")]),
        ({"quote": "'"}, b"a,b\n'x,y',2\n", [("x,y", "2")]),
        ({"quote": "none"}, b'a,b\n"x,2"\n', [('"x', '2"')]),
        ({"delimiter": ";"}, b"a,x;b\n1;2\n", None),
    ],
)
def test_what_is_said_overrules_the_header(tmp_path: Path, settings: dict[str, str], text: bytes, rows: Any) -> None:
    """Delimiter, quotes and encoding can be given."""
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    if rows is None:
        with pytest.raises(SchemaError, match="no column 'a'"):
            read(path, WORDS, 64, **settings)
    else:
        assert read(path, WORDS, 64, **settings) == (rows, "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"delimiter": "<" * 9}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"quote": "x"}, "quote"),
        ({"decimal": "x"}, "decimal: expected . or ,"),
        ({"decimal": ",", "delimiter": ","}, "decimal: ',' is the delimiter already"),
        ({"encoding": "utf-9"}, "encoding"),
        ({"encoding": "punycode"}, "encoding"),
        ({"encoding": "base64"}, "encoding"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    """The error is one line, before any read."""
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(SchemaError, match=words):
        open_source(tmp_path / "a.csv", **settings)  # type: ignore[arg-type]
