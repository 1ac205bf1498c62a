"""The plan of a job's columns: which are features, which are targets, and how each is read.

A value is missing if it is null, empty, NaN, infinite or beyond ±1e100. The policy decides what happens then:

| policy           | a number         | a category | also                                                       |
|------------------|------------------|------------|------------------------------------------------------------|
| `mean-indicator` | the running mean | none       | an indicator input for each column with a missing value    |
| `mean`           | the running mean | none       |                                                            |
| `drop-row`       |                  |            | the row is not learned, and does not count in any mean     |
| `error`          |                  |            | the job ends before the row                                |
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from stream_bp._state import StateDict, loading
from stream_bp.errors import CheckpointError
from stream_bp.preprocessing.schema import Column, Task, choose, field_in, target_columns

__all__ = ["ColumnPlan", "Missing"]

Missing = Literal["mean-indicator", "mean", "drop-row", "error"]

# The state keeps the words of release 0.1.0, because a digest of it identifies the model of a `predict --follow` job.
_STATE_WORDS = {"mean-indicator": "impute", "drop-row": "skip"}
_POLICIES: dict[str, Missing] = {"impute": "mean-indicator", "skip": "drop-row"}


class ColumnPlan:
    """The columns of a job, and the settings by which they are read.

    Parameters
    ----------
    features
        Columns to learn from.
    targets
        Columns to predict.
    task
        ``classification`` or ``regression``.
    max_categories, hash_buckets
        Room for the words of a column, and number of buckets for later words.
    missing
        The policy for missing features.

    Attributes
    ----------
    numeric, categorical : list of Column
        The features that are numbers or become numbers, and those that are words.
    number_features, word_features : Ints
        Their indices among the features, shapes (n_numeric,) and (n_categorical,).
    first_number : Ints
        For each numeric column the row of its first number, shape (n_numeric,). A column of times has several numbers.
    single : list of int
        Indices of the numeric columns that are one number without conversion.
    is_labelled : bool
        Whether rows have targets, unless a call says otherwise.
    """

    is_labelled = True

    def __init__(
        self,
        features: Sequence[Column],
        targets: Sequence[Column],
        task: Task,
        *,
        max_categories: int = 1_000,
        hash_buckets: int = 64,
        missing: Missing = "mean-indicator",
    ) -> None:
        self.features = list(features)
        self.targets = list(targets)
        self.task: Task = task
        self.missing: Missing = missing
        self.max_categories, self.hash_buckets = max_categories, hash_buckets
        self._sort_out()

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        targets: Sequence[str],
        task: Task,
        *,
        max_categories: int = 1_000,
        hash_buckets: int = 64,
        missing: Missing = "mean-indicator",
        types: Mapping[str, str] | None = None,
        **named: Sequence[str],
    ) -> "ColumnPlan":
        """Choose the columns of a source.

        Parameters
        ----------
        schema
            Natural types of the source.
        targets, task
            Names of the columns to predict, and the task.
        max_categories, hash_buckets, missing
            As for the class.
        types
            Declared types, by column.
        named
            As for :func:`~stream_bp.preprocessing.schema.choose`, which also describes the errors.
        """
        features = choose(schema, targets, types=types, **named)
        return cls(
            features,
            target_columns(schema, targets, task, types),
            task,
            max_categories=max_categories,
            hash_buckets=hash_buckets,
            missing=missing,
        )

    def _sort_out(self) -> None:
        """Derive from the features which are numbers, which are words, and the rows of each feature's numbers."""
        self.numeric = [column for column in self.features if column.kind != "string"]
        self.categorical = [column for column in self.features if column.kind == "string"]
        self.first_number = np.cumsum([0, *(len(column.inputs) for column in self.numeric)])[:-1]
        self.single = [i for i, column in enumerate(self.numeric) if column.inputs == (column.name,)]
        is_number = np.array([column.kind != "string" for column in self.features], bool)
        self.number_features, self.word_features = np.flatnonzero(is_number), np.flatnonzero(~is_number)

    def add(self, column: Column) -> None:
        """Add a feature after the others."""
        self.features.append(column)
        self._sort_out()

    def widen(self, name: Any) -> None:
        """Change a column of booleans to numbers, because it has values other than 0 and 1."""
        self.features[:] = [
            replace(column, kind="number") if column.name == name else column for column in self.features
        ]
        self._sort_out()

    def rename(self, names: Sequence[Any]) -> None:
        """Give the features other names, in their order. Names of dicts need not be strings."""
        self.features = [replace(column, name=name) for column, name in zip(self.features, names, strict=True)]
        self._sort_out()

    @property
    def numbers(self) -> list[str]:
        """The names of the numbers of a row, in order. A column of times has several."""
        return [name for column in self.numeric for name in column.inputs]

    @property
    def schema(self) -> pa.Schema:
        """The columns and types to request from a source, targets last."""
        return self.schema_in(pa.schema([]))

    def schema_in(self, source: pa.Schema, *, is_labelled: bool | None = None) -> pa.Schema:
        """Return the columns and types to request from a certain source. Single floats and times keep their types.

        Parameters
        ----------
        source
            Its natural types.
        is_labelled
            Whether to add the targets after the features. Default: :attr:`is_labelled`.
        """
        is_labelled = self.is_labelled if is_labelled is None else is_labelled
        found = {field.name: field.type for field in source}
        columns = [*self.features, *(self.targets if is_labelled else [])]
        return pa.schema([field_in(column, found.get(column.name)) for column in columns])

    @property
    def target_schema(self) -> pa.Schema:
        """The targets only."""
        return pa.schema([field_in(column, None) for column in self.targets])

    def state_dict(self) -> StateDict:
        """Return the columns and how they are read."""
        return StateDict(
            {},
            {
                "features": [_saved(column) for column in self.features],
                "targets": [_saved(column) for column in self.targets],
                "task": self.task,
                "max_categories": self.max_categories,
                "hash_buckets": self.hash_buckets,
                "missing": _STATE_WORDS.get(self.missing, self.missing),
            },
        )

    @classmethod
    def from_state_dict(cls, state: StateDict) -> "ColumnPlan":
        """Return the saved plan; see :meth:`load_state_dict`."""
        plan = cls([], [], "classification")
        plan.load_state_dict(state)
        return plan

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises
        ------
        CheckpointError
            If it does not describe columns.
        """
        # The first checkpoints had neither buckets nor inputs for missing values.
        values = {"max_categories": 1_000, "hash_buckets": 0, "missing": "mean", **state.values}
        values["missing"] = _POLICIES.get(str(values["missing"]), values["missing"])
        with loading("the columns"):
            features, targets = ([Column(**column) for column in values[role]] for role in ("features", "targets"))
            max_categories, hash_buckets = (operator.index(values[name]) for name in ("max_categories", "hash_buckets"))
        if any(type(column.name) is not str for column in [*features, *targets]):
            raise CheckpointError("the name of a column is not a string: the checkpoint is invalid")
        for name, choices in (("task", get_args(Task)), ("missing", get_args(Missing))):
            if values.get(name) not in choices:
                raise CheckpointError(f"{name}: expected one of {', '.join(choices)}, found {values.get(name)!r}")
        self.features, self.targets = features, targets
        self.task, self.missing = values["task"], values["missing"]
        self.max_categories, self.hash_buckets = max_categories, hash_buckets
        self._sort_out()


def _saved(column: Column) -> dict[str, Any]:
    """Return the attributes of a column. Release 0.3.0 had no notation, and can read a column without one."""
    attributes = asdict(column)
    if column.notation is None:
        del attributes["notation"]
    return attributes
