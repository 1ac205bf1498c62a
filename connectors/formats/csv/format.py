"""CSV files, plain or compressed: cut at record boundaries, parsed block by block in threads, resumed at any record.

The offset in a cursor is a byte of the uncompressed text: the end of the last applied record. A file is recognised by
the SHA-256 of the text before the offset, computed during the read. So the last file may grow, during the read or
between two runs of the first pass; it is read to its present end. A single changed byte in the part that was read is
detected. The price: that text is hashed again on a resume, and at the end if the file was touched meanwhile.
"""

from __future__ import annotations

import contextlib
from contextlib import closing

import pyarrow as pa

from connectors.formats.base import FileFacts, Samples
from connectors.formats.csv.header import parse_header, spellings
from connectors.formats.csv.parser import RecordParser
from connectors.formats.csv.remarks import Looks
from connectors.formats.csv.sample import Sample
from connectors.formats.csv.text import TextFile
from connectors.formats.csv.type_inference import infer_schema
from connectors.formats.text_format import TextFormat
from connectors.leaves import are_row_numbers
from connectors.schemas import doubtful, mark_index
from connectors.suggestions import ignored

__all__ = ["CsvFormat"]

_FIRST_CELLS = 10_000  # in which row numbers are looked for


class CsvFormat(TextFormat):
    """Inspect CSV files and open them at a byte; see `TextFormat`.

    What the dialect leaves open is inferred from the header of each file.
    """

    name = "CSV"

    def peek(self, name: str, samples: Samples | None = None) -> FileFacts:
        """Read the header, and add records to a sample while it wants more.

        Parameters
        ----------
        name
            The file.
        samples
            The samples of the stream; types are inferred later, by `infer`. By default the types of this file alone are
            inferred.
        """
        own = (samples or Samples()).of(Sample)
        with closing(self._text(name)) as text:
            n_bytes = text.status.st_size if text.is_plain else None
            text.refuse_look("csv")
            header = text.header()
            if not header and not text.dialect.names:
                return FileFacts(name, None, n_bytes=n_bytes)
            names, same = parse_header(header, name, text.dialect)
            own.begin(names, text.dialect)
            looks = Looks(names, header, text.dialect)
            while own.wanted(names) or not looks.has_rows:
                start = text.offset
                text.skip_blank()
                records, complaint = text.records(own.left)
                if not records:
                    break
                plain = looks.add(records, is_bad=complaint is not None)
                if plain is not None:
                    own.add(plain.text, names, plain.dialect, name, text.offset - start)
            schema = pa.schema([(column, pa.null()) for column in names])
            if samples is None:
                schema = infer_schema(own, self._dialect)
            first, remarks = header.split(text.dialect.delimiter_byte, 1)[0], same
            if names[0].startswith("column 1") and not first.strip(b" \t\r\n" + text.dialect.quote_byte):
                field, unnamed = _without_name(schema.field(0), own)
                remarks = [*same, *unnamed]
                schema = schema.set(0, field)
            lines = tuple(f"{name}: {line}" for line in (*remarks, *looks.remarks(own.first_cells(names, name))))
            return FileFacts(name, schema, n_bytes=n_bytes, has_rows=looks.has_rows, remarks=lines)

    def infer(self, samples: Samples) -> pa.Schema:
        """Return the columns of the sample, with their inferred types."""
        return infer_schema(samples.of(Sample), self._dialect)

    def _parser(self, text: TextFile, name: str, schema: pa.Schema) -> RecordParser | None:
        text.refuse_look("csv")
        header, dialect = text.header(), text.dialect
        if not header and (text.is_growing or not dialect.names):
            return None
        names, _ = parse_header(header, name, dialect)
        return RecordParser(names, schema, name, dialect, spellings(header, dialect))

    def _skip_header(self, text: TextFile) -> None:
        text.header()


def _without_name(field: pa.Field, sample: Sample) -> tuple[pa.Field, list[str]]:
    """Return the first column, which has no name, marked as an index or as doubtful; and remarks about it.

    pandas and R write the row numbers of a data frame as such a column.
    """
    with contextlib.suppress(pa.ArrowInvalid):
        cells = sample.column(field.name).cells
        if are_row_numbers(cells.slice(0, _FIRST_CELLS).cast(pa.int64()).combine_chunks()):
            line = f"column {field.name!r} has no name and holds row numbers; it is left out unless --features names it"
            return mark_index(field), [line]
    line = f"column {field.name!r} has no name; if it holds row numbers, leave it out: {ignored(field.name)}"
    return doubtful(field, line), []
