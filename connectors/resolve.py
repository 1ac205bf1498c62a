"""Open the source for what a user writes: paths, folders, patterns, addresses, or a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.errors import SchemaError, SourceError, foreign_errors
from connectors.files.expansion import Expansion, expand
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
from connectors.formats.partitions import PartitionColumns
from connectors.memory import MemorySource
from connectors.pipes.pipe import is_pipe
from connectors.pipes.spool import Spool
from connectors.registry import BUILT_IN, open_elsewhere, scheme_of, unknown_scheme
from connectors.source import Source
from connectors.stores.address import is_address, redact
from connectors.stores.storage import Storage

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
    exclude: Sequence[str] = (),
    on_message: Callable[[str], object] | None = None,
    format: str | None = None,  # noqa: A002 - the name of the setting
    names: Sequence[str] = (),
    skip_rows: int = 0,
    comment: str | None = None,
    escape: str | None = None,
    short_rows: str = "error",
) -> Source:
    """Return the source for one or more places.

    Parameters
    ----------
    places
        The places, in the order of the stream. Each is a file, a folder (its supported files and those of its folders,
        sorted by path), or a pattern with ``*``, ``?``, ``[…]`` or ``**`` (sorted). Folders named ``key=value`` give
        columns; see `formats.partitions`. An address ``s3://``, ``gs://`` or ``abfs://`` names an object, a folder or
        a pattern; in it ``?`` starts options. So does an address ``https://``, if the server lists its folders; there
        the address of a folder ends with ``/``. Instead of
        several places, one of these: ``-`` for standard input, a named pipe, one Arrow table, or an address of another
        package (`Opener`).
    block_size
        Bytes of text read at a time.
    delimiter, quote, encoding
        The dialect of text: what stands between fields (one to eight characters, or ``whitespace``), the character
        around fields (``"``, ``'`` or ``none``), and the encoding as Python names it. By default they are inferred from
        the first lines of each file.
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
    exclude
        Local folders that are skipped, such as that of the job's own output.
    on_message
        Receives one line when a followed source waits for its first rows, or ends with an incomplete record. Any thread
        may call it.
    format
        The format of every file, one of `FORMATS`, whatever its name; by default, the ending of its name decides. For
        a pipe, ``csv`` or ``jsonl`` says how its text is written; by default, its first bytes decide.
    names
        The columns of text without a header. By default the first record is the header.
    skip_rows
        Number of lines before the header of text.
    comment
        First character of lines of text that are left out.
    escape
        Character in text after which a quote, a delimiter or a line break belongs to its field.
    short_rows
        What happens to a row of text with too few fields: ``error``, it is a bad row; ``pad``, the others are missing.

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
        "names": tuple(names) or None,
        "skip_rows": skip_rows or None,
        "comment": comment,
        "escape": escape,
        "short_rows": None if short_rows == "error" else short_rows,
    }
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    elsewhere = _elsewhere(places, given)
    if elsewhere is not None:
        return elsewhere
    storage = Storage()
    written = delimiter, quote, encoding, tuple(null_values), decimal
    dialect = Dialect(*written, tuple(names), skip_rows, comment, escape, short_rows)
    formats = _formats(block_size, dialect, storage, keeps_bad_rows=keeps_bad_rows)

    def format_of(name: str) -> Format | None:
        return formats.get(format or kind_of(name) or "")

    if (pipe := next((str(place) for place in places if is_pipe(str(place))), None)) is not None:
        if len(places) > 1:
            raise SourceError(f"{pipe}: a pipe cannot be combined with other places; give it alone")
        pump = Spool(pipe, spool, dialect, reopens=follow is not None, kind=format)
        # The spool has already converted the text, and its files have a header.
        plain = replace(dialect, encoding="utf-8", names=(), skip_rows=0)
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
            exclude=exclude,
            on_message=on_message,
        )
    found = [_expanded(_as_name(place), storage, exclude, any_name=format is not None) for place in places]
    if not found:
        raise SourceError("no source was given; expected a file, a folder or a pattern")
    columns = _folder_columns(found)
    return FileSource(
        [name for one in found for name in one.names],
        lambda name: columns.wrap(formats[format or kind_of(name) or ""]),
        storage,
        keeps_bad_rows=keeps_bad_rows,
        ignore=ignore,
        remarks=tuple(dict.fromkeys(line for one in found for line in one.remarks)),
    )


def _folder_columns(found: Sequence[Expansion]) -> PartitionColumns:
    """Return the columns that the names of folders give, over all files."""
    columns = PartitionColumns()
    for one in found:
        for name in one.names:
            columns.note(name, one.root)
    return columns


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
    if name.startswith("~") and not os.path.lexists(name):
        name = os.path.expanduser(name)  # noqa: PTH111 - keeps "./" as given
    if scheme_of(name) not in {None, *BUILT_IN}:
        raise unknown_scheme(name)
    return name


def _expanded(place: str, storage: Storage, exclude: Sequence[str], *, any_name: bool) -> Expansion:
    """Return the files of one place; with `any_name`, a name without a known ending is data too."""
    if not any_name and kind_of(place) is None and Path(place).is_file():
        _refuse_unknown_kind(place, storage)
    known = f"{SUPPORTED}; for other names give --format"
    found = expand(place, storage, lambda name: any_name or kind_of(name) is not None, known, exclude)
    # Notes beside data often end in .txt, so they are data only if nothing else is.
    left_out = [] if any_name else [name for name in found.names if is_vague(name)]
    if not left_out or len(left_out) == len(found.names):
        return found
    certain = [name for name in found.names if not is_vague(name)]
    more = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
    line = f"{left_out[0]}{more}: not read beside other data; name it, or match it by a pattern such as *.txt"
    return replace(found, names=certain, remarks=[*found.remarks, line])


def _refuse_unknown_kind(name: str, storage: Storage) -> None:
    """Refuse a local file whose name does not say its kind; its content may say what to do."""
    with foreign_errors(name), storage.open(name) as file:
        head = file.read(HEAD) or b""
    found = look(head)
    if found is None and b"\0" not in head:
        raise SourceError(f"{name}: unknown file type; supported: {SUPPORTED}; if it is CSV, give --format csv")
    hint = f"; it looks like {found.what}: {found.remedy}" if found is not None else "; else give --format"
    raise SourceError(f"{name}: unknown file type; supported: {SUPPORTED}{hint}")
