"""What all notations share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Notation"]


class Notation(Protocol):
    """Converts cells of text to values of one type."""

    @property
    def spec(self) -> str:
        """The text that describes the notation; `specs.notation_of` reads it."""

    @property
    def type(self) -> pa.DataType:
        """The type of the values."""

    def parse(self, cells: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
        """Convert cells.

        Parameters
        ----------
        cells
            Strings, shape (n,); null where a value is missing.

        Returns
        -------
        values : pa.Array
            Of :attr:`type`, shape (n,); null where a cell is null or cannot be read.
        is_bad : numpy array of bool
            Which cells cannot be read, shape (n,).
        """
