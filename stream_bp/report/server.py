"""A report that is served on loopback, and drawn anew as the job goes on.

Only this machine can connect, and only a page that was asked for by a loopback name is answered: a page from elsewhere
whose name was bound to 127.0.0.1 is not.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.errors import ConnectorError
from stream_bp.errors import StreamBPError
from stream_bp.monitoring.http import Serving
from stream_bp.report import page
from stream_bp.report.run import read_record

__all__ = ["Live"]

_HOST = "127.0.0.1"
_TEXT = "text/plain; charset=utf-8"
_AGAIN_S = 2.0  # between two looks at what a job wrote
_PATIENCE = 10  # how many times as long as a look took it is not looked again
_STALE_S = 30.0  # after which a page is told anew although no file changed: a process may have fallen silent


class Live(Serving):
    """A page of some runs, served until the context is left.

    Parameters
    ----------
    run_dirs
        The run directories, by what each run is called.
    port
        Where to listen; 0 for any that is free.

    Attributes
    ----------
    url
        Where the page is.

    Raises
    ------
    ConfigError
        If one is no run directory, or nothing can be served there.
    """

    def __init__(self, run_dirs: dict[str, Path], port: int = 0) -> None:
        self._run_dirs = run_dirs
        self._lock = threading.Lock()
        self._tag = ""
        self._told: dict[str, Any] = {}
        self._looked = self._took_s = 0.0
        self.look()
        super().__init__("a report", _HOST, port, lambda: _Server(self, port))
        self.url = f"{self.root}/"

    def wait(self, ready: Callable[[], None]) -> None:
        """Wait for SIGINT, and say when it is heeded."""
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
        """Return what the page tells, told anew where a file changed.

        Raises
        ------
        StreamBPError
            If a run directory is gone, or cannot be read.
        """
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, live: Live, port: int) -> None:
        self.live = live
        super().__init__((_HOST, port), _Handler)

    @property
    def names(self) -> set[str]:
        """The names by which this machine alone is meant."""
        names = {_HOST, "localhost"}
        return {f"{name}:{self.server_port}" for name in names} | (names if self.server_port == 80 else set())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # s, for whoever connects and says nothing

    def do_GET(self) -> None:
        """Answer with the page, or with what is new in it."""
        try:
            self._answer(*self._found())
        except (StreamBPError, ConnectorError) as error:
            self._answer(503, f"{error}\n".encode("utf-8", "backslashreplace"))

    def _found(self) -> tuple[int, bytes, str]:
        live, place = self.server.live, urlsplit(self.path)
        if self.headers.get("Host", "") not in self.server.names:
            return 421, f"this is {live.url}\n".encode(), _TEXT
        if place.path == "/":
            return 200, page.document(live.look()), "text/html; charset=utf-8"
        if place.path != "/told.json":
            return 404, b"there are / and /told.json\n", _TEXT
        told = live.look()
        if parse_qs(place.query).get("tag") == [told["content"]["tag"]]:
            return 204, b"", _TEXT
        return 200, page.as_json(told), "application/json"

    def _answer(self, status: int, content: bytes, kind: str = _TEXT) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": page.policy(is_live=True),
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called above
        """Nothing: a look is no news."""


def _state(paths: Iterable[Path]) -> str:
    """Return what changes with the files that a report is made of."""
    stats = []
    for path in paths:
        files: Sequence[Path] = sorted([*path.glob("*.csv"), *path.glob("checkpoints/step-*.safetensors")])
        for file in files:
            try:
                stat = file.stat()
            except OSError:  # rotated away
                continue
            stats.append((file.name, stat.st_size, stat.st_mtime_ns))
    return f"{hash(tuple(stats)) & (2**64 - 1):016x}"
