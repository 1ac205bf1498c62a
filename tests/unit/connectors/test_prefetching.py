"""Reading ahead, and the sentinels of the memory source."""

import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from connectors import MemorySource, prefetch
from connectors.memory import Crash, End, Stall


def numbers(stop: int, error: Exception | None = None) -> Iterator[int]:
    """Yield numbers, then perhaps raise."""
    yield from range(stop)
    if error is not None:
        raise error


def test_an_error_comes_after_the_items_before_it() -> None:
    """All items before an error are delivered first."""
    ahead = prefetch(numbers(5, OSError("gone")), 2)
    assert [next(ahead) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="gone"):
        next(ahead)
    assert list(ahead) == []


def test_closing_early_leaves_no_thread() -> None:
    """A consumer that stops early does not leave a thread that waits for room."""
    before = threading.active_count()
    ahead = prefetch(iter(range(10**9)), 2)
    assert next(ahead) == 0
    ahead.close()
    ahead.close()
    assert threading.active_count() == before
    assert list(ahead) == []


def test_no_more_than_the_depth_is_made_ahead() -> None:
    """The queue is bounded: an idle consumer stops the producer."""
    made: list[int] = []

    def producer() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    ahead = prefetch(producer(), 3)
    time.sleep(0.3)
    assert 3 <= len(made) <= 5
    ahead.close()


def batch(start: int, stop: int) -> pa.RecordBatch:
    """Return a batch of numbers."""
    return pa.RecordBatch.from_pydict({"i": list(range(start, stop))})


def test_a_crash_happens_once_and_an_end_ends_one_reader() -> None:
    """A source opened again at a crash or an end reads on."""
    source = MemorySource([batch(0, 3), Crash(RuntimeError("bang")), batch(3, 5), Stall(0.0), End(), batch(5, 6)])
    found: list[int] = []
    reader = source.open(source.schema)
    block = next(reader)
    with pytest.raises(RuntimeError, match="bang"):
        next(reader)
    while len(found) < 3:
        cursor = block.cursor(len(block))
        with source.open(source.schema, cursor) as reader:
            for block in reader:
                found += block.records["i"].to_pylist()
    assert found == [3, 4, 5]


def test_a_depth_of_none_needs_no_thread() -> None:
    """Items are then made on demand, and errors are raised where they happen."""
    before = threading.active_count()
    with prefetch(numbers(2, OSError("gone")), 0) as ahead:
        assert threading.active_count() == before
        assert [next(ahead), next(ahead)] == [0, 1]
        with pytest.raises(OSError, match="gone"):
            next(ahead)
    with pytest.raises(ValueError, match="at least 0"):
        prefetch(iter([1]), -1)


def test_closing_waits_for_the_item_in_hand_and_no_longer() -> None:
    """The source of the items may be closed as soon as `close` has returned."""
    is_working = threading.Event()

    def slow() -> Iterator[int]:
        for i in range(100):
            is_working.set()
            time.sleep(0.02)
            yield i

    ahead = prefetch(slow(), 1)
    assert is_working.wait(5)
    start = time.perf_counter()
    ahead.close()
    assert time.perf_counter() - start < 1
    assert next(ahead, None) is None
