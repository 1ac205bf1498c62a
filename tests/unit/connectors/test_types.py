"""Types of Parquet and Arrow: what each is read as, in files and in memory, from the start and from the middle."""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import ConnectorError, MemorySource, RowError, Source, casting, open_source, plain_values
from connectors.formats import parquet as parquet_format
from connectors.formats import row_groups
from connectors.testing import through_json
from stream_bp.errors import DataError
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoder

Make = Callable[..., Source]

UUIDS = [uuid.UUID(int=0), None, uuid.UUID("0123ABCD-4567-89ef-0123-456789ABCDEF"), uuid.UUID(int=2**128 - 1)]
YEAR_9999 = dt.datetime(9999, 12, 31, 23, 59, 59)
OLD = dt.datetime(1816, 3, 29, 5, 56, 8, 66277)


def parquet(folder: Path, rows: pa.Table, **settings: Any) -> Source:
    """Return rows as a file of row groups of two rows."""
    pq.write_table(rows, folder / "a.parquet", row_group_size=2)
    return open_source(folder / "a.parquet", **settings)


def in_memory(folder: Path, rows: pa.Table, **settings: Any) -> Source:
    """Return rows in memory."""
    return open_source(rows, **settings)


BOTH = pytest.mark.parametrize("make", [parquet, in_memory])


def values(source: Source, wanted: Sequence[tuple[str, pa.DataType]] | None = None) -> list[list[Any]]:
    """Return the columns; a reader that resumes at any row reads the rest."""
    schema = source.schema if wanted is None else pa.schema(list(wanted))
    with source.open(schema) as reader:
        blocks = list(reader)
    rows = [row for block in blocks for row in zip(*(c.to_pylist() for c in block.records.columns), strict=True)]
    cursors = [block.cursor(n + 1) for block in blocks for n in range(len(block))]
    for row, cursor in enumerate(cursors, 1):
        with source.open(schema, through_json(cursor)) as reader:
            rest = [r for b in reader for r in zip(*(c.to_pylist() for c in b.records.columns), strict=True)]
        assert repr(rest) == repr(rows[row:])
    return [list(column) for column in zip(*rows, strict=True)]


def column(source: Source) -> tuple[pa.DataType, list[Any]]:
    """Return type and values of the only column."""
    return source.schema.types[0], values(source)[0]


WORDS = ["a", None, "é", ""]
TYPES: dict[str, tuple[pa.Array, pa.DataType, list[Any]]] = {
    "string": (pa.array(WORDS), pa.string(), WORDS),
    "large_string": (pa.array(WORDS, pa.large_string()), pa.string(), WORDS),
    "string_view": (pa.array(WORDS, pa.string_view()), pa.string(), WORDS),
    "dictionary": (pa.array(WORDS).dictionary_encode(), pa.string(), WORDS),
    "dictionary of large": (pa.array(WORDS, pa.large_string()).dictionary_encode(), pa.string(), WORDS),
    "dictionary of numbers": (
        pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), pa.array([2.5, 4.0])),
        pa.float64(),
        [4.0, None, 2.5],
    ),
    "binary": (pa.array([b"\xff", None]), pa.binary(), [b"\xff", None]),
    "large_binary": (pa.array([b"\xff", None], pa.large_binary()), pa.binary(), [b"\xff", None]),
    "uuid": (
        pa.array([one and one.bytes for one in UUIDS], pa.uuid()),
        pa.string(),
        [one and str(one) for one in UUIDS],
    ),
    "bool8": (pa.array([1, None, 0], pa.bool8()), pa.bool_(), [True, None, False]),
    "json": (pa.array(['{"a":1}', None], pa.json_(pa.string())), pa.string(), ['{"a":1}', None]),
    "float16": (pa.array(np.array([1.5, -2], np.float16)), pa.float16(), [1.5, -2]),
    "uint64": (pa.array([2**63 + 5, 0], pa.uint64()), pa.uint64(), [2**63 + 5, 0]),
    "decimal": (pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)), pa.decimal128(9, 2), [Decimal("1.25"), None]),
    "timestamp us": (pa.array([YEAR_9999, None], pa.timestamp("us")), pa.timestamp("us"), [YEAR_9999, None]),
    "date": (pa.array([dt.date(9999, 12, 31)]), pa.date32(), [dt.date(9999, 12, 31)]),
}


