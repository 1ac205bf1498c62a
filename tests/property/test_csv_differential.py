"""CSV text that may be broken in every way, against Python's own csv: rows, values, bad records and where each stands.

What is expected is found by Python's ``csv`` alone, record by record: read leniently it tells where a record ends, and
whether it does, read strictly whether it is well quoted. Then block sizes and places to resume are drawn, and must show
nowhere.

What Python's ``csv`` does not know is put around its text: comments between records, lines before the header, and a
delimiter of several characters, for which a single one stands in the text that Python reads.
"""

import csv
import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from connectors import BadRow, Cursor, Reader, open_source
from connectors.formats.csv.dialect import Dialect
from tests.conftest import Campaign

SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("w", pa.string())])
BLOCK_SIZES = (16, 17, 61, 255, 1_000, 4_096, 1 << 16, 1 << 20)
WORDS = [
    "",
    "a",
    "NA",
    "two words",
    "é",
    "ß→",
    'in "quotes"',
    '5" pipe',
    "a,b",
    "a;b",
    "a|b",
    "tab\there",
    "two\nlines",
    'three\n# lines\n#"',
]
WORDS += ["cr\rlf", "crlf\r\nend", '"', '""', "'", "''", "null", "x" * 300, " padded ", "\\", "#", "0"]
NUMBERS = ["0", "7", "-3", "1234567890123", "", "NA", "null", "nan", "0", "12", "  ", " 5"]
FLOATS = ["0.5", "1e3", "-2.25", "", "nan", "7", "1.5E-2", "NULL", " ", " 2.5 "]
NULL_VALUES = ("7", "?", "#", "two words")
COMMENTS = [b"#", b"# a,b", b'# "', b'#"x","y"', b"#it's", b"#\\\\\\", b"#1,2.5,a", b"##", b"#\xff\0"]
STANDS_FOR_MORE = "\x1f"
DELIMITERS = ["||", ", ", "\t|\t", "::=", "whitespace"]
NOTHING = {"", " ", "  ", "NA", "null", "nan", "NULL", "N/A", "NaN"}


@dataclass(frozen=True)
class Written:
    """Text, how it is written, and what Python's csv makes of it: rows with where they end, and bad records."""

    text: bytes
    dialect: Dialect
    rows: list[tuple[Any, ...]]
    ends: list[int]
    bad: list[tuple[int, int, str, bytes]]  # rows before it, offset, kind, bytes


def record(random: Random, dialect: Dialect, delimiter: str, newline: str, *, is_sound: bool = False) -> bytes:
    """Write a record, mostly well, as one of many writers would; a delimiter of one character stands for any."""
    cells = [random.choice(NUMBERS), random.choice(FLOATS).replace(".", dialect.decimal), random.choice(WORDS)]
    kind = 1.0 if is_sound else random.random()
    if kind < 0.02:
        cells[random.randrange(2)] = random.choice(["word", "1x", "--3", "1.2.3", "?"])
    elif kind < 0.03:
        cells.append("more")
    elif kind < 0.04:
        cells.pop()
    kind = 1.0 if is_sound or dialect.delimiter == "whitespace" else random.random()
    line = written(random, cells, dialect, delimiter, may_hold=kind > 0.01)
    if kind < 0.005 and dialect.quote != "none":
        at = random.randrange(len(line) + 1)
        line = line[:at] + str(dialect.quote) + line[at:]  # may open, close, or be a letter
    data = (line + newline).encode()
    if 0.005 < kind < 0.01:
        at = random.randrange(len(data))
        data = data[:at] + random.choice([b"\0", b"\xff", b"\xc3"]) + data[at:]
    return data + (newline.encode() if kind > 0.99 else b"")


