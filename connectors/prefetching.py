"""Read ahead in a thread: the next blocks are decoded while the present one is learned from."""

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
        """Fill the queue; whatever ends that, an error too, is found behind the items that came before it."""
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
        """Queue an item as soon as there is room; tell whether anybody still wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._ready) < self._depth)
            if not self._is_closed:
                self._ready.append(item)
                self._changed.notify_all()
            return not self._is_closed

    @property
    def n_ready(self) -> int:
        """How many items are held ready."""
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
        failure, self._failure = self._failure, None
        raise failure or StopIteration

    def close(self) -> None:
        """Stop reading ahead and wait for the thread, at most for the item in hand; a second call does nothing."""
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
    """Return the same items, in the same order, up to `depth` of them made ahead in a thread.

    Parameters
    ----------
    items
        Where items come from. From now on only the thread may touch it, until `Prefetcher.close` has returned: close
        this one first, then what it reads from.
    depth
        Items held ready at most, one more being made. 0 makes them on demand, without a thread.

    Notes
    -----
    An error arrives where it happened: after every item before it. One that the consumer never got to, having closed
    before, is dropped with the items before it.

    Examples
    --------
    >>> with prefetch(iter("abc"), depth=2) as letters:
    ...     list(letters)
    ['a', 'b', 'c']
    """
    if depth < 0:
        raise ValueError(f"depth should be at least 0, found {depth}")
    return Prefetcher(items, depth)
