"""The protocol of stores, and the status of an object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

__all__ = ["CONNECT_S", "TIMEOUT_S", "Handle", "ObjectStatus", "Store", "as_text", "status_of"]
CONNECT_S = 5.0
TIMEOUT_S = 30.0  # a read fails after so long without a byte


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """The status of an object, with the attribute names of `os.stat_result`.

    Parameters
    ----------
    st_size
        Size in bytes.
    st_mtime_ns
        Time of the last change, nanoseconds since 1970; 0 where it is unknown.
    version
        A string that changes with the content of the object.
    """

    st_size: int
    st_mtime_ns: int
    version: str
    st_ctime_ns: int = 0
    st_ino: int = 0


class Handle(Protocol):
    """One open version of an object.

    Attributes
    ----------
    status : ObjectStatus
        Status of the object when it was opened.
    """

    status: ObjectStatus

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        """Return some bytes; fewer if the connection ended."""

    def close(self) -> None:
        """Release the object."""


class Store(Protocol):
    """A place that holds objects; it raises the errors of its library, unconverted."""

    def status(self, name: str) -> ObjectStatus:
        """Return the present status of an object."""

    def open(self, name: str) -> Handle:
        """Open an object."""

    def is_folder(self, name: str) -> bool:
        """Return whether a name is a folder: the prefix of other names, and not an object."""

    def names(self, folder: str, *, is_deep: bool) -> list[str]:
        """Return the names of the objects in a folder.

        With `is_deep`, those in the folders below it too. Otherwise also the names of its folders, with a ``/``.
        """


def as_text(value: bytes | str) -> str:
    """Return a value as text; libraries give bytes or text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def status_of(size: int, metadata: dict[str, Any]) -> ObjectStatus:
    """Return the status of an object, from the metadata of its store."""
    changed = str(metadata.get("last-modified") or metadata.get("updated") or "")
    version = metadata.get("etag") or metadata.get("generation") or f"{size} bytes of {changed or 'an unknown time'}"
    return ObjectStatus(size, _nanoseconds(changed), str(version))


def _nanoseconds(moment: str) -> int:
    """Return a time in the format of ISO 8601 or HTTP, in nanoseconds since 1970; 0 if it is not a time."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = parse(moment)
        except (ValueError, TypeError):
            continue
        # A float cannot hold nanoseconds since 1970, so round to milliseconds.
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000) * 1_000_000
    return 0
