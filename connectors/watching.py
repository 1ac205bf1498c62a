"""Wait until something happens to files: told by the system where it can, else by looking again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Watch"]

_GATHER_MS = 100  # what happens within it is told at once
_STEP_MS = 50


class Watch:
    """What happens in a folder.

    Parameters
    ----------
    folder
        It must be there.
    is_deep
        Whether the folders in it count, too.
    """

    def __init__(self, folder: str, *, is_deep: bool = False) -> None:
        self._folder, self._is_deep = folder, is_deep
        self._closing = threading.Event()
        self._changes: Iterator[Any] | None = None

    def wait(self, timeout_s: float) -> bool:
        """Return once something has happened, or after a while, or at once if it was closed; tell whether it has.

        What the system does not tell (on a network's disk) is found by looking after the while.
        """
        if self._closing.is_set():
            return False
        if self._changes is None:
            # It brings along what watches in other ways: whoever follows nothing does not wait for it.
            from watchfiles import watch  # noqa: PLC0415

            self._changes = watch(
                self._folder,
                watch_filter=None,
                debounce=_GATHER_MS,
                step=_STEP_MS,
                stop_event=self._closing,
                rust_timeout=int(timeout_s * 1_000),
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=self._is_deep,
            )
        began = time.monotonic()
        changes = next(self._changes, None)
        if changes is None:  # it ended: what it watched is gone
            self._changes = None
            self._closing.wait(max(0.0, timeout_s - (time.monotonic() - began)))
        return changes is None or bool(changes)

    def close(self) -> None:
        """Let whoever waits return; a second call does nothing."""
        self._closing.set()