@BOTH
@pytest.mark.parametrize("name", TYPES)
def test_every_type_has_one_plain_type_and_its_values(tmp_path: Path, make: Make, name: str) -> None:
    """In a file and in memory, with nulls."""
    stored, type_, expected = TYPES[name]
    assert column(make(tmp_path, pa.table({"v": stored}))) == (type_, expected)


def test_other_types_in_memory() -> None:
    """Parquet cannot hold these."""
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2], pa.int8()), pa.array(["a", None, "b"]))
    assert column(MemorySource(pa.table({"v": words}))) == (pa.string(), ["a", None, None, "b"])
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3]), pa.array(["a", "b"]))
    assert column(MemorySource(pa.table({"v": runs}))) == (pa.string(), ["a", "a", "b"])
    views = pa.DictionaryArray.from_arrays(pa.array([1, None, 0]), pa.array(["a", "b"], pa.string_view()))
    assert column(MemorySource(pa.table({"v": views}))) == (pa.string(), ["b", None, "a"])
    assert column(MemorySource(pa.table({"v": pa.array([b"\xff"], pa.binary_view())}))) == (pa.binary(), [b"\xff"])
    for type_ in (pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal256(50, 2)):
        source = MemorySource(pa.table({"v": pa.array([Decimal("1.25"), None], type_)}))
        assert values(source, [("v", pa.float64())]) == [[1.25, None]]


