"""What places that are not on a disk are called: their addresses, and what of these may be told and kept.

An address may carry what nobody else should see: a password before its host, a signature behind its ``?``. The name of
a place has neither, and messages, cursors and checkpoints know names alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from connectors.errors import SourceError

__all__ = ["SCHEMES", "Address", "is_address", "redact"]

_HTTP = ("http", "https")
_AZURE = {"blob_storage_authority", "dfs_storage_authority", "enable_tls", "credential_kind", "tenant_id", "client_id"}
_GOOGLE = {"endpoint_override", "scheme", "retry_limit_seconds", "project_id"}
# What may stand behind the ``?``, and is told; of HTTP anything may, and nothing is told.
_OPTIONS = {
    "s3": {"endpoint_override", "scheme", "region"},
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "abfs": _AZURE,
    "abfss": _AZURE,
}
SCHEMES = (*_OPTIONS, *_HTTP)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PARTS = re.compile(r"(?:([^/?]*)@)?([A-Za-z0-9._-]+(?::\d+)?)(/[^?]*)?(?:\?(.*))?", re.DOTALL)
_CONTAINER = re.compile(r"[A-Za-z0-9$-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a place is.

    Parameters
    ----------
    scheme
        In small letters, one of ``SCHEMES``.
    user
        What stands before ``@``: who asks, with a password, or a container of Azure; empty where nothing does.
    host
        A bucket, an account, or a server with its port.
    path
        What follows, from its ``/`` on, as it is written; empty where nothing does.
    query
        What follows the ``?``.

    Examples
    --------
    >>> address = Address.of("https://me:secret@host/a.csv?signature=secret")
    >>> address.name, address.redacted
    ('https://host/a.csv', 'https://…@host/a.csv?…')
    """

    scheme: str
    user: str
    host: str
    path: str
    query: str

    @classmethod
    def of(cls, place: str) -> Address:
        """Take an address apart.

        Raises
        ------
        SourceError
            It is none, of a scheme that nothing is known of, or with something that does not belong there.
        """
        scheme = _SCHEME.match(place)
        parts = _PARTS.fullmatch(place, scheme.end()) if scheme else None
        if scheme is None or parts is None:
            raise SourceError(f"{redact(place)}: the address cannot be read; expected scheme://host/path")
        if (kind := scheme[1].lower()) not in SCHEMES:
            known = ", ".join(SCHEMES)
            raise SourceError(f"{redact(place)}: scheme {kind!r} is not supported; known are {known}, and local paths")
        address = cls(kind, parts[1] or "", parts[2], parts[3] or "", parts[4] or "")
        address._refuse_what_does_not_belong()
        return address

    def _refuse_what_does_not_belong(self) -> None:
        if self.is_http:
            if "…" in (self.user, self.query):
                raise SourceError(f"{self.name}: what was secret in its address is not kept; give the address again")
            return
        if self.user and not self._is_user_told:
            raise SourceError(f"{self.name}: an address is no place for credentials; leave them to the environment")
        known = _OPTIONS[self.scheme]
        if unknown := [key for key, _ in parse_qsl(self.query, keep_blank_values=True) if key not in known]:
            raise SourceError(
                f"{self.name}: {', '.join(unknown)} cannot stand behind the '?'; known are {', '.join(sorted(known))}"
            )

    @property
    def is_http(self) -> bool:
        """Whether a web server is asked."""
        return self.scheme in _HTTP

    @property
    def _is_user_told(self) -> bool:
        """Whether what stands before the host is no secret."""
        is_container = self.scheme.startswith("abfs") and _CONTAINER.fullmatch(self.user) is not None
        return is_container or (self.scheme in {"gs", "gcs"} and self.user == "anonymous")

    @property
    def head(self) -> str:
        """The name up to its path."""
        user = f"{self.user}@" if self._is_user_told else ""
        return f"{self.scheme}://{user}{self.host}"

    @property
    def name(self) -> str:
        """What the place is called in messages."""
        return self.head + self.path

    @property
    def options(self) -> dict[str, str]:
        """What stands behind the ``?``, by name."""
        return dict(parse_qsl(self.query))

    @property
    def url(self) -> str:
        """The whole address."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def redacted(self) -> str:
        """What may be kept to find the place again: secrets are left out, and it shows."""
        if self.is_http:
            return f"{self.scheme}://{'…@' * bool(self.user)}{self.host}{self.path}{'?…' * bool(self.query)}"
        return self.name + (f"?{urlencode(self.options, safe=':/')}" if self.query else "")


def is_address(place: str) -> bool:
    """Tell whether a place is somewhere else than on a disk."""
    return _SCHEME.match(place) is not None


def redact(place: str) -> str:
    """Return a place as it may be kept and shown: a path as it is, an address without what is secret in it.

    Examples
    --------
    >>> redact("data/a.csv"), redact("https://host/a.csv?token=secret")
    ('data/a.csv', 'https://host/a.csv?…')
    """
    scheme = _SCHEME.match(place)
    if scheme is None:
        return place
    if scheme[1].lower() not in SCHEMES:  # another package's: what is secret beside a password, it alone knows
        return re.sub(r"(?<=://)[^/@]*@", "…@", place)
    parts = _PARTS.fullmatch(place, scheme.end())
    if parts is None:
        return f"{scheme[0]}…"
    address = Address(scheme[1].lower(), parts[1] or "", parts[2], parts[3] or "", parts[4] or "")
    known = _OPTIONS.get(address.scheme, set())
    is_open = set(address.options) <= known and (not address.user or address._is_user_told)
    return address.redacted if address.is_http or is_open else address.name
