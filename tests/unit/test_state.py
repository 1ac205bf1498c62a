"""The protocol of state: parts nest under their names, and come back as they were."""

import numpy as np
import pytest

from stream_bp._state import StateDict, Stateful, loading
from stream_bp.errors import CheckpointError
from stream_bp.models.input_map import InputMap
from stream_bp.models.mlp import MLPModel
from stream_bp.nn.scaler import Scaler
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoder
from stream_bp.preprocessing.schema import Column


def part() -> StateDict:
    """Return the state of a part."""
    return StateDict({"mean": np.arange(3.0)}, {"rows": 7})


def test_a_part_comes_back_as_it_was_nested() -> None:
    """Arrays and values of one part are separated from those of the others."""
    whole = StateDict({"theta": np.zeros(2)}, {"step": 1})
    whole.nest("scaler", part())
    whole.nest("target_scaler", StateDict({"mean": np.zeros(1)}))
    assert sorted(whole.arrays) == ["scaler.mean", "target_scaler.mean", "theta"]
    assert whole.values == {"step": 1, "scaler": {"rows": 7}}
    found = whole.nested("scaler")
    assert found.arrays["mean"] is whole.arrays["scaler.mean"]
    assert found.values == {"rows": 7}
    assert whole.nested("target_scaler").values == {}


def test_arrays_of_a_part_can_stand_beside_those_of_the_whole() -> None:
    """With an empty prefix only the values are nested."""
    whole = StateDict()
    whole.nest("learner", part(), prefix="")
    assert (list(whole.arrays), whole.values) == (["mean"], {"learner": {"rows": 7}})
    assert list(whole.nested("learner", prefix="").arrays) == ["mean"]


def test_a_nested_part_can_be_changed_without_changing_the_whole() -> None:
    """What a part takes from its values does not disappear from the file that was loaded."""
    whole = StateDict({}, {"part": {"rows": 7}})
    whole.nested("part").values.pop("rows")
    assert whole.values == {"part": {"rows": 7}}


def test_what_does_not_fit_is_refused_by_name() -> None:
    """A missing array, another shape, another type, and values that are not an object."""
    state = StateDict({"mean": np.arange(3.0)}, {"scaler": [1]})
    assert state.array("mean", (3,), np.float64).tolist() == [0, 1, 2]
    for name, shape, dtype in (("mean", (4,), "float64"), ("mean", (3,), "float32"), ("total", (3,), "float64")):
        with pytest.raises(CheckpointError, match=f"{name}: expected {dtype}"):
            state.array(name, shape, dtype)
    with pytest.raises(CheckpointError, match="scaler: expected an object, found list"):
        state.nested("scaler")


def test_errors_of_malformed_content_become_one_line() -> None:
    """Whatever stumbles over it; an error that already says it is left alone."""
    with pytest.raises(CheckpointError, match=r"^the scaler: KeyError: 'mean'$"), loading("the scaler"):
        StateDict().values["mean"]
    with pytest.raises(CheckpointError, match=r"^mean: expected"), loading("the scaler"):
        StateDict().array("mean", (1,), np.float64)


def test_what_has_state_comes_back_from_it() -> None:
    """Every part follows the one protocol, and its twin has the same state."""
    plan = ColumnPlan([Column("x", "number")], [Column("label", "string")], "classification")
    model, twin = (MLPModel(Encoder(plan, labels=[["no", "yes"]]), "softmax", hidden_layers=(3,)) for _ in range(2))
    model.learner.grow([], model.classes.know_all())
    model.scaler.observe(np.ones((1, 2, 3)))
    pairs: list[tuple[Stateful, Stateful]] = [
        (model, twin),
        (model.encoder, Encoder(ColumnPlan([], [], "regression"))),
        (plan, ColumnPlan([], [], "regression")),
        (model.inputs, InputMap(model.encoder, model.learner.theta.dtype)),
        (model.scaler, Scaler(1)),
    ]
    for one, other in pairs:
        state = one.state_dict()
        other.load_state_dict(state)
        found = other.state_dict()
        assert found.values == state.values
        assert {name: array.tobytes() for name, array in found.arrays.items()} == {
            name: array.tobytes() for name, array in state.arrays.items()
        }
