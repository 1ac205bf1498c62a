"""Files on a web server, read with fsspec."""

from __future__ import annotations

from typing import Any

from connectors.errors import SourceError
from connectors.stores.address import Address
from connectors.stores.base import CONNECT_S, TIMEOUT_S, Handle, ObjectStatus, status_of

__all__ = ["HttpStore"]


class HttpStore:
    """One file on a web server, read with fsspec; HTTP cannot list files."""

    def __init__(self, address: Address) -> None:
        try:
            import aiohttp  # noqa: PLC0415 - an extra, and slow to import
            from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415
        except ImportError as error:
            raise SourceError(f'{address.name}: HTTP needs an extra; pip install "stream-bp[remote]"') from error
        limits = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=TIMEOUT_S)}
        client = {**limits, "trust_env": True}  # use the proxies that the environment names
        self._url = address.url
        self._files = HTTPFileSystem(encoded="%" in self._url, client_kwargs=client, skip_instance_cache=True)

    def status(self, name: str) -> ObjectStatus:
        """Return the present status of a file."""
        try:
            info = self._files.info(self._url)
        except FileNotFoundError as error:  # fsspec raises this for every failure; the cause holds the real one
            raise error.__cause__ or error from None
        if info["size"] is None:
            raise SourceError(f"{name}: the server does not send the size of the file; download it, and give the copy")
        return status_of(info["size"], {key.lower(): value for key, value in info.items()})

    def open(self, name: str) -> Handle:
        """Open a file."""
        status = self.status(name)
        headers = {"Accept-Encoding": "identity"}
        if status.version.startswith('"'):  # a weak ETag (W/…) never matches, so the request would always fail
            headers["If-Match"] = status.version
        file = self._files.open(self._url, size=status.st_size, cache_type="none", headers=headers)
        return _HttpHandle(name, file, status)

    def is_folder(self, name: str) -> bool:
        """Return False: HTTP has no folders."""
        return False

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        """Raise an error: HTTP cannot list files."""
        raise SourceError(f"{folder}: HTTP does not support folders or patterns; name each file")


class _HttpHandle:
    """A file on a web server, read in ranges."""

    def __init__(self, name: str, file: Any, status: ObjectStatus) -> None:
        self._name, self._file, self.status = name, file, status

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        self._file.seek(offset)
        try:
            return bytes(self._file.read(n_bytes))
        except ValueError as error:
            if "range requests" not in str(error):
                raise
            what = "the server sends only whole files, no ranges; download it, and give the copy"
            raise SourceError(f"{self._name}: {what}") from None

    def close(self) -> None:
        self._file.close()
