"""Serves a report on loopback, and updates it while the job runs.

Only this machine can connect, and a request must use a loopback name. So a foreign web page whose host name points to
127.0.0.1 is refused.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from stream_bp.monitoring.http import Answer, Request, Server
from stream_bp.report import page
from stream_bp.report.run import read_record

__all__ = ["Live"]

_HOST = "127.0.0.1"
_AGAIN_S = 2.0  # between two reads of a job's files
_PATIENCE = 10  # the pause after a read, as a multiple of its duration: a report takes at most a tenth of a core
_STALE_S = 30.0  # then a page is made again although no file changed, since a silent process may have been killed


class Live(Server):
    """Serves the page of some runs until the context ends.

    Parameters
    ----------
    run_dirs
        The run directories, by the name of each run.
    port
        The port to listen on; 0 for any free port.

    Attributes
    ----------
    url
        The address of the page.

    Raises
    ------
    ConfigError
        If a folder is not a run directory, or the port cannot be used.
    """

    def __init__(self, run_dirs: dict[str, Path], port: int = 0) -> None:
        self._run_dirs = run_dirs
        self._lock = threading.Lock()
        self._tag = ""
        self._told: dict[str, Any] = {}
        self._looked = self._took_s = 0.0
        self.look()
        headers = {
            "Content-Security-Policy": page.policy(is_live=True),
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        routes = {"/": self._page, "/told.json": self._news}
        super().__init__("a report", routes, host=_HOST, port=port, names=(_HOST, "localhost"), headers=headers)
        self.url = f"{self.root}/"

    def wait(self, ready: Callable[[], None]) -> None:
        """Call `ready` and wait for SIGINT."""
        # A shell starts background processes with SIGINT ignored. That must stay so.
        previous = signal.getsignal(signal.SIGINT)
        if previous is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            ready()
            while True:
                signal.pause()
        except KeyboardInterrupt:
            return
        finally:
            signal.signal(signal.SIGINT, previous)

    def look(self) -> dict[str, Any]:
        """Return the content of the page, made again if a file changed.

        Raises
        ------
        StreamBPError
            If a run directory is missing or cannot be read.
        """
        # Each request has its own thread. Only one of them makes the page, the others wait for it.
        with self._lock:
            now = time.monotonic()
            if self._told and now - self._looked < _PATIENCE * self._took_s:
                return self._told
            tag = f"{_state(self._run_dirs.values())}-{int(now / _STALE_S)}"
            if tag != self._tag:
                records = [read_record(path, name) for name, path in self._run_dirs.items()]
                told = page.tell(records, tag=tag, again_s=max(_AGAIN_S, _PATIENCE * self._took_s))
                self._tag, self._told = tag, told
                self._looked, self._took_s = time.monotonic(), time.monotonic() - now
            return self._told

    def _page(self, request: Request) -> Answer:
        return Answer(page.document(self.look()), headers={"Content-Type": "text/html; charset=utf-8"})

    def _news(self, request: Request) -> Answer:
        """Answer with the content, or with 204 if the page has it already."""
        told = self.look()
        if parse_qs(request.query).get("tag") == [told["content"]["tag"]]:
            return Answer(b"", 204)
        return Answer(page.as_json(told), headers={"Content-Type": "application/json"})


def _state(paths: Iterable[Path]) -> str:
    """Return a tag that changes with the files of a report."""
    stats = []
    for path in paths:
        files: Sequence[Path] = sorted([*path.glob("*.csv"), *path.glob("checkpoints/step-*.safetensors")])
        for file in files:
            try:
                stat = file.stat()
            except OSError:  # a checkpoint that was rotated away
                continue
            stats.append((file.name, stat.st_size, stat.st_mtime_ns))
    # Hashes of text differ from process to process, but a tag is compared only within one.
    return f"{hash(tuple(stats)) & (2**64 - 1):016x}"
