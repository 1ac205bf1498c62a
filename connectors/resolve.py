"""From what a person writes, paths, folders, patterns, a table, to a source."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.errors import SourceError, foreign_errors
from connectors.files.followed_source import Follow, FollowedSource
from connectors.files.source import FileSource
from connectors.formats.base import Format
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.format import CsvFormat
from connectors.formats.parquet import ParquetFormat
from connectors.memory import MemorySource
from connectors.pipes.pipe import is_pipe
from connectors.pipes.spool import Spool
from connectors.registry import BUILT_IN, open_elsewhere, scheme_of, unknown_scheme
from connectors.source import Source
from connectors.stores.address import is_address, redact
from connectors.stores.storage import Storage
from connectors.suggestions import nearest

__all__ = ["EXTENSIONS", "open_source"]

EXTENSIONS = (".parquet", ".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")

Place = str | os.PathLike[str]

_BLOCK_SIZE = 1 << 20


def open_source(
    *places: Place | pa.Table,
    block_size: int = _BLOCK_SIZE,
    delimiter: str | None = None,
    quote: str | None = None,
    encoding: str | None = None,
    null_values: Sequence[str] = (),
    decimal: str = ".",
    keeps_bad_rows: bool = False,
    follow: Follow | None = None,
    spool: str | None = None,
    ignore: Sequence[str] = (),
    on_message: Callable[[str], object] | None = None,
) -> Source:
    """Return the source for one or more places.

    Parameters
    ----------
    places
        ``-`` for standard input, or a named pipe; files, folders (their supported files, by name), patterns with ``*``,
        ``?``, ``[…]`` or ``**`` (sorted), in the order of the stream; or one Arrow table. An address (``s3://``,
        ``gs://``, ``abfs://``) stands for an object, a folder or a pattern, too, but that ``?`` begins its options; one
        of ``https://`` for a file; one of a scheme that another package knows (`Opener`) for what that says.
    block_size
        Bytes of text read at a time.
    delimiter, quote, encoding
        How text is written: what separates fields, what encloses them (``"``, ``'`` or ``none``), its encoding as
        Python names it. What is not given, the header of each file tells.
    null_values
        Words of text that mean that there is nothing, in columns of every type and beside the usual ones; exactly as
        they stand in a field.
    decimal
        What separates the fraction of a number in text: ``.`` or ``,``.
    keeps_bad_rows
        Whether what cannot be read is handed over beside the rows, as `BadRow`, instead of ending them with an error.
    follow
        How to go on with what comes: rows written at the end of a file, files that land in a folder.
    spool
        A folder that keeps what comes through a pipe, so that a reader can be opened at any position of it.
    ignore
        Columns on whose types files need not agree, for nobody reads them.
    on_message
        Hears, in a line, that what is followed has nothing yet, or ends in part of a record; any thread may call it.

    Raises
    ------
    SourceError
        There is no such place, or it is of no supported kind; an UnavailableError if a store cannot be reached, or
        refuses.
    SchemaError
        The files do not fit together, or text cannot be written in such a way.
    """
    if len(places) == 1 and isinstance(places[0], pa.Table):
        return MemorySource(places[0])
    settings = {"delimiter": delimiter, "quote": quote, "encoding": encoding, "follow": follow}
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    given |= {"null_values": tuple(null_values)} if null_values else {}
    given |= {"decimal": decimal} if decimal != "." else {}
    given |= {"keeps_bad_rows": True} if keeps_bad_rows else {}
    given |= {"block_size": block_size} if block_size != _BLOCK_SIZE else {}
    elsewhere = _elsewhere(places, given)
    if elsewhere is not None:
        return elsewhere
    storage = Storage()
    dialect = Dialect(delimiter, quote, encoding, tuple(null_values), decimal)
    text = CsvFormat(block_size, dialect, storage, keeps_bad_rows=keeps_bad_rows)
    formats: dict[str, Format] = dict.fromkeys(EXTENSIONS, text)
    formats[".parquet"] = ParquetFormat(storage, keeps_bad_rows=keeps_bad_rows)
    if (pipe := next((str(place) for place in places if is_pipe(str(place))), None)) is not None:
        if len(places) > 1:
            raise SourceError(f"{pipe}: a pipe cannot be combined with other places")
        pump = Spool(pipe, spool, dialect, reopens=follow is not None)
        plain = replace(dialect, encoding="utf-8")
        formats[".csv"] = CsvFormat(block_size, plain, storage, keeps_bad_rows=keeps_bad_rows)
        how = Follow(idle_timeout_s=follow.idle_timeout_s if follow is not None else None)
        return FollowedSource(
            pump.folder,
            lambda name: formats.get(_extension(name) or ""),
            how,
            keeps_bad_rows=keeps_bad_rows,
            spool=pump,
            ignore=ignore,
            on_message=on_message,
        )
    if spool is not None:
        raise SourceError(
            "spool: it keeps what comes through a pipe (-, or a named one); other places keep it themselves"
        )
    if follow is not None:
        if len(places) != 1:
            raise SourceError("only one place can be followed: a file, a folder or a pattern")
        name = _as_name(places[0])
        if is_address(name):
            raise SourceError(f"{redact(name)}: only local files, folders and patterns can be followed")
        return FollowedSource(
            name,
            lambda name: formats.get(_extension(name) or ""),
            follow,
            keeps_bad_rows=keeps_bad_rows,
            ignore=ignore,
            on_message=on_message,
        )
    names = [name for place in places for name in _expand(_as_name(place), storage)]
    if not names:
        raise SourceError("no place to read from was given")
    return FileSource(
        names, lambda name: formats[_extension(name) or ""], storage, keeps_bad_rows=keeps_bad_rows, ignore=ignore
    )


def _elsewhere(places: Sequence[Place | pa.Table], settings: Mapping[str, Any]) -> Source | None:
    """Return the source of a place that another package knows; None if there is none among them."""
    for place in places:
        source = open_elsewhere(place, settings) if isinstance(place, str) else None
        if source is not None and len(places) > 1:
            raise SourceError(f"{place}: such a place is read alone; give no other beside it")
        if source is not None:
            return source
    return None


def _as_name(place: Place | pa.Table) -> str:
    if isinstance(place, pa.Table):
        raise SourceError("a table cannot be combined with other places; concatenate tables before")
    name = os.fspath(place)
    if scheme_of(name) not in {None, *BUILT_IN}:
        raise unknown_scheme(name)
    return name


def _expand(name: str, storage: Storage) -> list[str]:
    """Return the files that one place stands for."""
    if is_address(name):
        return _expand_address(name, storage)
    path = Path(name)
    if path.is_dir():
        children = sorted(child.name for child in _children(path))
        return _some([os.path.join(name, child) for child in children], name)  # noqa: PTH118 - keeps "./" as given
    if path.exists():
        return [_of_known_kind(name)]
    if glob.has_magic(name):
        found = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        return _some(sorted(file for file in found if Path(file).is_file()), name)
    siblings = [child.name for child in _children(path.parent)]
    raise SourceError(f"{name}: no such file or folder{nearest(path.name, siblings)}")


def _expand_address(place: str, storage: Storage) -> list[str]:
    names, is_one = storage.expand(place)
    return [_of_known_kind(name) for name in names] if is_one else _some(names, redact(place))


def _of_known_kind(name: str) -> str:
    if _extension(name) is None:
        raise SourceError(f"{name}: unknown kind of file; supported are {', '.join(EXTENSIONS)}")
    return name


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


def _extension(name: str) -> str | None:
    return next((extension for extension in EXTENSIONS if name.lower().endswith(extension)), None)
