"""Messy files are read as they are meant, or a line names the column.

Each file has columns of many kinds; the values that are meant are known. What pandas reads as text is compared too: it
has its own parser, so it shows whether rows and cells are cut alike.

A value that differs from what is meant is *silent* if nothing names its column: no doubt about its type, no remark, no
bad row. A line such as "is read as numbers: '1,5' is 1.5" excuses no other value: it says that the column is
understood. A column of text that is read as it is written never differs, but numbers or dates that stay text do.
"""

import csv
import datetime as dt
import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from connectors import Source, open_source
from connectors.cursor import Cursor
from connectors.formats.csv import type_inference
from connectors.notations.numbers import NumberNotation
from tests.conftest import Campaign
from tests.property.messy_columns import GAPS, Messy, messy

FAULT = "messy files"
STAY_TEXT = {"time", "truth", "empty"}
UNDERSTOOD = ("is read as numbers: ", "is read as dates: ")


class File(NamedTuple):
    """A file that was written.

    Attributes
    ----------
    path
        Where it is.
    columns
        What is in it; the first column, ``row``, numbers the rows.
    how
        The settings of pandas that read it as text; None if it is not CSV.
    settings
        Settings that it needs.
    """

    path: Path
    columns: dict[str, Messy]
    how: dict[str, Any] | None
    settings: dict[str, Any]


def write(random: Random, folder: Path) -> File:
    """Write a file of some rows."""
    n = random.choice([2, 3, 5, 9, 30, 30, 60, 60, 300])
    columns = {"row": Messy("row", [str(i) for i in range(n)], list(range(n)), False)}
    for i in range(random.randrange(1, 6)):
        name = random.choice(["price", "Größe", "when", "a b", "x.y", "Value (EUR)"])
        columns[f"{name}{i}"] = messy(random, n)
    return as_json_lines(random, folder, columns) if random.random() < 0.1 else as_csv(random, folder, columns)


def as_csv(random: Random, folder: Path, columns: dict[str, Messy]) -> File:
    """Write text in one of many dialects."""
    delimiter, newline = random.choice(",,,;\t|"), random.choice(["\n", "\n", "\r\n"])
    text = io.StringIO()
    quoting: Any = random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerow(columns)
    writer.writerows(zip(*(column.cells for column in columns.values()), strict=True))
    whole = text.getvalue()
    if random.random() < 0.2:
        whole = whole.removesuffix(newline)
    encoding = random.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"])
    data = whole.encode(encoding)
    is_packed = random.random() < 0.05
    path = folder / ("messy.csv.gz" if is_packed else "messy.csv")
    path.write_bytes(gzip.compress(data, 1) if is_packed else data)
    how = {"sep": delimiter, "encoding": encoding, "dtype": str, "keep_default_na": False, "skip_blank_lines": False}
    return File(path, columns, how, {})


def as_json_lines(random: Random, folder: Path, columns: dict[str, Messy]) -> File:
    """Write objects whose values are text or numbers."""
    names, path = list(columns), folder / "messy.jsonl"
    is_number = {
        name: name == "row" or (random.random() < 0.5 and _are_json(column)) for name, column in columns.items()
    }
    rows = zip(*(c.values if is_number[n] else c.cells for n, c in columns.items()), strict=True)
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return File(path, columns, None, {})


def _are_json(column: Messy) -> bool:
    return column.kind != "huge" and all(value is None or type(value) in {int, float, bool} for value in column.values)


class Reading(NamedTuple):
    """What was read of a file.

    Attributes
    ----------
    table
        The rows.
    n_bad
        Number of bad rows.
    lines
        By column, the line about its type.
    remarks
        The other lines.
    """

    table: pa.Table
    n_bad: int
    lines: dict[str, str]
    remarks: str


