"""Confusion matrices: how often each true class met each predicted one, and the metrics of labels.

There are three matrices of one shape: for the learner and for two baselines. Rows come as arrays of six float64 numbers
each, in the order of the constants below. Class codes are exact in a float64. They number classes in order of their
first appearance, and -1 means "no prediction".
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASELINES", "FEW", "PREDICTORS", "ConfusionCounts", "highest_code"]

TRUE, PREDICTED, P_TRUE, P_POSITIVE, NO_CHANGE, PRIOR = range(6)
PREDICTORS = [PREDICTED, NO_CHANGE, PRIOR]
BASELINES = {"no_change": 1, "prior": 2}  # name → place in PREDICTORS

FEW = 8
"""Number of classes up to which one pass over the rows for each class is faster than indexing row by row."""


class ConfusionCounts:
    """Confusion matrices of a learner and of its baselines, with spare room for new classes.

    Parameters
    ----------
    n_classes
        Number of classes known from the start.

    Attributes
    ----------
    n_classes
        Number of classes known so far.

    Notes
    -----
    Memory is 24 bytes × n_classes², and up to 1.6 times that while classes keep appearing.
    """

    def __init__(self, n_classes: int = 0) -> None:
        self.n_classes = n_classes
        # Axes: predictor, true code, predicted code + 1. Column 0 is "no prediction". It may be larger than n_classes:
        # grow() makes spare room.
        self._confusion = np.zeros((len(PREDICTORS), n_classes, n_classes + 1), np.int64)
        self._support = np.zeros(n_classes, np.int64)

    @classmethod
    def of(cls, confusion: NDArray[Any]) -> Self:
        """Return counts that continue from a result of :meth:`matrices`, shape (3, n_classes, n_classes + 1)."""
        counts = cls(confusion.shape[1])
        counts._confusion, counts._support = confusion.copy(), confusion[0].sum(axis=1)
        return counts

    def matrices(self) -> NDArray[np.int64]:
        """Return a copy of the counts, shape (3, n_classes, n_classes + 1). Column 0 is "no prediction"."""
        return np.ascontiguousarray(self._confusion[:, : self.n_classes, : self.n_classes + 1]).copy()

    def majority_before(self, true: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the most frequent class before each of the next rows, given their codes, shape (n,)."""
        return _majority_before(true, self._support[: self.n_classes])

    def add(self, rows: NDArray[np.float64]) -> None:
        """Count complete rows, shape (6, n). There must be room for their codes."""
        if len(self._support) <= FEW:
            self._add_jointly(rows)
        else:
            self._add_singly(rows)

    def _add_jointly(self, rows: NDArray[np.float64]) -> None:
        """Count the combinations of a true class and three predicted ones. Each matrix sums over two of them."""
        n_true, n_predicted = self._confusion.shape[1:]
        place = rows[TRUE].copy()
        for predictor in PREDICTORS:
            place *= n_predicted
            place += rows[predictor]
            place += 1
        shape = (n_true, *[n_predicted] * len(PREDICTORS))
        joint = np.bincount(place.astype(np.intp), minlength=math.prod(shape)).reshape(shape)
        without_last = joint.sum(axis=3)
        counts = without_last.sum(axis=2), without_last.sum(axis=1), joint.sum(axis=1).sum(axis=1)
        self._confusion += np.array(counts)
        self._support += counts[0].sum(axis=1)

    def _add_singly(self, rows: NDArray[np.float64]) -> None:
        """Count row by row. A count for each of n_classes² places would take longer than the rows."""
        true = rows[TRUE].astype(np.int64)
        self._support += np.bincount(true, minlength=len(self._support))
        n_predicted = self._confusion.shape[2]
        for predictor, confusion in zip(PREDICTORS, self._confusion, strict=True):
            place = true * n_predicted + 1 + rows[predictor].astype(np.int64)
            np.add.at(confusion.reshape(-1), place, 1)  # a view, as it is contiguous

    def grow(self, n_classes: int) -> None:
        """Make room for classes, by a quarter at least. So 1000 classes that arrive singly do not cause 1000 copies."""
        if n_classes <= self.n_classes:
            return
        self.n_classes = n_classes
        old = len(self._support)
        if n_classes > old:
            room = max(n_classes, old + old // 4)
            confusion = np.zeros((len(PREDICTORS), room, room + 1), np.int64)
            confusion[:, :old, : old + 1] = self._confusion
            self._confusion = confusion
            self._support = np.concatenate((self._support, np.zeros(room - old, np.int64)))

    def label_metrics(self, predictor: int) -> dict[str, float | None]:
        """Return the metrics of labels, for the predictor at a place. Each is None before the first row."""
        if not self._confusion[predictor, :, 1:].any():
            return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "kappa"))
        confusion = self._confusion[predictor, : self.n_classes, 1 : self.n_classes + 1]
        right, support, named = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        n = int(support.sum())
        occurred = support > 0
        accuracy = int(right.sum()) / n
        by_chance = float(((support / n) * (named / n)).sum())
        return {
            "accuracy": accuracy,
            "balanced_accuracy": float((right[occurred] / support[occurred]).mean()),
            "macro_f1": float((2 * right / np.maximum(support + named, 1)).sum() / np.count_nonzero(support + named)),
            "kappa": (accuracy - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0,
        }

    def kappa_temporal(self) -> float | None:
        """Return how much better the learner is than ``no_change``. None where that makes no error."""
        predicted = self._confusion[:, :, 1:]
        n_predicted = predicted.sum(axis=(1, 2))
        n_wrong = n_predicted - np.trace(predicted, axis1=1, axis2=2)
        last = BASELINES["no_change"]
        if not n_predicted[0] or not n_wrong[last]:
            return None
        return 1.0 - float((n_wrong[0] / n_predicted[0]) / (n_wrong[last] / n_predicted[last]))


def highest_code(of: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row the lowest code with the highest value, given (n_classes, n). Any code where one is NaN."""
    leader: NDArray[np.int64]
    if len(of) > max(FEW, of.shape[1]):
        leader = of.argmax(axis=0)
        return leader
    # One pass over the rows for each class. An argmax along the first axis takes four times as long.
    highest, leader = of[0].copy(), np.zeros(of.shape[1], np.int64)
    for code, figure in enumerate(of[1:], start=1):
        np.putmask(leader, figure > highest, code)
        np.maximum(highest, figure, out=highest)
    return leader


def _majority_before(true: NDArray[np.int64], support: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most frequent class before each row: the lowest code among equals, -1 before the first.

    Few classes are counted one by one. Many classes work as follows. After a row, ``highest`` is the highest count of
    any class. The leaders change only in rows whose own class reaches it. Such a class leads alone if it raises
    ``highest``, and shares the lead if it equals it. Each such row gets the key ``code - highest * n_classes``. A
    raised ``highest`` makes all later keys smaller. So does a lower code among equals. So the running minimum of the
    keys is the leader. The cost does not depend on the number of classes.
    """
    n_classes, start = len(support), int(support.max())
    n_in_block = np.bincount(true, minlength=n_classes)
    leader = int(support.argmax())
    if np.count_nonzero(support + n_in_block >= start) == 1 and start:  # no other class can catch up within these rows
        return np.full(len(true), leader)
    if n_classes <= FEW:
        leaders = _argmax_before(true, support)
        if not start:
            leaders[0] = -1
        return leaders
    order = np.argsort(true, kind="stable")
    occurrence = np.empty_like(true)  # 1 for the first row of its class here, 2 for the second, …
    occurrence[order] = np.arange(1, len(true) + 1) - (np.cumsum(n_in_block) - n_in_block)[true[order]]
    count = support[true] + occurrence
    highest = np.maximum.accumulate(np.concatenate(([start], count)))
    key = np.where(count == highest[1:], true - highest[1:] * n_classes, 0)
    leaders = np.minimum.accumulate(np.concatenate(([leader - start * n_classes], key)))[:-1] % n_classes
    if not start:
        leaders[0] = -1
    return leaders


def _argmax_before(true: NDArray[np.int64], support: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class with the highest count before each row, the lowest code among equals."""
    counts = np.empty((len(support), len(true)), np.int64)
    for code, count in enumerate(counts):
        count[0] = support[code]
        np.cumsum(true[:-1] == code, out=count[1:])
        count[1:] += support[code]
    return highest_code(counts)