# As a feature: the numbers that the first row becomes, or words of the refusal.
FEATURES: dict[str, tuple[pa.Array, list[float] | str]] = {
    "uint64": (pa.array([2**63 + 5], pa.uint64()), [float(2**63 + 5)]),
    "float16": (pa.array(np.array([1.5], np.float16)), [1.5]),
    "decimal32": (pa.array([Decimal("1.25")], pa.decimal32(5, 2)), [1.25]),
    "decimal256": (pa.array([Decimal("1.25")], pa.decimal256(50, 2)), [1.25]),
    "bool8": (pa.array([1], pa.bool8()), [1]),
    "duration ns": (pa.array([1_500_000_000], pa.duration("ns")), [1.5]),
    "duration s": (pa.array([90], pa.duration("s")), [90]),
    "null": (pa.nulls(1), [np.nan]),
    "time ns": (pa.array([6 * 3600 * 10**9], pa.time64("ns")), [1, 0]),
    "date64": (pa.array([dt.date(1970, 1, 2)], pa.date64()), [1]),
    "timestamp s, year 9999": (pa.array([YEAR_9999.replace(second=0)], pa.timestamp("s")), [2932896 + 1439 / 1440]),
    "timestamp us, year 9999": (pa.array([YEAR_9999], pa.timestamp("us")), [2932896 + 86399 / 86400]),
    "date32, the last": (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), [106751991]),
    "timestamp s, beyond": (pa.array([-(2**62)], pa.timestamp("s")), [-(2**63 // 10**6) / 86400]),
    "timestamp ns, old": (pa.array([np.datetime64("1677-10-01", "ns")]), [-106742]),
    "list of any length": (pa.array([[1], [1, 2]]), "list<"),
    "list of empty lists": (pa.array([[]], pa.list_(pa.int64())), "list<"),
    "list of words": (pa.array([["a"]]), "list<"),
    "list of lists": (pa.array([[[1]]]), "list<"),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map<"),
    "binary": (pa.array([b"\xff"]), "binary"),
    "fixed_size_binary": (pa.array([b"ab"], pa.binary(2)), "fixed_size_binary"),
    "interval": (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "month_day_nano_interval"),
    "list_view": (pa.array([[1]], pa.list_view(pa.int64())), "list_view<"),
    "union": (
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
        "dense_union<",
    ),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_has_the_right_numbers_or_is_refused_by_name(name: str) -> None:
    """One line names column, type and option."""
    stored, expected = FEATURES[name]
    table = pa.table({"v": stored, "y": pa.nulls(len(stored), pa.string())})
    source = MemorySource(table)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=f"'v' is of type {expected}.*--ignore v"):
            ColumnPlan.of(source.schema, ["y"], "classification")
        return
    encoder = Encoder(ColumnPlan.of(source.schema, ["y"], "classification"))
    with source.open(encoder.columns.schema_in(source.schema)) as reader:
        numbers = encoder.encode(next(reader).records).numbers[: len(expected), 0]
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("unit", [None, "ns"])
def test_timestamps_of_96_bits_keep_their_year(tmp_path: Path, unit: str | None) -> None:
    """As timestamps in microseconds; a checkpoint that reads them in nanoseconds gets the same moments."""
    moments = [YEAR_9999, OLD, None, dt.datetime(2024, 2, 29, 12, 0, 0, 123456), dt.datetime(1, 1, 1)]
    moments = moments[1:4] if unit else moments
    rows = pa.table({"t": pa.array(moments, pa.timestamp("us"))})
    pq.write_table(rows, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True, row_group_size=2)
    source = open_source(tmp_path / "a.parquet")
    assert source.schema.types == [pa.timestamp("us")]
    wanted = pa.timestamp(unit or "us")
    with source.open(pa.schema([("t", wanted)])) as reader:
        found = pa.concat_arrays([block.records.column(0) for block in reader])
    assert found.cast(pa.timestamp("us")).to_pylist() == moments


def test_a_year_that_nanoseconds_cannot_hold_is_an_error(tmp_path: Path) -> None:
    """It never becomes another year."""
    source = parquet(tmp_path, pa.table({"t": pa.array([YEAR_9999], pa.timestamp("ms"))}))
    with pytest.raises(RowError, match=r"row 0: column 't': '9999-12-31 23:59:59' \(timestamp\[ms\]\) cannot be"):
        values(source, [("t", pa.timestamp("ns"))])


TEXTS = ["string", "large_string", "string_view", "dictionary"]


def as_text(kind: str, words: Sequence[bytes | None]) -> pa.Array:
    """Return bytes as text of some type, valid or not."""
    raw = pa.array(words, pa.binary())
    large = raw.cast(pa.large_binary())
    if kind == "large_string":
        return large.view(pa.large_string())
    if kind == "string_view":
        return raw.cast(pa.binary_view()).view(pa.string_view())
    text = raw.view(pa.string())
    return text.dictionary_encode() if kind == "dictionary" else text


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("wanted", [pa.string(), pa.float64()])
@pytest.mark.parametrize("short", [0, 4_096])
def test_text_that_is_not_utf8_is_a_bad_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, wanted: pa.DataType, short: int
) -> None:
    """File, row and column are named; with --on-bad-row skip the other rows are read, also from the middle."""
    monkeypatch.setattr(plain_values, "_SHORT", short)
    good: list[Any] = [1.0, None, 3.0, 4.0, 5.0] if wanted == pa.float64() else ["1", None, "3", "4", "5"]
    rows = pa.table({"v": as_text(kind, [b"1", None, b"\xc3(", b"3", b"4", b"5"]), "x": range(6)})
    with pytest.raises(RowError, match=r"a\.parquet, row 2: column 'v': '\\+xc3\(' is not valid UTF-8; .*--ignore"):
        values(parquet(tmp_path, rows), [("v", wanted)])
    with pytest.raises(RowError, match=r"memory, row 2: column 'v': .* is not valid UTF-8"):
        values(in_memory(tmp_path, rows), [("v", wanted)])
    source = parquet(tmp_path, rows, keeps_bad_rows=True)
    assert values(source, [("v", wanted)]) == [good]
    with source.open(pa.schema([("v", wanted)])) as reader:
        bad = [one for block in reader for one in block.bad] + reader.bad
    assert [(one.kind, one.row, one.offset, one.content) for one in bad] == [("encoding", 2, 2, b"\xc3(")]
    assert values(source, [("x", pa.int64())]) == [[*range(6)]], "a column that is not wanted is not looked at"


@pytest.mark.parametrize("short", [0, 4_096])
def test_a_word_cut_in_two_is_not_text(monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    """All bytes of the column together are valid; those of its rows are not."""
    monkeypatch.setattr(plain_values, "_SHORT", short)
    with pytest.raises(RowError, match="row 1: column 'v'"):
        values(MemorySource(pa.table({"v": as_text("string", [b"a", b"\xc3", b"\xa9"])})))
    sliced = pa.table({"v": as_text("string", [b"\xff", b"a", b"\xff"]).slice(1, 1)})
    assert values(MemorySource(sliced)) == [["a"]], "only the rows that are there"


def test_a_word_of_a_dictionary_that_no_row_has_may_be_anything() -> None:
    """Row groups may share a dictionary, and so may slices."""
    words = as_text("string", [b"a", b"\xff"])
    table = pa.table({"v": pa.DictionaryArray.from_arrays(pa.array([0, None, 0, 1]), words)})
    assert values(MemorySource(table.slice(0, 3))) == [["a", None, "a"]]
    with pytest.raises(RowError, match="row 3: column 'v'"):
        values(MemorySource(table))


@pytest.mark.parametrize("settings", [{}, {"use_dictionary": False}, {"dictionary_pagesize_limit": 200}])
@pytest.mark.parametrize("n_words", [1, 40, 3_000])
def test_text_is_the_same_however_it_is_stored(tmp_path: Path, settings: dict[str, Any], n_words: int) -> None:
    """With a dictionary for each row group, with none, and with one that is given up in the middle."""
    words = [None if i % 7 == 3 else f"wörd {i * i % n_words}" for i in range(3_000)]
    rows = pa.table({"x": range(3_000), "v": words, "s": pa.array([{"v": word} for word in words])})
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=1_100, data_page_size=500, **settings)
    source = open_source(tmp_path / "a.parquet")
    for name in ("v", "s.v"):
        with source.open(pa.schema([(name, pa.string())])) as reader:
            blocks = list(reader)
        assert [word for block in blocks for word in block.records.column(0).to_pylist()] == words
        for row in (1, 1_099, 1_100, 2_500):
            block = next(b for b in blocks if b.cursor(len(b)).row > row)
            with source.open(pa.schema([(name, pa.string())]), block.cursor(row - block.cursor(0).row)) as reader:
                rest = [word for block in reader for word in block.records.column(0).to_pylist()]
            assert rest == words[row:]


def test_files_of_all_types_of_text_are_one_stream(tmp_path: Path) -> None:
    """One type for features, targets and copied columns."""
    arrays = [TYPES[name][0] for name in ("string", "large_string", "string_view", "dictionary", "dictionary of large")]
    for i, array in enumerate(arrays):
        pq.write_table(pa.table({"v": array}), tmp_path / f"{i}.parquet")
    assert column(open_source(tmp_path)) == (pa.string(), WORDS * len(arrays))


def test_text_beyond_what_a_column_can_hold_is_read_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if a block had more than two GiB."""
    monkeypatch.setattr(casting, "_LARGEST", 1_000)
    words = [f"{i:0100d}" for i in range(50)]
    table = pa.table({"v": pa.array(words, pa.large_string())})
    for source in (MemorySource(table), parquet(tmp_path, table)):
        with source.open(source.schema) as reader:
            blocks = list(reader)
        assert max(block.records.nbytes for block in blocks) <= 1_100
        assert values(source) == [words]


@pytest.mark.parametrize("type_", [pa.list_(pa.int64()), pa.large_list(pa.int64())])
@BOTH
def test_lists_of_one_length_are_columns(tmp_path: Path, make: Make, type_: pa.DataType) -> None:
    """One for each element; a null list has null elements."""
    lists = [[1, 2], None, [3, None], [5, 6], [7, 8]]
    source = make(tmp_path, pa.table({"x": range(5), "v": pa.array(lists, type_)}))
    assert source.schema.names == ["x", "v[0]", "v[1]"]
    assert values(source) == [[*range(5)], [1, None, 3, 5, 7], [2, None, None, 6, 8]]
    assert values(source, [("v[1]", pa.float64())]) == [[2, None, None, 6, 8]]
    inside = make(tmp_path, pa.table({"s": pa.array([{"v": [1, 2]}, {"v": None}, None])}))
    assert values(inside, [("s.v[0]", pa.int64()), ("s.v[1]", pa.int64())]) == [[1, None, None], [2, None, None]]


@pytest.mark.parametrize("wanted", [["v[0]"], ["v[1]", "v[0]"]])
def test_a_list_of_another_length_is_a_bad_row(tmp_path: Path, wanted: list[str]) -> None:
    """Also if only its first element is wanted, and in a file whose own first rows have another length."""
    schema = [(name, pa.int64()) for name in wanted]
    first = [[1, 2]] * 300
    table = pa.table({"v": [*first, [1, 2, 3], [4, 5], []]})
    with pytest.raises(RowError, match=r"row 300: column 'v': expected a list of 2 values .* found 3; .*--ignore v"):
        values(in_memory(tmp_path, table), schema)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    source = open_source(tmp_path / "a.parquet", keeps_bad_rows=True)
    with source.open(pa.schema(schema)) as reader:
        blocks = list(reader)
    assert blocks[-1].records.column(wanted[-1]).to_pylist()[-1] == 4
    bad = [one for block in blocks for one in block.bad] + reader.bad
    assert [(one.kind, one.row, one.offset) for one in bad] == [("type", 300, 300), ("type", 301, 302)]


def test_lists_of_several_files_have_one_length(tmp_path: Path) -> None:
    """Another length is a bad row; a first file without rows says nothing."""
    lists = pa.list_(pa.int64())
    pq.write_table(pa.table({"v": pa.array([], lists)}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"v": pa.array([[1, 2]], lists)}), tmp_path / "1.parquet")
    assert values(open_source(tmp_path)) == [[1], [2]]
    pq.write_table(pa.table({"v": pa.array([[1, 2, 3]], lists)}), tmp_path / "2.parquet")
    with pytest.raises(RowError, match=r"2\.parquet, row 1: column 'v': expected a list of 2 values .* found 3"):
        values(open_source(tmp_path))
    fixed = pa.array([[1, 2]], pa.list_(pa.int64(), 2))
    pq.write_table(pa.table({"v": fixed}), tmp_path / "2.parquet")
    assert values(open_source(tmp_path)) == [[1, 1], [2, 2]]


def test_only_the_first_file_with_rows_is_asked_for_its_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open many files, or to leave the lists out, takes no longer."""
    for i in range(5):
        pq.write_table(pa.table({"v": [[1, 2]], "tags": [["a"]], "x": [i]}), tmp_path / f"{i}.parquet")
    asked: list[Any] = []
    real = row_groups.first_rows

    def counted(*given: Any) -> Any:
        asked.append(given)
        return real(*given)

    monkeypatch.setattr(parquet_format, "first_rows", counted)
    source = open_source(tmp_path)
    assert values(source, [("x", pa.int64())]) == [[*range(5)]]
    assert len(asked) == 1
    assert source.schema.names == ["v[0]", "v[1]", "tags", "x"]


def test_lists_that_vary_in_thefirst_rows_stay_lists(tmp_path: Path) -> None:
    """The number of those rows does not depend on row groups; see the refusal of such features."""
    table = pa.table({"v": [[1, 2]] * 255 + [[1]]})
    for size in (3, 1000):
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=size)
        assert open_source(tmp_path / "a.parquet").schema.names == ["v"]


