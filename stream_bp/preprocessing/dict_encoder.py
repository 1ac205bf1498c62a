"""Convert dicts of features to numbers, as :mod:`stream_bp.preprocessing.encoder` converts record batches.

The type of a value decides:

| value                        | as a feature                                                       |
|------------------------------|--------------------------------------------------------------------|
| number                       | a number; NaN, ±Inf, beyond ±1e100 missing                         |
| boolean                      | 0 or 1                                                             |
| string                       | a category; "" missing                                             |
| None, or no such key         | missing                                                            |
| anything else                | refused by name                                                    |

A feature keeps its kind. A word after numbers, or a number after words, is refused.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from stream_bp._arrays import Array, Floats
from stream_bp.errors import DataError
from stream_bp.preprocessing.arrow_buffers import LARGEST
from stream_bp.preprocessing.encoder import Encoded, Encoder
from stream_bp.preprocessing.schema import Column
from stream_bp.preprocessing.vocabulary import NO_PLACE

__all__ = ["DictEncoder", "Features", "is_missing", "plain"]

Features: TypeAlias = Mapping[Any, Any]
"""Values of one row by name. Names may have any hashable type."""

_SUMS = frozenset({float, int, np.float64})
_MISSING = frozenset({"NAType", "NaTType"})  # types of pandas, by name because pandas need not be installed


class DictEncoder:
    """Convert dicts of features to arrays of an encoder's columns.

    Parameters
    ----------
    encoder
        The columns and their vocabularies. Call :meth:`lay_out` after a column was added.

    Notes
    -----
    A row of plain numbers in the order of the columns, the usual case, takes one or two microseconds.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.lay_out()

    def lay_out(self) -> None:
        """Derive from the columns the place of each feature."""
        self._names = tuple(column.name for column in self.encoder.numeric)
        self._numeric = {name: i for i, name in enumerate(self._names)}
        self._categorical = {column.name: i for i, column in enumerate(self.encoder.categorical)}
        self._codes = [{word: code for code, word in enumerate(words.values)} for words in self.encoder.categories]
        self._room = np.empty((len(self._names), 1))
        self._flat = self._room[:, 0]
        self._bools = [i for i, column in enumerate(self.encoder.numeric) if column.kind == "bool"]
        self._no_codes = [-1] * len(self._codes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what :meth:`lay_out` derives from the columns."""
        return {"encoder": self.encoder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.encoder = state["encoder"]
        self.lay_out()

    def new_columns(self, x: Features) -> list[Column]:
        """Return the columns of those features that have a value but no column yet, in their order.

        Raises
        ------
        DataError
            If one of these is neither a number nor a word.
        """
        unknown = [(name, *_read(name, value)) for name, value in x.items() if not self._has(name)]
        return [Column(plain(name), kind) for name, kind, value in unknown if value is not None]  # type: ignore[arg-type]

    def encode_one(self, x: Features, *, is_learned: bool = False) -> tuple[Floats, list[int], bool]:
        """Read one row.

        Parameters
        ----------
        x
            Its features. Those without a column are left out.
        is_learned
            Whether new categories enter the vocabularies.

        Returns
        -------
        numbers
            Shape (n_numbers, 1), float64, NaN where missing. It is the encoder's own buffer: the next row overwrites
            it.
        codes
            For each column of categories its code: -1 where missing, -2 where unknown.
        is_known
            Whether the columns and their vocabularies know everything in the row.

        Raises
        ------
        DataError
            If a feature is neither a number nor a word, or has another kind of value than before.
        """
        # The usual row: the same features in the same order, all numbers.
        if tuple(x) == self._names and self._are_plain(x.values()):
            codes, is_known = self._no_codes, True
        else:
            codes, is_known = self._encode_mixed(x, is_learned=is_learned)
        if self._bools and (wider := self._no_bools(self._room)):
            is_known = False
            if is_learned:
                self._widen(wider)
        return self._room, codes, is_known

    def _no_bools(self, numbers: Floats) -> list[int]:
        """Return the columns of booleans with values (n_numbers, n) other than 0, 1 and missing."""
        values = numbers[self._bools]
        return [i for i, row in zip(self._bools, values, strict=True) if not np.isin(row[~np.isnan(row)], (0, 1)).all()]

    def _widen(self, columns: list[int]) -> None:
        """Change columns of booleans to numbers, because they have values other than 0 and 1."""
        for i in columns:
            self.encoder.columns.widen(self._names[i])
        self._bools = [i for i in self._bools if i not in columns]

    def _are_plain(self, values: Collection[Any]) -> bool:
        """Write values to the buffer if all are numbers, none missing and none beyond the range."""
        try:
            total = sum(map(abs, values))  # a value that is not a number raises
            # Sums of other types, as of decimals or arrays, take the general path. NaN fails the comparison.
            if type(total) not in _SUMS or not total <= LARGEST:
                return False
            self._flat[:] = list(values)
        except (TypeError, ArithmeticError):
            return False
        return True

    def _encode_mixed(self, x: Features, *, is_learned: bool) -> tuple[list[int], bool]:
        """Read any row into the buffer. Return its codes, and whether everything in it is known."""
        # Features that the row does not have are missing.
        self._flat.fill(np.nan)
        codes, is_known = [-1] * len(self._codes), True
        for name, value in x.items():
            _, read = self._parse_one(name, value)
            if read is None:
                continue
            if name in self._numeric:
                self._flat[self._numeric[name]] = read
            elif name in self._categorical:
                column = self._categorical[name]
                codes[column] = self._code(column, str(read), is_learned=is_learned)
                is_known &= self._has_input(column, codes[column])
            else:
                is_known = False
        return codes, is_known

    def parse(self, name: Hashable, values: Sequence[Any]) -> Floats | list[str | None]:
        """Read a feature of several rows.

        Parameters
        ----------
        name
            The feature.
        values
            Its values, n of them.

        Returns
        -------
        Floats or list
            Numbers, shape (n,), NaN where missing, or words, None where missing.

        Raises
        ------
        DataError
            If a value is neither a number nor a word. If the values are of several kinds, or not of their column's
            kind.
        """
        read = [self._parse_one(name, value) for value in values]
        kinds = {kind for kind, value in read if value is not None}
        if "string" in kinds or (not kinds and name in self._categorical):
            if len(kinds) > 1:
                raise DataError(f"feature {name!r} has words and numbers in one frame; convert it to one kind")
            return [None if value is None else str(value) for _, value in read]
        return np.array([np.nan if value is None else value for _, value in read], np.float64)

    def encode_many(self, x: Mapping[Hashable, Array | list[str | None]], n: int, *, is_learned: bool) -> Encoded:
        """Write several rows to the columns.

        Parameters
        ----------
        x
            For each feature the result of :meth:`parse`, or floats.
        n
            Number of rows.
        is_learned
            As in :meth:`encode_one`.

        Returns
        -------
        Encoded
            The rows, without targets.
        """
        numbers = np.full((len(self._names), n), np.nan)
        codes = [np.full(n, -1) for _ in self._codes]
        for name, values in x.items():
            if isinstance(values, np.ndarray):
                if name in self._numeric:
                    numbers[self._numeric[name]] = values
            elif name in self._categorical:
                column = self._categorical[name]
                codes[column][:] = [self._code(column, word, is_learned=is_learned) for word in values]
        # Negated, because NaN fails every comparison.
        numbers[~(np.abs(numbers) <= LARGEST)] = np.nan
        if is_learned and self._bools:
            self._widen(self._no_bools(numbers))
        return Encoded(numbers, codes, np.empty((0, n)), self.encoder.missing_in(numbers, [c == -1 for c in codes]))

    def is_word(self, name: Hashable) -> bool:
        """Return whether a feature had words so far."""
        return name in self._categorical

    def _has(self, name: Hashable) -> bool:
        return name in self._numeric or name in self._categorical

    def _parse_one(self, name: Hashable, value: Any) -> tuple[str, float | str | None]:
        """Return the kind and the value of a feature. Refuse a kind other than its column's."""
        kind, read = _read(name, value)
        if read is not None and name in (self._numeric if kind == "string" else self._categorical):
            before, now = ("numbers", "a word") if kind == "string" else ("words", "a number")
            raise DataError(
                f"feature {name!r} had {before} so far, and now {now}, {value!r}; convert it, or give it another name"
            )
        return kind, read

    def _code(self, column: int, word: str | None, *, is_learned: bool) -> int:
        if word is None:
            return -1
        codes, vocabulary = self._codes[column], self.encoder.categories[column]
        if word in codes:
            return codes[word]
        if vocabulary.is_full:
            vocabulary.has_overflown |= is_learned and vocabulary.n_buckets > 0
            return vocabulary.bucket(word)
        if not is_learned:
            return NO_PLACE
        codes[word] = len(vocabulary)
        vocabulary.extend([word])
        return codes[word]

    def _has_input(self, column: int, code: int) -> bool:
        """Return whether a word needs no new input: it has one, or never gets one."""
        vocabulary = self.encoder.categories[column]
        return code < len(vocabulary) and (code >= 0 or vocabulary.is_full)


def is_missing(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, or the values of pandas for them."""
    if isinstance(value, float | np.floating | Decimal):
        return bool(value != value)  # noqa: PLR0124 - true of NaN alone
    return value is None or type(value).__name__ in _MISSING


def plain(value: Any) -> Any:
    """Return a name or label of NumPy as an equal Python value. Times stay, or they would become integers."""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        return value.item()
    return value


def _read(name: Hashable, value: Any) -> tuple[str, float | str | None]:
    """Return the kind of a value, and the value as a float or a string, or None where it is missing."""
    match value:
        case float() | int() | np.floating() | np.integer() | Real() | Decimal():
            return "bool" if value is True or value is False else "number", _in_range(value)
        case np.bool_():
            return "bool", float(value)
        case str():
            return "string", str(value) or None
        case _ if is_missing(value):
            return "number", None
    raise DataError(
        f"feature {name!r} is a {type(value).__name__}; expected a number, a boolean, a string or None; "
        "convert it, or leave it out"
    )


def _in_range(value: Any) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= LARGEST else None
