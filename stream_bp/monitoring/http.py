"""A server of ours, bound at once or refused in one line, that serves in a thread until its context is left."""

import threading
from collections.abc import Callable
from http.server import HTTPServer
from types import TracebackType
from typing import Self

from stream_bp.errors import ConfigError

__all__ = ["Serving"]

_POLL_S = 0.1  # until its end is heeded


class Serving:
    """What serves something over HTTP.

    Parameters
    ----------
    what
        In words.
    host, port
        Where; a port of 0 is any that is free.
    make
        Makes the server, which binds there.

    Attributes
    ----------
    root
        The address of the server, as ``http://127.0.0.1:9464``.

    Raises
    ------
    ConfigError
        If nothing can be served there.
    """

    def __init__(self, what: str, host: str, port: int, make: Callable[[], HTTPServer]) -> None:
        try:
            self._server = make()
        except (OSError, OverflowError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot serve {what} on {host}, port {port}: {reason}") from None
        shown = f"[{host}]" if ":" in host else host
        self.root = f"http://{shown}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[_POLL_S], name=what, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
