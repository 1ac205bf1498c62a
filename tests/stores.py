"""Servers on loopback: of S3, Google's and Azure's stores and plain HTTP, and one that fails as it is told."""

import http.client
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from pyarrow import fs

__all__ = [
    "ENVIRONMENT",
    "S3",
    "Azure",
    "Bucket",
    "Faults",
    "Google",
    "azure_server",
    "faulty",
    "google_server",
    "s3_server",
]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}


class Bucket:
    """A bucket, or container, of a server.

    Parameters
    ----------
    files
        Arrow's access to it.
    authority
        Host and port of the server.
    bucket
        It is made where it is not there.
    """

    def __init__(self, files: Any, authority: str, bucket: str) -> None:
        self.files, self.authority, self.bucket = files, authority, bucket
        if self.files.get_file_info(bucket).type == fs.FileType.NotFound:
            self.files.create_dir(bucket)

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        with self.files.open_output_stream(f"{self.bucket}/{key}", compression=None) as stream:
            stream.write(content)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.files.delete_file(f"{self.bucket}/{key}")

    def keys(self) -> list[str]:
        """Return the names of all objects."""
        found = self.files.get_file_info(fs.FileSelector(self.bucket, recursive=True))
        return [one.path.removeprefix(f"{self.bucket}/") for one in found if one.is_file]


class S3(Bucket):
    """A bucket of S3."""

    def __init__(self, authority: str, bucket: str) -> None:
        files = fs.S3FileSystem(
            access_key="testing",
            secret_key="testing",  # noqa: S106 - of nothing
            endpoint_override=authority,
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        super().__init__(files, authority, bucket)

    def s3(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object, or of what begins so, in S3."""
        return f"s3://{self.bucket}/{key}?endpoint_override={authority or self.authority}&scheme=http"

    def http(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object on the web."""
        return f"http://{authority or self.authority}/{self.bucket}/{key}"


class Google(Bucket):
    """A bucket of Google's store."""

    def __init__(self, authority: str, bucket: str) -> None:
        options = {"scheme": "http", "project_id": "testing", "retry_time_limit": timedelta(seconds=10)}
        super().__init__(fs.GcsFileSystem(anonymous=True, endpoint_override=authority, **options), authority, bucket)

    def address(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object, or of what begins so."""
        return f"gs://anonymous@{self.bucket}/{key}?endpoint_override={authority or self.authority}&scheme=http"


class Azure(Bucket):
    """A container of Azure's store."""

    ACCOUNT = "devstoreaccount1"
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    """Known to all: that of every server of this kind, which keeps what tests write, in memory."""

    def __init__(self, authority: str, container: str) -> None:
        where = {"blob_storage_authority": authority, "dfs_storage_authority": authority}
        how = {"blob_storage_scheme": "http", "dfs_storage_scheme": "http"}
        super().__init__(fs.AzureFileSystem(self.ACCOUNT, account_key=self.KEY, **where, **how), authority, container)

    def address(self, key: str, authority: str | None = None) -> str:
        """Return the address of an object, or of what begins so."""
        where = f"blob_storage_authority={authority or self.authority}&dfs_storage_authority={self.authority}"
        return f"abfs://{self.bucket}@{self.ACCOUNT}.dfs.core.windows.net/{key}?{where}&enable_tls=false"

    def address_by_server(self, key: str) -> str:
        """Return the address of an object as those of servers on a machine of one's own are written."""
        return f"abfs://{self.ACCOUNT}@{self.authority}/{self.bucket}/{key}?enable_tls=false"


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
        with closing(http.client.HTTPConnection(self.faults.upstream)) as upstream:
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


@contextmanager
def google_server() -> Iterator[str]:
    """Run a server of Google's store, in a process of its own: Arrow asks it without letting others run."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gcp_storage_emulator",
        "start",
        "--host=127.0.0.1",
        f"--port={port}",
        "--in-memory",
    ]
    with _running(command) as server:
        while server.poll() is None and not _listens(port):
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"


@contextmanager
def azure_server() -> Iterator[str]:
    """Run a server of Azure's store; skip the test where none is installed."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite-blob is not installed")
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with _running([program, "--blobHost", "127.0.0.1", "--blobPort", "0", *options]) as server:
        assert server.stdout is not None
        said = next(line for line in server.stdout if b"successfully listens on" in line)
        yield said.decode().strip().rpartition("//")[2]


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it is not needed any more."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as other:
        return other.connect_ex(("127.0.0.1", port)) == 0
