"""Servers on loopback: of S3 and plain HTTP, one before it that fails as it is told, and a little of Google's store."""

import http.client
import json
import multiprocessing
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from pyarrow import fs

__all__ = ["ENVIRONMENT", "S3", "Faults", "faulty", "google_server", "s3_server"]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}


class S3:
    """A server, and a bucket in it.

    Parameters
    ----------
    authority
        Host and port.
    bucket
        It is made.
    """

    def __init__(self, authority: str, bucket: str) -> None:
        self.authority, self.bucket = authority, bucket
        self.files = fs.S3FileSystem(
            access_key="testing",
            secret_key="testing",  # noqa: S106 - of nothing
            endpoint_override=authority,
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        self.files.create_dir(bucket)

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        with self.files.open_output_stream(f"{self.bucket}/{key}", compression=None) as stream:
            stream.write(content)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.files.delete_file(f"{self.bucket}/{key}")

    def s3(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object, or of what begins so, in S3."""
        return f"s3://{self.bucket}/{key}?endpoint_override={authority or self.authority}&scheme=http"

    def http(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object on the web."""
        return f"http://{authority or self.authority}/{self.bucket}/{key}"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server; its host and port."""
    from moto.server import ThreadedMotoServer  # seconds, which nobody else waits for

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(ENVIRONMENT)
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


class Faults:
    """What goes wrong with the next requests for content.

    Each of ``left`` is one's, ``reset``, ``short``, ``slow down``, ``error`` or ``forbidden``, or nothing; the last one
    is that of all that follow, if ``is_for_ever``.

    Parameters
    ----------
    authority
        The server that answers what goes well.
    """

    def __init__(self, authority: str) -> None:
        self.upstream, self.authority = authority, ""
        self.left: list[str] = []
        self.is_for_ever = False
        self.counts: Counter[str] = Counter()

    def next(self) -> str | None:
        """Return what goes wrong now."""
        if not self.left:
            return None
        fault = self.left[0] if self.is_for_ever and len(self.left) == 1 else self.left.pop(0)
        self.counts[fault] += 1
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: ClassVar[Faults]

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        self._answer(self.faults.next())

    def _answer(self, fault: str | None) -> None:
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault in {"slow down", "error", "forbidden"}:
            status = {"slow down": 503, "error": 500, "forbidden": 403}[str(fault)]
            code = {"slow down": "SlowDown", "error": "InternalError", "forbidden": "AccessDenied"}[str(fault)]
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
            self._send(status, {"Content-Type": "application/xml"}, body, len(body))
            return
        upstream = http.client.HTTPConnection(self.faults.upstream)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        answer = upstream.getresponse()
        body = answer.read()
        length = int(answer.headers.get("Content-Length", len(body)))
        self._send(answer.status, dict(answer.headers), body[: len(body) // 2] if fault == "short" else body, length)
        if fault == "short":
            self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], body: bytes, length: int) -> None:
        self.send_response_only(status)
        for key, value in headers.items():
            if key.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def faulty(authority: str) -> Iterator[Faults]:
    """Run a web server that hands on to another one what does not go wrong."""
    faults = Faults(authority)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"faults": faults}))
    server.daemon_threads = True
    faults.authority = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Google(BaseHTTPRequestHandler):
    """As much of Google's store as answers for one object, ``bucket/folder/a.csv``, and lists it."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        about = {"bucket": "bucket", "name": "folder/a.csv", "size": str(len(self.content)), "generation": "17"}
        about |= {"kind": "storage#object", "etag": "CBEQAQ==", "updated": "2026-01-01T00:00:00.5Z"}
        if path.endswith("/o"):
            found = [about] if "prefix=folder" in query else []
            self._send(200, json.dumps({"kind": "storage#objects", "items": found}).encode())
        elif not path.endswith("/folder%2Fa.csv"):
            self._send(404, b"{}")
        elif "alt=media" in query:
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            self._send(206 if begin else 200, self.content[begin:])
        else:
            self._send(200, json.dumps(about).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def _serve_google(content: bytes, port: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Google,), {"content": content}))
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def google_server(content: bytes) -> Iterator[str]:
    """Run what answers as Google's store does, in a process of its own: Arrow asks it without letting others run."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve_google, args=(content, there), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{here.recv()}"
    finally:
        process.kill()
        process.join()
        here.close()
        there.close()
