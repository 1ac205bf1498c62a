"""Requests that may fail for a while, made again, later and later; one that is refused is not."""

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
_FIRST_WAIT_S = 0.5  # then twice as long each time, less by up to a half: 12 s in all, and what the requests take
_LIMIT_S = 30.0  # no further try is made after so long

_REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH|RESOURCE_NOT_FOUND|INVALID_|SIGNATURE|UNRECOGNIZED_CLIENT|EXPIRED|PERMISSION_DENIED|"
    r"NOT_FOUND|UNAUTHENTICATED|Authentication(?:Failed|Exception)|AuthorizationFailure|NotFound|Base64|OAuth2|credential"
)
_HTTP_STATUS = re.compile(r"(?:HTTP status:? |status code:? |\] )(\d{3})\b")
_REQUEST = re.compile(r"\s*\(Request ID: [^)]*\)")
_TYPE = re.compile(r"\b(?:N\d\w+E|St\d+\w+): ")  # of C++, as its compiler writes it
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\")]*")


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