def written(random: Random, cells: list[str], dialect: Dialect, delimiter: str, *, may_hold: bool) -> str:
    """Write cells as a line; with `may_hold`, a cell may hold the delimiter."""
    escape = dialect.escape or ""
    if dialect.quote == "none":
        forbidden = "\r\n,;|\t" + ("" if delimiter != STANDS_FOR_MORE else " :=") + escape
        cells = ["".join(c for c in cell if c not in forbidden) or "0" for cell in cells]
        if escape and len(cells) == 3:
            special = "\n" + str(dialect.delimiter) if delimiter != STANDS_FOR_MORE else '"x'
            cells[-1] += random.choice(["", escape + random.choice(special)])
        return delimiter.join(cells)
    text = io.StringIO()
    quoting: Any = random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    if delimiter == STANDS_FOR_MORE:
        quoting = csv.QUOTE_ALL  # Python does not know which cells hold the delimiter
        cells[-1] += random.choice(["", str(dialect.delimiter), " "]) if may_hold and len(cells) == 3 else ""
    how: dict[str, Any] = {"escapechar": escape, "doublequote": random.random() < 0.5} if escape else {}
    # It quotes a line break only if it is part of its own.
    how |= {"delimiter": delimiter, "quotechar": str(dialect.quote), "lineterminator": "\r\n", "quoting": quoting}
    csv.writer(text, **how).writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def write(random: Random, n_records: int, *, is_plain: bool) -> Written:
    """Write a file, and let Python's csv tell what is in it."""
    delimiter, null_values = random.choice(",;|\t"), random.choice([(), NULL_VALUES])
    decimal = random.choice("." if delimiter == "," else ".,")
    dialect = Dialect(delimiter, random.choice(['"', '"', "'", "none"]), "utf-8", null_values, decimal)
    newline = random.choice(["\n", "\r\n", "\r"])
    if not is_plain:
        dialect, delimiter = odd(random, dialect)
    names = str(dialect.delimiter) if dialect.delimiter != "whitespace" else " "
    header = names.join(["n", "x", "w"]).encode() + newline.encode()
    before = [random.choice(["", "a,b", '"', "#x"]).encode() + newline.encode() for _ in range(dialect.skip_rows)]
    header = random.choice([b"", b"\xef\xbb\xbf"]) + b"".join(before) + (b"" if dialect.names else header)
    lines = [record(random, dialect, delimiter, newline, is_sound=not i) for i in range(n_records)]
    text = b"".join(lines)
    if random.random() < 0.3:
        text = text[: random.randrange(len(text) // 2, len(text))]
    while dialect.escape and text.rstrip(b"\r\n").endswith(b"\\"):  # what is escaped by nothing is not compared
        text = text[: text.rindex(b"\\")]
    return told(header, text, dialect, delimiter, random)


def odd(random: Random, dialect: Dialect) -> tuple[Dialect, str]:
    """Return a dialect with some of the rarer settings, and the delimiter that Python reads in its place."""
    settings: dict[str, Any] = {
        "escape": random.choice([None, "\\"]),
        "comment": random.choice([None, "#"]),
        "names": random.choice([(), ("n", "x", "w")]),
        "skip_rows": random.choice([0, 0, 1, 3]),
        "short_rows": random.choice(["error", "pad"]),
    }
    if random.random() < 0.5:
        return replace(dialect, **settings), str(dialect.delimiter)
    return replace(dialect, delimiter=random.choice(DELIMITERS), decimal=".", **settings), STANDS_FOR_MORE


def told(header: bytes, text: bytes, dialect: Dialect, delimiter: str = ",", random: Random | None = None) -> Written:
    """Return what Python's csv makes of the records behind a header; comments come between them."""
    # Bytes as letters: what is no UTF-8 shows later, by itself.
    lines = list(io.StringIO(text.decode("latin-1"), newline=""))
    found = Written(header, dialect, [], [], [])
    parts, offset, at = [header], len(header), 0
    while at < len(lines):
        if dialect.comment and lines[at].startswith(dialect.comment):  # a broken quote left part of a cell here
            parts.append(lines[at].encode("latin-1"))
            offset, at = offset + len(lines[at]), at + 1
            continue
        n_lines, fields, ill = first_record(lines[at:], dialect, delimiter)
        content = "".join(lines[at : at + n_lines]).encode("latin-1")
        if dialect.comment and random is not None and random.random() < 0.1 and not (at == 0 and dialect.names):
            comments = random.choice(COMMENTS) + b"\n"
            parts.append(comments)
            offset += len(comments)
        content = with_delimiter(content, dialect, delimiter, random)
        if fields:
            note(found, offset, content, [field.encode("latin-1") for field in fields], ill)
        parts.append(content)
        offset, at = offset + len(content), at + n_lines
    return replace(found, text=b"".join(parts))


def with_delimiter(content: bytes, dialect: Dialect, delimiter: str, random: Random | None) -> bytes:
    """Return a record with the delimiter of the dialect."""
    if delimiter != STANDS_FOR_MORE or random is None:
        return content
    parts = content.split(delimiter.encode())
    if dialect.delimiter != "whitespace":
        return str(dialect.delimiter).encode().join(parts)
    line = parts[0] + b"".join(random.choice([b" ", b"\t", b"   ", b" \t "]) + part for part in parts[1:])
    end = len(line.rstrip(b"\r\n"))
    return line if not end else line[:end] + random.choice([b"", b" "]) + line[end:]


def first_record(lines: list[str], dialect: Dialect, delimiter: str) -> tuple[int, list[str], str]:
    """Return how many lines the first record has, its fields, and whether its quotes are ``unclosed`` or ``stray``."""
    settings: dict[str, Any] = {"delimiter": delimiter, "escapechar": dialect.escape}
    settings |= {"quoting": csv.QUOTE_NONE} if dialect.quote == "none" else {"quotechar": dialect.quote}
    reader = csv.reader(iter([*lines, "further\n"]), **settings)
    fields = next(reader)
    if reader.line_num > len(lines):
        # Of a quote that is never closed only the line is given up, not all that follows, whatever else is wrong.
        return 1, fields, "unclosed"
    try:
        next(csv.reader(iter(lines[: reader.line_num]), strict=True, **settings))
    except csv.Error:
        return reader.line_num, fields, "stray"
    return reader.line_num, fields, ""


def note(found: Written, offset: int, content: bytes, fields: list[bytes], ill: str) -> None:
    """Add a record to what is expected."""
    row: list[Any] = []
    kind = None
    if b"\0" in content and ill != "unclosed":
        kind = "nul"
    elif ill:
        kind = "quotes"
    elif len(fields) > len(SCHEMA) or (len(fields) < len(SCHEMA) and found.dialect.short_rows == "error"):
        kind = "fields"
    fields = [*fields, *[b""] * (len(SCHEMA) - len(fields))]
    for cell, read in zip(fields, (int, float, str), strict=False) if kind is None else ():
        try:
            text = cell.decode()
            number = text.replace(found.dialect.decimal, ".") if read is float else text
            is_nothing = text in {"", *found.dialect.null_values} or (read is not str and text in NOTHING)
            row.append(None if is_nothing else read(number))
        except ValueError:
            kind = kind or ("encoding" if read is str else "type")
    if kind is None:
        found.rows.append(tuple(row))
        found.ends.append(offset + len(content))
    else:
        found.bad.append((len(found.rows), offset, kind, content))


def read(reader: Reader) -> tuple[list[tuple[Any, ...]], list[BadRow], list[Cursor]]:
    """Read all rows, what is bad, and the cursor behind some of the rows."""
    rows: list[tuple[Any, ...]] = []
    bad: list[BadRow] = []
    cursors: list[Cursor] = []
    with reader:
        for block in reader:
            rows += list(zip(*(column.to_pylist() for column in block.records.columns), strict=True))
            bad += block.bad
            cursors += [block.cursor(n) for n in {1, (len(block) + 1) // 2, len(block)}]
        return rows, [*bad, *reader.bad], cursors


def check(written: Written, path: Path, block_size: int, random: Random) -> None:
    """Compare what is read with what is expected, from the start and from somewhere in the middle."""
    path.write_bytes(written.text)
    settings: Any = asdict(written.dialect)
    source = open_source(path, block_size=block_size, keeps_bad_rows=True, **settings)
    rows, bad, cursors = read(source.open(SCHEMA))
    assert rows == written.rows
    assert [(b.row, b.offset, b.kind, b.content) for b in bad] == written.bad
    for cursor in random.sample(cursors, min(2, len(cursors))):
        assert cursor.state["seen"][0]["offset"] == written.ends[cursor.row - 1], "a cursor stands where its row ends"
        again = open_source(path, block_size=random.choice(BLOCK_SIZES[2:]), keeps_bad_rows=True, **settings)
        rest, later, _ = read(again.open(SCHEMA, Cursor.from_json(cursor.to_json())))
        assert rest == written.rows[cursor.row :]
        assert [(b.row, b.offset, b.kind) for b in later] == [b[:3] for b in written.bad if b[0] >= cursor.row]


def test_broken_text_is_what_pythons_csv_says(tmp_path: Path, campaign: Campaign) -> None:
    """Every row, value, offset and bad record, at every block size, from the start and resumed."""
    random = campaign.random
    n_rows = n_bad = 0
    path = tmp_path / "rows.csv"
    while n_rows < campaign.size(16_000, 1_000_000):
        # Few records in small blocks, many in large ones.
        block_size = random.choice(BLOCK_SIZES)
        n_records = min(20 * block_size // 8 + 20, campaign.size(1_500, 8_000))
        written = write(random, n_records, is_plain=random.random() < 0.4)
        check(written, path, block_size, random)
        n_rows += len(written.rows)
        n_bad += len(written.bad)
    assert n_bad > n_rows / 100
    campaign.tell("CSV text against Python's csv", rows=n_rows, bad_records=n_bad, divergent=0)


def test_a_reader_that_takes_a_bad_record_for_a_row_is_seen(tmp_path: Path, campaign: Campaign) -> None:
    """The control: what Python's csv says of other text is not what is read."""
    written = told(b"n,x,w\n", b"1,2,a\n2,3\n3,4,b\n", Dialect(",", '"', "utf-8"))
    assert written.rows == [(1, 2.0, "a"), (3, 4.0, "b")]
    other = Written(written.text.replace(b"2,3\n", b"2,3,\n"), written.dialect, written.rows, written.ends, written.bad)
    try:
        check(other, tmp_path / "rows.csv", 16, campaign.random)
    except AssertionError:
        campaign.tell("CSV text against Python's csv", wrong_readings_caught=1)
        return
    raise AssertionError("the control was not caught")
