"""Wait until files change: the system reports it, or the caller looks again after a timeout."""

from __future__ import annotations

import threading
import weakref

__all__ = ["FileWatcher"]

_GATHER_MS = 100  # changes within this time wake the reader once
_STEP_MS = 50
_AGAIN_S = 1.0  # the folder may be removed and created again


class FileWatcher:
    """Reports changes in a folder.

    Parameters
    ----------
    folder
        The folder; it must exist.
    is_deep
        Whether to watch its subfolders too.

    Notes
    -----
    The library runs in a thread of its own. In the main thread it would take an exception of a signal handler as a
    request to stop watching. Then a program that received SIGTERM would not end.
    """

    def __init__(self, folder: str, *, is_deep: bool = False) -> None:
        self._folder, self._is_deep = folder, is_deep
        self._happened, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for a change, at most for a timeout; return whether there was one, and False at once if closed.

        Some file systems, such as network disks, report no changes; there the timeout decides.
        """
        if self._closing.is_set():
            return False
        if self._thread is None:
            arguments = self._folder, self._is_deep, self._happened, self._closing
            self._thread = threading.Thread(target=_listen, args=arguments, name="watch", daemon=True)
            self._thread.start()
            # Python must not end while the thread is still in the library, so join it first.
            weakref.finalize(self, _end, self._closing, self._thread)
        has_happened = self._happened.wait(timeout_s)
        self._happened.clear()
        return has_happened and not self._closing.is_set()

    def close(self) -> None:
        """Wake a waiting thread; a second call does nothing."""
        self._closing.set()
        self._happened.set()


def _listen(folder: str, is_deep: bool, happened: threading.Event, closing: threading.Event) -> None:
    # The import is slow, and sources that are not followed do not need it.
    from watchfiles import watch  # noqa: PLC0415

    while not closing.is_set():
        try:
            changes = watch(
                folder, watch_filter=None, debounce=_GATHER_MS, step=_STEP_MS, stop_event=closing, recursive=is_deep
            )
            for _ in changes:
                happened.set()
        except OSError:  # the folder is gone
            pass
        closing.wait(_AGAIN_S)
        happened.set()


def _end(closing: threading.Event, thread: threading.Thread) -> None:
    closing.set()
    thread.join()
