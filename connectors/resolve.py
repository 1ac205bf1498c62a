"""Open the source for what a user writes: paths, folders, patterns, addresses, or a table."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.errors import SchemaError, SourceError, foreign_errors
from connectors.files.followed_source import Follow, FollowedSource
from connectors.files.source import FileSource
from connectors.formats.arrow_ipc import ArrowFormat
from connectors.formats.base import Format
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.format import CsvFormat
from connectors.formats.jsonl.format import JsonLinesFormat
from connectors.formats.kinds import EXTENSIONS, FORMATS, SUPPORTED, is_vague, kind_of
from connectors.formats.looks import HEAD, look
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
    format: str | None = None,  # noqa: A002 - the name of the setting
) -> Source:
    """Return the source for one or more places.

    Parameters
    ----------
    places
        The places, in the order of the stream. Each is a file, a folder (its supported files, sorted by name), or a
        pattern with ``*``, ``?``, ``[…]`` or ``**`` (sorted). An address ``s3://``, ``gs://`` or ``abfs://`` names an
        object, a folder or a pattern; in it ``?`` starts options. An address ``https://`` names a file. Instead of
        several places, one of these: ``-`` for standard input, a named pipe, one Arrow table, or an address of another
        package (`Opener`).
    block_size
        Bytes of text read at a time.
    delimiter, quote, encoding
        The dialect of text: the character between fields, the character around fields (``"``, ``'`` or ``none``), and
        the encoding as Python names it. By default they are inferred from the header of each file.
    null_values
        Words for a missing value in columns of every type, besides the usual ones. In text they must be exactly as
        written; in other files and tables a number, a time or a boolean counts if a word stands for it.
    decimal
        Decimal mark of numbers in text: ``.`` or ``,``.
    keeps_bad_rows
        Whether bad rows are yielded as `BadRow` events, instead of raised as errors.
    follow
        How to follow the source: read rows that are appended to a file, or files that appear in a folder.
    spool
        Folder that keeps the data of a pipe, so that a reader can be opened at any position.
    ignore
        Columns that are not read; files may disagree on their types.
    on_message
        Receives one line when a followed source waits for its first rows, or ends with an incomplete record. Any thread
        may call it.
    format
        The format of every file, one of `FORMATS`, whatever its name; by default, the ending of its name decides. For
        a pipe, ``csv`` or ``jsonl`` says how its text is written; by default, its first bytes decide.

    Raises
    ------
    SourceError
        The place does not exist, or its type is not supported. An `UnavailableError` if a store cannot be reached,
        or denies access.
    SchemaError
        Files disagree on a column, or the dialect is not valid.
    """
    _refuse_unknown(format)
    if len(places) == 1 and isinstance(places[0], pa.Table):
        return MemorySource(places[0], null_values=null_values)
    # Only settings that differ from the default: another package's opener need not know the others.
    settings = {
        "delimiter": delimiter,
        "quote": quote,
        "encoding": encoding,
        "follow": follow,
        "format": format,
        "null_values": tuple(null_values) or None,
        "decimal": None if decimal == "." else decimal,
        "keeps_bad_rows": keeps_bad_rows or None,
        "block_size": None if block_size == _BLOCK_SIZE else block_size,
    }
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    elsewhere = _elsewhere(places, given)
    if elsewhere is not None:
        return elsewhere
    storage = Storage()
    dialect = Dialect(delimiter, quote, encoding, tuple(null_values), decimal)
    formats = _formats(block_size, dialect, storage, keeps_bad_rows=keeps_bad_rows)

    def format_of(name: str) -> Format | None:
        return formats.get(format or kind_of(name) or "")

    if (pipe := next((str(place) for place in places if is_pipe(str(place))), None)) is not None:
        if len(places) > 1:
            raise SourceError(f"{pipe}: a pipe cannot be combined with other places; give it alone")
        pump = Spool(pipe, spool, dialect, reopens=follow is not None, kind=format)
        plain = replace(dialect, encoding="utf-8")  # the spool has already converted the text
        formats |= _formats(block_size, plain, storage, keeps_bad_rows=keeps_bad_rows)
        how = Follow(idle_timeout_s=follow.idle_timeout_s if follow is not None else None)
        return FollowedSource(
            pump.folder,
            lambda name: formats.get(kind_of(name) or ""),
            how,
            keeps_bad_rows=keeps_bad_rows,
            spool=pump,
            ignore=ignore,
            on_message=on_message,
        )
    if spool is not None:
        raise SourceError(
            "spool: it keeps the data of a pipe (- or a named pipe), and no place here is one; leave it out"
        )
    if follow is not None:
        place = _followed(places)
        # Notes beside data often end in .txt; a folder that is followed may get a certain file later.
        is_folder = format is None and Path(place).is_dir()
        return FollowedSource(
            place,
            lambda name: None if is_folder and is_vague(name) else format_of(name),
            follow,
            keeps_bad_rows=keeps_bad_rows,
            ignore=ignore,
            on_message=on_message,
        )
    names = [name for place in places for name in _expand(_as_name(place), storage, any_name=format is not None)]
    if not names:
        raise SourceError("no source was given; expected a file, a folder or a pattern")
    return FileSource(
        names,
        lambda name: formats[format or kind_of(name) or ""],
        storage,
        keeps_bad_rows=keeps_bad_rows,
        ignore=ignore,
    )


def _refuse_unknown(kind: str | None) -> None:
    if kind not in {None, *FORMATS}:
        raise SchemaError(f"format: expected one of {', '.join(FORMATS)}, found {kind!r}")


def _followed(places: Sequence[Place | pa.Table]) -> str:
    """Return the place that is followed."""
    if len(places) != 1:
        raise SourceError(f"only one place can be followed (a file, a folder or a pattern), found {len(places)}")
    name = _as_name(places[0])
    if is_address(name):
        raise SourceError(f"{redact(name)}: only local files, folders and patterns can be followed")
    return name


def _formats(block_size: int, dialect: Dialect, storage: Storage, *, keeps_bad_rows: bool) -> dict[str, Format]:
    """Return the formats by their names."""
    return {
        "csv": CsvFormat(block_size, dialect, storage, keeps_bad_rows=keeps_bad_rows),
        "jsonl": JsonLinesFormat(block_size, dialect, storage, keeps_bad_rows=keeps_bad_rows),
        "parquet": ParquetFormat(storage, keeps_bad_rows=keeps_bad_rows, null_values=dialect.null_values),
        "arrow": ArrowFormat(storage, keeps_bad_rows=keeps_bad_rows, null_values=dialect.null_values),
    }


def _elsewhere(places: Sequence[Place | pa.Table], settings: Mapping[str, Any]) -> Source | None:
    """Return the source of a place of another package; None if all are ours."""
    for place in places:
        source = open_elsewhere(place, settings) if isinstance(place, str) else None
        if source is not None and len(places) > 1:
            raise SourceError(f"{place}: a place of another package cannot be combined with others; give it alone")
        if source is not None:
            return source
    return None


def _as_name(place: Place | pa.Table) -> str:
    if isinstance(place, pa.Table):
        raise SourceError("a table cannot be combined with other places; concatenate tables first")
    name = os.fspath(place)
    if scheme_of(name) not in {None, *BUILT_IN}:
        raise unknown_scheme(name)
    return name


def _expand(name: str, storage: Storage, *, any_name: bool) -> list[str]:
    """Return the files of one place; with `any_name`, a name without a known ending is data too."""
    if is_address(name):
        return _expand_address(name, storage, any_name=any_name)
    path = Path(name)
    if path.is_dir():
        children = sorted(child.name for child in _children(path))
        files = [os.path.join(name, child) for child in children]  # noqa: PTH118 - keeps "./" as given
        return _some(_without_folders(files), name, any_name=any_name, is_folder=True)
    if path.exists():
        return [name if any_name else _of_known_kind(name, storage)]
    _refuse_dangling(name)
    if glob.has_magic(name):
        found = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        return _some(sorted(file for file in found if Path(file).is_file()), name, any_name=any_name)
    siblings = [child.name for child in _children(path.parent)]
    raise SourceError(f"{name}: no such file or folder{nearest(path.name, siblings)}")


def _expand_address(place: str, storage: Storage, *, any_name: bool) -> list[str]:
    names, is_one = storage.expand(place)
    if is_one:
        return names if any_name else [_of_known_kind(name) for name in names]
    return _some(names, redact(place), any_name=any_name, is_folder="*" not in place and "[" not in place)


def _of_known_kind(name: str, storage: Storage | None = None) -> str:
    """Refuse a file whose name does not say its kind; the content of a local file may say what to do."""
    if kind_of(name) is not None:
        return name
    found = None
    if storage is not None:
        with foreign_errors(name), storage.open(name) as file:
            head = file.read(HEAD) or b""
        found = look(head)
        if found is None and b"\0" not in head:
            raise SourceError(f"{name}: unknown file type; supported: {SUPPORTED}; if it is CSV, give --format csv")
    hint = f"; it looks like {found.what}: {found.remedy}" if found is not None else "; else give --format"
    raise SourceError(f"{name}: unknown file type; supported: {SUPPORTED}{hint}")


def _refuse_dangling(name: str) -> None:
    """Refuse a symbolic link to nothing."""
    if Path(name).is_symlink() and not Path(name).exists():
        target = os.readlink(name)  # noqa: PTH115 - as the link says it
        raise SourceError(f"{name}: a symbolic link to {target}, which does not exist; restore it, or remove the link")


def _without_folders(files: list[str]) -> list[str]:
    """Return the files that are no folders; refuse a folder with the name of a file."""
    for file in files:
        if _is_data(Path(file).name) and Path(file).is_dir():
            raise SourceError(f"{file}: a folder, expected a file; give this folder itself as the source")
    return [file for file in files if not Path(file).is_dir()]


def _children(folder: Path) -> Iterator[Path]:
    with foreign_errors(str(folder)):
        yield from folder.iterdir() if folder.is_dir() else ()


def _some(files: list[str], place: str, *, any_name: bool = False, is_folder: bool = False) -> list[str]:
    """Return the data files; names that begin with ``.`` or ``_`` are not data."""
    kept = [file for file in files if _is_data(Path(file).name, any_name=any_name)]
    certain = [file for file in kept if not is_vague(file)]
    if is_folder and certain and not any_name:  # notes beside data often end in .txt
        kept = certain
    for file in kept:
        if not is_address(file):
            _refuse_dangling(file)
    if not kept:
        raise SourceError(f"{place}: no data file there; supported: {SUPPORTED}; for other names give --format")
    return kept


def _is_data(name: str, *, any_name: bool = False) -> bool:
    return not name.startswith((".", "_")) and (any_name or kind_of(name) is not None)
