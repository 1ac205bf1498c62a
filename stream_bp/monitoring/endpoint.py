"""A running job over HTTP: its figures on ``/metrics``, its health on ``/healthz`` and ``/readyz``."""

import time

from stream_bp.job.observer import Observer, Status
from stream_bp.job.state import JobState
from stream_bp.monitoring.http import Answer, Request, Server
from stream_bp.monitoring.prometheus import JobCollector
from stream_bp.persistence.checkpoints import LoadedCheckpoint

__all__ = ["Metrics"]

_EVERY_S = 1.0


class Metrics(Server, Observer):
    """Serves the figures of a job until the context ends.

    Parameters
    ----------
    port
        The port to listen on; 0 for any free port.
    host
        The address to listen on. With other addresses than 127.0.0.1 and ::1, other machines can connect.
    ready_within_s
        A job is ready unless for this time it has neither learned a row nor found its source empty.

    Attributes
    ----------
    url
        The address of the figures.

    Raises
    ------
    ConfigError
        If the address or the port cannot be used.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", ready_within_s: float = 120.0) -> None:
        self._ready_within_s = ready_within_s
        self._collector = JobCollector()
        self._looked = self._alive = 0.0
        self._state = "the job is starting: it opens its source, or waits for the first rows"
        routes = {"/metrics": self._collector.expose, "/healthz": _well, "/readyz": self._readiness}
        super().__init__("metrics", routes, host=host, port=port)
        self.url = f"{self.root}/metrics"

    def on_start(self, training: JobState, resumed: LoadedCheckpoint | None) -> None:
        """Remember the counts of the job before this process."""
        self._collector.begin(training)
        self._state, self._alive = "", time.monotonic()

    def on_progress(self, status: Status) -> None:
        """Copy the figures, once a second. Most calls only note that the job is alive."""
        self._alive = time.monotonic()
        if self._alive - self._looked >= _EVERY_S:
            self._look(status)

    def on_end(self, status: Status, reason: str) -> None:
        """Copy the last figures."""
        self._look(status)
        self._state = f"the job has ended: {reason}"

    def _look(self, status: Status) -> None:
        self._collector.look(status)
        self._looked = time.monotonic()

    def not_ready(self) -> str:
        """Return why the job is not ready; an empty text if it is ready."""
        quiet_s = time.monotonic() - self._alive
        if not self._state and quiet_s > self._ready_within_s:
            return f"for {quiet_s:.0f} s the job has neither learned a row nor found its source empty"
        return self._state

    def _readiness(self, request: Request) -> Answer:
        reason = self.not_ready()
        return Answer(f"{reason or 'ready'}\n".encode(), 503 if reason else 200)


def _well(request: Request) -> Answer:
    return Answer(b"ok\n")
