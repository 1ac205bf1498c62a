"""Objects in the stores of Amazon (S3), Google and Azure, read with Arrow's file systems."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pyarrow import fs

from connectors.stores.address import Address
from connectors.stores.base import CONNECT_S, TIMEOUT_S, Handle, ObjectStatus, as_text, status_of
from connectors.stores.retry import patiently

__all__ = ["ArrowStore"]
_SDK_TRIES = 3  # of each request; Amazon's library knows best which errors of its service are transient


class ArrowStore:
    """A bucket or container, read with Arrow's file systems."""

    def __init__(self, address: Address) -> None:
        self._head = address.head
        made_by = {"s3": _s3, "gs": _google, "gcs": _google}.get(address.scheme, _azure)
        self._files, self._root = made_by(address)

    def status(self, name: str) -> ObjectStatus:
        """Return the present status of an object."""
        handle = self.open(name)
        handle.close()
        return handle.status

    def open(self, name: str) -> Handle:
        """Open an object."""
        return _ArrowHandle(self._files.open_input_file(self._path(name)))

    def is_folder(self, name: str) -> bool:
        """Return whether a name is a folder: the prefix of other names, and not an object."""
        return bool(self._files.get_file_info(self._path(name).rstrip("/")).type == fs.FileType.Directory)

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        """Return the names of the objects in a folder, and of its folders unless the objects in them are listed too."""
        found = self._files.get_file_info(fs.FileSelector(self._path(folder).rstrip("/"), recursive=is_deep))
        names = []
        for info in found:
            path = info.path.removeprefix(self._root).lstrip("/")
            if info.type == fs.FileType.File:
                names.append(f"{self._head}/{path}")
            elif not is_deep:
                names.append(f"{self._head}/{path.rstrip('/')}/")
        return names

    def _path(self, name: str) -> str:
        return f"{self._root}{name.removeprefix(self._head)}".lstrip("/")


class _ArrowHandle:
    """An object that Arrow has opened, and its status then."""

    def __init__(self, file: Any) -> None:
        self._file = file
        metadata = {as_text(key).lower(): as_text(value) for key, value in file.metadata().items()}
        self.status = status_of(file.size(), metadata)

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        return bytes(self._file.read_at(n_bytes, offset))

    def close(self) -> None:
        self._file.close()


def _s3(address: Address) -> tuple[Any, str]:
    """Return a file system and the root of an S3 bucket; the address or the environment names the server."""
    options = address.options
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "endpoint_override" not in options and endpoint:
        parts = urlsplit(endpoint)
        options |= {"endpoint_override": parts.netloc + parts.path.rstrip("/"), "scheme": parts.scheme}
    if "region" not in options and not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        # Only Amazon can be asked for the region of a bucket; other servers get a fixed one.
        is_elsewhere = "endpoint_override" in options
        options["region"] = (
            "us-east-1" if is_elsewhere else patiently(address.name, lambda: fs.resolve_s3_region(address.host))
        )
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=_SDK_TRIES)
    limits = {"connect_timeout": CONNECT_S, "request_timeout": TIMEOUT_S}
    return fs.S3FileSystem(**options, **limits, retry_strategy=retries), address.host


def _google(address: Address) -> tuple[Any, str]:
    """Return a file system and the root of a Google bucket."""
    limit = {} if "retry_limit_seconds" in address.options else {"retry_limit_seconds": f"{TIMEOUT_S:g}"}
    return _by_uri(address, limit)


def _azure(address: Address) -> tuple[Any, str]:
    """Return a file system and the root of an Azure container; a key or signature comes from the environment."""
    signature = os.environ.get("AZURE_STORAGE_SAS_TOKEN", "").removeprefix("?")
    key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    if "credential_kind" in address.options or not (key or signature):
        return _by_uri(address, {})
    if not key:
        return _by_uri(address, dict(parse_qsl(signature)))
    files, root = _by_uri(address, {})
    # Arrow's addresses cannot hold a key, so take the settings that it parsed, and add the key to them.
    _, (settings,) = files.__reduce__()
    return fs.AzureFileSystem(**{**{name: value or None for name, value in settings.items()}, "account_key": key}), root


def _by_uri(address: Address, options: dict[str, str]) -> tuple[Any, str]:
    """Return a file system and the root of a bucket or container, for an address with further options."""
    query = "&".join(part for part in (address.query, urlencode(options)) if part)
    path = address.path if len(address.path) > 1 else "/x"
    user = f"{address.user}@" if address.user else ""
    uri = f"{address.scheme}://{user}{address.host}{quote(path)}" + (f"?{query}" if query else "")
    files, found = fs.FileSystem.from_uri(uri)
    return files, found.strip("/").removesuffix(path.strip("/")).rstrip("/")
