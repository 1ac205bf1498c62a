"""Places of other packages: ``demo://…`` is opened by the package that registered the scheme ``demo``.

A package registers a scheme by an entry point of the group ``stream_bp.connectors``. Its name is the scheme, its object
an `Opener`. A package is imported only when one of its places is opened.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from connectors.errors import SourceError
from connectors.source import Source
from connectors.stores.address import SCHEMES, redact
from connectors.suggestions import nearest

__all__ = ["BUILT_IN", "GROUP", "Opener", "open_elsewhere", "scheme_of", "unknown_scheme"]

GROUP = "stream_bp.connectors"

BUILT_IN: frozenset[str] = frozenset(SCHEMES)
"""Schemes that are opened here, even if another package registers them."""

# Other settings describe text, and an opener may ignore them; to ignore one of these would change the result.
_BEYOND_TEXT = {"keeps_bad_rows": "skip bad rows (keeps_bad_rows)", "follow": "be followed (follow)"}


class Opener(Protocol):
    """The object that another package registers for a scheme: a function, or a source class."""

    def __call__(self, place: str, *args: Any, **settings: Any) -> Source:
        """Return the source of a place.

        Parameters
        ----------
        place
            The place as the user wrote it, with its scheme.
        args
            Never given.
        settings
            The settings of `open_source` that the caller gave: ``block_size``, ``delimiter``, ``quote``, ``encoding``,
            ``null_values``, ``decimal``, ``keeps_bad_rows``, ``follow``. An opener declares those that it supports, by
            name. The others are not passed; the last two are then refused before the call.

        Raises
        ------
        ConnectorError
            The place does not exist, or it cannot be read. Other errors are not converted.
        """


def scheme_of(place: str) -> str | None:
    """Return the scheme of a place, in lower case; None where it has none.

    Examples
    --------
    >>> scheme_of("Demo://a"), scheme_of("a.csv")
    ('demo', None)
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", place)
    return match[1].lower() if match else None


def open_elsewhere(place: str, settings: Mapping[str, Any]) -> Source | None:
    """Return the source of a place whose scheme another package has registered; None for other places.

    Parameters
    ----------
    place
        The place as the user wrote it.
    settings
        The settings of `open_source` that the caller gave.

    Raises
    ------
    SourceError
        The package cannot be loaded, lacks a setting, or does not return a source; or several packages registered the
        scheme.
    """
    scheme = scheme_of(place)
    if scheme is None or scheme in BUILT_IN:
        return None
    found = [point for point in entry_points(group=GROUP) if point.name.lower() == scheme]
    if not found:
        return None
    owners = sorted(map(_owner, found))
    if len(found) > 1:
        raise SourceError(f"{place}: scheme {scheme!r} is registered by {' and '.join(owners)}; uninstall all but one")
    opener = _load(place, found[0])
    taken = {name: value for name, value in settings.items() if _takes(opener, name)}
    for name, what in _BEYOND_TEXT.items():
        if name in settings and name not in taken:
            raise SourceError(f"{place}: places of scheme {scheme!r} ({owners[0]}) cannot {what}; remove this setting")
    source = opener(place, **taken)
    if not isinstance(source, Source):
        raise SourceError(f"{place}: {owners[0]} returned a {type(source).__name__}, expected a connectors.Source")
    return source


def unknown_scheme(place: str) -> SourceError:
    """Return the error for an unknown scheme; it lists the known ones."""
    scheme = str(scheme_of(place))
    known = sorted(BUILT_IN | {point.name.lower() for point in entry_points(group=GROUP)})
    hint = f"{nearest(scheme, known)}; known schemes: {', '.join(known)}" if known else ""
    # After a "?" there may be a secret, and only the package of the scheme could recognise it.
    name = redact(place).partition("?")[0]
    return SourceError(f"{name}: scheme {scheme!r} is not supported{hint}; copy the files to a local folder")


def _owner(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist is not None else f"module {point.module}"


def _load(place: str, point: EntryPoint) -> Opener:
    """Import an opener; any failure of another package becomes one line that names it."""
    try:
        opener: Any = point.load()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{place}: {_owner(point)}, which registers the scheme {point.name!r}, cannot be loaded: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if not callable(opener):
        raise SourceError(f"{place}: {_owner(point)} registers {point.value}, which is not callable")
    return opener  # type: ignore[no-any-return]


def _takes(opener: Opener, name: str) -> bool:
    parameters = inspect.signature(opener).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