def frame(index: list[Any], name: str | None) -> pa.Table:
    """Return a table as pandas writes a data frame with an index."""
    import json

    stored = name or "__index_level_0__"
    rows = pa.table({"x": [1.5, 2.5], stored: index, "y": ["a", "b"]})
    return rows.replace_schema_metadata({"pandas": json.dumps({"index_columns": [stored], "columns": []})})


@BOTH
@pytest.mark.parametrize("name", [None, "day"])
def test_the_index_of_a_frame_is_left_out_unless_it_is_named(tmp_path: Path, make: Make, name: str | None) -> None:
    """It is said once; it can be a feature, a target, or read beside them."""
    source = make(tmp_path, frame([7, 3], name))
    stored = name or "__index_level_0__"
    assert [line.split(": ", 1)[1] for line in source.remarks] == [
        f"column {stored!r} is the index of a data frame; it is left out unless --features names it"
    ]
    assert values(source)[1] == [7, 3]

    def features(**named: Any) -> list[str]:
        plan = ColumnPlan.of(source.schema, [named.pop("target", "y")], "classification", **named)
        return [one.name for one in plan.features]

    assert features() == ["x"]
    assert features(features=["x", stored]) == ["x", stored]
    assert features(categorical=[stored]) == ["x", stored]
    assert features(target=stored) == ["x", "y"]


