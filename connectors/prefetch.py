"""Reading ahead: a thread makes the next items while the caller is at work on this one."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Prefetcher", "prefetch"]

T = TypeVar("T")

_POLL_S = 0.1  # how soon a thread that waits for room sees that nobody wants its item any more


class Prefetcher(Iterator[T], Generic[T]):
    """An iterator over the items of another one, made in a thread, a few ahead.

    Parameters
    ----------
    items
        Used by the thread alone until :meth:`close`.
    depth
        How many finished items may wait.

    Notes
    -----
    An error in ``items`` is raised here, after the items before it.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
        self._is_closed = threading.Event()
        self._is_done = False
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    return
        except BaseException as error:
            self._put("error", error)
        else:
            self._put("end", None)

    def _put(self, kind: str, value: T | BaseException | None) -> bool:
        while not self._is_closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put((kind, value), timeout=_POLL_S)
                return True
        return False

    def __next__(self) -> T:
        if self._is_done:
            raise StopIteration
        kind, value = self._queue.get()
        if kind == "item":
            return value  # type: ignore[return-value]
        self._is_done = True
        if isinstance(value, BaseException):
            raise value
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and wait for it; a second call does nothing."""
        self._is_closed.set()
        self._is_done = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()


def prefetch(items: Iterator[T], depth: int) -> Prefetcher[T]:
    """Return an iterator that makes up to ``depth`` items ahead in a thread; close it when done."""
    return Prefetcher(items, depth)
