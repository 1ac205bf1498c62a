"""A small HTTP server in a thread: a function for each path, until its context ends."""

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from socketserver import TCPServer
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from connectors.errors import ConnectorError
from stream_bp.errors import ConfigError, StreamBPError

__all__ = ["Answer", "Request", "Route", "Server"]

_POLL_S = 0.1  # until the thread notices that the context has ended
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes
    ----------
    query
        The part of the address after ``?``.
    headers
        The headers by name, in any case.
    """

    query: str
    headers: Message


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes
    ----------
    content
        The body. HEAD gets its length only.
    status
        The HTTP status.
    headers
        Headers in addition to those of every response. By default the body is plain text.
    """

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=_TEXT.copy)


Route = Callable[[Request], Answer]


class Server:
    """Answers GET and HEAD.

    The constructor binds the port. A StreamBPError or ConnectorError of a route becomes a response with status 503.

    Parameters
    ----------
    what
        The served content, for errors.
    routes
        The function of each path.
    host, port
        The address to listen on; port 0 is any free port.
    names
        The host names that a request may use, without a port. Other names are refused, since a foreign web page may
        bind its own name to this address. Empty for any name.
    headers
        Headers of every response.

    Attributes
    ----------
    root
        The address of the server, as ``http://127.0.0.1:9464``.

    Raises
    ------
    ConfigError
        If the address or the port cannot be used.
    """

    def __init__(
        self,
        what: str,
        routes: Mapping[str, Route],
        *,
        host: str,
        port: int,
        names: Collection[str] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        try:
            # Only an IPv6 address has a colon.
            self._server = (_Listener6 if ":" in host else _Listener)((host, port), _Handler)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot serve {what} on {host}, port {port}: {reason}") from None
        shown, port = f"[{host}]" if ":" in host else host, self._server.server_port
        self.root = f"http://{shown}:{port}"
        self._routes, self._headers = routes, headers
        # A browser omits port 80, the default of HTTP.
        self._names = {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=[_POLL_S], name=what, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: Message) -> Answer:
        """Return the response to a request, with all headers."""
        answer = self._find(method, target, headers)
        always = {"Content-Length": str(len(answer.content)), "Cache-Control": "no-store", **self._headers}
        return Answer(answer.content, answer.status, {**always, **answer.headers})

    def _find(self, method: str, target: str, headers: Message) -> Answer:
        # Before all other checks, so that a foreign web page cannot even find out which paths exist.
        if self._names and headers.get("Host", "") not in self._names:
            return Answer(f"unknown host name; use {self.root}/\n".encode(), 421)
        if method not in {"GET", "HEAD"}:
            return Answer(b"expected GET or HEAD\n", 405)
        path, _, query = target.partition("?")
        if path not in self._routes:
            *others, last = self._routes
            return Answer(f"not found; the paths are {', '.join(others)} and {last}\n".encode(), 404)
        try:
            return self._routes[path](Request(query, headers))
        except (StreamBPError, ConnectorError) as error:
            # A job may be changing the run directory, so the next request may succeed.
            return Answer(f"{error}\n".encode("utf-8", "backslashreplace"), 503)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = False
    owner: Server

    def server_bind(self) -> None:
        """Bind. The base class would also look up the host name, which can be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that closed the connection; report other errors."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Listener6(_Listener):
    address_family = AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 10  # s, for a client that connects and sends nothing

    def _respond(self) -> None:
        try:
            answer = self.server.owner.answer(self.command, self.path, self.headers)
        except Exception:
            self._send(Answer(b"an error of the server\n", 500))
            raise
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    # The base class looks for these names.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        """Log nothing: requests are frequent and of no interest."""
