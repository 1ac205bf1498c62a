"""Wait until something happens to files: told by the system where it can, else by looking again."""

from __future__ import annotations

import threading
import weakref

__all__ = ["FileWatcher"]

_GATHER_MS = 100  # what happens within it is told at once
_STEP_MS = 50
_AGAIN_S = 1.0  # what is watched may be gone, and come back


class FileWatcher:
    """What happens in a folder.

    Parameters
    ----------
    folder
        It must be there.
    is_deep
        Whether the folders in it count, too.

    Notes
    -----
    A thread of its own listens: the library takes whatever a handler of a signal raises for a wish to listen no more,
    and a program that was told to end would not.
    """

    def __init__(self, folder: str, *, is_deep: bool = False) -> None:
        self._folder, self._is_deep = folder, is_deep
        self._happened, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, timeout_s: float) -> bool:
        """Return once something has happened, or after a while, or at once if it was closed; tell whether it has.

        What the system does not tell (on a network's disk) is found by looking after the while.
        """
        if self._closing.is_set():
            return False
        if self._thread is None:
            arguments = self._folder, self._is_deep, self._happened, self._closing
            self._thread = threading.Thread(target=_listen, args=arguments, name="watch", daemon=True)
            self._thread.start()
            # Python must not end while the thread is about to come back from the library.
            weakref.finalize(self, _end, self._closing, self._thread)
        has_happened = self._happened.wait(timeout_s)
        self._happened.clear()
        return has_happened and not self._closing.is_set()

    def close(self) -> None:
        """Let whoever waits return; a second call does nothing."""
        self._closing.set()
        self._happened.set()


def _listen(folder: str, is_deep: bool, happened: threading.Event, closing: threading.Event) -> None:
    # It brings along what watches in other ways: whoever follows nothing does not wait for it.
    from watchfiles import watch  # noqa: PLC0415

    while not closing.is_set():
        try:
            changes = watch(
                folder, watch_filter=None, debounce=_GATHER_MS, step=_STEP_MS, stop_event=closing, recursive=is_deep
            )
            for _ in changes:
                happened.set()
        except OSError:  # it is gone
            pass
        closing.wait(_AGAIN_S)
        happened.set()


def _end(closing: threading.Event, thread: threading.Thread) -> None:
    closing.set()
    thread.join()
