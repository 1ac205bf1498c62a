"""What every store answers, and what is known of an object in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

__all__ = ["CONNECT_S", "TIMEOUT_S", "Handle", "ObjectStatus", "Store", "as_text", "status_of"]
CONNECT_S = 5.0
TIMEOUT_S = 30.0  # without a byte


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


def as_text(value: bytes | str) -> str:
    """Return what a library tells as bytes or as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def status_of(size: int, metadata: dict[str, Any]) -> ObjectStatus:
    """Return the status that a store's own words tell."""
    changed = str(metadata.get("last-modified") or metadata.get("updated") or "")
    version = metadata.get("etag") or metadata.get("generation") or f"{size} bytes of {changed or 'an unknown time'}"
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
