"""What the ending of a name says: the kind of a file, and the compression of its text."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "SUPPORTED",
    "_COMPRESSIONS",
    "compression_of",
    "extension_of",
    "is_vague",
    "kind_of",
]

_ENDINGS = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": (".csv", ".tsv", ".txt", ".dat"),
    "jsonl": (".jsonl", ".ndjson"),
    "arrow": (".arrow", ".feather", ".ipc"),
}
_TEXT = ("csv", "jsonl")

FORMATS = tuple(_ENDINGS)
"""Names of the formats, as `open_source` takes them."""

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
"""Compressions of text, by the last ending of a name."""

_KINDS = {
    ending + compression: kind
    for kind, endings in _ENDINGS.items()
    for ending in endings
    for compression in ("", *(_COMPRESSIONS if kind in _TEXT else ()))
}

EXTENSIONS = tuple(_KINDS)
"""All endings of names that are data."""

_VAGUE = (".txt", ".dat")
"""Endings that other files have too; in a folder they are data only if nothing else is."""

SUPPORTED = "{}; {}; text may be {}".format(
    ", ".join(ending for kind in FORMATS if kind not in _TEXT for ending in _ENDINGS[kind]),
    ", ".join(ending for kind in _TEXT for ending in _ENDINGS[kind]),
    ", ".join(_COMPRESSIONS),
)
"""The endings, for messages."""


@lru_cache(maxsize=1024)
def extension_of(name: str) -> str | None:
    """Return the ending of a name that says its kind; None if it says nothing.

    Examples
    --------
    >>> extension_of("rows.CSV.gz")
    '.csv.gz'
    """
    return next((extension for extension in EXTENSIONS if name.lower().endswith(extension)), None)


def kind_of(name: str) -> str | None:
    """Return the format that the ending of a name says; None if it says nothing."""
    return _KINDS.get(extension_of(name) or "")


def is_vague(name: str) -> bool:
    """Return whether files with the ending of this name are often not data."""
    return (extension_of(name) or "").startswith(_VAGUE)


def compression_of(name: str) -> str | None:
    """Return the compression of a file, by its extension; None for plain text."""
    return _COMPRESSIONS.get(Path(name).suffix.lower())
