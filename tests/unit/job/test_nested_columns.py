"""Jobs on lists, index columns and text that is not text, in whole and in two runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import RowError, open_source
from stream_bp.config.job import JobConfig
from stream_bp.job.summary import Summary
from stream_bp.preview import preview
from tests.unit.job.test_schema_changes import events, run


def lists(n: int, start: int = 0, length: int = 3) -> pa.Table:
    """Return rows with a list of numbers and a label."""
    numbers = np.sin(np.arange(start * length, (start + n) * length)).reshape(n, length)
    return pa.table({"v": numbers.tolist(), "label": ["ab"[i % 2] for i in range(n)]})


def weights(summary: Summary) -> Any:
    """Return what tells two models apart."""
    return summary.weights_sha256


@pytest.mark.parametrize("follows", [False, True])
def test_lists_are_learned_the_same_in_two_runs(tmp_path: Path, follows: bool) -> None:
    """Each element is a feature; the second file comes between the runs if the folder is followed."""
    (tmp_path / "data").mkdir()
    pq.write_table(lists(40), tmp_path / "data" / "a.parquet", row_group_size=7)
    pq.write_table(lists(24, 40), tmp_path / "data" / "b.parquet")
    settings: dict[str, Any] = {"follows": follows}
    whole = run(tmp_path / "data", tmp_path / "whole", **settings)
    first = run(tmp_path / "data", tmp_path / "parts", max_rows=24, **settings)
    second = run(tmp_path / "data", tmp_path / "parts", **settings)
    assert (first.rows, second.rows, whole.rows) == (24, 64, 64)
    assert weights(second) == weights(whole)


def test_a_new_list_is_learned_by_its_elements(tmp_path: Path) -> None:
    """It has a length of its own, taken from the file where it appears."""
    (tmp_path / "data").mkdir()
    x = pa.array(np.arange(40.0))
    pq.write_table(lists(40).drop_columns("v").append_column("x", x), tmp_path / "data" / "a.parquet")
    pq.write_table(lists(40).append_column("x", x), tmp_path / "data" / "b.parquet")
    run(tmp_path / "data", tmp_path / "run", new_columns="learn")
    added = [column for row, event, column in events(tmp_path / "run") if row == 40 and "v[" in column]
    assert added == ["v[0]", "v[1]", "v[2]"]


def test_text_that_is_not_utf8_ends_a_job_or_is_counted(tmp_path: Path) -> None:
    """Never with a traceback."""
    words = [b"\xff" if i == 30 else b"w" for i in range(64)]
    text = pa.array(words, pa.binary()).view(pa.string())
    (tmp_path / "data").mkdir()
    pq.write_table(lists(64).append_column("word", text), tmp_path / "data" / "a.parquet")
    with pytest.raises(RowError, match=r"a\.parquet, row 30: column 'word': .* is not valid UTF-8"):
        run(tmp_path / "data")
    summary = run(tmp_path / "data", on_bad_row="skip")
    assert (summary.rows, summary.quality["bad_rows"]) == (63, {"encoding": 1})


def test_an_index_is_said_and_not_learned(tmp_path: Path) -> None:
    """The start of a job says that it is left out; a setting that names it lets it be learned."""
    metadata = {"pandas": '{"index_columns": ["__index_level_0__"]}'}
    rows = lists(64).append_column("__index_level_0__", pa.array(range(64))).replace_schema_metadata(metadata)
    config = JobConfig.of({"target": "label"})
    found = preview(open_source(rows), config)
    assert {one["name"]: one["role"] for one in found.columns if one["role"] == "ignored"} == {
        "__index_level_0__": "ignored"
    }
    assert found.doubts == [
        "memory: column '__index_level_0__' is the index of a data frame; it is left out unless --features names it"
    ]
    named = preview(open_source(rows), JobConfig.of({"target": "label", "features": ["__index_level_0__"]}))
    assert [one["name"] for one in named.columns if one["role"] == "feature"] == ["__index_level_0__"]
