"""Words of ``--null-values`` that never occur are named at the end, of a resumed job as of an uninterrupted one."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from connectors import MemorySource, NullWord, Source, open_source
from stream_bp import Job, load
from stream_bp.monitoring.formatting import describe_quality

N_ROWS = 96
WORDS = ("?", "-9999", "why", "NA?", "gone")
FIRST = {"?": 40, "-9999": 71}
"""The first row of each word that occurs; ``why`` and ``NA?`` are only parts of cells."""


def columns() -> dict[str, list[Any]]:
    """Return a number and a word with one missing value each, in different rows."""
    x = [-9999 if i in {71, 90} else i * 7 % 11 for i in range(N_ROWS)]
    word = ["?" if i in {40, 41} else ("why?", "NA??", "a-9999")[i % 3] for i in range(N_ROWS)]
    return {"x": x, "word": word, "y": [("no", "yes")[i * 7 % 11 > 5] for i in range(N_ROWS)]}


def place(folder: Path, kind: str) -> Any:
    """Write the rows in a format, and return the place."""
    table, path = pa.table(columns()), folder / f"rows.{kind}"
    if kind == "csv":
        lines = [f'{x},"{word}",{y}' if i % 2 else f"{x},{word},{y}" for i, (x, word, y) in enumerate(_rows())]
        path.write_text("x,word,y\r\n" + "\r\n".join(lines))
    elif kind == "txt":
        path.write_text("x::word::y\n" + "".join("::".join(map(str, row)) + "\n" for row in _rows()))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"x": x, "word": word, "y": y}) + "\n" for x, word, y in _rows()))
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=10)
    elif kind == "arrow":
        feather.write_feather(table, path)
    return path if kind != "memory" else MemorySource(table, block_rows=10, null_values=WORDS)


def _rows() -> list[tuple[Any, ...]]:
    return list(zip(*columns().values(), strict=True))


def settings(kind: str) -> dict[str, Any]:
    """Return the settings of the job on a kind of place."""
    return {"null_values": WORDS, **({"delimiter": "::"} if kind == "txt" else {})}


KINDS = ("csv", "txt", "jsonl", "parquet", "arrow", "memory")


@pytest.mark.parametrize("block_size", [16, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_row_of_a_word_is_exact(tmp_path: Path, kind: str, block_size: int) -> None:
    """Whatever the size of blocks; a word that is part of a cell does not count."""
    source = place(tmp_path, kind)
    if not isinstance(source, Source):
        source = open_source(source, block_size=block_size, **settings(kind))
    first: dict[str, int] = {}
    with source.open(source.schema) as reader:
        for note in (note for block in reader for note in block.notes if isinstance(note, NullWord)):
            first.setdefault(note.word, note.row)
    assert first == FIRST
    assert source.has_null_words


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_job_names_the_same_words(tmp_path: Path, kind: str) -> None:
    """At each checkpoint those that have not occurred in its rows; the summary says so in words."""
    found, run_dir = place(tmp_path, kind), str(tmp_path / "run")
    source = open_source(found, **settings(kind)) if isinstance(found, Path) else found
    how: dict[str, Any] = {"target": "y", "hidden_layers": (3,), "batch_size": 8, "backend": "numpy"}
    for stop in (8, 40, 48, 72, 80, None):
        summary = Job(source, run_dir=run_dir, max_rows=stop, **how, **settings(kind)).run()
        seen = {word for word, row in FIRST.items() if row < (stop or N_ROWS)}
        assert summary.quality["unused_null_values"] == [word for word in WORDS if word not in seen], stop
    assert load(run_dir).snapshot.state["quality"]["unused_null_values"] == ["why", "NA?", "gone"]
    (line,) = [line for line in describe_quality(summary.quality) if "--null-values" in line]
    assert line == "words of --null-values that never occurred: 'why', 'NA?', 'gone'"


def test_a_bad_row_before_a_word_does_not_move_it(tmp_path: Path) -> None:
    """Rows are counted without the bad ones."""
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1,2\n3\n4,5,6\n7,?\n")
    for block_size in (16, 1 << 20):
        source = open_source(path, null_values=["?"], block_size=block_size, keeps_bad_rows=True)
        with source.open(pa.schema({"x": pa.int64(), "y": pa.int64()})) as reader:
            found = [note for block in reader for note in block.notes if isinstance(note, NullWord)]
        assert [(note.row, note.word) for note in found] == [(1, "?")]
