"""Files on a web server, read with fsspec; folders where the server lists them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.errors import SourceError
from connectors.stores.address import Address
from connectors.stores.base import CONNECT_S, TIMEOUT_S, Handle, ObjectStatus, status_of
from connectors.stores.web_index import index_page

__all__ = ["HttpStore"]

_MOST_PAGES = 1_000


class HttpStore:
    """The files of a web server that are addressed with the same user and query."""

    def __init__(self, address: Address) -> None:
        try:
            import aiohttp  # noqa: PLC0415 - an extra, and slow to import
            from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415
        except ImportError as error:
            raise SourceError(f'{address.name}: HTTP needs an extra; pip install "stream-bp[remote]"') from error
        limits = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=TIMEOUT_S)}
        client = {**limits, "trust_env": True}  # use the proxies that the environment names
        self._address = address
        self._files = HTTPFileSystem(encoded="%" in address.url, client_kwargs=client, skip_instance_cache=True)

    def status(self, name: str) -> ObjectStatus:
        """Return the present status of a file."""
        try:
            info = self._files.info(self._url(name))
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
        file = self._files.open(self._url(name), size=status.st_size, cache_type="none", headers=headers)
        return _HttpHandle(name, file, status)

    def is_folder(self, name: str) -> bool:
        """Return whether a name ends with ``/``: a server has no other way to tell."""
        return name.endswith("/")

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        """Return the names in a folder, from the page on which the server lists it."""
        found: list[str] = []
        waiting, n_pages = [folder], 0
        while waiting:
            n_pages += 1
            if n_pages > _MOST_PAGES:
                raise SourceError(f"{folder}: more than {_MOST_PAGES} folders on the server; give a narrower address")
            here = waiting.pop()
            names = index_page(here, self._url(here))
            if not is_deep:
                return names
            for name in names:
                # A hidden folder is not read, but its name shows what kind of place this is.
                is_read = name.endswith("/") and not name[len(here) :].startswith((".", "_"))
                (waiting if is_read else found).append(name)
        return found

    def _url(self, name: str) -> str:
        return replace(self._address, path=name[len(self._address.head) :]).url


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
