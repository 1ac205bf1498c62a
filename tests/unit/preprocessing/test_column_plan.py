"""Columns and vocabularies: what is derived from them, how they are saved, and what is refused."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError, DataError
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.decoder import decode
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import Column


def plan() -> ColumnPlan:
    """Return the columns of a time, a word, a boolean and a number, and a label to predict."""
    features = [Column("at", "time"), Column("word", "string"), Column("flag", "bool"), Column("x", "number")]
    return ColumnPlan(features, [Column("label", "string")], "classification", max_categories=9, missing="mean")


def test_the_layout_of_the_numbers_follows_from_the_features() -> None:
    """A time is two numbers; a word is none."""
    columns = plan()
    assert columns.numbers == ["at:day_sin", "at:day_cos", "flag", "x"]
    assert columns.first_number.tolist() == [0, 2, 3]
    assert columns.single == [1, 2]
    assert (columns.number_features.tolist(), columns.word_features.tolist()) == ([0, 2, 3], [1])
    columns.add(Column("late", "string"))
    columns.widen("flag")
    assert columns.word_features.tolist() == [1, 4]
    assert [column.kind for column in columns.numeric] == ["time", "number", "number"]


def test_the_state_is_taken_over_whole() -> None:
    """Columns and vocabularies come back from JSON as they were."""
    encoder = Encoder(plan(), categories=[["a", "b"]], labels=[["no", "yes"]])
    state = encoder.state_dict()
    assert state.values["categories"] == [["a", "b"]]
    twin = Encoder.from_state_dict(StateDict({}, json.loads(json.dumps(state.values))))
    assert twin.state_dict() == state
    assert twin.numbers == encoder.numbers
    assert twin.categories[0].limit == 9


def test_a_state_does_not_change_with_the_encoder() -> None:
    """What was saved stays as it was."""
    encoder = Encoder(plan(), categories=[["a"]])
    state = encoder.state_dict()
    encoder.categories[0].extend(["b"])
    encoder.add(Column("late", "number"))
    assert state.values["categories"] == [["a"]]
    assert len(state.values["columns"]["features"]) == 4


def test_the_columns_of_the_first_release_have_its_defaults() -> None:
    """It had neither buckets nor a policy."""
    values = plan().state_dict().values
    for name in ("max_categories", "hash_buckets", "missing"):
        del values[name]
    older = ColumnPlan.from_state_dict(StateDict({}, values))
    assert (older.max_categories, older.hash_buckets, older.missing) == (1_000, 0, "mean")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": [{"name": 3, "kind": "number", "zone": None}]}, "name of a column is not a string"),
        ({"features": [{"name": "x", "kind": "word", "zone": None}]}, "ValueError"),
        ({"features": [{"name": "x"}]}, "TypeError"),
        ({"targets": None}, "TypeError"),
        ({"task": "ranking"}, "task: expected one of classification, regression, found 'ranking'"),
        ({"missing": "zero"}, "missing: expected one of mean-indicator, mean, drop-row, error, found 'zero'"),
        ({"max_categories": "many"}, "TypeError"),
    ],
)
def test_columns_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    """Each in one line."""
    with pytest.raises(CheckpointError, match=message):
        ColumnPlan.from_state_dict(StateDict({}, {**plan().state_dict().values, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"categories": [["a"], ["b"]], "labels": []},
        {"categories": [["a", "a"]]},
        {"categories": [[1]]},
        {"labels": [[True]]},
        {"labels": [["no"], ["no"]]},
        {"labels": 3},
        {"columns": []},
    ],
)
def test_vocabularies_that_do_not_belong_to_the_columns_are_refused(change: dict[str, Any]) -> None:
    """Another number of them, a word twice, or values of another kind."""
    state = Encoder(plan(), categories=[["a", "b"]], labels=[["no", "yes"]]).state_dict()
    with pytest.raises(CheckpointError):
        Encoder.from_state_dict(StateDict({}, {**state.values, **change}))


def test_predictions_are_put_into_the_words_of_the_user() -> None:
    """The most probable label, and the probability of each; a value as it is."""
    found = decode(Encoder(plan(), labels=[["no", "yes", "ahead"]]), [np.array([[0.7, 0.2], [0.3, 0.8]])])
    assert found.to_pydict() == {"label": ["no", "yes"], "label=no": [0.7, 0.2], "label=yes": [0.3, 0.8]}
    values = ColumnPlan([Column("x", "number")], [Column("v", "number")], "regression")
    said = decode(Encoder(values), [np.array([1, 2], np.float32)])
    assert said.equals(pa.record_batch({"v": pa.array([1.0, 2.0])}))


def test_predictions_without_a_label_or_with_one_name_twice_are_refused() -> None:
    """Nothing is written of them."""
    with pytest.raises(DataError, match="no label of 'label' was learned"):
        decode(Encoder(plan()), [np.empty((0, 2))])
    targets = [Column("a", "string"), Column("a=b", "string")]
    encoder = Encoder(ColumnPlan([Column("x", "number")], targets, "classification"), labels=[["b"], ["c"]])
    with pytest.raises(DataError, match="would have the same name"):
        decode(encoder, [np.ones((1, 2)), np.ones((1, 2))])
