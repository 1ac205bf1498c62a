"""CSV files, plain or compressed: cut at record boundaries, parsed block by block in threads, resumed at any record.

The offset in a cursor is a byte of the uncompressed text: the end of the last applied record. A file is recognised by
the SHA-256 of the text before the offset, computed during the read. So the last file may grow, during the read or
between two runs of the first pass; it is read to its present end. A single changed byte in the part that was read is
detected. The price: that text is hashed again on a resume, and at the end if the file was touched meanwhile.
"""

from __future__ import annotations

import contextlib
from contextlib import ExitStack, closing

import pyarrow as pa

from connectors.formats.base import FileFacts, FileReader, identify
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.header import parse_header, spellings
from connectors.formats.csv.parser import RecordParser
from connectors.formats.csv.remarks import Looks
from connectors.formats.csv.sample import Sample
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.text_stream import is_compressed
from connectors.formats.csv.type_inference import infer_schema
from connectors.formats.file_cursor import FileIdentity
from connectors.formats.text_reader import TextReader, compare_text, resume
from connectors.leaves import are_row_numbers
from connectors.schemas import doubtful, mark_index, wider_type
from connectors.stores.storage import DISK, Storage

__all__ = ["CsvFormat"]

_SAMPLE = 1 << 20
_FIRST_CELLS = 10_000  # in which row numbers are looked for
_UNTOLD = Dialect()


class CsvFormat:
    """Inspect CSV files and open them at a byte.

    Parameters
    ----------
    block_size
        Bytes of text read at a time, at least 16. Rows, values and cursors do not depend on it.
    dialect
        The dialect, as far as it was given; the rest is inferred from the header of each file.
    storage
        Where the files are.
    keeps_bad_rows
        Whether an unreadable record is yielded as a bad row, instead of raised as an error.
    """

    name = "CSV"
    guesses_types = is_text = True

    def __init__(
        self,
        block_size: int = 1 << 20,
        dialect: Dialect = _UNTOLD,
        storage: Storage = DISK,
        *,
        keeps_bad_rows: bool = False,
    ) -> None:
        if block_size < 16:
            raise ValueError(f"block_size must be at least 16 bytes, found {block_size}")
        self._block_size, self._dialect, self._keeps_bad_rows = block_size, dialect, keeps_bad_rows
        self._storage = storage

    def peek(self, name: str, sample: Sample | None = None) -> FileFacts:
        """Read the header, and add records to a sample while it wants more.

        Parameters
        ----------
        name
            The file.
        sample
            The sample of the stream; its types are inferred later, by `infer`. By default the types of this file alone
            are inferred.
        """
        own = Sample() if sample is None else sample
        with closing(TextFile(name, _SAMPLE, self._dialect, storage=self._storage)) as text:
            n_bytes = text.status.st_size if text.is_plain else None
            text.refuse_look("csv")
            header = text.header()
            if not header and not text.dialect.names:
                return FileFacts(name, None, n_bytes=n_bytes)
            names, same = parse_header(header, name, text.dialect)
            own.begin(names, text.dialect)
            looks = Looks(names, header, text.dialect)
            while own.wanted(names) or not looks.has_rows:
                text.skip_blank()
                records, complaint = text.records()
                if not records:
                    break
                plain = looks.add(records, is_bad=complaint is not None)
                if plain is not None and own.wanted(names):
                    own.add(plain.text, names, plain.dialect, name)
            schema = self.infer(own) if sample is None else pa.schema([(column, pa.null()) for column in names])
            first, remarks = header.split(text.dialect.delimiter_byte, 1)[0], same
            if names[0].startswith("column 1") and not first.strip(b" \t\r\n" + text.dialect.quote_byte):
                field, unnamed = _without_name(schema.field(0), own)
                remarks = [*same, *unnamed]
                schema = schema.set(0, field)
            lines = tuple(f"{name}: {line}" for line in (*remarks, *looks.remarks(own.first_cells(names, name))))
            return FileFacts(name, schema, n_bytes=n_bytes, has_rows=looks.has_rows, remarks=lines)

    def infer(self, sample: Sample) -> pa.Schema:
        """Return the columns of a sample, with their inferred types."""
        return infer_schema(sample, self._dialect)

    def merge(self, first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
        """Return the wider of two types; types are inferred, so if one file has a string, the column is a string."""
        if {first, second} == {pa.date32(), pa.timestamp("us")}:
            return pa.timestamp("us")
        merged = wider_type(first, second)
        return pa.string() if merged is None and pa.string() in (first, second) else merged

    def open(
        self,
        name: str,
        schema: pa.Schema,
        row: int,
        seen: FileIdentity | None,
        *,
        is_growing: bool = False,
        until: int | None = None,
    ) -> FileReader | None:
        """Open a file at a byte of its text; return None for a file that is being written and has no header yet."""
        if is_growing and is_compressed(name, self._storage):
            # The end of compressed text is unknown until the file is complete.
            if seen is None:
                return None
            is_growing = False  # rows were read from it, so it was complete then
        with ExitStack() as stack:
            text = TextFile(
                name, self._block_size, self._dialect, is_growing=is_growing, until=until, storage=self._storage
            )
            stack.enter_context(closing(text))
            text.refuse_look("csv")
            header = text.header()
            # The first row may tell the quote. A file of which rows were read had one.
            if is_growing and (not header or (seen is None and text.awaits_row)):
                return None
            if seen is not None:
                resume(text, name, seen)
            has_names = header or text.dialect.names
            parser = _parser(header, schema, name, text.dialect) if has_names else None
            reader = TextReader(name, self._storage, text, parser, row, keeps_bad_rows=self._keeps_bad_rows)
            stack.pop_all()
            return reader

    def head(self, name: str) -> FileIdentity | None:
        """Return the identity of the first records; None if the file has no record after the header."""
        with closing(TextFile(name, _SAMPLE, self._dialect, is_growing=True, storage=self._storage)) as text:
            text.header()
            has_rows = text.sample() != b""
            return identify(name, text.status, text.offset, text.hash.hexdigest()) if has_rows else None

    def compare(self, name: str, seen: FileIdentity, *, may_grow: bool) -> None:
        """Hash the text that was read again, and compare."""
        with closing(TextFile(name, _SAMPLE, self._dialect, storage=self._storage)) as text:
            compare_text(text, name, seen, may_grow=may_grow)


def _without_name(field: pa.Field, sample: Sample) -> tuple[pa.Field, list[str]]:
    """Return the first column, which has no name, marked as an index or as doubtful; and remarks about it.

    pandas and R write the row numbers of a data frame as such a column.
    """
    with contextlib.suppress(pa.ArrowInvalid):
        cells = sample.column(field.name).cells
        if are_row_numbers(cells.slice(0, _FIRST_CELLS).cast(pa.int64()).combine_chunks()):
            line = f"column {field.name!r} has no name and holds row numbers; it is left out unless --features names it"
            return mark_index(field), [line]
    line = f"column {field.name!r} has no name; if it holds row numbers, leave it out: --ignore {field.name!r}"
    return doubtful(field, line), []


def _parser(header: bytes, schema: pa.Schema, name: str, dialect: Dialect) -> RecordParser:
    names, _ = parse_header(header, name, dialect)
    return RecordParser(names, schema, name, dialect, spellings(header, dialect))
