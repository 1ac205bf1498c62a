"""The protocol by which objects save and restore their state.

An object with state has two methods:

``state_dict() -> StateDict``
    Returns everything that later results depend on. Arrays are copies. The rest is JSON.
``load_state_dict(state) -> None``
    Checks a state, then restores it. The object continues bit for bit as the saved one would have. It raises
    :class:`~stream_bp.errors.CheckpointError` if the state does not fit. Do not use the object after that.

Construct an object with its settings first, then load. Sometimes the constructor needs part of the state (columns, a
number of targets). Then a classmethod ``from_state_dict(state, **settings)`` does both.

A container nests the states of its parts under their names (:meth:`StateDict.nest`). It gives each part its own state
back (:meth:`StateDict.nested`). The names of a whole job are the tensors and the JSON of its checkpoint. Files of
earlier releases have these names, so they never change.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from stream_bp._arrays import Array, under
from stream_bp.errors import CheckpointError

__all__ = ["JSON", "MALFORMED", "StateDict", "Stateful", "loading", "malformed"]

MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that other code raises for malformed content of a checkpoint."""

JSON: TypeAlias = Any
"""Dicts with string keys, lists, strings, finite numbers, booleans and None. Other types are refused at saving."""


@dataclass(slots=True)
class StateDict:
    """The state of one object.

    Attributes
    ----------
    arrays
        Arrays of any shape, by name.
    values
        JSON values, by name.

    Examples
    --------
    >>> import numpy as np
    >>> part, whole = StateDict({"mean": np.zeros(3)}, {"rows": 7}), StateDict()
    >>> whole.nest("scaler", part)
    >>> list(whole.arrays), whole.values
    (['scaler.mean'], {'scaler': {'rows': 7}})
    >>> whole.nested("scaler").values
    {'rows': 7}
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    values: dict[str, JSON] = field(default_factory=dict)

    def nest(self, name: str, part: "StateDict", *, prefix: str | None = None) -> None:
        """Add the state of a part.

        Parameters
        ----------
        name
            Key of its values. A part without values gets no entry.
        part
            Its state.
        prefix
            Prefix of the names of its arrays. Default: ``name.``.
        """
        prefix = f"{name}." if prefix is None else prefix
        self.arrays.update({prefix + key: array for key, array in part.arrays.items()})
        if part.values:
            self.values[name] = part.values

    def nested(self, name: str, *, prefix: str | None = None) -> "StateDict":
        """Return the state of a part, as :meth:`nest` added it. The state of an absent part is empty.

        Raises
        ------
        CheckpointError
            If the values of the part are not a dict.
        """
        values = self.values.get(name, {})
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{name}: expected an object, found {type(values).__name__}")
        return StateDict(under(f"{name}." if prefix is None else prefix, self.arrays), dict(values))

    def array(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array, and require its shape and dtype.

        Raises
        ------
        CheckpointError
            If it is missing, or has another shape or dtype.
        """
        array = self.arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise CheckpointError(f"{name}: expected {dtype} {shape}, found {found}")
        return array


class Stateful(Protocol):
    """An object whose state a checkpoint can save and restore."""

    def state_dict(self) -> StateDict:
        """Return everything that later results depend on."""

    def load_state_dict(self, state: StateDict) -> None:
        """Check a state, then restore it."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn every error that malformed content causes into a CheckpointError of one line, which starts with ``what``."""
    try:
        yield
    except CheckpointError:  # a ValueError, too, whose message is already one line
        raise
    except MALFORMED as error:
        raise malformed(what, error) from error


def malformed(what: str, error: Exception) -> CheckpointError:
    """Return a CheckpointError of one line for an error that malformed content caused. It starts with ``what``."""
    reason = " ".join(str(error).split())[:300]
    return CheckpointError(f"{what}: {type(error).__name__}: {reason}")