@pytest.mark.parametrize(
    ("metadata", "n_marked"),
    [
        ({"index_columns": [{"kind": "range", "start": 0, "stop": 2}]}, 0),
        ({"index_columns": ["x", "y"]}, 2),
        ({"index_columns": ["gone"]}, 0),
        ({"index_columns": None}, 0),
        ({}, 0),
        ([], 0),
    ],
)
def test_other_metadata_of_pandas(metadata: Any, n_marked: int) -> None:
    """A range is no column; an index of several levels has several."""
    import json

    rows = frame([7, 3], None).replace_schema_metadata({"pandas": json.dumps(metadata)})
    assert len(MemorySource(rows).remarks) == n_marked
    assert not MemorySource(rows.replace_schema_metadata({"pandas": "{"})).remarks


@pytest.mark.parametrize(
    ("numbers", "is_left_out"),
    [
        (["5", "3", "9", "0"], True),
        (["0", "1", "2", "3"], True),
        ([*map(str, range(50)), *map(str, range(50))], True),
        (["5", "3", "5", "0"], False),
        (["-1", "0", "1", "2"], False),
        (["0.5", "1", "2", "3"], False),
        (["a", "b", "c", "d"], False),
        (["0", "", "2", "3"], False),
    ],
)
def test_row_numbers_without_a_name_in_text_are_left_out(tmp_path: Path, numbers: list[str], is_left_out: bool) -> None:
    """As the index of a data frame; other columns without a name are learned, with a doubt."""
    text = ",x,y\n" + "".join(f"{n},{i},{'ab'[i % 2]}\n" for i, n in enumerate(numbers))
    (tmp_path / "a.csv").write_text(text)
    source = open_source(tmp_path / "a.csv")
    features = [one.name for one in ColumnPlan.of(source.schema, ["y"], "classification").features]
    assert features == (["x"] if is_left_out else ["column 1", "x"])
    assert [line.endswith("it is left out unless --features names it") for line in source.remarks] == [
        True
    ] * is_left_out
    assert bool(source.type_warnings) is not is_left_out
    assert values(source, [("column 1", pa.string())])[0][0] == numbers[0]


