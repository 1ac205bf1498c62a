"""Storage of the files of a source: on a disk, or in a store on the network.

Formats need the same of every file: its status, its bytes, and its name. A file on a disk is a `LocalFile`; all others
are an `ObjectFile`.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from connectors.errors import SourceError
from connectors.stores.address import Address
from connectors.stores.arrow_store import ArrowStore
from connectors.stores.base import ObjectStatus, Store
from connectors.stores.http_store import HttpStore
from connectors.stores.object_file import ObjectFile
from connectors.stores.retry import patiently

__all__ = ["DISK", "LocalFile", "Matches", "Status", "Storage", "open_store", "sync"]

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


@dataclass(frozen=True, slots=True)
class Matches:
    """The objects that an address means.

    Parameters
    ----------
    names
        Their names, sorted; hidden ones too.
    listed
        All names that were seen on the way; that of a folder ends with ``/``.
    root
        The part of the names up to the folder of the place, with its ``/``.
    is_one
        Whether the address names a single object.
    is_http
        Whether they are on a web server.
    """

    names: list[str]
    listed: list[str]
    root: str
    is_one: bool = False
    is_http: bool = False


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

    def expand(self, place: str) -> Matches:
        """Return the objects that an address means: one object, those below a folder, or those of a pattern."""
        address = Address.of(place)
        name, store = address.name, self._add(address)
        magic = _MAGIC.search(address.path)
        if magic is None and not name.endswith("/") and len(address.path) > 1:
            if address.is_http or not patiently(name, lambda: store.is_folder(name)):
                return Matches([name], [name], "", is_one=True, is_http=address.is_http)
            name += "/"
        if magic is None:
            root = name if name.endswith("/") else f"{name}/"
            listed = patiently(name, lambda: store.names(root, is_deep=True))
            found = [one for one in listed if not one.endswith("/")]
        else:
            root = address.head + address.path[: address.path.rindex("/", 0, magic.start()) + 1]
            listed, found = self._matching(address, store, root)
        for one in found:
            self._add(replace(address, path=one[len(address.head) :]))
        return Matches(sorted(found), listed, root, is_http=address.is_http)

    def names_in(self, folder: str, like: str) -> list[str]:
        """Return the names in a folder, of objects and folders; user and query are those of another name."""
        store = self._add(replace(self._addresses[like], path=folder[len(self._addresses[like].head) :]))
        return patiently(folder, lambda: store.names(folder, is_deep=False))

    def _matching(self, address: Address, store: Store, root: str) -> tuple[list[str], list[str]]:
        """Return all names that were listed, and those that match; a matching folder stands for what is below it."""
        name = address.name
        is_deep = "/" in name[len(root) :].rstrip("/")
        listed = patiently(name, lambda: store.names(root, is_deep=is_deep))
        decode = unquote if address.is_http else str  # a server may encode a name in several ways
        is_match = re.compile(_pattern(decode(name.rstrip("/")))).fullmatch
        found = [one for one in listed if not one.endswith("/") and _is_below_match(decode(one), root, is_match)]
        for folder in [one for one in listed if one.endswith("/") and is_match(decode(one[:-1]))]:
            if not folder[len(root) :].startswith((".", "_")):
                below = patiently(name, lambda folder=folder: store.names(folder, is_deep=True))  # type: ignore[misc]
                listed, found = listed + below, found + below
        if any(one.endswith("/metadata/") for one in listed):  # of a table of Iceberg?
            listed = listed + patiently(name, lambda: store.names(f"{root}metadata/", is_deep=False))
        return listed, found

    def _add(self, address: Address) -> Store:
        """Store the address of a name, and return its store."""
        name = address.name
        if self._addresses.setdefault(name, address) != address:
            raise SourceError(f"{name}: two addresses have this name and differ in user or query; give one of them")
        return self._store(name)

    def _store(self, name: str) -> Store:
        address = self._addresses[name]
        # All objects of a bucket or a server share one store, and so its connections.
        key = f"{address.user}@{address.head}?{address.query}"
        if address.is_http:
            key += "%" * ("%" in address.url)  # such an address is not encoded again
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


def _is_below_match(name: str, root: str, is_match: Callable[[str], object]) -> bool:
    """Return whether a name, or a folder above it in the place, matches a pattern."""
    at = len(name)
    while at > len(root):
        if is_match(name[:at]):
            return True
        at = name.rfind("/", 0, at)
    return False


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
