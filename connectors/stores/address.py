"""Addresses of places that are not on a disk, and their names without secrets.

An address may contain secrets: a password before its host, or a signature after its ``?``. The name of a place contains
neither. Messages, cursors and checkpoints use only names.
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
# Options after the ``?`` that hold no secret, so they may be shown. For HTTP any query is allowed, and none is shown.
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
    """The address of a place.

    Parameters
    ----------
    scheme
        In lower case, one of ``SCHEMES``.
    user
        The part before ``@``: a user with a password, or a container of Azure; may be empty.
    host
        A bucket, an account, or a server with its port.
    path
        The path from its ``/`` onwards, as written; may be empty.
    query
        The part after the ``?``.

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
        """Parse an address.

        Raises
        ------
        SourceError
            It is not an address, has an unknown scheme, or contains something that is not allowed.
        """
        scheme = _SCHEME.match(place)
        parts = _PARTS.fullmatch(place, scheme.end()) if scheme else None
        if scheme is None or parts is None:
            raise SourceError(f"{redact(place)}: the address cannot be read; expected scheme://host/path")
        if (kind := scheme[1].lower()) not in SCHEMES:
            known = ", ".join(SCHEMES)
            raise SourceError(f"{redact(place)}: scheme {kind!r} is not supported; known: {known}, and local paths")
        address = cls(kind, parts[1] or "", parts[2], parts[3] or "", parts[4] or "")
        address._refuse_what_does_not_belong()
        return address

    def _refuse_what_does_not_belong(self) -> None:
        if self.is_http:
            if "…" in (self.user, self.query):  # saved settings hold a redacted address
                raise SourceError(f"{self.name}: the secret part of its address is not saved; give the address again")
            return
        if self.user and not self._is_user_told:
            raise SourceError(f"{self.name}: credentials in an address are refused; set them in the environment")
        known = _OPTIONS[self.scheme]
        if unknown := [key for key, _ in parse_qsl(self.query, keep_blank_values=True) if key not in known]:
            raise SourceError(
                f"{self.name}: unknown options after '?': {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )

    @property
    def is_http(self) -> bool:
        """Whether the place is on a web server."""
        return self.scheme in _HTTP

    @property
    def _is_user_told(self) -> bool:
        """Whether the part before the host may be shown."""
        is_container = self.scheme.startswith("abfs") and _CONTAINER.fullmatch(self.user) is not None
        return is_container or (self.scheme in {"gs", "gcs"} and self.user == "anonymous")

    @property
    def head(self) -> str:
        """The name up to its path."""
        user = f"{self.user}@" if self._is_user_told else ""
        return f"{self.scheme}://{user}{self.host}"

    @property
    def name(self) -> str:
        """The name of the place, for messages."""
        return self.head + self.path

    @property
    def options(self) -> dict[str, str]:
        """The options after the ``?``, by name."""
        return dict(parse_qsl(self.query))

    @property
    def url(self) -> str:
        """The whole address, with its secrets."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def redacted(self) -> str:
        """The address without secrets, which may be saved; ``…`` marks what was left out."""
        if self.is_http:
            return f"{self.scheme}://{'…@' * bool(self.user)}{self.host}{self.path}{'?…' * bool(self.query)}"
        return self.name + (f"?{urlencode(self.options, safe=':/')}" if self.query else "")


def is_address(place: str) -> bool:
    """Return whether a place is an address, not a path on a disk."""
    return _SCHEME.match(place) is not None


def redact(place: str) -> str:
    """Return a place as it may be saved and shown: a path unchanged, an address without its secrets.

    Examples
    --------
    >>> redact("data/a.csv"), redact("https://host/a.csv?token=secret")
    ('data/a.csv', 'https://host/a.csv?…')
    """
    scheme = _SCHEME.match(place)
    if scheme is None:
        return place
    if scheme[1].lower() not in SCHEMES:  # another package's scheme: only a password is recognised here
        return re.sub(r"(?<=://)[^/@]*@", "…@", place)
    parts = _PARTS.fullmatch(place, scheme.end())
    if parts is None:
        return f"{scheme[0]}…"
    address = Address(scheme[1].lower(), parts[1] or "", parts[2], parts[3] or "", parts[4] or "")
    known = _OPTIONS.get(address.scheme, set())
    is_open = set(address.options) <= known and (not address.user or address._is_user_told)
    return address.redacted if address.is_http or is_open else address.name
