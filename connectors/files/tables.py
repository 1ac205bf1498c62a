"""Recognise the folders of table formats: Delta, Iceberg and Hudi.

Such a folder also holds files that its table no longer uses. Only the log of the table says which files count. So to
read all files of the folder would bring back deleted rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from connectors.errors import SourceError

__all__ = ["is_partition", "refuse_table", "table_among", "table_in", "table_of"]

_DELTA, _HUDI, _ICEBERG = "Delta", "Hudi", "Iceberg"
_EXPORT = {
    _DELTA: "in DuckDB: COPY (SELECT * FROM delta_scan('{0}')) TO 'export.parquet'",
    _HUDI: "in Spark: spark.read.format('hudi').load('{0}').write.parquet('export')",
    _ICEBERG: "in DuckDB: COPY (SELECT * FROM iceberg_scan('{0}')) TO 'export.parquet'",
}
_LOGS = {"_delta_log": _DELTA, ".hoodie": _HUDI, ".hoodie_partition_metadata": _HUDI}
_METADATA = ".metadata.json"


def is_partition(folder: str) -> bool:
    """Return whether the name of a folder is that of a partition, such as ``year=2023``."""
    return folder.find("=") > 0 and not folder.startswith((".", "_"))


def table_in(folder: str, names: Iterable[str]) -> str | None:
    """Return the table format of a local folder with these entries; None if it is an ordinary folder."""
    has_metadata = False
    for name in names:
        if name in _LOGS:
            return _LOGS[name]
        has_metadata = has_metadata or name == "metadata"
    if not has_metadata:
        return None
    try:
        entries = os.listdir(os.path.join(folder, "metadata"))  # noqa: PTH118, PTH208 - many folders: must be quick
    except OSError:
        return None
    return _ICEBERG if any(name.endswith(_METADATA) for name in entries) else None


def table_of(folder: str) -> tuple[str, str] | None:
    """Return the local table that a folder belongs to, and its format; None if there is none.

    The table may be the folder itself, or a folder above it, if only partitions and ``data`` lie between.
    """
    while True:
        there = [name for name in (*_LOGS, "metadata") if os.path.lexists(f"{folder}/{name}")]
        if (kind := table_in(folder, there)) is not None:
            return folder, kind
        whole = os.path.abspath(folder)  # noqa: PTH100 - must not resolve links
        name = os.path.basename(whole)  # noqa: PTH119
        if not is_partition(name) and name != "data":
            return None
        folder = os.path.dirname(folder.rstrip("/")) or os.path.dirname(whole)  # noqa: PTH120


def table_among(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the folder and the format of the first table among names of objects; None if there is none."""
    for name in names:
        folder, _, file = name.rstrip("/").rpartition("/")
        if file in _LOGS:
            return folder, _LOGS[file]
        above, _, last = folder.rpartition("/")
        if last in _LOGS:
            return above, _LOGS[last]
        if last == "metadata" and file.endswith(_METADATA):
            return above, _ICEBERG
    return None


def refuse_table(folder: str, kind: str) -> SourceError:
    """Return the error for a folder that holds a table."""
    folder = folder.rstrip("/") or "."
    article = "an" if kind == _ICEBERG else "a"
    return SourceError(
        f"{folder}: {article} {kind} table: its folder also holds files that are no longer part of the table; export "
        f"it to Parquet and give that; {_EXPORT[kind].format(folder)}"
    )
