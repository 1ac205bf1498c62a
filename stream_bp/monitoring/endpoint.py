"""A running job over HTTP: its figures on ``/metrics``, and whether it is well on ``/healthz`` and ``/readyz``."""

import time

from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.monitoring.http import Answer, Request, Server
from stream_bp.monitoring.prometheus import JobCollector
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = ["Metrics"]

_EVERY_S = 1.0


class Metrics(Server, Observer):
    """Serves figures of a job until the context ends.

    Parameters
    ----------
    port
        Where to listen; 0 for any that is free.
    host
        The address to listen on: others than 127.0.0.1 and ::1 let other machines ask.
    ready_within_s
        For how long a job may neither learn nor find that there is nothing to learn, and still be called ready.

    Attributes
    ----------
    url
        Where the figures are.

    Raises
    ------
    ConfigError
        If nothing can be served there.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", ready_within_s: float = 120.0) -> None:
        self._ready_within_s = ready_within_s
        self._collector = JobCollector()
        self._looked = self._alive = 0.0
        self._state = "the job has not begun: it opens its source, or waits for first rows"
        routes = {"/metrics": self._collector.expose, "/healthz": _well, "/readyz": self._readiness}
        super().__init__("metrics", routes, host=host, port=port)
        self.url = f"{self.root}/metrics"

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Remember how far the job was before this process."""
        self._collector.begin(training)
        self._state, self._alive = "", time.monotonic()

    def on_progress(self, status: Status) -> None:
        """Take the figures down, once a second; most calls only note that the job is alive."""
        self._alive = time.monotonic()
        if self._alive - self._looked >= _EVERY_S:
            self._look(status)

    def on_end(self, status: Status, reason: str) -> None:
        """Take the last figures down."""
        self._look(status)
        self._state = f"the job is over: {reason}"

    def _look(self, status: Status) -> None:
        self._collector.look(status)
        self._looked = time.monotonic()

    def not_ready(self) -> str:
        """Say why the job is not ready; nothing if it is."""
        quiet_s = time.monotonic() - self._alive
        if not self._state and quiet_s > self._ready_within_s:
            return f"for {quiet_s:.0f} s the job has neither learned nor found that there is nothing to learn"
        return self._state

    def _readiness(self, request: Request) -> Answer:
        reason = self.not_ready()
        return Answer(f"{reason or 'ready'}\n".encode(), 503 if reason else 200)


def _well(request: Request) -> Answer:
    return Answer(b"ok\n")