@BOTH
def test_columns_with_equal_names_are_told_apart(tmp_path: Path, make: Make) -> None:
    """Each keeps its values, those of structs and lists too."""
    arrays = [[1, 2, 3], ["a", "b", "c"], [{"v": 5}, {"v": 6}, {"v": 7}], [[8, 9]] * 3, [0.5, 1.5, 2.5], [{"v": 1}] * 3]
    rows = pa.table([pa.array(one) for one in arrays], ["v", "v", "s", "v", "", "s"])
    source = make(tmp_path, rows)
    assert source.schema.names == ["v", "v_1", "s.v", "v_2[0]", "v_2[1]", "column 5", "s_1.v"]
    assert [line.split(": ", 1)[1] for line in source.remarks] == [
        "columns without a name: column 5 is called 'column 5'",
        (
            "columns with the same name: column 2, again 'v', is called 'v_1'; column 4, again 'v', is called 'v_2'; "
            "column 6, again 's', is called 's_1'"
        ),
    ]
    expected = [[1, 2, 3], ["a", "b", "c"], [5, 6, 7], [8] * 3, [9] * 3, [0.5, 1.5, 2.5], [1] * 3]
    assert values(source) == expected
    for name, found in zip(source.schema.names, expected, strict=True):
        assert values(source, [(name, source.schema.field(name).type)]) == [found]


def test_files_that_say_the_same_say_it_once(tmp_path: Path) -> None:
    """The first file stands for all."""
    for name in ("a", "b"):
        pq.write_table(frame([7, 3], None), tmp_path / f"{name}.parquet")
    assert len(open_source(tmp_path).remarks) == 1


