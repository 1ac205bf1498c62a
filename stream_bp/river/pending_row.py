"""The row that was predicted last and may be learned next."""

from collections.abc import Hashable
from typing import Any, Literal

from stream_bp.models.mlp import MLPModel
from stream_bp.models.single_row import SingleRowLearner
from stream_bp.preprocessing.dict_encoder import DictEncoder, Features

__all__ = ["PendingRow"]


class PendingRow:
    """The row that was predicted last. It is computed once, however often it is predicted.

    It has three states. ``empty``: no row was predicted since the model last changed. ``known``: a row was predicted
    and can be learned as it is. ``new``: a row was predicted, but the model must grow before it can learn it. A call of
    :meth:`propagate` leads to ``known`` or ``new``. Calls of :meth:`take` and :meth:`forget` lead back to ``empty``.
    Make a new object after the model has grown, or has learned in another way.

    Parameters
    ----------
    dicts
        Reads the features.
    model
        Predicts and learns. It is ``None`` before the first row is learned, and every row then stays ``empty``.

    Attributes
    ----------
    is_known : bool
        Whether the state is ``known``. It is an attribute, because it is read for every row that is learned.
    """

    # Slots are faster than a dict, and every row of a stream reads this object twice.
    __slots__ = ("_dicts", "_model", "_output", "_single", "_x", "is_known")

    def __init__(self, dicts: DictEncoder, model: MLPModel | None) -> None:
        self._dicts = dicts
        self._model = model
        self._clear()

    def _clear(self) -> None:
        self._single: SingleRowLearner | None = None
        self._x: dict[Hashable, Any] | None = None  # a copy: the caller may change the row
        self._output: list[float] = []
        self.is_known = False

    def __getstate__(self) -> tuple[DictEncoder, MLPModel | None]:
        """Leave out the row: it can be predicted again."""
        return self._dicts, self._model

    def __setstate__(self, state: tuple[DictEncoder, MLPModel | None]) -> None:
        self._dicts, self._model = state
        self._clear()

    @property
    def state(self) -> Literal["empty", "known", "new"]:
        """The present state."""
        if self._x is None:
            return "empty"
        return "known" if self.is_known else "new"

    def propagate(self, x: Features) -> list[float]:
        """Return ŷ of a row, and hold that row. Nothing is computed if it is held already.

        Raises
        ------
        DataError
            If a feature cannot be read. The state is ``empty`` then.
        DivergenceError
            If the prediction is not finite. The state is ``empty`` then.
        """
        if self._x is not None:
            try:
                if self._x == x:
                    return self._output
            except ValueError:  # an array among the features compares by element; reading the row refuses it below
                pass
        if self._model is None:
            return []
        # Released first: if this row cannot be read, the buffers no longer belong to the held one.
        self._x, self.is_known = None, False
        numbers, codes, is_known = self._dicts.encode_one(x)
        if self._single is None:
            self._single = SingleRowLearner(self._model)
        self._output = self._single.propagate(numbers, codes)
        self._x, self.is_known = dict(x), is_known
        return self._output

    def take(self) -> SingleRowLearner:
        """Return the learner for the held row, and release the row: it is learned once.

        Raises
        ------
        RuntimeError
            If no row is held.
        """
        if self._x is None or self._single is None:
            raise RuntimeError("no row is held; call propagate first")
        self._x, self.is_known = None, False
        return self._single

    def forget(self) -> None:
        """Release the row. Call this before the model predicts other rows, which overwrite the buffers."""
        self._x, self.is_known = None, False
