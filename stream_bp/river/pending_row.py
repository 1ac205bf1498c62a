"""The row that was predicted last and may be learned next."""

from collections.abc import Hashable
from typing import Any, Literal

from stream_bp.models.mlp import MLPModel
from stream_bp.models.single_row import SingleRowLearner
from stream_bp.preprocessing.dict_encoder import DictEncoder, Features

__all__ = ["PendingRow"]


class PendingRow:
    """What is known of the row that was predicted last: it is computed once, however often it is asked for.

    It is in one of three states. ``empty``: no row was predicted since the model last changed. ``known``: a row was
    predicted, and can be learned as it is. ``new``: a row was predicted, and the model has to grow before it can learn
    it. :meth:`propagate` leads to one of the last two, :meth:`take` and :meth:`forget` lead back to the first. After
    the model has grown, or has learned otherwise, a new object takes the place of this one.

    Parameters
    ----------
    dicts
        Reads the features.
    model
        Predicts and learns; ``None`` before the first row was learned, when every row stays ``empty``.

    Attributes
    ----------
    is_known : bool
        Whether the state is ``known``; an attribute, as it is read for every row that is learned.
    """

    # Slots are read faster than a dict, and this object is asked twice for every row of a stream.
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
        """Leave out the row: it may be predicted again."""
        return self._dicts, self._model

    def __setstate__(self, state: tuple[DictEncoder, MLPModel | None]) -> None:
        self._dicts, self._model = state
        self._clear()

    @property
    def state(self) -> Literal["empty", "known", "new"]:
        """In which state it is."""
        if self._x is None:
            return "empty"
        return "known" if self.is_known else "new"

    def propagate(self, x: Features) -> list[float]:
        """Return ŷ of a row, and hold that row; nothing is computed for the row that is held already.

        Raises
        ------
        DataError
            If a feature cannot be read; then it is empty.
        DivergenceError
            If the prediction is not finite; then it is empty.
        """
        if self._x is not None:
            try:
                if self._x == x:
                    return self._output
            except ValueError:  # an array among the features is compared element by element; reading it refuses it
                pass
        if self._model is None:
            return []
        self._x, self.is_known = None, False
        numbers, codes, is_known = self._dicts.encode_one(x)
        if self._single is None:
            self._single = SingleRowLearner(self._model)
        self._output = self._single.propagate(numbers, codes)
        self._x, self.is_known = dict(x), is_known
        return self._output

    def take(self) -> SingleRowLearner:
        """Return what learns the row that is held, and be empty: a row is learned once.

        Raises
        ------
        RuntimeError
            If no row is held.
        """
        if self._x is None or self._single is None:
            raise RuntimeError("no row was propagated")
        self._x, self.is_known = None, False
        return self._single

    def forget(self) -> None:
        """Be empty: the model was asked for other rows since, and their numbers overwrote those of this one."""
        self._x, self.is_known = None, False
