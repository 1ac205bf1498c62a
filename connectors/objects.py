"""What is not on a disk: objects in S3, Google's and Azure's stores, and files that a web server has; read patiently.

An object has no times of its own that could be trusted, but a version: its ETag, or generation, or else its size and
the time of its last change. It is asked for when an object is opened, and whenever reading fails. A request that fails
in a way that may pass is made again, later and later; one that is refused is not.
"""

from __future__ import annotations

import io
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pyarrow as pa
from pyarrow import fs

from connectors.addresses import Address
from connectors.errors import ConnectorError, CursorError, SourceError, UnavailableError
from connectors.wording import shorten

__all__ = ["ObjectFile", "ObjectStatus", "Store", "open_store", "patiently", "replaced"]

T = TypeVar("T")

_TRIES = 6
_FIRST_WAIT_S = 0.5  # then twice as long each time, less by up to a half: 12 s in all, and what the requests take
_LIMIT_S = 30.0  # no further try is made after so long
_SDK_TRIES = 3  # of each request, by what Amazon's library knows of its service
_CONNECT_S = 5.0
_TIMEOUT_S = 30.0  # without a byte
_AHEAD = 4 << 20  # bytes: a request costs as long as some megabytes take
_TAIL = 1 << 16  # where a footer is looked for

_REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH|RESOURCE_NOT_FOUND|INVALID_|SIGNATURE|UNRECOGNIZED_CLIENT|EXPIRED|PERMISSION_DENIED|"
    r"NOT_FOUND|UNAUTHENTICATED|Authentication(?:Failed|Exception)|AuthorizationFailure|NotFound|Base64|OAuth2|credential"
)
_HTTP_STATUS = re.compile(r"(?:HTTP status:? |status code:? |\] )(\d{3})\b")
_REQUEST = re.compile(r"\s*\(Request ID: [^)]*\)")
_TYPE = re.compile(r"\b(?:N\d\w+E|St\d+\w+): ")  # of C++, as its compiler writes it
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\")]*")


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """What a store knows of an object, under the names that the system has for it of a file.

    Parameters
    ----------
    st_size
        Bytes.
    st_mtime_ns
        Time of the last change, nanoseconds since 1970; 0 where it is not told.
    version
        Differs from that of any other content of the same name.
    """

    st_size: int
    st_mtime_ns: int
    version: str
    st_ctime_ns: int = 0
    st_ino: int = 0


class Handle(Protocol):
    """One version of an object, open.

    Attributes
    ----------
    status : ObjectStatus
        What it was when it was opened.
    """

    status: ObjectStatus

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        """Return some bytes; fewer where the connection ended."""

    def close(self) -> None:
        """Release it."""


class Store(Protocol):
    """Where objects are; whatever it raises is foreign."""

    def status(self, name: str) -> ObjectStatus:
        """Ask what an object is now."""

    def open(self, name: str) -> Handle:
        """Open an object."""

    def is_folder(self, name: str) -> bool:
        """Tell whether a name is no object's, but what those of others begin with."""

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        """Return the names of the objects in a folder."""


def open_store(address: Address) -> Store:
    """Return the store that an address is in."""
    return _HttpStore(address) if address.is_http else _ArrowStore(address)


class _ArrowStore:
    """A bucket or container, by Arrow's own library."""

    def __init__(self, address: Address) -> None:
        self._head = address.head
        made_by = {"s3": _s3, "gs": _google, "gcs": _google}.get(address.scheme, _azure)
        self._files, self._root = made_by(address)

    def status(self, name: str) -> ObjectStatus:
        handle = self.open(name)
        handle.close()
        return handle.status

    def open(self, name: str) -> Handle:
        return _ArrowHandle(self._files.open_input_file(self._path(name)))

    def is_folder(self, name: str) -> bool:
        return bool(self._files.get_file_info(self._path(name).rstrip("/")).type == fs.FileType.Directory)

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        found = self._files.get_file_info(fs.FileSelector(self._path(folder).rstrip("/"), recursive=is_deep))
        files = [info.path.removeprefix(self._root) for info in found if info.type == fs.FileType.File]
        return [f"{self._head}/{path.lstrip('/')}" for path in files]

    def _path(self, name: str) -> str:
        return f"{self._root}{name.removeprefix(self._head)}".lstrip("/")


