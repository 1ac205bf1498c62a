"""The outputs of a network: when a class gets one, and how they become probabilities."""

import numpy as np
import pytest

from stream_bp.models.class_map import ClassMap
from stream_bp.preprocessing.column_plan import ColumnPlan
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column

FLOAT32 = np.dtype(np.float32)


def encoder_of(*labels: list[str]) -> Encoder:
    """Return the columns of a classification with one target for each list of labels."""
    targets = [Column(f"target {i}", "string") for i in range(len(labels))]
    return Encoder(ColumnPlan([Column("x", "number")], targets, "classification"), labels=labels)


def rows_of(*codes: list[int]) -> Encoded:
    """Return rows with these classes, for each target."""
    y = np.array(codes)
    return Encoded(np.zeros((1, y.shape[1])), [], y)


def test_a_softmax_has_an_output_for_each_class_from_its_minibatch_on() -> None:
    """Never earlier, though the encoder knows it already."""
    classes = ClassMap(encoder_of(["a", "b", "c"]), "softmax")
    rows = rows_of([-1, 0, 0, 2, 1])
    assert (classes.n_outputs, classes.first_new(rows, 0, 5), classes.first_new(rows, 0, 1)) == (0, 1, None)
    assert classes.grow(rows.y[:, :3]) == 1
    assert (classes.known, classes.labels, classes.first_new(rows, 0, 5)) == ((1,), [["a"]], 3)
    assert classes.grow(rows.y[:, 3:]) == 2
    assert classes.grow(rows.y[:, :1]) == 0
    assert (classes.n_outputs, classes.first_new(rows, 0, 5)) == (3, None)


def test_a_sigmoid_has_an_output_for_each_target() -> None:
    """Its classes are learned one by one, its outputs stay."""
    classes = ClassMap(encoder_of(["no", "yes"], ["cold", "warm"]), "sigmoid")
    assert classes.grow(np.array([[0, 1], [0, -1]])) == 0
    assert (classes.n_outputs, classes.known) == (2, (2, 1))
    Y, is_present = classes.one_hot(np.array([[[0, 1]], [[1, -1]]]), FLOAT32)
    assert Y.tolist() == [[[0, 1], [1, 0]]]
    assert Y.dtype == FLOAT32
    assert is_present.tolist() == [[[True, True], [True, False]]]


def test_a_regression_has_no_classes() -> None:
    """An output for each value."""
    columns = ColumnPlan([Column("x", "number")], [Column("u", "number"), Column("v", "number")], "regression")
    classes = ClassMap(Encoder(columns), "identity")
    assert (classes.n_outputs, classes.known, classes.know_all()) == (2, (), 0)


def test_one_hot_rows_of_missing_targets_are_empty() -> None:
    """They carry no class."""
    classes = ClassMap(encoder_of(["a", "b"]), "softmax")
    assert classes.know_all() == 2
    Y, is_present = classes.one_hot(np.array([[[0, 1, -1]]]), FLOAT32)
    assert Y.tolist() == [[[1, 0, 0], [0, 1, 0]]]
    assert is_present.tolist() == [[[True, True, False]]]


def test_probabilities_are_those_of_known_classes() -> None:
    """What could not be known yet has no share; among classes that all have none, chances are even."""
    classes = ClassMap(encoder_of(["a", "b", "c"]), "softmax")
    classes.know_all()
    output = np.array([[0.2, 0.0], [0.2, 0.0], [0.6, 1.0]])
    assert classes.probabilities(output)[0] is output
    [shares] = classes.probabilities(output, (2,))
    assert shares.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    two = ClassMap(encoder_of(["no", "yes"]), "sigmoid")
    two.know_all()
    assert two.probabilities(np.array([[0.25]]))[0].ravel().tolist() == pytest.approx([0.75, 0.25])
