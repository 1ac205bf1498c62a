"""Rows of a SQLite table, read as a separate package would: ``sqlite:///folder/file.db?table=rows``.

A connector to start from: one module. It imports only what `connectors` exports, and two functions that every source
needs.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from connectors import Cursor, CursorError, Decisions, Reader, RecordBatchSlice, RowError, Source, SourceError
from connectors.schemas import cast, require

__all__ = ["SqliteSource", "open_sqlite", "write_sqlite"]

_BLOCK_ROWS = 1_000
_TYPES = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string(), "BOOLEAN": pa.bool_()}
# SQLite stores any value in any column, and Arrow would convert 1.5 to 1; so values are checked here.
_FITS: dict[pa.DataType, Callable[[object], bool]] = {
    pa.int64(): lambda value: isinstance(value, int),
    pa.float64(): lambda value: isinstance(value, float),
    pa.string(): lambda value: isinstance(value, str),
    pa.bool_(): lambda value: value in {0, 1},
}


def open_sqlite(place: str) -> Source:
    """Return the rows of ``sqlite:///folder/file.db?table=rows``."""
    parts = urlsplit(place)
    tables = parse_qs(parts.query).get("table", [])
    if len(tables) != 1:
        raise SourceError(f"{place}: name one table, as in sqlite:///folder/file.db?table=rows")
    return SqliteSource(Path(parts.netloc + parts.path), tables[0])


class SqliteSource(Source):
    """The rows of one table, in the order of their rowids."""

    def __init__(self, path: Path, table: str) -> None:
        self._path, self._table = path, table
        with self._reading() as connection:
            columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
            if not columns:
                raise SourceError(f"{path}: no table {table!r} in this file; name another one")
            self._quoted = '"{}"'.format(table.replace('"', '""'))
            try:
                connection.execute(f"SELECT rowid FROM {self._quoted} LIMIT 0")  # noqa: S608
            except sqlite3.OperationalError as error:
                what = f"table {table!r} has no rowids, which decide the order ({error}); give a table with rowids"
                raise SourceError(f"{path}: {what}") from error
            self._n_rows = int(connection.execute(f"SELECT count(*) FROM {self._quoted}").fetchone()[0])  # noqa: S608
        self._schema = pa.schema([(name, _TYPES.get(type_.upper(), pa.string())) for name, type_ in columns])

    @property
    def schema(self) -> pa.Schema:
        """The columns, as declared."""
        return self._schema

    @property
    def n_rows(self) -> int:
        """Number of rows of the table."""
        return self._n_rows

    @property
    def description(self) -> str:
        """The file and the table."""
        return f"{self._path}, table {self._table}"

    def fraction(self, cursor: Cursor) -> float:
        """Return the share of rows before `cursor`."""
        return cursor.row / self._n_rows if self._n_rows else 1.0

    def open(
        self,
        schema: pa.Schema,
        cursor: Cursor | None = None,
        decisions: Decisions | None = None,
        known: Collection[str] | None = None,
    ) -> Reader:
        """Read from a row onwards."""
        require(schema, self._schema.names, self.description)
        start, state = cursor or Cursor.start(), self._state()
        if start.state not in (None, state):
            raise CursorError(f"{self.description}: the file was changed since it was read; restore it")
        return Reader(self._read(schema, start.row, state), self.description, lambda: Cursor.start(state))

    def _read(self, schema: pa.Schema, row: int, state: dict[str, str]) -> Iterator[RecordBatchSlice]:
        names = ", ".join('"{}"'.format(name.replace('"', '""')) for name in schema.names)
        with self._reading() as connection:
            select = f"SELECT {names} FROM {self._quoted} ORDER BY rowid LIMIT -1 OFFSET ?"  # noqa: S608
            found = connection.execute(select, [row])
            while values := found.fetchmany(_BLOCK_ROWS):
                records = cast(self._records(values, schema.names, row), schema, self.description, row)
                yield RecordBatchSlice(records, partial(_locate, state, row))
                row += len(values)
        if self._state() != state:
            raise CursorError(f"{self.description}: the file was changed while it was read; start over")

    def _records(self, values: list[tuple[object, ...]], names: list[str], row: int) -> pa.RecordBatch:
        columns = []
        for name, column in zip(names, zip(*values, strict=True), strict=True):
            type_ = self._schema.field(name).type
            for i, value in enumerate(column):
                if value is not None and not _FITS[type_](value):
                    what = f"column {name!r}: expected {type_}, found {value!r}"
                    raise RowError(f"{self.description}, row {row + i}: {what}")
            is_flag = type_ == pa.bool_()
            columns.append(pa.array([bool(v) if is_flag and v is not None else v for v in column], type_))
        return pa.record_batch(columns, names=names)

    def _state(self) -> dict[str, str]:
        """Return what identifies the rows in a cursor: the SHA-256 of the file."""
        try:
            with self._path.open("rb") as file:
                return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        except OSError as error:
            raise SourceError(f"{self.description}: {error.strerror}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file, and convert errors of SQLite into an error that names it."""
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            # One thread reads ahead, and another one closes.
            with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise SourceError(f"{self._path}: {error}") from error


def _locate(state: dict[str, str], row: int, n: int) -> Cursor:
    """Return the position after n rows of a block that begins at a row."""
    return Cursor(row + n, state)


def write_sqlite(
    rows: pa.Table, path: Path, table: str = "rows", values: Sequence[dict[str, object]] | None = None
) -> str:
    """Write rows, or other values in their columns, as the only table of a file, and return the place."""
    path.unlink(missing_ok=True)
    types = {type_: name for name, type_ in _TYPES.items()}
    columns = ", ".join(f'"{field.name}" {types[field.type]}' for field in rows.schema)
    marks = ", ".join("?" * rows.num_columns)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'CREATE TABLE "{table}" ({columns})')
        lines = [tuple(row.values()) for row in values or rows.to_pylist()]
        connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', lines)  # noqa: S608
    return f"sqlite://{path}?table={table}"