class _ArrowHandle:
    """An object that Arrow has opened, and what it was then."""

    def __init__(self, file: Any) -> None:
        self._file = file
        told = {_text(key).lower(): _text(value) for key, value in file.metadata().items()}
        self.status = _status_of(file.size(), told)

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        return bytes(self._file.read_at(n_bytes, offset))

    def close(self) -> None:
        self._file.close()


def _s3(address: Address) -> tuple[Any, str]:
    """Return what reads a bucket; which server is asked, the address or the environment may say."""
    options = address.options
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "endpoint_override" not in options and endpoint:
        parts = urlsplit(endpoint)
        options |= {"endpoint_override": parts.netloc + parts.path.rstrip("/"), "scheme": parts.scheme}
    if "region" not in options and not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        is_elsewhere = "endpoint_override" in options
        options["region"] = (
            "us-east-1" if is_elsewhere else patiently(address.name, lambda: fs.resolve_s3_region(address.host))
        )
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=_SDK_TRIES)
    limits = {"connect_timeout": _CONNECT_S, "request_timeout": _TIMEOUT_S}
    return fs.S3FileSystem(**options, **limits, retry_strategy=retries), address.host


def _google(address: Address) -> tuple[Any, str]:
    """Return what reads a bucket of Google's."""
    limit = {} if "retry_limit_seconds" in address.options else {"retry_limit_seconds": f"{_TIMEOUT_S:g}"}
    return _by_uri(address, limit)


def _azure(address: Address) -> tuple[Any, str]:
    """Return what reads a container of Azure's, by the key or signature that the environment has, if there is one."""
    signature = os.environ.get("AZURE_STORAGE_SAS_TOKEN", "").removeprefix("?")
    key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    if "credential_kind" in address.options or not (key or signature):
        return _by_uri(address, {})
    if not key:
        return _by_uri(address, dict(parse_qsl(signature)))
    files, root = _by_uri(address, {})
    _, (settings,) = files.__reduce__()  # an address of Arrow's has no place for a key
    return fs.AzureFileSystem(**{**{name: value or None for name, value in settings.items()}, "account_key": key}), root


def _by_uri(address: Address, options: dict[str, str]) -> tuple[Any, str]:
    """Return what reads a bucket or container, and what it calls that, by its address and further options."""
    query = "&".join(part for part in (address.query, urlencode(options)) if part)
    path = address.path if len(address.path) > 1 else "/x"
    user = f"{address.user}@" if address.user else ""
    uri = f"{address.scheme}://{user}{address.host}{quote(path)}" + (f"?{query}" if query else "")
    files, found = fs.FileSystem.from_uri(uri)
    return files, found.strip("/").removesuffix(path.strip("/")).rstrip("/")


class _HttpStore:
    """Files of a web server, by fsspec: each by itself, for nothing tells which there are."""

    def __init__(self, address: Address) -> None:
        try:
            import aiohttp  # noqa: PLC0415 - an extra, and slow to import
            from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415
        except ImportError as error:
            raise SourceError(f'{address.name}: HTTP needs an extra: pip install "stream-bp[remote]"') from error
        limits = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_TIMEOUT_S)}
        client = {**limits, "trust_env": True}  # proxies, as the environment names them
        self._url = address.url
        self._files = HTTPFileSystem(encoded="%" in self._url, client_kwargs=client, skip_instance_cache=True)

    def status(self, name: str) -> ObjectStatus:
        try:
            info = self._files.info(self._url)
        except FileNotFoundError as error:  # whatever happened
            raise error.__cause__ or error from None
        if info["size"] is None:
            raise SourceError(f"{name}: the server does not tell how long the file is; download it, and give the copy")
        return _status_of(info["size"], {key.lower(): value for key, value in info.items()})

    def open(self, name: str) -> Handle:
        status = self.status(name)
        headers = {"Accept-Encoding": "identity"}
        if status.version.startswith('"'):  # a weak one matches nothing
            headers["If-Match"] = status.version
        file = self._files.open(self._url, size=status.st_size, cache_type="none", headers=headers)
        return _HttpHandle(name, file, status)

    def is_folder(self, name: str) -> bool:
        return False

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        raise SourceError(f"{folder}: HTTP tells of no folders or patterns; name each file")


