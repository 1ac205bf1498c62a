"""Read ahead in a thread: the next blocks are decoded while the current one is learned."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["Prefetcher", "prefetch"]

T = TypeVar("T")


class Prefetcher(Iterator[T], Generic[T]):
    """An iterator whose next items are made in a thread; see `prefetch`."""

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items, self._depth = items, depth
        self._ready: deque[T] = deque()
        self._failure: BaseException | None = None
        self._is_done = self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True) if depth else None
        if self._thread:
            self._thread.start()

    def _run(self) -> None:
        """Fill the queue; an error reaches the consumer after the items before it."""
        try:
            for item in self._items:
                if not self._offer(item):
                    break
        except BaseException as error:
            self._failure = error
        with self._changed:
            self._is_done = True
            self._changed.notify_all()

    def _offer(self, item: T) -> bool:
        """Queue an item as soon as there is room; return whether the consumer still wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._ready) < self._depth)
            if not self._is_closed:
                self._ready.append(item)
                self._changed.notify_all()
            return not self._is_closed

    @property
    def n_ready(self) -> int:
        """Number of items that are ready."""
        return len(self._ready)

    def __next__(self) -> T:
        if self._is_closed:
            raise StopIteration
        if self._thread is None:
            return next(self._items)
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_done)
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        # Raise the error only once: a further call then ends like that of any finished iterator.
        failure, self._failure = self._failure, None
        raise failure or StopIteration

    def close(self) -> None:
        """Stop reading ahead, and wait until the thread has made its current item; a second call does nothing."""
        with self._changed:
            self._is_closed = True
            self._ready.clear()
            self._changed.notify_all()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def prefetch(items: Iterator[T], depth: int) -> Prefetcher[T]:
    """Return the same items in the same order; a thread makes up to `depth` of them ahead.

    Parameters
    ----------
    items
        The items. Only the thread may use this iterator until `Prefetcher.close` has returned. So close the prefetcher
        first, then the source of the items.
    depth
        Maximum number of items that are ready; one more may be in progress. With 0 items are made on demand, without a
        thread.

    Notes
    -----
    An error arrives after all items that precede it. If the consumer closes before it reaches the error, the error is
    dropped.

    Examples
    --------
    >>> with prefetch(iter("abc"), depth=2) as letters:
    ...     list(letters)
    ['a', 'b', 'c']
    """
    if depth < 0:
        raise ValueError(f"depth must be at least 0, found {depth}")
    return Prefetcher(items, depth)
