"""What is odd about a text file: a header that looks like data or like a title, repeated headers, quotes after blanks.

All follows from the first records, whatever the size of blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from connectors.formats.csv import records
from connectors.formats.csv.dialect import DELIMITERS, WHITESPACE, Dialect
from connectors.formats.csv.header import spellings, without_headers
from connectors.formats.csv.plain_text import PlainText, plain_text
from connectors.notations.dates import guess_dates
from connectors.notations.numbers import is_number_like

__all__ = ["Looks", "data_among"]

_LOOKED_AT = 1 << 16  # bytes of the first records
_CELLS = 20  # of a column, for its kind
_MARKS = "#%!/;*"
_MANY_SIGNS = re.compile(r"""[^\w\s"']{1,8}""")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T].*)?")


class Looks:
    """Looks at the first records of a file while they are sampled.

    Parameters
    ----------
    names, header
        Its column names, and its first record.
    dialect
        Its dialect.

    Attributes
    ----------
    has_rows : bool
        Whether it has a record after the header.
    """

    def __init__(self, names: list[str], header: bytes, dialect: Dialect) -> None:
        self._names, self._header, self._dialect = names, header, dialect
        self._repeated = spellings(header, dialect)
        self._is_repeated = self.has_rows = False
        self._first: PlainText | None = None

    def add(self, text: bytes, *, is_bad: bool) -> PlainText | None:
        """Look at the next records, and return what is to be sampled of them; None for other text."""
        if is_bad:
            return None
        self.has_rows = True
        found = plain_text(text, self._dialect)
        self._first = self._first or found
        plain = without_headers(found, text, self._repeated)
        self._is_repeated |= plain is not found
        return plain.padded(len(self._names)) if self._dialect.short_rows == "pad" else plain

    def remarks(self, cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Yield one line for each surprise.

        Parameters
        ----------
        cells
            For each column, some of its distinct cells.
        """
        if self._is_repeated:
            yield "lines that repeat the header are left out"
        line = None if self._dialect.names else self._title() or self._delimiter() or self._data(cells)
        if line is not None:
            yield line
        yield from self._quotes_after_blanks(cells)

    def _data(self, cells: Mapping[str, Sequence[str]]) -> str | None:
        """Return a line if the first line looks like data."""
        data = data_among(self._names, cells)
        how = "if there is no header, name the columns with --names"
        return f"the first line looks like data, not names: {data}; {how}" if data else None

    def _delimiter(self) -> str | None:
        """Return a line if other delimiters stand in the first line than fields are split at."""
        delimiter = self._dialect.delimiter or ","
        if len(delimiter) > 1 or self._first is None:
            return None
        header = self._header.decode(errors="replace").strip("\r\n")
        first = re.split(rb"[\r\n]", self._first.text.lstrip(b"\r\n"), maxsplit=1)[0].decode(errors="replace")
        parts = header.split(delimiter)
        is_doubled = len(parts) > 2 and len(parts) % 2 and not any(parts[1::2]) and all(parts[::2])
        if is_doubled and first.count(delimiter * 2) == len(parts) // 2:
            return f"the first line has {delimiter * 2!r} between names; if this is the delimiter, set --delimiter"
        between = _MANY_SIGNS.findall(header)
        if len(parts) == 1 and between and between == _MANY_SIGNS.findall(first) and len(set(between)) == 1:
            what = f"the first line has {between[0]!r} between words"
            return f"{what}; if it is the delimiter, set --delimiter '{between[0]}'"
        n_parts = len(header.split())
        if len(parts) == 1 and n_parts > 1 and n_parts == len(first.split()):
            return f"the first line has {n_parts} words; if blanks separate fields, add --delimiter {WHITESPACE}"
        return None

    def _quotes_after_blanks(self, cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
        quote, delimiter = self._dialect.quote_byte.decode(), self._dialect.delimiter or ","
        for name, found in cells.items():
            if quote and any(re.match(rf"[ \t]+{quote}", cell) for cell in found[:_CELLS] if cell):
                what = f"column {name!r} has quotes after blanks, and keeps both"
                yield f"{what}; if a blank follows each delimiter, add --delimiter '{delimiter} '"
                return

    def _title(self) -> str | None:
        """Return a line if the first line is hardly a header: the rows have more fields than it has names."""
        if self._first is None:
            return None
        text, dialect = self._first.text, self._first.dialect
        text = text[: records.whole_records(text[:_LOOKED_AT], len(text) <= _LOOKED_AT, dialect)]
        ends = records.record_ends(text, is_last=True, dialect=dialect)
        counts = records.count_fields(text, ends, dialect).tolist()
        if len(self._names) == 1 and self._dialect.is_plain and set(counts) == {1}:
            counts = _counts_of_another(text)
        if not counts:
            return None
        n_fields = Counter(counts).most_common(1)[0][0]
        if 2 * len(self._names) > n_fields:
            return None
        n_lines = len(self._names) and 1 + counts.index(n_fields)
        first = self._header.decode(errors="replace").strip()
        what = f"the first line has {_number(len(self._names), 'field')}, and the rows have {n_fields}"
        if first[:1] and first[0] in _MARKS:
            return f"{what}; if it is a comment, add --comment '{first[0]}'"
        return f"{what}; if it is a title, add --skip-rows {n_lines}"


def data_among(names: Sequence[str], cells: Mapping[str, Sequence[str]]) -> str:
    """Return what in the first line looks like data, if it is hardly a line of names; else an empty text.

    Parameters
    ----------
    names
        The column names.
    cells
        For each column, some of its distinct cells.

    Examples
    --------
    >>> data_among(["red", "0", "yes"], {"red": ["blue", "red"], "0": ["1"], "yes": ["no", "yes"]})
    "'red' and 'yes' are cells of their columns, too"
    >>> data_among(["color", "n", "y"], {"color": ["blue"], "n": ["1"], "y": ["n", "y"]})
    ''
    >>> data_among(["5.1", "2024-03-01", "setosa"], {"5.1": ["4.9"], "2024-03-01": ["2024-03-02"], "setosa": ["x"]})
    "'5.1' and '2024-03-01' are values"
    """
    found = {name: [cell for cell in cells.get(name, ()) if cell] for name in names}
    if not any(found.values()):
        return ""
    recurring = [name for name in names if name in found[name]]
    values = [name for name in names if _is_value(name)]
    if len(values) == len(names) and not _are_running(names):
        return f"{names[0]!r} is a {'number' if is_number_like(names[0]) else 'date'}"
    if 2 * len(recurring) >= len(names) and len(recurring) >= min(2, len(names)):
        shown = " and ".join(map(repr, recurring[:2]))
        return f"{shown} {'are cells of their columns' if recurring[1:] else 'is a cell'}, too"
    typed = [name for name in names if found[name] and all(map(_is_value, found[name][:_CELLS]))] if values else []
    if typed and set(typed) <= set(values) and not _are_running(values):
        shown = " and ".join(map(repr, values[:2]))
        return f"{shown} {'are values' if values[1:] else 'is a value'}"
    return ""


def _is_value(text: str) -> bool:
    """Return whether a text is a number or a date, as names seldom are."""
    return is_number_like(text) or _DATE.fullmatch(text) is not None or bool(guess_dates([text]))


def _are_running(names: Sequence[str]) -> bool:
    """Return whether names are numbers that count columns or years: 0, 1, 2 or 2019, 2020, 2021."""
    numbers = [int(name) for name in names if name.isdecimal()]
    if len(numbers) != len(names) or len(numbers) < 2 or any(b - a != 1 for a, b in pairwise(numbers)):
        return False
    return len(numbers) > 2 or numbers[0] == 0 or 1900 <= numbers[0] < 2100


def _counts_of_another(text: bytes) -> list[int]:
    """Return the numbers of fields of the lines with the delimiter that most of them have."""
    lines = [line for line in re.split(rb"[\r\n]+", text) if line]
    counts = [[1 + line.count(delimiter.encode()) for line in lines] for delimiter in DELIMITERS]
    return max(counts, key=lambda one: sum(count > 1 for count in one))


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
