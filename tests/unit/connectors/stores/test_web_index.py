"""Folders of web servers that list them."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors import Source, SourceError, open_source
from connectors.stores import http_store, web_index
from connectors.stores.web_index import links_below

CANARY = "canary5ecret"


def read(source: Source) -> list[dict[str, Any]]:
    """Return every row."""
    with source.open(source.schema) as reader:
        return [row for block in reader for row in block.records.to_pylist()]


class _Listing(SimpleHTTPRequestHandler):
    """List folders as Python's server does, and send parts of files."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        path = Path(self.translate_path(self.path))
        if "/gone/" in self.path:
            self.send_response_only(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/")  # type: ignore[attr-defined]
            self.end_headers()
        elif path.is_dir() or not path.exists():
            super().do_GET()
        else:
            content = path.read_bytes()
            first, _, last = self.headers.get("Range", "bytes=0-")[6:].partition("-")
            part = content[int(first) : int(last or len(content)) + 1]
            self.send_response_only(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{len(content)}"')
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

    do_HEAD = do_GET  # noqa: N815 - as its base calls it

    def list_directory(self, path: Any) -> Any:
        if "/plain/" in self.path:
            self.send_error(403)
            return None
        return super().list_directory(path)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Serve a folder that has folders, one with partitions; return the address of the server."""
    root = tmp_path / "web"
    for name in (
        "d/a b.csv",
        "d/c.csv",
        "d/_x.csv",
        "d/n.txt",
        "d/h/y=1/e.csv",
        "d/.i/z.csv",
        "plain/a.csv",
        "t/a.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x\n1\n")
    (root / "t" / "_delta_log").mkdir()
    _Listing.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Listing, directory=str(root)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_folders_and_patterns_of_a_web_server(web: str) -> None:
    """Where the server lists its folders; they are asked with the user and the query of the address."""

    def found(place: str) -> list[str]:
        return [path.removeprefix(f"http://{web}/") for path in open_source(f"http://{web}/{place}").paths]

    assert found("d/*.csv") == ["d/a%20b.csv", "d/c.csv"]
    assert found("d/a b.cs*") == found("d/a%20b.cs*") == ["d/a%20b.csv"]
    assert found("d/") == found("d/**/*.csv") == found("d*") == ["d/a%20b.csv", "d/c.csv", "d/h/y%3D1/e.csv"]
    assert read(open_source(f"http://{web}/d/h/")) == [{"x": 1, "y": 1}]
    assert len(read(open_source(f"http://{web}/d/*.csv"))) == 2
    _Listing.asked.clear()
    source = open_source(f"http://me:{CANARY}@{web}/d/c*?token={CANARY}")
    assert source.paths == (f"http://…@{web}/d/c.csv?…",)
    assert len(read(source)) == 1
    assert len({user for _, user in _Listing.asked}) == 1
    assert all(user and path.endswith(f"?token={CANARY}") for path, user in _Listing.asked)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("plain/*.csv", r"the server does not list this folder \(HTTP status 403\); name each file"),
        ("none/", r"the server does not list this folder \(HTTP status 404\)"),
        ("gone/", r"the server does not list this folder \(HTTP status 302\)"),
        ("d/*.xlsx", "no data file there; supported"),
        ("d", "unknown file type; .*end the address of a folder with /"),
        ("t/", "a Delta table"),
    ],
)
def test_a_web_server_that_lists_no_data_is_one_line(web: str, place: str, words: str) -> None:
    """The message has no secrets, and they go to no other server."""
    with pytest.raises(SourceError, match=words) as caught:
        open_source(f"http://me:{CANARY}@{web}/{place}?token={CANARY}")
    assert CANARY not in str(caught.value)
    assert not [host for host, _ in _Listing.asked if host.startswith("/?")]


def test_only_links_below_the_folder_count() -> None:
    """Apache links to its sort orders, nginx to the folder above; a page may link to anything."""
    links = ["?C=N;O=D", "../", "/", "/d/a.csv", "b.csv", "b.csv#x", "sub/", "sub/c.csv", "https://h/d/e%20f.csv",
             "https://other/d/g.csv", "%2e%2e/", "..%2fx.csv", "http://[", "mailto:me@h", "./h.csv"]  # fmt: skip
    page = "".join(f"<A HREF='{link}'>x</A>" for link in links)
    names = ["a.csv", "b.csv", "sub/", "e%20f.csv", "h.csv"]
    assert links_below(page, "https://h/d/") == [f"https://h/d/{name}" for name in names]


def test_a_listed_folder_has_limits(monkeypatch: pytest.MonkeyPatch, web: str) -> None:
    """A page that never ends, and folders without end."""
    monkeypatch.setattr(http_store, "_MOST_PAGES", 2)
    with pytest.raises(SourceError, match="more than 2 folders on the server"):
        open_source(f"http://{web}/d/")
    monkeypatch.setattr(web_index, "_MOST_BYTES", 100)
    with pytest.raises(SourceError, match="list is longer than"):
        open_source(f"http://{web}/d/")
