"""Columns of every type: what becomes of them, who decides, and what is refused by name."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import MemorySource, Source, open_source
from stream_bp.errors import ConfigError, DataError
from stream_bp.job.job import Job
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import PARTS, Column, choose
from stream_bp.preprocessing.vocabulary import NO_PLACE, Vocabulary, hash_words

MOMENTS: list[Any] = [dt.datetime(2024, 2, 29, 6), None, dt.datetime(1960, 12, 31, 18, 30)]


def encoded(source: Source, encoder: Encoder) -> Encoded:
    """Read a whole source and encode it at once."""
    with source.open(encoder.columns.schema_in(source.schema)) as reader:
        records = [block.records for block in reader]
    return encoder.encode(pa.concat_batches(records))


def encode(columns: dict[str, Any], **settings: Any) -> tuple[Encoder, Encoded]:
    """Encode rows with a label beside the columns given."""
    n = len(next(iter(columns.values())))
    source = MemorySource(pa.table({**columns, "label": ["ab"[i % 2] for i in range(n)]}))
    encoder = Encoder(ColumnPlan.of(source.schema, ["label"], "classification", **settings))
    return encoder, encoded(source, encoder)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_moment_is_the_same_numbers_in_any_unit(unit: str) -> None:
    """Days since 1970, and points on the circles of year, week and day; nothing where there is none."""
    encoder, rows = encode({"t": pa.array(MOMENTS, pa.timestamp(unit))})
    assert encoder.numbers == [f"t:{part}" for part in PARTS["timestamp"]]
    numbers = dict(zip(PARTS["timestamp"], rows.numbers, strict=True))
    epoch = dt.datetime(1970, 1, 1)
    assert numbers["days"][0] == (MOMENTS[0] - epoch) / dt.timedelta(days=1)
    assert numbers["days"][2] == (MOMENTS[2] - epoch) / dt.timedelta(days=1)
    assert np.isnan(rows.numbers[:, 1]).all()
    for i in (0, 2):
        day = (MOMENTS[i] - dt.datetime.combine(MOMENTS[i].date(), dt.time())) / dt.timedelta(days=1)
        week = (MOMENTS[i].weekday() + day) / 7
        for cycle, turn in (("day", day), ("week", week)):
            np.testing.assert_allclose(numbers[f"{cycle}_sin"][i], np.sin(2 * np.pi * turn), atol=1e-9)
            np.testing.assert_allclose(numbers[f"{cycle}_cos"][i], np.cos(2 * np.pi * turn), atol=1e-9)
    np.testing.assert_allclose(np.hypot(numbers["year_sin"], numbers["year_cos"])[[0, 2]], 1)


def test_dates_times_and_durations_have_their_parts() -> None:
    """A date has no time of the day, a time no date, a duration is seconds."""
    day = pa.array([dt.date(1970, 1, 2), None])
    noon = pa.array([dt.time(12), dt.time(0)], pa.time32("s"))
    long = pa.array([dt.timedelta(minutes=2), None], pa.duration("ms"))
    encoder, rows = encode({"day": day, "x": [1.0, 2.0], "noon": noon, "long": long, "day64": day.cast(pa.date64())})
    numbers = dict(zip(encoder.numbers, rows.numbers, strict=True))
    assert numbers["day:days"][0] == numbers["day64:days"][0] == 1.0
    assert "day:day_sin" not in numbers
    assert numbers["noon:day_cos"].tolist() == [-1.0, 1.0]
    assert numbers["x"].tolist() == [1.0, 2.0]
    assert numbers["long"][0] == 120.0
    assert np.isnan([numbers["day:days"][1], numbers["long"][1]]).all()
    assert rows.missing is not None
    assert rows.missing[:, 1].tolist() == [True, False, False, True, True]


@pytest.mark.parametrize("is_file", [True, False])
def test_structs_lists_dictionaries_and_decimals_are_columns(tmp_path: Path, is_file: bool) -> None:
    """The fields of a struct and the elements of a list are columns, null where the whole of them is."""
    place = pa.array([{"city": "Rome", "at": {"x": 1.0}}, None, {"city": "Oslo", "at": None}])
    pixels = pa.array([[1.0, 2.0], [3.0, None], None], pa.list_(pa.float32(), 2))
    table = pa.table(
        {
            "place": place,
            "v": pixels,
            "d": pa.array(["u", "v", "u"]).dictionary_encode(),
            "p": [Decimal("1.50"), Decimal("2.25"), None],
            "a.b": [7, 8, 9],
            "label": ["a", "b", "a"],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    source = open_source(tmp_path / "rows.parquet") if is_file else MemorySource(table, block_rows=2)
    encoder = Encoder(ColumnPlan.of(source.schema, ["label"], "classification"))
    assert encoder.numbers == ["place.at.x", "v[0]", "v[1]", "p", "a.b"]
    rows = encoded(source, encoder)
    none = np.nan
    expected = [[1.0, none, none], [1.0, 3.0, none], [2.0, none, none], [1.5, 2.25, none], [7.0, 8.0, 9.0]]
    np.testing.assert_array_equal(rows.numbers, expected)
    assert [words.values for words in encoder.categories] == [["Rome", "Oslo"], ["u", "v"]]
    assert rows.categories[0].tolist() == [0, -1, 1]


def test_a_name_may_stand_for_a_group() -> None:
    """A struct or a list is ignored, or chosen, as a whole."""
    kinds = {"v[0]": pa.float64(), "v[1]": pa.float64(), "s.a": pa.string(), "x": pa.int64(), "y": pa.string()}
    schema = pa.schema(list(kinds.items()))
    assert [c.name for c in choose(schema, ["y"], ignore=["v"])] == ["s.a", "x"]
    assert [c.name for c in choose(schema, ["y"], features=["v", "x"])] == ["v[0]", "v[1]", "x"]
    assert choose(schema, ["y"], categorical=["x"], ignore=["v", "s"]) == [Column("x", "string")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ignore": ["w"]}, "ignored column 'w' is not in the source"),
        ({"categorical": ["x"], "ignore": ["x"]}, "'x' is a feature, but also a target or ignored"),
        ({"categorical": ["x"], "numeric": ["x"]}, "'x' is both categorical and numeric"),
        ({"categorical": ["x"], "features": ["z"]}, "'x' is categorical or numeric, but not among the features"),
        ({"numeric": ["label"]}, "'label' is a feature, but also a target"),
    ],
)
def test_contradictions_are_named(settings: dict[str, list[str]], words: str) -> None:
    """One column, one purpose."""
    schema = pa.schema([("x", pa.int64()), ("z", pa.int64()), ("label", pa.string())])
    with pytest.raises(ConfigError, match=words):
        choose(schema, ["label"], types=None, **settings)


@pytest.mark.parametrize("type_", [pa.binary(), pa.list_(pa.int8()), pa.map_(pa.string(), pa.int8())])
def test_other_types_are_refused_by_name(type_: pa.DataType) -> None:
    """What is neither a number, a moment nor a word is not guessed at."""
    with pytest.raises(DataError, match=r"'odd' is of type .*--ignore odd"):
        choose(pa.schema([("odd", type_), ("label", pa.string())]), ["label"])
    with pytest.raises(DataError, match="'odd' is of type timestamp"):
        choose(pa.schema([("odd", pa.timestamp("s")), ("label", pa.string())]), ["label"], numeric=["odd"])


def test_words_can_be_numbers_and_numbers_words(tmp_path: Path) -> None:
    """Who knows better than the types says so, in text and in Parquet."""
    table = pa.table({"code": [10, 20, 10], "amount": ["1.5", "2", None], "label": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('code,amount,label\n010,"1.5",a\n020,"2",b\n010,,a\n')
    for name, codes in (("a.parquet", ["10", "20"]), ("a.csv", ["010", "020"])):
        source = open_source(tmp_path / name)
        settings: Any = {"categorical": ["code"], "numeric": ["amount"]}
        encoder = Encoder(ColumnPlan.of(source.schema, ["label"], "classification", **settings))
        rows = encoded(source, encoder)
        assert encoder.categories[0].values == codes
        np.testing.assert_array_equal(rows.numbers, [[1.5, 2.0, np.nan]])


def test_later_words_share_buckets() -> None:
    """A full vocabulary hashes: the same word the same bucket, in whatever block; without buckets there is no place."""
    words = [f"w{i}" for i in range(200)]
    encoder, rows = encode({"word": words}, max_categories=10, hash_buckets=7)
    [codes] = rows.categories
    assert codes[:10].tolist() == list(range(10))
    assert set(codes[10:].tolist()) == set(range(10, 17)), "every bucket is used"
    again = np.concatenate([encode_more(encoder, words[i : i + 3]) for i in range(0, 200, 3)])
    assert again.tolist() == codes.tolist()
    assert [encoder.categories[0].bucket(word) for word in words[10:]] == codes[10:].tolist()
    _, rows = encode({"word": [*words, None]}, max_categories=10, hash_buckets=0)
    assert rows.categories[0][9:].tolist() == [9, *[NO_PLACE] * 190, -1]


def encode_more(encoder: Encoder, words: list[str]) -> Any:
    """Encode further rows, not aligned to where a buffer begins."""
    records = pa.record_batch({"word": ["", "x" * 9, *words], "label": ["a"] * (len(words) + 2)}).slice(2)
    return encoder.encode(records).categories[0]


def test_the_hash_stays_what_it_is() -> None:
    """The figures of a stream that was learned yesterday: a hash that changes would move every word."""
    words = ["a", "b", "ab", "ba", "é", "x" * 1_000]
    texts = [word.encode() for word in words]
    offsets = np.cumsum([0, *map(len, texts)])
    together = hash_words(np.frombuffer(b"".join(texts), np.uint8), offsets)
    alone = [hash_words(np.frombuffer(text, np.uint8), np.array([0, len(text)]))[0] for text in texts]
    assert together.tolist() == alone
    assert len(set(alone)) == len(words)
    assert [int(value) % 1_000 for value in together] == FIGURES
    assert hash_words(np.empty(0, np.uint8), np.array([0])).tolist() == []


FIGURES = [215, 441, 479, 387, 258, 384]


def test_all_buckets_come_with_the_first_word_that_needs_one() -> None:
    """The network grows once, at the border of the minibatch that overflows, and learns the buckets apart."""
    words = [f"w{i % 40}" for i in range(2_000)]
    table = pa.table({"word": words, "label": ["a" if int(w[1:]) % 2 else "b" for w in words]})
    job: Any = {"target": "label", "batch_size": 1, "hidden_layers": (16,), "optimizer": "adam"}
    few = Job(open_source(table), max_categories=4, hash_buckets=200, **job).run()
    assert few.model == "layers 204-16-2"
    assert (few.metrics["accuracy"] or 0) > 0.85
    none = Job(open_source(table), max_categories=4, hash_buckets=0, **job).run()
    assert none.model == "layers 4-16-2"
    assert (none.metrics["accuracy"] or 0) < 0.7


def test_a_vocabulary_tells_its_codes() -> None:
    """Before it overflows it has as many codes as values; then all of them."""
    vocabulary = Vocabulary(["a"], limit=2, n_buckets=3)
    assert (len(vocabulary), vocabulary.grown(0), vocabulary.grown(-2)) == (1, 1, -1)
    vocabulary.extend(["b", "c"])
    vocabulary.has_overflown = True
    assert (len(vocabulary), vocabulary.values, vocabulary.grown(3)) == (5, ["a", "b"], 5)


def test_durations_alone_are_seconds() -> None:
    """Also where no other column of times is."""
    _, rows = encode({"long": pa.array([dt.timedelta(seconds=90), None], pa.duration("us"))})
    np.testing.assert_array_equal(rows.numbers, [[90.0, np.nan]])


def test_names_with_brackets_are_names(tmp_path: Path) -> None:
    """A struct may be called like an element of a list."""
    table = pa.table({"temp[C]": pa.array([{"min": 1.0}, {"min": 2.0}]), "label": ["a", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    encoder = Encoder(ColumnPlan.of(source.schema, ["label"], "classification"))
    assert encoder.numbers == ["temp[C].min"]
    assert encoded(source, encoder).numbers.tolist() == [[1.0, 2.0]]