def read(source: Source, cursor: Cursor | None = None) -> tuple[Reading, list[Cursor]]:
    """Read a source from a place onwards, and return some later places."""
    cursors, bad, parts = [], 0, [pa.RecordBatch.from_pylist([], schema=source.schema.remove_metadata())]
    with source.open(source.schema, cursor) as reader:
        for block in reader:
            parts.append(block.records.cast(parts[0].schema))
            bad += len(block.bad)
            cursors.append(block.cursor(len(block) // 2))
        bad += len(reader.bad)
    return Reading(pa.Table.from_batches(parts), bad, source.type_warnings, "\n".join(source.remarks)), cursors


def silent(file: File, read: Reading) -> list[str]:
    """Return what is read otherwise than it is meant, without a line about it."""
    n = len(file.columns["row"].cells)
    if read.table.num_rows + read.n_bad != n:
        return [f"{n} rows, but {read.table.num_rows} and {read.n_bad} bad ones"]
    if list(file.columns) != read.table.column_names:
        return [f"columns {read.table.column_names}"]
    rows = read.table["row"].to_pylist()
    return [
        f"{name}: {what}"
        for name, column in file.columns.items()
        if (what := _difference(column, rows, read.table[name], read.lines.get(name, ""), declares=file.how is None))
    ]


def _difference(column: Messy, rows: list[int], found: pa.ChunkedArray, line: str, *, declares: bool) -> str | None:
    """Return how a column differs; in a file that `declares` what is text, text stays text."""
    if line and not any(words in line for words in UNDERSTOOD):
        return None
    if pa.types.is_null(found.type) and set(column.cells) <= set(GAPS):
        return None  # whatever would be written there, nothing is
    is_text = pa.types.is_string(found.type)
    wanted = column.cells if is_text else column.values
    for row, value in zip(rows, found.to_pylist(), strict=True):
        expected = wanted[row] if wanted[row] or declares or not is_text else None
        if not are_same(value, expected):
            return f"{column.kind} {column.cells[row]!r} is {value!r} ({found.type}); {line or 'no line'}"
    # A category of true, false and unknown loses nothing, nor do times of day.
    if is_text and not declares and column.kind not in STAY_TEXT and not column.is_text:
        return f"{column.kind} {column.cells[:3]} stays text" if any(v is not None for v in column.values) else None
    return None


def are_same(value: Any, wanted: Any) -> bool:
    """Return whether a value is what is meant."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime) and isinstance(wanted, dt.datetime):
        return False
    if isinstance(value, dt.datetime) and isinstance(wanted, dt.date) and not isinstance(wanted, dt.datetime):
        return value.replace(tzinfo=None) == dt.datetime(wanted.year, wanted.month, wanted.day)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, float) and isinstance(wanted, int | float):
        return math.isclose(value, wanted, rel_tol=1e-12)
    return bool(value == wanted)


def check(file: File, random: Random) -> tuple[list[str], Reading]:
    """Compare a file with what is meant, with pandas, and with itself in small blocks and resumed."""
    source = open_source(file.path, keeps_bad_rows=True, **file.settings)
    found, _ = read(source)
    wrong = silent(file, found)
    if file.how is not None:
        frame = pd.read_csv(file.path, **file.how)
        for name, column in file.columns.items():
            if [cell.replace("\r\n", "\n") for cell in frame[name]] != column.cells:
                wrong.append(f"{name}: pandas cuts otherwise")
    if random.random() < 0.7 or len(file.columns["row"].cells) > 60:
        return wrong, found
    again = open_source(file.path, keeps_bad_rows=True, block_size=random.choice([64, 256, 1024]), **file.settings)
    other, cursors = read(again)
    if not other.table.equals(found.table) or (other.n_bad, other.lines) != (found.n_bad, found.lines):
        wrong.append("other rows or types in small blocks")
    if cursors:
        cursor = random.choice(cursors)
        rest, _ = read(source, Cursor.from_json(cursor.to_json()))
        if not rest.table.equals(found.table.slice(cursor.row)):
            wrong.append("other rows after a resume")
    return wrong, found


def test_messy_files_are_read_as_they_are_meant(tmp_path: Path, campaign: Campaign) -> None:
    """No value is another one in silence."""
    random, counts, wrong = campaign.random, Counter[str](), []
    while counts["files"] < campaign.size(250, 24_000):
        file = write(random, tmp_path)
        differences, found = check(file, random)
        wrong += [f"file {counts['files']}: {what}" for what in differences]
        counts["files"] += 1
        counts["columns"] += len(file.columns)
        counts["cells"] += len(file.columns) * len(file.columns["row"].cells)
        counts["columns_named"] += len(found.lines)
        file.path.unlink()
    assert wrong == []
    campaign.tell(FAULT, **counts, silent_differences=0)


def ten_times(parse: Callable[..., tuple[pa.Array, Any]]) -> Callable[..., tuple[pa.Array, Any]]:
    """Return a way to read numbers in which the decimal mark is in the wrong place."""

    def wrong(notation: NumberNotation, cells: pa.Array) -> tuple[pa.Array, Any]:
        values, is_bad = parse(notation, cells)
        return pc.multiply(values, 10.0), is_bad

    return wrong


@pytest.mark.parametrize("fault", ["wrong numbers", "no lines"])
def test_a_silent_difference_is_seen(
    tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The control: a notation that reads other numbers, and an inference that says nothing, are both caught."""
    if fault == "wrong numbers":
        monkeypatch.setattr(NumberNotation, "parse", ten_times(NumberNotation.parse))
    else:
        monkeypatch.setattr(type_inference, "doubtful", lambda field, line: field)
    for _ in range(200):
        differences, _ = check(write(campaign.random, tmp_path), campaign.random)
        if differences:
            campaign.tell(FAULT, wrong_readings_caught=1)
            return
    raise AssertionError("the control was not caught")
