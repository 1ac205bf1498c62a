"""The inputs of a network: when a category or a gap gets one, what it is called, and what is refused on loading."""

from typing import Any

import numpy as np
import pytest

from stream_bp._state import StateDict
from stream_bp.errors import CheckpointError
from stream_bp.models.input_map import InputMap
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column

N_ROWS = 6
FLOAT64 = np.dtype(np.float64)


def encoder_of(words: tuple[str, ...] = ("red", "blue"), **settings: Any) -> Encoder:
    """Return the columns of two numbers, with a word between them."""
    features = [Column("x", "number"), Column("colour", "string"), Column("y", "number")]
    columns = ColumnPlan(features, [Column("label", "string")], "classification", **settings)
    return Encoder(columns, categories=[words])


def rows_of(codes: list[int], gaps: tuple[int, ...] = ()) -> Encoded:
    """Return rows with these categories; ``x`` is missing in some."""
    numbers, missing = np.ones((2, len(codes))), np.zeros((3, len(codes)), bool)
    missing[0, list(gaps)] = True
    return Encoded(numbers, [np.array(codes)], np.zeros((1, len(codes)), np.int64), missing if gaps else None)


def grown() -> InputMap:
    """Return a map with the inputs x, y, colour=red, x:missing."""
    inputs = InputMap(encoder_of(("red",)), FLOAT64)
    inputs.grow(rows_of([0, -1], gaps=(1,)), 0, 2)
    return inputs


def test_what_appears_gets_an_input_from_its_minibatch_on() -> None:
    """Never earlier, though the vocabulary knows it already."""
    inputs = InputMap(encoder_of(), FLOAT64)
    rows = rows_of([-1, 0, 0, 0, 1, 1], gaps=(3,))
    assert (inputs.n_inputs, inputs.first_new(rows, 0, N_ROWS), inputs.first_new(rows, 0, 1)) == (2, 1, None)
    assert inputs.grow(rows, 0, 2) == ["colour=red"]
    assert inputs.categories == [["red"]]
    assert inputs.first_new(rows, 2, N_ROWS) == 3
    assert inputs.grow(rows, 2, 4) == ["x:missing"]
    assert inputs.first_new(rows, 4, N_ROWS) == 4
    assert inputs.grow(rows, 4, N_ROWS) == ["colour=blue"]
    assert inputs.names() == ["colour=red", "x:missing", "colour=blue"]
    assert inputs.n_inputs == 5
    assert inputs.first_new(rows, 0, N_ROWS) is None


def test_a_gap_has_no_input_under_another_policy() -> None:
    """The mean stands for what is missing, and nothing says so."""
    inputs = InputMap(encoder_of(missing="mean"), FLOAT64)
    rows = rows_of([-1] * 3, gaps=(1,))
    assert inputs.first_new(rows, 0, 3) is None
    assert inputs.grow(rows, 0, 3) == []


def test_all_buckets_get_an_input_with_the_first_one() -> None:
    """Words that found no place share them; one without any place has no input."""
    encoder = encoder_of(("red",), max_categories=1, hash_buckets=2)
    encoder.categories[0].has_overflown = True
    inputs = InputMap(encoder, FLOAT64)
    assert inputs.grow(rows_of([-2, 2]), 0, 2) == ["colour=red", "colour#0", "colour#1"]


def test_inputs_are_numbers_then_a_one_for_each_word_and_gap() -> None:
    """Minibatches (T, n_0, b); a category without an input is as good as missing."""
    inputs = grown()
    numbers = np.arange(8.0).reshape(2, 2, 2)
    missing = np.zeros((3, 2, 2), bool)
    missing[0, 1, 0] = True
    X = inputs.assemble(numbers, [np.array([[0, -1], [1, 0]])], missing)
    assert X[:, :2].tolist() == numbers.tolist()
    assert X[:, 2].tolist() == [[1, 0], [0, 1]]
    assert X[:, 3].tolist() == [[0, 0], [1, 0]]
    assert X.dtype == FLOAT64


def test_numbers_alone_are_not_copied() -> None:
    """Nothing is assembled where there is nothing beside them."""
    inputs = InputMap(encoder_of(), FLOAT64)
    numbers = np.ones((1, 2, 3))
    assert inputs.assemble(numbers, [np.full((1, 3), -1)], None) is numbers


def test_added_columns_move_the_inputs_of_words_behind_theirs() -> None:
    """Numbers stay in front, and what was there keeps its name."""
    encoder = encoder_of(("red",))
    inputs = InputMap(encoder, FLOAT64)
    inputs.grow(rows_of([0, -1], gaps=(1,)), 0, 2)
    encoder.add(Column("late", "number"))
    encoder.add(Column("late word", "string"))
    inputs.add_columns()
    assert inputs.n_inputs == 5
    assert inputs.names() == ["colour=red", "x:missing"]
    assert inputs.state_dict().values == {"inputs": [[3], []], "indicators": [4, -1, -1, -1, -1]}


def test_the_state_is_taken_over_whole() -> None:
    """Also that of release 0.1.0, which had no indicators."""
    state = grown().state_dict()
    assert state.values == {"inputs": [[2]], "indicators": [3, -1, -1]}
    twin = InputMap(encoder_of(("red",)), FLOAT64)
    twin.load_state_dict(state)
    assert (twin.n_inputs, twin.names(), twin.state_dict()) == (4, grown().names(), state)
    assert InputMap.n_named(state) == 2
    older = InputMap(encoder_of(("red",)), FLOAT64)
    older.load_state_dict(StateDict({}, {"inputs": [[2]]}))
    assert older.state_dict().values == {"inputs": [[2]], "indicators": [-1, -1, -1]}


def test_an_overflown_vocabulary_is_known_by_its_inputs() -> None:
    """Buckets have inputs only if a word had no place."""
    encoder = encoder_of(("red",), max_categories=1, hash_buckets=2)
    InputMap(encoder, FLOAT64).load_state_dict(StateDict({}, {"inputs": [[2, 3, 4]]}))
    assert encoder.categories[0].has_overflown


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "KeyError"),
        ({"inputs": 3}, "TypeError"),
        ({"inputs": [["a"]]}, "TypeError"),
        ({"inputs": [[2.0]]}, "TypeError"),
        ({"inputs": []}, "ValueError"),
        ({"inputs": [[2]], "indicators": [-1]}, "ValueError"),
        ({"inputs": [[2, 3]]}, "'colour' has 1 categories, but 2 inputs"),
        ({"inputs": [[5]]}, "do not match"),
        ({"inputs": [[0]]}, "do not match"),
        ({"inputs": [[2]], "indicators": [2, -1, -1]}, "do not match"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(values: dict[str, Any], message: str) -> None:
    """Each input belongs to one word or gap, and none is left over."""
    with pytest.raises(CheckpointError, match=message):
        InputMap(encoder_of(("red",)), FLOAT64).load_state_dict(StateDict({}, values))
