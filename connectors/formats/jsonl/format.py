"""JSON lines, plain or compressed: one object on each line, read as CSV is: cut, parsed, and resumed at any record.

The cursor is that of CSV: a byte of the text, with the SHA-256 of the text before it. So a file may grow. A key that a
record lacks is null, and a key that the job does not know is ignored.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from connectors.errors import RowError
from connectors.formats.base import FileFacts, Samples
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.text import TextFile
from connectors.formats.jsonl.parser import LINES, LineParser
from connectors.formats.jsonl.type_inference import SAMPLE, LineSample
from connectors.formats.jsonl.values import BadValueError, decode
from connectors.formats.text_format import SAMPLE_BYTES, TextFormat
from connectors.stores.storage import DISK, Storage

__all__ = ["JsonLinesFormat"]

_UNTOLD = Dialect()


class JsonLinesFormat(TextFormat):
    """Inspect files of JSON lines and open them at a byte; see `TextFormat`.

    Of the dialect, the encoding and the words for missing values apply here.
    """

    name = "JSON lines"

    def __init__(
        self,
        block_size: int = 1 << 20,
        dialect: Dialect = _UNTOLD,
        storage: Storage = DISK,
        *,
        keeps_bad_rows: bool = False,
    ) -> None:
        lines = LINES if dialect.encoding is None else replace(LINES, encoding=dialect.encoding)
        super().__init__(block_size, lines, storage, keeps_bad_rows=keeps_bad_rows)
        self._null_values = dialect.null_values

    def _text(
        self, name: str, block_size: int = SAMPLE_BYTES, *, is_growing: bool = False, until: int | None = None
    ) -> TextFile:
        text = super()._text(name, block_size, is_growing=is_growing, until=until)
        try:
            text.refuse_look("jsonl")
            text.skip_mark()
        except BaseException:
            text.close()
            raise
        return text

    def peek(self, name: str, samples: Samples | None = None) -> FileFacts:
        """Infer columns and types from the first MiB of records of this file; with samples, add the records there."""
        with closing(self._text(name)) as text:
            n_bytes = text.status.st_size if text.is_plain else None
            lines = [line for line in _first_records(text).splitlines() if line.strip()]
            if not lines:
                if text.damage is not None:
                    raise text.damage
                return FileFacts(name, None, n_bytes=n_bytes)
            read = LineSample(lines)
            schema, remarks = read.columns()
        if schema is None or not schema.names:
            raise RowError(f"{name}: {_why_unreadable(lines[0])}")
        if samples is not None:
            sample = samples.of(LineSample)
            sample.add(lines, read)
            # A column that is in the sample gets its type, and the doubt about it, from there.
            schema = pa.schema([pa.field(f.name, pa.null()) if f.name in sample.names else f for f in schema])
        return FileFacts(
            name, schema, n_bytes=n_bytes, has_rows=True, remarks=tuple(f"{name}: {line}" for line in remarks)
        )

    def infer(self, samples: Samples) -> pa.Schema:
        """Return the columns of the sample, with their inferred types."""
        schema, _ = samples.of(LineSample).columns()
        return pa.schema([]) if schema is None else schema

    def _parser(self, text: TextFile, name: str, schema: pa.Schema) -> LineParser:
        return LineParser(schema, name, self._null_values, lambda: self._columns(name))

    def _skip_header(self, text: TextFile) -> None:
        pass  # there is none

    def _is_begun(self, name: str) -> bool:
        return self.head(name) is not None

    def _columns(self, name: str) -> list[str]:
        schema = self.peek(name).schema
        return [] if schema is None else schema.names


def _first_records(text: TextFile) -> bytes:
    """Return the records of the first MiB."""
    found = b""
    while (left := SAMPLE - len(found)) > 0:
        records, complaint = text.records(left)
        if not records or complaint is not None:
            break
        found += records
    return found


def _why_unreadable(line: bytes) -> str:
    """Return why there are no columns; `line` is the first record."""
    try:
        decode(line)
    except BadValueError as error:
        return f"the first record: {error.args[1]}; expected one JSON object on each line; for CSV give --format csv"
    return "its records have no columns that can be read"
