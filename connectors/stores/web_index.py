"""Read the page on which a web server lists a folder, as Apache, nginx and Python's own server write it."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from connectors.errors import SourceError
from connectors.stores.base import TIMEOUT_S

__all__ = ["index_page", "links_below"]

_MOST_BYTES = 8 << 20
_NOT_LISTED = {401, 403, 404, 405, 410}


def index_page(folder: str, url: str) -> list[str]:
    """Return the names of the files and folders that a server lists in a folder; that of a folder ends with ``/``.

    Parameters
    ----------
    folder
        The name of the folder, without secrets; it ends with ``/``.
    url
        Its address, with user and query.

    Raises
    ------
    SourceError
        The server does not list the folder, or its page is too large.
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    path, query = (quote(part, safe="%/:@!$&'()*+,;=~?[]") for part in (parts.path, parts.query))
    address = urlunsplit((parts.scheme, host, path, query, ""))
    request = Request(address, headers={"Accept": "text/html"})  # noqa: S310 - the scheme is http or https
    if user:
        # The user goes to this server alone: a redirect to another one is refused.
        secret = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {secret}")
    try:
        with build_opener(_SameServer).open(request, timeout=TIMEOUT_S) as answer:
            if answer.headers.get_content_type() not in {"text/html", "application/xhtml+xml"}:
                raise _not_listed(folder, f"it sends {answer.headers.get_content_type()}")
            page = answer.read(_MOST_BYTES + 1)
            charset = answer.headers.get_content_charset("utf-8")
    except HTTPError as error:
        error.close()
        if error.code in _NOT_LISTED or 300 <= error.code < 400:
            raise _not_listed(folder, f"HTTP status {error.code}") from None
        raise
    except HTTPException as error:  # the connection ended early
        raise ConnectionError(type(error).__name__) from error
    if len(page) > _MOST_BYTES:
        raise SourceError(f"{folder}: the server's list is longer than {_MOST_BYTES >> 20} MiB; name each file")
    return links_below(page.decode(charset, errors="replace"), folder)


def links_below(page: str, folder: str) -> list[str]:
    """Return the addresses on a page that are directly in a folder, without repetition.

    Examples
    --------
    >>> page = '<a href="?C=N;O=D">Name</a> <a href="../">up</a> <a href="a.csv">a</a> <a href="day1/">day1</a>'
    >>> links_below(page, "https://host/data/")
    ['https://host/data/a.csv', 'https://host/data/day1/']
    """
    links = _Links()
    links.feed(page)
    found = []
    for link in links.found:
        try:
            whole = urljoin(folder, link)
        except ValueError:  # not an address
            continue
        below = whole.removeprefix(folder)
        name = below.removesuffix("/")
        is_plain = whole != below and name and not set(name) & set("/?#") and "/" not in unquote(name)
        if is_plain and unquote(name) not in {".", ".."} and whole.isprintable():
            found.append(whole)
    return list(dict.fromkeys(found))


class _Links(HTMLParser):
    """Collects the targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the target of a link."""
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


class _SameServer(HTTPRedirectHandler):
    """Follows a redirect only within a server, so that a query with a secret goes to no other one."""

    def redirect_request(  # noqa: PLR0917 - as in the library
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request to follow; None refuses the redirect."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc, old.path) != (new.scheme, new.netloc, new.path):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _not_listed(folder: str, why: str) -> SourceError:
    return SourceError(f"{folder}: the server does not list this folder ({why}); name each file")