class _HttpHandle:
    """A file of a web server, read by parts."""

    def __init__(self, name: str, file: Any, status: ObjectStatus) -> None:
        self._name, self._file, self.status = name, file, status

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        self._file.seek(offset)
        try:
            return bytes(self._file.read(n_bytes))
        except ValueError as error:
            if "range requests" not in str(error):
                raise
            what = "the server sends whole files alone; download it, and give the copy"
            raise SourceError(f"{self._name}: {what}") from None

    def close(self) -> None:
        self._file.close()


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _status_of(size: int, told: dict[str, Any]) -> ObjectStatus:
    """Return the status that a store's own words tell."""
    changed = str(told.get("last-modified") or told.get("updated") or "")
    version = told.get("etag") or told.get("generation") or f"{size} bytes of {changed or 'an unknown time'}"
    return ObjectStatus(size, _nanoseconds(changed), str(version))


def _nanoseconds(moment: str) -> int:
    """Return a time as ISO 8601 or HTTP writes it, in nanoseconds since 1970; 0 for what is none."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = parse(moment)
        except (ValueError, TypeError):
            continue
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000) * 1_000_000
    return 0


def patiently(name: str, ask: Callable[[], T], check: Callable[[], object] = lambda: None) -> T:
    """Return what a store answers, though it may have to be asked several times.

    Parameters
    ----------
    name
        The object, for messages.
    ask
        Asks.
    check
        Called after each failure: raises if there is no use in going on.

    Raises
    ------
    UnavailableError
        It refuses, or has failed too often.
    """
    began = time.monotonic()
    for n_tries in range(1, _TRIES + 1):
        try:
            return ask()
        except ConnectorError:
            raise
        except Exception as error:  # each library has its own, and none says which
            if not _is_foreign(error):
                raise
            reason, is_refused = _reason(error, name), _is_refused(error)
        check()
        if is_refused:
            raise UnavailableError(f"{name}: {reason}")
        if n_tries == _TRIES or time.monotonic() - began > _LIMIT_S:
            break
        time.sleep(_FIRST_WAIT_S * 2 ** (n_tries - 1) * random.uniform(0.5, 1))  # noqa: S311 - lest all ask at once
    tried = f"tried {n_tries} times within" if n_tries > 1 else "tried for"
    took = f"{tried} {time.monotonic() - began:.0f} s"
    raise UnavailableError(f"{name}: {reason} ({took}); the same command goes on when it can be reached")


def _is_foreign(error: Exception) -> bool:
    """Tell whether an error is a store's, and not a mistake in here."""
    libraries = ("aiohttp.", "fsspec.", "asyncio.", "pyarrow.")
    return isinstance(error, OSError | EOFError | pa.ArrowException) or type(error).__module__.startswith(libraries)


def _is_refused(error: Exception) -> bool:
    """Tell whether a store has answered, and will answer the same again."""
    if isinstance(error, FileNotFoundError | PermissionError | pa.ArrowInvalid):
        return True
    status = getattr(error, "status", None)
    if status is None and (match := _HTTP_STATUS.search(str(error))):
        status = int(match[1])
    if status is not None:
        return 400 <= status < 500 and status not in {408, 425, 429}
    return _REFUSED.search(str(error)) is not None


def _reason(error: Exception, name: str) -> str:
    """Return why, on one line, without any address: one may be signed."""
    if isinstance(error, FileNotFoundError):
        return "no such object"
    if status := getattr(error, "status", None):
        return f"HTTP status {status}, {getattr(error, 'message', '')}".rstrip(", ")
    words = _URL.sub("…", _TYPE.sub("", _REQUEST.sub("", str(error)))).strip() or type(error).__name__
    line = " ".join(words.split())
    return shorten(line if line[:2].isupper() else line[:1].lower() + line[1:], 300)


