"""Storage of the files of a source: on a disk, or in a store on the network.

Formats need the same of every file: its status, its bytes, and its name. A file on a disk is a `LocalFile`; all others
are an `ObjectFile`.
"""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

from connectors.errors import SourceError
from connectors.stores.address import Address
from connectors.stores.arrow_store import ArrowStore
from connectors.stores.base import ObjectStatus, Store
from connectors.stores.http_store import HttpStore
from connectors.stores.object_file import ObjectFile
from connectors.stores.retry import patiently

__all__ = ["DISK", "LocalFile", "Status", "Storage", "open_store", "sync"]

Status = os.stat_result | ObjectStatus

# Each status of an object is a request. It is repeated sooner only if the object is opened, ends, or cannot be read.
_CHECK_S = 5.0
_MAGIC = re.compile(r"[*\[]")


class LocalFile(io.FileIO):
    """An unbuffered file on a disk."""

    def status(self) -> os.stat_result:
        """Return the present status of the open file, even if it was renamed."""
        return os.fstat(self.fileno())

    @property
    def opened(self) -> os.stat_result:
        """The status; callers take it when they open the file."""
        return self.status()

    def before(self, n_bytes: int) -> bytes:
        """Return the last bytes before the offset of the next read, as they are now; fewer near the start."""
        end = self.tell()
        begin = max(0, end - n_bytes)
        return os.pread(self.fileno(), end - begin, begin)

    def again(self) -> LocalFile:
        """Return another handle on the open file, at its start."""
        other = LocalFile(os.dup(self.fileno()), "rb")
        other.seek(0)
        return other


class Storage:
    """The files of one source, by their names; it holds the address for each name of an object."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._stores: dict[str, Store] = {}
        self._known: dict[str, tuple[float, ObjectStatus]] = {}

    def is_remote(self, name: str) -> bool:
        """Return whether a name belongs to an object in a store."""
        return name in self._addresses

    def open(self, name: str, *, is_sequential: bool = True) -> LocalFile | ObjectFile:
        """Open a file for reading."""
        if name not in self._addresses:
            return LocalFile(name, "rb")
        file = ObjectFile(name, self._store(name), is_sequential=is_sequential)
        self._known[name] = (time.monotonic(), file.opened)
        return file

    def status(self, name: str, *, at_once: bool = False) -> Status:
        """Return the status of a file; for an object it may be some seconds old, unless `at_once`."""
        if name not in self._addresses:
            return Path(name).stat()
        asked, status = self._known.get(name, (-_CHECK_S, None))
        if status is None or at_once or time.monotonic() - asked >= _CHECK_S:
            store = self._store(name)
            status = patiently(name, lambda: store.status(name))
            self._known[name] = (time.monotonic(), status)
        return status

    def redact(self, name: str) -> str:
        """Return an absolute path, or an address without secrets."""
        if name in self._addresses:
            return self._addresses[name].redacted
        return os.path.abspath(name)  # noqa: PTH100 - must not resolve links

    def expand(self, place: str) -> tuple[list[str], bool]:
        """Return the sorted names of the objects that an address matches, and whether it names a single object."""
        address = Address.of(place)
        name, store = address.name, self._add(address)
        if address.is_http:
            return [name], True
        if (magic := _MAGIC.search(address.path)) is not None:
            folder, pattern = name[: len(address.head)], address.path
            folder += address.path[: address.path.rindex("/", 0, magic.start())]
            is_deep = "/" in pattern[magic.start() :]
            is_match = re.compile(_pattern(address.head + pattern)).fullmatch
            names = patiently(name, lambda: store.names(folder, is_deep=is_deep))
            found = [one for one in names if is_match(one)]
        elif name.endswith("/") or len(address.path) < 2 or patiently(name, lambda: store.is_folder(name)):
            found = patiently(name, lambda: store.names(name, is_deep=False))
        else:
            return [name], True
        for one in found:
            self._add(Address(address.scheme, address.user, address.host, one[len(address.head) :], address.query))
        return sorted(found), False

    def _add(self, address: Address) -> Store:
        """Store the address of a name, and return its store."""
        name = address.name
        if self._addresses.setdefault(name, address) != address:
            raise SourceError(f"{name}: two addresses have this name and differ in user or query; give one of them")
        return self._store(name)

    def _store(self, name: str) -> Store:
        address = self._addresses[name]
        # An HTTP store serves one file; all objects of a bucket share one store, and so its connections.
        key = address.url if address.is_http else f"{address.head}?{address.query}"
        if key not in self._stores:
            self._stores[key] = patiently(name, lambda: open_store(address))
        return self._stores[key]


DISK = Storage()  # for files without an address


def sync(path: Path) -> None:
    """Sync a file to the disk; for a folder, sync the names in it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_TOKEN = re.compile(r"\*\*/|\*|\[!?\]?[^\]]*\]|.", re.DOTALL)


def _pattern(name: str) -> str:
    """Return the regular expression for a pattern; ``*`` and ``[…]`` match within a folder, ``**`` across folders."""

    def translated(token: re.Match[str]) -> str:
        match token[0]:
            case "**/":
                return "(?:[^/]+/)*"
            case "*":
                return "[^/]*"
            case text if len(text) > 1:
                return f"[{text[1:].replace('!', '^', text[1] == '!')}".replace("\\", r"\\")
            case text:
                return re.escape(text)

    return _TOKEN.sub(translated, name)


def open_store(address: Address) -> Store:
    """Return the store of an address."""
    return HttpStore(address) if address.is_http else ArrowStore(address)
