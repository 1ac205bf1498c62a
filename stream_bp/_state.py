"""The one way in which objects save their state and take it over again.

An object with state has two methods:

``state_dict() -> StateDict``
    Returns everything that later results depend on. Arrays are copies; the rest is what JSON can hold.
``load_state_dict(state) -> None``
    Checks such a state, then takes it over: the object continues bit for bit as the saved one would have. It raises
    :class:`~stream_bp.errors.CheckpointError` if the state does not fit. An object that raised is not used any more.

An object is constructed with its settings first, then loads. Where the constructor needs something that is itself part
of the state (columns, a number of targets), a classmethod ``from_state_dict(state, **settings)`` does both.

A container nests the states of its parts under their names (:meth:`StateDict.nest`), and hands each part its own
(:meth:`StateDict.nested`). The names of a whole job are the tensors and the JSON of its checkpoint, so a name that is
in use is never changed: files of earlier releases have it.
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
"""What malformed content of a checkpoint makes other code raise."""

JSON: TypeAlias = Any
"""Dicts with string keys, lists, strings, finite numbers, booleans and None; writing a checkpoint refuses the rest."""


@dataclass(slots=True)
class StateDict:
    """The state of one object.

    Attributes
    ----------
    arrays
        Arrays of any shape, by name.
    values
        The rest, by name.

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
            Under which its values stand; a part without values leaves no entry.
        part
            Its state.
        prefix
            What the names of its arrays begin with: ``name.`` if it is not given.
        """
        prefix = f"{name}." if prefix is None else prefix
        self.arrays.update({prefix + key: array for key, array in part.arrays.items()})
        if part.values:
            self.values[name] = part.values

    def nested(self, name: str, *, prefix: str | None = None) -> "StateDict":
        """Return the state of a part, as :meth:`nest` added it; a part that is not there is empty.

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
        """Return an array that has to have a certain shape and type.

        Raises
        ------
        CheckpointError
            If it is missing, or has another shape or type.
        """
        array = self.arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise CheckpointError(f"{name}: expected {dtype} {shape}, found {found}")
        return array


class Stateful(Protocol):
    """What can be saved in a checkpoint and restored from it."""

    def state_dict(self) -> StateDict:
        """Return everything that later results depend on."""

    def load_state_dict(self, state: StateDict) -> None:
        """Check a state, and take it over."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn every error that malformed content causes into a CheckpointError: one line that begins with ``what``."""
    try:
        yield
    except CheckpointError:
        raise
    except MALFORMED as error:
        raise malformed(what, error) from error


def malformed(what: str, error: Exception) -> CheckpointError:
    """Return one line for an error that malformed content caused; it begins with ``what``."""
    reason = " ".join(str(error).split())[:300]
    return CheckpointError(f"{what}: {type(error).__name__}: {reason}")
