"""Where the files of a source are: on a disk, or in a store that is asked over the network.

What formats need of a file is the same wherever it is: its status, its bytes, its name among others. A file on a disk
is what the system gives; what is elsewhere is an `objects.ObjectFile`.
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

_CHECK_S = 5.0  # a store is not asked more often what an object is, unless it is opened, ends or cannot be read
_MAGIC = re.compile(r"[*\[]")


class LocalFile(io.FileIO):
    """A file on a disk, not buffered."""

    def status(self) -> os.stat_result:
        """Return what the system knows of the open file now, whatever it is called by now."""
        return os.fstat(self.fileno())

    @property
    def opened(self) -> os.stat_result:
        """What it is; asked when it is opened."""
        return self.status()

    def before(self, n_bytes: int) -> bytes:
        """Return so many bytes before the place where it is read next, or all there are, as they are now."""
        end = self.tell()
        begin = max(0, end - n_bytes)
        return os.pread(self.fileno(), end - begin, begin)

    def again(self) -> LocalFile:
        """Return another handle on the open file, at its beginning."""
        other = LocalFile(os.dup(self.fileno()), "rb")
        other.seek(0)
        return other


class Storage:
    """The files of one source, by their names; it knows the addresses that the names stand for."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._stores: dict[str, Store] = {}
        self._known: dict[str, tuple[float, ObjectStatus]] = {}

    def is_remote(self, name: str) -> bool:
        """Tell whether a name is that of an object."""
        return name in self._addresses

    def open(self, name: str, *, is_sequential: bool = True) -> LocalFile | ObjectFile:
        """Open a file for reading."""
        if name not in self._addresses:
            return LocalFile(name, "rb")
        file = ObjectFile(name, self._store(name), is_sequential=is_sequential)
        self._known[name] = (time.monotonic(), file.opened)
        return file

    def status(self, name: str, *, at_once: bool = False) -> Status:
        """Return what is known of a file now; of an object, some seconds ago, unless it has to be asked at once."""
        if name not in self._addresses:
            return Path(name).stat()
        asked, status = self._known.get(name, (-_CHECK_S, None))
        if status is None or at_once or time.monotonic() - asked >= _CHECK_S:
            store = self._store(name)
            status = patiently(name, lambda: store.status(name))
            self._known[name] = (time.monotonic(), status)
        return status

    def redact(self, name: str) -> str:
        """Return what a file can be found by again, from anywhere: an absolute path, or its address without secrets."""
        if name in self._addresses:
            return self._addresses[name].redacted
        return os.path.abspath(name)  # noqa: PTH100 - no link is to be resolved

    def expand(self, place: str) -> tuple[list[str], bool]:
        """Return the names of the objects that an address stands for, sorted, and whether it names this one object."""
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
        """Remember what a name stands for, and return the store that it is in."""
        name = address.name
        if self._addresses.setdefault(name, address) != address:
            raise SourceError(f"{name}: two addresses have this name, and differ in what is not told; give one of them")
        return self._store(name)

    def _store(self, name: str) -> Store:
        address = self._addresses[name]
        key = address.url if address.is_http else f"{address.head}?{address.query}"
        if key not in self._stores:
            self._stores[key] = patiently(name, lambda: open_store(address))
        return self._stores[key]


DISK = Storage()  # of files that have no address


def sync(path: Path) -> None:
    """Write a file through to the disk; of a folder, the names in it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_TOKEN = re.compile(r"\*\*/|\*|\[!?\]?[^\]]*\]|.", re.DOTALL)


def _pattern(name: str) -> str:
    """Return the regular expression for a pattern: ``*`` and ``[…]`` stay within a folder, ``**`` does not."""

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
    """Return the store that an address is in."""
    return HttpStore(address) if address.is_http else ArrowStore(address)