class ObjectFile(io.RawIOBase):
    """An object, as a file to be read: one version of it from its opening to its end.

    Parameters
    ----------
    name
        What it is called.
    store
        Where it is.
    is_sequential
        Whether it is read from one end to the other, so that more than was asked for is read at once.

    Raises
    ------
    UnavailableError
        It cannot be reached, or may not be read; also raised by whatever reads.
    CursorError
        By whatever reads: it is another object now.
    """

    def __init__(self, name: str, store: Store, *, is_sequential: bool) -> None:
        super().__init__()
        self._name, self._store, self._is_sequential = name, store, is_sequential
        self._handle: Handle | None = patiently(name, lambda: store.open(name))
        self._opened = self._handle.status
        self._position, self._start, self._buffer = 0, 0, b""

    def again(self) -> ObjectFile:
        """Return another file of the same object, from its beginning."""
        other = ObjectFile(self._name, self._store, is_sequential=self._is_sequential)
        self._refuse_other(other.opened)
        return other

    @property
    def opened(self) -> ObjectStatus:
        """What it was when it was opened."""
        return self._opened

    def status(self) -> ObjectStatus:
        """Return what it was when it was opened, if it is that still."""
        now = patiently(self._name, lambda: self._store.status(self._name))
        self._refuse_other(now)
        return now

    def _refuse_other(self, now: ObjectStatus) -> None:
        if now.version != self._opened.version:
            raise replaced(self._name, self._opened.version, now.version)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from any place."""
        return True

    def tell(self) -> int:
        """Return where it is read next."""
        return self._position

    def size(self) -> int:
        """Return its length in bytes."""
        return self._opened.st_size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on reading elsewhere."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._opened.st_size}[whence]
        self._position = begin + offset
        return self._position

    def readall(self) -> bytes:
        """Return all that follows."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, n_bytes: int | None = -1) -> bytes:
        """Return the next bytes, as many as were asked for where there are so many."""
        left = max(0, self._opened.st_size - self._position)
        wanted = left if n_bytes is None or n_bytes < 0 else min(n_bytes, left)
        skip = self._position - self._start
        if not 0 <= skip <= skip + wanted <= len(self._buffer):
            begin, end = self._span(wanted)
            self._start, self._buffer, skip = begin, self._fetch(end - begin, begin), self._position - begin
        data = self._buffer[skip : skip + wanted]
        if not (self._is_sequential or self._is_tail(self._start)):
            self._buffer = b""  # it will not be asked for again
        self._position += wanted
        return data

    def _is_tail(self, offset: int) -> bool:
        return offset >= self._opened.st_size - _TAIL

    def _span(self, wanted: int) -> tuple[int, int]:
        """Return from where to where to read, for so many bytes from here on: it may be more."""
        begin, size = self._position, self._opened.st_size
        if self._is_sequential:
            return begin, min(size, begin + max(wanted, _AHEAD))
        return (max(0, size - _TAIL), size) if self._is_tail(begin) else (begin, begin + wanted)

    def _fetch(self, n_bytes: int, offset: int) -> bytes:
        """Return bytes of the store, all of them, by as many requests as it takes."""
        parts: list[bytes] = []
        n_read = 0
        while n_read < n_bytes:
            begin, left = offset + n_read, n_bytes - n_read
            parts.append(patiently(self._name, partial(self._ask, left, begin), self.status))
            n_read += len(parts[-1])
        return b"".join(parts)

    def _ask(self, n_bytes: int, offset: int) -> bytes:
        """Make one request; whoever fails opens the object anew the next time."""
        try:
            if self._handle is None:
                self._handle = self._store.open(self._name)
                self._refuse_other(self._handle.status)
            data = self._handle.read_at(n_bytes, offset)
        except BaseException:
            self._release()
            raise
        if not data:
            raise EOFError(f"the connection ended before byte {offset + n_bytes:,}, at {offset:,}")
        return data

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def close(self) -> None:
        """Release the object; a second call does nothing."""
        self._release()
        self._buffer = b""
        super().close()


def replaced(name: str, expected: str, found: str) -> CursorError:
    """Return the error for an object that is another one by now."""
    return CursorError(
        f"{name}: the object was replaced (expected version {expected}, found {found}) since it was read; "
        "restore it, or start over with --fresh"
    )
