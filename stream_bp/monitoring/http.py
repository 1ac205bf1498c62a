"""A small HTTP server: a few paths, a function each, served in a thread until its context ends."""

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
    """What was asked.

    Attributes
    ----------
    query
        What follows ``?`` in the address.
    headers
        By name, in any case.
    """

    query: str
    headers: Message


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers.

    Attributes
    ----------
    content
        The body. HEAD gets its length only.
    status
        Of HTTP.
    headers
        Beside those that every answer has. Without any the body is plain text.
    """

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=_TEXT.copy)


Route = Callable[[Request], Answer]


class Server:
    """Answers GET and HEAD.

    It is bound at once. A StreamBPError or ConnectorError of a route becomes an answer with status 503.

    Parameters
    ----------
    what
        What is served, in words.
    routes
        The function of each path.
    host, port
        Where to listen; a port of 0 is any free one.
    names
        The names of this machine that a request may use, without a port. A request by another name is refused: a page
        from elsewhere may have bound its own name to this address. Empty for any name.
    headers
        Headers of every answer.

    Attributes
    ----------
    root
        The address of the server, as ``http://127.0.0.1:9464``.

    Raises
    ------
    ConfigError
        If nothing can be served there.
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
            self._server = (_Listener6 if ":" in host else _Listener)((host, port), _Handler)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot serve {what} on {host}, port {port}: {reason}") from None
        shown, port = f"[{host}]" if ":" in host else host, self._server.server_port
        self.root = f"http://{shown}:{port}"
        self._routes, self._headers = routes, headers
        # A browser leaves out the port of HTTP itself.
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
        """Return the answer to a request, with all of its headers."""
        answer = self._find(method, target, headers)
        always = {"Content-Length": str(len(answer.content)), "Cache-Control": "no-store", **self._headers}
        return Answer(answer.content, answer.status, {**always, **answer.headers})

    def _find(self, method: str, target: str, headers: Message) -> Answer:
        # Before anything else: a page from elsewhere learns nothing, not even which paths there are.
        if self._names and headers.get("Host", "") not in self._names:
            return Answer(f"this is {self.root}/\n".encode(), 421)
        if method not in {"GET", "HEAD"}:
            return Answer(b"GET or HEAD\n", 405)
        path, _, query = target.partition("?")
        if path not in self._routes:
            *others, last = self._routes
            return Answer(f"there are {', '.join(others)} and {last}\n".encode(), 404)
        try:
            return self._routes[path](Request(query, headers))
        except (StreamBPError, ConnectorError) as error:
            # The run directory may be in the middle of a change: the next request may succeed.
            return Answer(f"{error}\n".encode("utf-8", "backslashreplace"), 503)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = False
    owner: Server

    def server_bind(self) -> None:
        """Bind, without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hung up; report everything else."""
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

    # The names are those that the base class looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        """Log nothing: a request is not an event."""
