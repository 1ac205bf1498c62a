r"""Test what every source promises: a class for authors of connectors to inherit from, run by pytest.

In a test module of your package, with pytest installed::

    class TestMine(SourceContract):
        def make(self, rows, folder):
            return open_mine(write_mine(rows, folder))

It tests these points:

1. Every row is read once, in order.
2. Blocks have exactly the requested size.
3. Stop after any minibatch, and reopen from the cursor after a JSON round trip: the rest is identical, and again from
   there.
4. Cursors work before the first read, at the end, and after the end.
5. A second epoch equals the first.
6. Minibatches may have 1 row, more rows than the source, or a size that does not divide a block.
7. A source may have no rows.
8. A place that was edited or cut off is refused.
9. The error for a bad cell names its row and column, if cells can be bad.
10. A reader may be closed twice; use after a close is an error.
11. A missing place is one `ConnectorError` that names it.
12. Readers leave no file open.

Two promises are not tested here, since their tests depend on the connector. Memory must not grow with the stream, and
bad rows must be reported as events.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors.cursor import Cursor
from connectors.errors import ConnectorError, CursorError, RowError, SourceError
from connectors.prefetching import prefetch
from connectors.rebatching import rebatch
from connectors.source import RecordBatchSlice, Source

__all__ = ["N_ROWS", "SCHEMA", "SourceContract", "blocks", "rows", "table", "through_json"]

N_ROWS = 103
_OPEN = Path("/proc/self/fd")


def table(n: int = N_ROWS) -> pa.Table:
    """Return rows of every type: numbers with nulls, words with commas, quotes and line breaks, booleans."""
    words = ["plain", 'with "quotes"', "a,b", "two\nlines", "é", "x" * 40]
    return pa.table(
        {
            "i": pa.array(range(n), pa.int64()),
            "x": pa.array([None if i % 11 == 3 else i / 8 for i in range(n)], pa.float64()),
            "word": [words[i % len(words)] for i in range(n)],
            "flag": [i % 3 == 0 for i in range(n)],
        }
    )


SCHEMA = pa.schema([("word", pa.string()), ("i", pa.int64()), ("x", pa.float64()), ("flag", pa.bool_())])


def blocks(source: Source, n_rows: int, cursor: Cursor | None = None) -> list[RecordBatchSlice]:
    """Read everything from a position onwards, in blocks of a given size."""
    with source.open(SCHEMA, cursor) as reader:
        return list(rebatch(reader, n_rows))


def rows(some: list[RecordBatchSlice]) -> list[dict[str, Any]]:
    """Return the rows of some blocks."""
    return [row for block in some for row in block.records.to_pylist()]


def through_json(cursor: Cursor) -> Cursor:
    """Return a cursor after a JSON round trip."""
    return Cursor.from_json(json.loads(json.dumps(cursor.to_json())))


class SourceContract(ABC):
    """Tests of the contract; a subclass defines how to make a source from a table."""

    @abstractmethod
    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Return a source of these rows; write its data into the folder, and replace what was made there before."""

    def change(self, rows: pa.Table, folder: Path) -> Source:
        """Return a source of other rows in the place that `make` used; by default, call `make`."""
        return self.make(rows, folder)

    def make_bad(self, folder: Path) -> Source | None:
        """Return a source of the first rows of `table`, with ``oops`` as ``i`` of the third row; None if impossible."""
        return None

    def remove(self, folder: Path) -> list[str]:
        """Remove what `make` wrote, and return its names; the error for the missing place must contain one of them.

        By default all files of the folder are removed. If there are none, the test is skipped.
        """
        found = [path for path in folder.rglob("*") if not path.is_dir()]
        for path in found:
            path.unlink()
        return [path.name for path in found]

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """Return a source of the usual rows."""
        return self.make(table(), tmp_path)

    @pytest.mark.parametrize("size", [1, 7, 16, 103, 500])
    def test_every_row_once_in_order_in_exact_blocks(self, source: Source, size: int) -> None:
        """Points 1, 2 and 6: all rows, in order, in blocks of the requested size; only the last one may be smaller."""
        some = blocks(source, size)
        assert rows(some) == table().select(SCHEMA.names).to_pylist()
        assert [len(block) for block in some[:-1]] == [size] * (len(some) - 1)
        assert all(block.records.schema.equals(SCHEMA) for block in some)

    @pytest.mark.parametrize("size", [1, 10, 32])
    def test_stopping_after_any_minibatch_changes_nothing(self, source: Source, size: int) -> None:
        """Point 3: from every minibatch boundary the rest is identical, and from the next boundary once more."""
        whole = blocks(source, size)
        for k, block in enumerate(whole):
            rest = blocks(source, size, through_json(block.cursor(len(block))))
            assert [b.records for b in rest] == [b.records for b in whole[k + 1 :]]
            if rest:
                again = blocks(source, size, through_json(rest[0].cursor(len(rest[0]))))
                assert rows(again) == rows(whole[k + 2 :])

    def test_stopping_after_any_row_changes_nothing(self, source: Source) -> None:
        """Point 3, within blocks: the cursor after every row resumes at the next one."""
        (block,) = blocks(source, N_ROWS)
        expected = rows([block])
        for n in range(N_ROWS + 1):
            cursor = block.cursor(n)
            assert cursor.row == n
            assert rows(blocks(source, 50, through_json(cursor))) == expected[n:]

    def test_cursors_at_the_ends(self, source: Source) -> None:
        """Point 4: a cursor at the start reads everything; a cursor at the end reads nothing, and stays the end."""
        assert rows(blocks(source, 10, through_json(Cursor.start()))) == rows(blocks(source, 10))
        last = blocks(source, 10)[-1]
        end = through_json(last.cursor(len(last)))
        assert blocks(source, 10, end) == []
        assert blocks(source, 10, through_json(end)) == []
        with pytest.raises(ValueError, match="no position after"):
            last.cursor(len(last) + 1)

    def test_a_cursor_is_the_same_after_json(self, source: Source) -> None:
        """Point 3: its state holds nothing that JSON changes, such as a tuple; its label and fraction stay."""
        (block,) = blocks(source, N_ROWS)
        with source.open(SCHEMA) as reader:
            for _ in reader:
                pass
            start = reader.next_pass()
        for cursor in (start, *map(block.cursor, range(N_ROWS + 1))):
            copy = through_json(cursor)
            assert copy == cursor
            assert source.label(copy) == source.label(cursor)
            assert source.fraction(copy) == source.fraction(cursor)
            assert source.compact(copy) == source.compact(cursor)
        assert "\n" not in source.label(start)

    def test_cursors_tell_whether_the_same_rows_lie_before_them(self, source: Source) -> None:
        """Point 3: a job finds the end of a shuffle window again, with another reader and after JSON."""
        (first,), (second,) = blocks(source, N_ROWS), blocks(source, N_ROWS)
        for n in range(1, N_ROWS + 1):
            assert source.same_rows_before(through_json(first.cursor(n)), second.cursor(n))
            assert not source.same_rows_before(first.cursor(n - 1), second.cursor(n))

    def test_a_second_epoch_equals_the_first(self, source: Source) -> None:
        """Point 5: a source opened again yields the same rows and cursors."""
        first, second = blocks(source, 9), blocks(source, 9)
        assert [b.records for b in first] == [b.records for b in second]
        assert [b.cursor(len(b)) for b in first] == [b.cursor(len(b)) for b in second]

    def test_another_pass_reads_the_same(self, source: Source) -> None:
        """Point 5: a second pass and a third one, from `next_pass`, read the same rows, and resume at any row."""
        with source.open(SCHEMA) as reader:
            expected = rows(list(rebatch(reader, 10)))
            cursor = reader.next_pass()
        for _ in range(2):
            with source.open(SCHEMA, through_json(cursor)) as reader:
                found = list(rebatch(reader, 10))
                again = reader.next_pass()
            assert rows(found) == expected
            assert rows(blocks(source, 10, through_json(found[3].cursor(4)))) == expected[34:]
            assert again == cursor

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        """Point 7: a source without rows has a schema, and yields no block."""
        source = self.make(table().slice(0, 0), tmp_path)
        assert blocks(source, 5) == []
        assert set(source.schema.names) == set(SCHEMA.names)

    @pytest.mark.parametrize("what", ["edited", "cut off", "edited, another pass"])
    def test_a_changed_place_is_refused(self, tmp_path: Path, what: str) -> None:
        """Point 8: if a row that was read has changed or is gone, a resumed reader raises an error."""
        source = self.make(table(), tmp_path)
        with source.open(SCHEMA) as reader:
            first, *_ = rebatch(reader, 60)
            cursor, again = first.cursor(60), reader.next_pass()
        edited = table().set_column(0, "i", pa.array([7, *range(1, N_ROWS)], pa.int64()))
        changed = self.change(table(20) if what == "cut off" else edited, tmp_path)
        with pytest.raises((CursorError, SourceError)) as caught:
            blocks(changed, 10, through_json(again if "pass" in what else cursor))
        assert "\n" not in str(caught.value)

    def test_a_bad_cell_is_named(self, tmp_path: Path) -> None:
        """Point 9: the error is one line with the row, counted from 0, and the column."""
        source = self.make_bad(tmp_path)
        if source is None:
            pytest.skip("a source of this kind has no bad cells")
        with pytest.raises(RowError, match=r"row 2\b.*'i'") as caught:
            blocks(source, 1)
        assert "\n" not in str(caught.value)

    def test_close_twice_and_use_after_close(self, source: Source) -> None:
        """Point 10: a second close does nothing; a read after it is an error that says so."""
        reader = source.open(SCHEMA)
        next(reader)
        reader.close()
        reader.close()
        with pytest.raises(ConnectorError, match="closed"):
            next(reader)

    @pytest.mark.parametrize("start", ["the start", "a cursor"])
    def test_a_place_that_is_gone_is_named(self, source: Source, tmp_path: Path, start: str) -> None:
        """Point 11: the error is one line that names the place, with and without a read before the removal."""
        cursor = through_json(blocks(source, 10)[3].cursor(4)) if start == "a cursor" else None
        names = self.remove(tmp_path)
        if not names:
            pytest.skip("a source of this kind has no place to remove")
        with pytest.raises(ConnectorError) as caught:
            blocks(source, 10, cursor)
        assert any(name in str(caught.value) for name in names)
        assert "\n" not in str(caught.value)

    def test_readers_leave_nothing_open(self, source: Source) -> None:
        """Point 12: a reader leaves no file open, read to its end or not; a few files may stay open for all readers."""
        n_open = []
        for _ in range(10):
            rows(blocks(source, 10))
            with source.open(SCHEMA) as reader:
                next(reader)
            source.open(SCHEMA).close()
            n_open.append(len(list(_OPEN.iterdir())))
        # The limit is less than one file for each round, not 0: other code in this process opens files too.
        assert n_open[9] - n_open[1] < 8

    @pytest.mark.parametrize("depth", [1, 3])
    def test_reading_ahead_changes_nothing(self, source: Source, depth: int) -> None:
        """A thread that reads ahead yields the same rows and cursors."""
        with source.open(SCHEMA) as reader:
            ahead = prefetch(rebatch(reader, 10), depth)
            some = list(ahead)
            ahead.close()
        assert [b.records for b in some] == [b.records for b in blocks(source, 10)]
        assert [b.cursor(3) for b in some] == [b.cursor(3) for b in blocks(source, 10)]

    def test_progress_goes_from_nothing_to_all(self, source: Source) -> None:
        """The fraction never falls, and ends at 1, unless it is unknown."""
        some = blocks(source, 10)
        fractions = [source.fraction(b.cursor(len(b))) for b in some]
        known = [fraction for fraction in fractions if fraction is not None]
        assert known == sorted(known)
        assert not known or known[-1] == pytest.approx(1.0)

    def test_what_is_left_becomes_nothing(self, source: Source) -> None:
        """The bytes after a cursor never grow while nothing is written, and are 0 at the end, unless unknown."""
        some = blocks(source, 10)
        left = [source.lag(b.cursor(len(b))) for b in some]
        known = [n_bytes for n_bytes in left if n_bytes is not None]
        assert known == sorted(known, reverse=True)
        assert not known or known[-1] == 0

    def test_an_absent_column_is_named(self, source: Source) -> None:
        """The error for an absent column suggests the nearest name."""
        with (
            pytest.raises(ConnectorError, match=r"wrod.*word"),
            source.open(pa.schema([("wrod", pa.string())])) as reader,
        ):
            list(reader)

    def test_numbers_are_read_as_asked(self, source: Source) -> None:
        """Integers can be read as floats: the requested schema decides."""
        with source.open(pa.schema([("i", pa.float64())])) as reader:
            values = np.concatenate([block.records["i"].to_numpy() for block in reader])
        assert values.tolist() == list(map(float, range(N_ROWS)))
