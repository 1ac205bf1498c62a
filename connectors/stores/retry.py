"""Retry requests with transient errors, after growing waits; refused requests are not retried."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from connectors.errors import ConnectorError, UnavailableError
from connectors.suggestions import shorten

__all__ = ["patiently"]

T = TypeVar("T")

_TRIES = 6
_FIRST_WAIT_S = 0.5  # doubled each time, then shortened by up to a half: 12 s in all, plus the time of the requests
_LIMIT_S = 30.0  # no further try starts after this time

_REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH|RESOURCE_NOT_FOUND|INVALID_|SIGNATURE|UNRECOGNIZED_CLIENT|EXPIRED|PERMISSION_DENIED|"
    r"NOT_FOUND|UNAUTHENTICATED|Authentication(?:Failed|Exception)|AuthorizationFailure|NotFound|Base64|OAuth2|credential"
)
_HTTP_STATUS = re.compile(r"(?:HTTP status:? |status code:? |\] )(\d{3})\b")
_REQUEST = re.compile(r"\s*\(Request ID: [^)]*\)")
_TYPE = re.compile(r"\b(?:N\d\w+E|St\d+\w+): ")  # of C++, as its compiler writes it
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\")]*")


def patiently(name: str, ask: Callable[[], T], check: Callable[[], object] = lambda: None) -> T:
    """Return the answer of a store; retry the request after transient errors.

    Parameters
    ----------
    name
        The object, for messages.
    ask
        Makes the request.
    check
        Called after each failure; it raises an error if a retry is useless.

    Raises
    ------
    UnavailableError
        The store refuses the request, or has failed too often.
    """
    began = time.monotonic()
    for n_tries in range(1, _TRIES + 1):
        try:
            return ask()
        except ConnectorError:
            raise
        except Exception as error:  # each library has errors of its own, and none documents all of them
            if not _is_foreign(error):
                raise
            reason, is_refused = _reason(error, name), _is_refused(error)
        check()
        if is_refused:
            raise UnavailableError(f"{name}: {reason}")
        if n_tries == _TRIES or time.monotonic() - began > _LIMIT_S:
            break
        # A random wait, so that several jobs do not all retry at the same moment.
        time.sleep(_FIRST_WAIT_S * 2 ** (n_tries - 1) * random.uniform(0.5, 1))  # noqa: S311 - no secret
    tried = f"tried {n_tries} times within" if n_tries > 1 else "tried for"
    took = f"{tried} {time.monotonic() - began:.0f} s"
    raise UnavailableError(f"{name}: {reason} ({took}); run the same command again when the store can be reached")


def _is_foreign(error: Exception) -> bool:
    """Return whether an error comes from a store, not from a mistake in this code."""
    libraries = ("aiohttp.", "fsspec.", "asyncio.", "pyarrow.")
    return isinstance(error, OSError | EOFError | pa.ArrowException) or type(error).__module__.startswith(libraries)


def _is_refused(error: Exception) -> bool:
    """Return whether a store refused the request, so that a retry is useless."""
    if isinstance(error, FileNotFoundError | PermissionError | pa.ArrowInvalid):
        return True
    status = getattr(error, "status", None)
    if status is None and (match := _HTTP_STATUS.search(str(error))):
        status = int(match[1])
    if status is not None:
        # Three of these codes are transient: timeout, too early, too many requests.
        return 400 <= status < 500 and status not in {408, 425, 429}
    return _REFUSED.search(str(error)) is not None


def _reason(error: Exception, name: str) -> str:
    """Return the reason on one line, without addresses: an address may hold a signature."""
    if isinstance(error, FileNotFoundError):
        return "no such object"
    if status := getattr(error, "status", None):
        return f"HTTP status {status}, {getattr(error, 'message', '')}".rstrip(", ")
    words = _URL.sub("…", _TYPE.sub("", _REQUEST.sub("", str(error)))).strip() or type(error).__name__
    line = " ".join(words.split())
    return shorten(line if line[:2].isupper() else line[:1].lower() + line[1:], 300)
