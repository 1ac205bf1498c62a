"""The small HTTP server: what it answers, and whom."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.errors import SourceError
from stream_bp.errors import ConfigError, DataError
from stream_bp.monitoring.http import Answer, Request, Server


def _refuse(request: Request) -> Answer:
    raise DataError(f"no rows, said {request.query}")


def _away(request: Request) -> Answer:
    raise SourceError("a.csv: it is gone")


def _fail(request: Request) -> Answer:
    raise LookupError


ROUTES = {
    "/": lambda request: Answer(f"asked {request.query or 'nothing'}\n".encode()),
    "/page": lambda request: Answer(b"<p>", headers={"Content-Type": "text/html", "X-Own": "1"}),
    "/refused": _refuse,
    "/away": _away,
    "/failed": _fail,
}


@contextmanager
def served(host: str = "127.0.0.1", names: tuple[str, ...] = ()) -> Iterator[http.client.HTTPConnection]:
    """Serve some paths; give a connection."""
    with Server("a test", ROUTES, host=host, port=0, names=names, headers={"X-All": "2"}) as server:
        yield http.client.HTTPConnection(host, int(server.root.rpartition(":")[2]), timeout=10)


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Return status, body and headers of an answer."""
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content, dict(answer.getheaders())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_path_has_its_answer(host: str) -> None:
    """Text unless the route says otherwise; the headers of the server on each."""
    with served(host) as connection:
        status, content, headers = ask(connection, "/")
        assert (status, content) == (200, "asked nothing\n")
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert (headers["Content-Length"], headers["Cache-Control"], headers["X-All"]) == ("14", "no-store", "2")
        assert ask(connection, "/?a=b&c")[:2] == (200, "asked a=b&c\n")
        headers = ask(connection, "/page")[2]
        assert (headers["Content-Type"], headers["X-Own"], headers["X-All"]) == ("text/html", "1", "2")
        paths = "/, /page, /refused, /away and /failed"
        assert ask(connection, "/pages")[:2] == (404, f"not found; the paths are {paths}\n")


def test_head_is_get_without_a_body() -> None:
    """For every status."""
    with served() as connection:
        for path in ("/", "/page", "/none", "/refused"):
            status, _, headers = ask(connection, path)
            head = ask(connection, path, "HEAD")
            assert head[:2] == (status, "")
            assert head[2] | {"Date": ""} == headers | {"Date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_else_is_allowed(method: str) -> None:
    """Nothing here can be changed."""
    with served() as connection:
        assert ask(connection, "/", method)[:2] == (405, "expected GET or HEAD\n")


def test_errors_of_a_route(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours is a line with status 503; another is 500, with its traceback in the log; the server goes on."""
    with served() as connection:
        assert ask(connection, "/refused?why")[:2] == (503, "no rows, said why\n")
        assert ask(connection, "/away")[:2] == (503, "a.csv: it is gone\n")
        assert capsys.readouterr().err == ""
        assert ask(connection, "/failed")[0] == 500
        assert ask(connection, "/")[0] == 200
    assert "LookupError" in capsys.readouterr().err


def test_a_request_by_another_name_is_refused() -> None:
    """Whatever it asks, where the names are given; where they are not, every name will do."""
    with served(names=("127.0.0.1", "localhost")) as connection:
        root = f"127.0.0.1:{connection.port}"
        for host in ("evil.example", f"evil.example:{connection.port}", "localhost", ""):
            assert ask(connection, "/none", "POST", Host=host)[:2] == (421, f"unknown host name; use http://{root}/\n")
        for host in (root, f"localhost:{connection.port}"):
            assert ask(connection, "/", Host=host)[0] == 200
    with served() as connection:
        assert ask(connection, "/", Host="evil.example")[0] == 200


def test_a_port_in_use_is_refused_in_a_line() -> None:
    """Before the context opens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot serve a test on 127.0.0.1, port {port}: Address already in use"):
            Server("a test", ROUTES, host="127.0.0.1", port=port)


def test_a_client_that_hangs_up_is_not_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """It is no line of the log, nor is a request."""
    with served() as connection:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", connection.port)) as hasty:
                hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
                hasty.sendall(b"GET / HT")
        assert ask(connection, "/")[0] == 200
        time.sleep(0.1)
    assert capsys.readouterr().err == ""