ABSENT: dict[str, tuple[pa.Array, list[Any]]] = {
    "string": (pa.array(["-9999", "-9999.0", "a", "?"]), [None, "-9999.0", "a", None]),
    "dictionary": (pa.array(["?", "a", "?"]).dictionary_encode(), [None, "a", None]),
    "large_string": (pa.array(["?", "a"], pa.large_string()), [None, "a"]),
    "int64": (pa.array([-9999, 1, None]), [None, 1, None]),
    "int8": (pa.array([-99, 1], pa.int8()), [-99, 1]),
    "float64": (pa.array([-9999.0, -9999.5, 1]), [None, -9999.5, 1]),
    "float32": (pa.array([0.1, 1.0], pa.float32()), [None, 1]),
    "float16": (pa.array(np.array([0.1, 1], np.float16)), [None, 1]),
    "decimal": (pa.array([Decimal("-9999.00"), Decimal("1.25")], pa.decimal64(9, 2)), [None, Decimal("1.25")]),
    "bool": (pa.array([True, False]), [None, False]),
    "date": (pa.array([dt.date(1900, 1, 1), dt.date(1900, 1, 2)]), [None, dt.date(1900, 1, 2)]),
    "timestamp": (pa.array([dt.datetime(1900, 1, 1), None, OLD], pa.timestamp("us")), [None, None, OLD]),
    "time": (pa.array([dt.time(23, 59, 59), dt.time(1)], pa.time64("us")), [None, dt.time(1)]),
    "uuid": (pa.array([bytes(16), bytes([255] * 16)], pa.uuid()), [None, str(uuid.UUID(int=2**128 - 1))]),
    "binary": (pa.array([b"?"]), [b"?"]),
}
NULL_VALUES = ["-9999", "?", "0.1", "true", "1900-01-01", "23:59:59", "1e999", str(uuid.UUID(int=0))]


@BOTH
@pytest.mark.parametrize("name", ABSENT)
def test_words_for_a_missing_value_work_for_every_type(tmp_path: Path, make: Make, name: str) -> None:
    """Text that is equal, or a value that a word stands for; in parts of lists and structs too."""
    stored, expected = ABSENT[name]
    source = make(tmp_path, pa.table({"v": stored}), null_values=NULL_VALUES)
    assert values(source) == [expected]
    assert (
        values(make(tmp_path, pa.table({"v": stored}))) != [expected] or stored.null_count or name in {"int8", "binary"}
    )
    nested = pa.table({"s": pa.StructArray.from_arrays([stored], ["v"])})
    assert values(make(tmp_path, nested, null_values=NULL_VALUES)) == [expected]


def test_a_moment_with_a_zone_may_be_written_without() -> None:
    """It is then one of the zone."""
    moments = pa.array([dt.datetime(1899, 12, 31, 23), dt.datetime(1900, 1, 1)], pa.timestamp("s", "UTC"))
    for zone, expected in (("UTC", [False, True]), ("+01:00", [True, False])):
        source = open_source(pa.table({"v": moments.cast(pa.timestamp("s", zone))}), null_values=["1900-01-01"])
        assert [value is None for value in values(source)[0]] == expected


def test_a_word_as_another_type_is_missing_too(tmp_path: Path) -> None:
    """A number that is read as a category, and a word that is read as a number."""
    rows = pa.table({"n": [-9999, 1], "w": ["-9999", "1"]})
    source = parquet(tmp_path, rows, null_values=["-9999"])
    assert values(source, [("n", pa.string()), ("w", pa.float64())]) == [[None, "1"], [None, 1.0]]


def test_an_unknown_extension_is_read_as_it_is_stored() -> None:
    """Its values are those of the type below."""
    opaque = pa.opaque(pa.int32(), "kind", "vendor")
    assert column(
        MemorySource(pa.table({"v": pa.ExtensionArray.from_storage(opaque, pa.array([1, None], pa.int32()))}))
    ) == (
        pa.int32(),
        [1, None],
    )
    tensor = pa.fixed_shape_tensor(pa.float32(), [2])
    array = pa.ExtensionArray.from_storage(tensor, pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2)))
    assert values(MemorySource(pa.table({"v": array}))) == [[1, 3], [2, 4]]


def test_bytes_that_are_text_can_be_read_as_words() -> None:
    """If a setting says that they are words; others are named."""
    source = MemorySource(pa.table({"v": [b"a", b"\xff"]}))
    with pytest.raises(ConnectorError, match=r"row 1: column 'v': .* is not valid UTF-8"):
        values(source, [("v", pa.string())])
