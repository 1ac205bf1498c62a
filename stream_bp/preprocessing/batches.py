"""Prepare rows ahead of the learner: encode and standardise them, without the weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream_bp._arrays import Array, Floats, Ints, Mask
from stream_bp.nn.scaler import CLIP, Moments, Scaler
from stream_bp.preprocessing.encoder import Encoded, Encoder

__all__ = ["BatchPreparer", "TrainingBatch", "minibatches", "unscaled"]

_Scale = Callable[[Floats], tuple[Floats, Moments | None]]


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Rows that are encoded and standardised by minibatch, ready to be learned.

    Attributes
    ----------
    rows
        The encoded rows, without their numbers, which are not kept.
    batch_size
        Rows in a minibatch. Only the last one may be shorter.
    numbers
        The scaled numbers (n_numbers, b) of each minibatch in turn, in one vector of the learner's dtype.
    moments
        Moments of the numbers, or ``None`` where they are not scaled.
    targets, target_moments
        The same for the target values, in one vector of float64. ``None`` where the target is a class.
    clipped
        Which numbers were clipped to ±:data:`~stream_bp.nn.scaler.CLIP`, shape (n_numbers, n), or ``None``.
    """

    rows: Encoded
    batch_size: int
    numbers: Floats
    moments: Moments | None
    targets: Floats | None
    target_moments: Moments | None
    clipped: Mask | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def y(self) -> Array:
        """The encoded targets."""
        return self.rows.y

    @property
    def categories(self) -> list[Ints]:
        """The encoded categories."""
        return self.rows.categories

    @property
    def missing(self) -> Mask | None:
        """Where features are missing."""
        return self.rows.missing

    @property
    def skipped(self) -> Mask | None:
        """Which rows are not to be learned."""
        return self.rows.skipped

    def tiles(self, start: int, stop: int, b: int) -> tuple[Floats, list[Ints], Mask | None]:
        """Return the features of the T minibatches of b rows in rows[start:stop].

        Returns
        -------
        numbers : Floats
            Scaled, shape (T, n_numbers, b), a view.
        categories : list of Ints
            For each column of categories its codes, shape (T, b).
        missing : Mask or None
            Where features are missing, shape (n_features, T, b), or ``None``.
        """
        n_numbers, n_minibatches = self.numbers.size // len(self), (stop - start) // b
        categories = [codes[start:stop].reshape(n_minibatches, b) for codes in self.categories]
        missing = None if self.missing is None else self.missing[:, start:stop].reshape(-1, n_minibatches, b)
        return minibatches(self.numbers, n_numbers, start, stop, b), categories, missing

    def boundary(self, row: int) -> int:
        """Return the number of minibatches in the first ``row`` rows, which must end a minibatch."""
        return -(-row // self.batch_size)


class BatchPreparer:
    """Turn the next rows of a stream into batches that a model can learn, ahead of the learner.

    Parameters
    ----------
    encoder
        Columns and vocabularies.
    batch_size
        Rows in a minibatch.
    dtype
        Dtype of the learner's weights.
    scaler
        It is copied. The model's own scaler covers the *learned* rows, the copy here the *prepared* ones. ``None``
        leaves numbers unchanged.
    target_scaler, scale_target
        The same for the target values, and whether to scale them.
    """

    def __init__(
        self,
        encoder: Encoder,
        batch_size: int,
        dtype: "np.dtype[np.floating[Any]]",
        scaler: Scaler | None,
        target_scaler: Scaler,
        *,
        scale_target: bool,
    ) -> None:
        self.encoder = encoder
        self._batch_size, self._dtype = batch_size, dtype
        self._scaler = scaler and scaler.copy()
        self._target_scaler, self._scale_target = target_scaler.copy(), scale_target

    def __call__(self, records: Any) -> TrainingBatch:
        """Prepare a record batch of whole minibatches. Only the last one of all may be short.

        Raises
        ------
        MissingValueError
            If a row lacks a required value. Nothing changes then.
        """
        return self.prepare(self.encoder.encode(records))

    def prepare(self, rows: Encoded) -> TrainingBatch:
        """Prepare rows that are already encoded."""
        numbers, moments = self._by_minibatch(rows.numbers, self._scale, self._dtype)
        targets = target_moments = None
        if self.encoder.task == "regression":
            targets, target_moments = self._by_minibatch(rows.y, self._observe_targets, np.dtype(np.float64))
        # The unscaled numbers have no use now: drop them while the batch waits for the learner.
        kept = replace(rows, numbers=np.empty((0, len(rows))))
        clipped = self._clipped(numbers, rows.numbers.shape) if moments is not None else None
        return TrainingBatch(kept, self._batch_size, numbers, moments, targets, target_moments, clipped)

    def _clipped(self, vector: Floats, shape: tuple[int, ...]) -> Mask | None:
        """Return which numbers (n, N) reached the bound. They were scaled in :meth:`_by_minibatch`."""
        n, n_rows = shape
        if not n or -CLIP < vector.min() <= vector.max() < CLIP:
            return None
        # Only where a value reached the bound. Most blocks have none, and need no mask for each minibatch.
        at_bound, clipped = np.abs(vector) >= CLIP, np.empty(shape, bool)
        for start, stop, b in self._stretches(n_rows):
            tiles = minibatches(at_bound, n, start, stop, b)
            clipped[:, start:stop].reshape(n, -1, b)[:] = tiles.swapaxes(0, 1)
        return clipped

    def _stretches(self, n_rows: int) -> Iterator[tuple[int, int, int]]:
        """Yield start, stop and b of the whole minibatches, and of a short one after them."""
        whole = n_rows - n_rows % self._batch_size
        for start, stop, b in ((0, whole, self._batch_size), (whole, n_rows, n_rows - whole)):
            if start < stop:
                yield start, stop, b

    def _scale(self, x: Floats) -> tuple[Floats, Moments | None]:
        return self._scaler.observe(x) if self._scaler is not None else (unscaled(x, self._dtype), None)

    def _observe_targets(self, y: Floats) -> tuple[Floats, Moments]:
        """Return values (n_targets, T, b) as they are learned, and their moments, which are always computed."""
        z, moments = self._target_scaler.observe(y)
        return (z if self._scale_target else np.nan_to_num(y)), moments

    def _by_minibatch(self, x: Floats, scale: _Scale, dtype: "np.dtype[np.floating]") -> tuple[Floats, Moments | None]:
        """Return x (n, N), scaled by minibatch, in one vector, and the moments at all boundaries."""
        n, n_rows = x.shape
        # One vector in the order of learning: each minibatch is contiguous, so the learner needs no copy.
        vector, found = np.empty(n * n_rows, dtype), []
        for start, stop, b in self._stretches(n_rows):
            z, moments = scale(x[:, start:stop].reshape(n, (stop - start) // b, b))
            minibatches(vector, n, start, stop, b)[:] = z.swapaxes(0, 1)
            found.append(moments)
        first, *rest = found
        return vector, first if first is None or not rest or rest[0] is None else first.joined(rest[0])


def minibatches(vector: Array, n: int, start: int, stop: int, b: int) -> Array:
    """Return the minibatches (T, n, b) of rows start … stop - 1, as a view of a vector of minibatches (n, b)."""
    return vector[n * start : n * stop].reshape((stop - start) // b, n, b)


def unscaled(numbers: Floats, dtype: "np.dtype[np.floating[Any]]") -> Floats:
    """Return numbers unscaled, with 0 where one is missing or beyond the learner's dtype."""
    return np.where(np.abs(numbers) <= np.finfo(dtype).max, numbers, 0)
