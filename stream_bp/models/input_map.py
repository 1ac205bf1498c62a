"""The map from numbers, categories and gaps to inputs of a network."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stream_bp._arrays import Floats, Ints, Mask
from stream_bp._state import StateDict, loading
from stream_bp.errors import CheckpointError
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column

__all__ = ["InputMap"]


class InputMap:
    """The inputs of a network: first the numbers, then categories and gaps in order of appearance.

    A category gets an input in the first minibatch that contains it. With the policy ``mean-indicator``, a feature gets
    an indicator in the first minibatch in which it is missing.

    Parameters
    ----------
    encoder
        Columns and vocabularies. They may be ahead of this map, because rows are encoded before they are learned.
    dtype
        Dtype of the inputs.

    Attributes
    ----------
    n_inputs : int
        Number of inputs so far, n_0.
    """

    def __init__(self, encoder: Encoder, dtype: "np.dtype[np.floating[Any]]") -> None:
        self._encoder = encoder
        self._dtype = dtype
        self._n_numbers = len(encoder.numbers)
        self.n_inputs = self._n_numbers
        # For each column of categories, the input of each code.
        self._inputs: list[list[int]] = [[] for _ in encoder.categorical]
        # For each feature the input that indicates a gap, -1 as long as it was never missing.
        self._indicators = [-1] * len(encoder.features)

    @property
    def categories(self) -> list[list[Any]]:
        """For each column of categories, the values with an input, by code."""
        columns = zip(self._encoder.categories, self._inputs, strict=True)
        return [words.values[: len(inputs)] for words, inputs in columns]

    def assemble(self, numbers: Floats, categories: Sequence[Ints], missing: Mask | None) -> Floats:
        """Return the inputs of T minibatches.

        Parameters
        ----------
        numbers
            Scaled, shape (T, n_numbers, b).
        categories
            For each column of categories its codes (T, b).
        missing
            Where features are missing, (n_features, T, b), or ``None``.

        Returns
        -------
        Floats
            X (T, n_0, b): the numbers, then a 1 for each category with an input, and for each missing feature. Without
            categories and indicators it is ``numbers`` itself.
        """
        n_minibatches, n_numbers, b = numbers.shape
        if n_numbers == self.n_inputs:
            return numbers
        X = np.zeros((n_minibatches, self.n_inputs, b), self._dtype)
        X[:, :n_numbers] = numbers
        for codes, inputs in zip(categories, self._inputs, strict=True):
            t, r = np.nonzero((codes >= 0) & (codes < len(inputs)))
            X[t, np.array(inputs, np.intp)[codes[t, r]], r] = 1
        if missing is not None:
            for feature, indicator in enumerate(self._indicators):
                if indicator >= 0:
                    X[:, indicator] = missing[feature]
        return X

    def first_new(self, rows: Encoded, start: int, stop: int) -> int | None:
        """Return the first of rows[start:stop] with a category or a gap that has no input, or ``None``."""
        found = [
            words.first_beyond(len(inputs), codes[start:stop])
            for codes, inputs, words in zip(rows.categories, self._inputs, self._encoder.categories, strict=True)
        ]
        found += [int(np.argmax(missing)) for _, missing in self._new_gaps(rows, start, stop)]
        return min((start + first for first in found if first is not None), default=None)

    def _new_gaps(self, rows: Encoded, start: int, stop: int) -> Iterator[tuple[int, Mask]]:
        """Yield each feature that is missing for the first time, and where it is missing in rows[start:stop], (n,)."""
        if rows.missing is None or self._encoder.missing != "mean-indicator":
            return
        for feature, (indicator, missing) in enumerate(zip(self._indicators, rows.missing, strict=True)):
            if indicator < 0 and missing[start:stop].any():
                yield feature, missing[start:stop]

    def grow(self, rows: Encoded, start: int, stop: int) -> list[str]:
        """Give every category and every gap of rows[start:stop] its input.

        Returns
        -------
        list of str
            The names of the new inputs. Their initial weights follow from the names.
        """
        names: list[str] = []
        columns = zip(rows.categories, self._inputs, self._encoder.categorical, self._encoder.categories, strict=True)
        for codes, inputs, column, words in columns:
            for code in range(len(inputs), words.grown(int(codes[start:stop].max()))):
                inputs.append(self.n_inputs + len(names))
                names.append(f"{column.name}{words.name(code)}")
        for feature, _ in self._new_gaps(rows, start, stop):
            self._indicators[feature] = self.n_inputs + len(names)
            names.append(_indicator_name(self._encoder.features[feature]))
        self.n_inputs += len(names)
        return names

    def add_columns(self) -> None:
        """Add the encoder's new columns. Their numbers come after the other numbers, before categories and gaps."""
        encoder = self._encoder
        n_new = len(encoder.numbers) - self._n_numbers
        self._inputs = [[i + n_new for i in inputs] for inputs in self._inputs]
        self._inputs += [[] for _ in encoder.categorical[len(self._inputs) :]]
        self._indicators = [i + n_new if i >= 0 else i for i in self._indicators]
        self._indicators += [-1] * (len(encoder.features) - len(self._indicators))
        self._n_numbers += n_new
        self.n_inputs += n_new

    def names(self) -> list[str]:
        """Return the names of the inputs of categories and gaps, in the order of the inputs."""
        return [name for _, name in sorted(self._named())]

    def _named(self) -> Iterator[tuple[int, str]]:
        encoder = self._encoder
        for column, inputs, words in zip(encoder.categorical, self._inputs, encoder.categories, strict=True):
            yield from ((i, f"{column.name}{words.name(code)}") for code, i in enumerate(inputs))
        for column, indicator in zip(encoder.features, self._indicators, strict=True):
            if indicator >= 0:
                yield indicator, _indicator_name(column)

    def state_dict(self) -> StateDict:
        """Return which inputs belong to which codes and features, as ``inputs`` and ``indicators``."""
        return StateDict({}, {"inputs": [list(column) for column in self._inputs], "indicators": [*self._indicators]})

    def load_state_dict(self, state: StateDict) -> None:
        """Restore a state. The encoder must have exactly the categories with an input in it.

        Raises
        ------
        CheckpointError
            If the state does not fit the columns and their vocabularies.
        """
        with loading("the inputs of the first layer"):
            self._inputs = [list(map(operator.index, column)) for column in state.values["inputs"]]
            # Release 0.1.0 had no indicators.
            indicators = state.values.get("indicators", [-1] * len(self._encoder.features))
            self._indicators = list(map(operator.index, indicators))
            columns = zip(self._encoder.categorical, self._inputs, self._encoder.categories, strict=True)
            for column, inputs, words in columns:
                words.has_overflown = len(inputs) > words.limit
                if len(words) != len(inputs):
                    raise CheckpointError(
                        f"column {column.name!r} has {len(words)} categories, but {len(inputs)} inputs"
                    )
            named = sorted(i for i, _ in self._named())
        self.n_inputs = self._n_numbers + len(named)
        if named != list(range(self._n_numbers, self.n_inputs)):
            raise CheckpointError("the categories and the inputs of the first layer do not match")

    @staticmethod
    def n_named(state: StateDict) -> int:
        """Return the number of inputs for categories and gaps in a state, before memory for them is allocated."""
        with loading("the inputs of the first layer"):
            n_categories = sum(map(len, state.values["inputs"]))
            return n_categories + sum(1 for i in state.values.get("indicators", []) if i >= 0)


def _indicator_name(column: Column) -> str:
    return f"{column.name}:missing"
