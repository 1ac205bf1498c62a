"""From what a person writes, paths, folders, patterns, a table, to a source."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from connectors.base import Source
from connectors.csv_file import CsvFormat
from connectors.errors import SourceError, foreign_errors
from connectors.files import FileSource, Format
from connectors.memory import MemorySource
from connectors.parquet_file import ParquetFormat
from connectors.wording import nearest

__all__ = ["EXTENSIONS", "open_source"]

EXTENSIONS = (".parquet", ".csv", ".csv.gz", ".csv.zst")

Place = str | os.PathLike[str]


def open_source(*places: Place | pa.Table, block_size: int = 1 << 20) -> Source:
    """Return the source for one or more places.

    Parameters
    ----------
    places
        Files, folders (their supported files, by name), patterns with ``*``, ``?``, ``[…]`` or ``**`` (sorted), in the
        order of the stream; or one Arrow table. All files are of one format.
    block_size
        Bytes of text read at a time.

    Raises
    ------
    SourceError
        There is no such place, or it is of no supported kind.
    SchemaError
        The files do not fit together.
    """
    if len(places) == 1 and isinstance(places[0], pa.Table):
        return MemorySource(places[0])
    names = [name for place in places for name in _expand(_as_name(place))]
    if not names:
        raise SourceError("no place to read from was given")
    return FileSource(names, _format(names, block_size))


def _as_name(place: Place | pa.Table) -> str:
    if isinstance(place, pa.Table):
        raise SourceError("a table cannot be combined with other places; concatenate tables before")
    name = os.fspath(place)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", name)
    if scheme:
        raise SourceError(f"{name}: scheme {scheme[1]!r} is not supported; copy the files to a local folder")
    return name


def _expand(name: str) -> list[str]:
    """Return the files that one place stands for."""
    path = Path(name)
    if path.is_dir():
        children = sorted(child.name for child in _children(path))
        return _some([os.path.join(name, child) for child in children], name)  # noqa: PTH118 - keeps "./" as given
    if path.exists():
        _extension(name)
        return [name]
    if glob.has_magic(name):
        found = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        return _some(sorted(file for file in found if Path(file).is_file()), name)
    siblings = [child.name for child in _children(path.parent)]
    raise SourceError(f"{name}: no such file or folder{nearest(path.name, siblings)}")


def _children(folder: Path) -> Iterator[Path]:
    with foreign_errors(str(folder)):
        yield from folder.iterdir() if folder.is_dir() else ()


def _some(files: list[str], place: str) -> list[str]:
    """Keep supported files; those whose name begins with ``.`` or ``_`` are somebody's notes, not data."""
    kept = [file for file in files if _is_data(Path(file).name)]
    if not kept:
        raise SourceError(f"{place}: no file to read there; supported are {', '.join(EXTENSIONS)}")
    return kept


def _is_data(name: str) -> bool:
    return not name.startswith((".", "_")) and name.lower().endswith(EXTENSIONS)


def _extension(name: str) -> str:
    for extension in EXTENSIONS:
        if name.lower().endswith(extension):
            return extension
    raise SourceError(f"{name}: unknown kind of file; supported are {', '.join(EXTENSIONS)}")


def _format(names: list[str], block_size: int) -> Format:
    """Return the one format of all files."""
    parquet = [name for name in names if _extension(name) == ".parquet"]
    if not parquet:
        return CsvFormat(block_size)
    if len(parquet) == len(names):
        return ParquetFormat()
    other = next(name for name in names if name not in parquet)
    raise SourceError(f"{other}: cannot be read in one stream with {parquet[0]}; files must be all Parquet or all CSV")
