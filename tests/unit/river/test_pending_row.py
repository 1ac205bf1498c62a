"""The row that was predicted last: its three states, what leads from one to another, and what is kept of it."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from stream_bp.errors import DataError
from stream_bp.models.mlp import MLPModel
from stream_bp.models.single_row import SingleRowLearner
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.dict_encoder import DictEncoder
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import Column
from stream_bp.river.pending_row import PendingRow

X: dict[Any, Any] = {"x": 1.0, "word": "a"}


def state_of(pending: PendingRow) -> str:
    """Return the state; a call, so that mypy does not take it for what it was before."""
    return pending.state


@pytest.fixture
def pending() -> PendingRow:
    """Return the pending row of a model that knows a number, the word ``a`` and two classes."""
    features = [Column("x", "number"), Column("word", "string")]
    plan = ColumnPlan(features, [Column("label", "string")], "classification", missing="mean")
    encoder = Encoder(plan, categories=[["a"]], labels=[["no", "yes"]])
    model = MLPModel(encoder, "softmax", hidden_layers=(3,))
    model.learner.grow([], model.classes.know_all())
    return PendingRow(DictEncoder(encoder), model)


def test_a_known_row_is_taken_once(pending: PendingRow) -> None:
    """From empty to known, and back."""
    assert state_of(pending) == "empty"
    assert sum(pending.propagate(X)) == pytest.approx(1)
    assert state_of(pending) == "known"
    assert isinstance(pending.take(), SingleRowLearner)
    assert state_of(pending) == "empty"
    with pytest.raises(RuntimeError, match="no row is held"):
        pending.take()


@pytest.mark.parametrize("row", [{**X, "word": "b"}, {**X, "later": 3.0}])
def test_a_row_with_something_unknown_is_new(pending: PendingRow, row: dict[Any, Any]) -> None:
    """It is predicted without that; before it is learned, the model has to grow."""
    assert pending.propagate(row)
    assert state_of(pending) == "new"
    pending.propagate(X)
    assert state_of(pending) == "known"


def test_the_same_row_is_computed_once(pending: PendingRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """An equal row is the same row; another one, or a row that was changed since, is not."""
    calls: list[Any] = []
    encode_one = DictEncoder.encode_one

    def count(self: DictEncoder, x: Any, **settings: Any) -> Any:
        calls.append(x)
        return encode_one(self, x, **settings)

    monkeypatch.setattr(DictEncoder, "encode_one", count)
    row = dict(X)
    first = pending.propagate(row)
    assert pending.propagate(dict(X)) is first
    assert len(calls) == 1
    row["x"] = 2.0
    pending.propagate(row)
    assert len(calls) == 2


def test_a_row_that_cannot_be_read_leaves_nothing(pending: PendingRow) -> None:
    """Neither itself nor the row before it is pending."""
    pending.propagate(X)
    with pytest.raises(DataError):
        pending.propagate({"x": np.zeros(2)})
    assert state_of(pending) == "empty"


def test_a_forgotten_row_is_computed_again(pending: PendingRow) -> None:
    """To the same bits."""
    first = pending.propagate(X)
    pending.forget()
    assert state_of(pending) == "empty"
    again = pending.propagate(X)
    assert again == first
    assert again is not first


def test_without_a_model_every_row_stays_empty(pending: PendingRow) -> None:
    """There is nothing to predict, and nothing to take."""
    empty = PendingRow(pending._dicts, None)
    assert empty.propagate(X) == []
    assert state_of(empty) == "empty"


def test_copies_are_empty_and_the_same_bytes_whatever_was_predicted(pending: PendingRow) -> None:
    """What is pending can be computed again, so it is not part of a pickle."""
    before = pickle.dumps(pending)
    output = pending.propagate(X)
    assert pickle.dumps(pending) == before
    for twin in (pickle.loads(before), copy.deepcopy(pending)):  # noqa: S301
        assert state_of(twin) == "empty"
        assert twin._model is not None
        assert twin._dicts.encoder is twin._model.encoder
        assert twin.propagate(X) == output
    assert state_of(pending) == "known"
