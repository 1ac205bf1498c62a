"""Stopped after every single minibatch, resumed three times in a row, whatever is read ahead."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_bp.job import reader
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.job.state import JobState
from stream_bp.preprocessing.batches import BatchPreparer, TrainingBatch
from tests.conftest import Campaign
from tests.crash.jobs import (
    CONFIGURATIONS,
    Configuration,
    comparable,
    look_often,
    newest_step,
    opened,
    remove,
    saved_bytes,
)

STOPS = "stop after every minibatch"
N_ROWS = 150
DEPTHS = (0, 1, 2, 7)


class Stopper(Observer):
    """An observer that asks its job to stop: before the first minibatch, or after it."""

    def __init__(self, is_at_once: bool = False) -> None:
        self.is_at_once, self.n_asked = is_at_once, 0

    def on_start(self, training: Any, resumed: Any) -> None:
        """Ask before anything is learned."""
        if self.is_at_once:
            self.ask()

    def on_progress(self, status: Any) -> None:
        """Ask after a minibatch."""
        if status.run_rows:
            self.ask()

    def ask(self) -> None:
        """Send the signal to the process itself: it is heeded at the next border."""
        self.n_asked += 1
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of the rows that are learned, in their order: the column n tells them."""
    numbers: list[int] = []
    prepare, learn = BatchPreparer.__call__, JobState.learn
    told: dict[int, tuple[TrainingBatch, list[int]]] = {}  # the rows that were prepared, by the place that they keep

    def prepare_noted(preparation: BatchPreparer, records: Any) -> TrainingBatch:
        prepared = prepare(preparation, records)
        told[id(prepared)] = prepared, [int(float(n)) for n in records.column("n").to_pylist()]
        return prepared

    def learn_noted(training: JobState, rows: TrainingBatch, start: int, stop: int) -> Iterator[Any]:
        before = training.rows
        yield from learn(training, rows, start, stop)
        numbers.extend(told[id(rows)][1][start : start + training.rows - before])

    monkeypatch.setattr(BatchPreparer, "__call__", prepare_noted)
    monkeypatch.setattr(JobState, "learn", learn_noted)
    return numbers


def stop_everywhere(configuration: Configuration, paths: tuple[str, ...], folder: Path, applied: list[int]) -> int:
    """Stop a job after every minibatch, resume it three times each, compare it at every stop; return how many."""
    config = configuration.config(folder / "stopped", keep_checkpoints=10_000)
    whole = folder / "whole" / "checkpoints"
    n_stops, step = 0, -1
    while True:
        stopper = Stopper()
        summary = Job(opened(paths, config), config, observer=stopper).run()
        newest = newest_step(folder / "stopped")
        name = f"step-{newest:012d}.safetensors"
        saved = folder / "stopped" / "checkpoints" / name
        if summary.stop_reason != "SIGTERM":
            return n_stops
        assert newest == summary.minibatches == step + 1 or step == -1, "it did not stop after one minibatch"
        # The last one was replaced when the undisturbed run knew its end; the comparison of the ends covers it.
        state = saved_bytes(whole / name if newest < newest_step(folder / "whole") else saved)
        assert saved_bytes(saved) == state, f"the state differs after {newest} minibatches"
        step, n_learned = newest, len(applied)
        for _ in range(2):
            again = Stopper(is_at_once=True)
            assert Job(opened(paths, config), config, observer=again).run().minibatches == newest
            assert again.n_asked == 1
        assert len(applied) == n_learned
        assert saved_bytes(saved) == state, "a resume that learned nothing changed the state"
        n_stops += 1


def expected_order(configuration: Configuration, applied: list[int]) -> list[int]:
    """Return the stream's own order, epoch after epoch; where it is shuffled, that of the undisturbed run."""
    settings = configuration.settings
    if "shuffle_window" in settings:
        assert sorted(applied) == sorted([*range(N_ROWS)] * settings.get("epochs", 1))
        return list(applied)
    return ([*range(N_ROWS)] * settings.get("epochs", 1))[: settings.get("max_rows")]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_stop_after_every_minibatch(
    tmp_path: Path, name: str, campaign: Campaign, applied: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each stop the state is that of the undisturbed run, and in the end every row was applied once, in order."""
    look_often(40, monkeypatch.setattr)
    configuration = CONFIGURATIONS[name]
    paths = configuration.write(tmp_path, N_ROWS)
    config = configuration.config(tmp_path / "whole", keep_checkpoints=10_000)
    Job(opened(paths, config), config).run()
    order = expected_order(configuration, applied)
    assert applied == order
    one = DEPTHS[list(CONFIGURATIONS).index(name) % len(DEPTHS)]
    for depth in DEPTHS if campaign.is_full else [one]:
        applied.clear()
        monkeypatch.setattr(reader, "_AHEAD", depth)
        n_stops = stop_everywhere(configuration, paths, tmp_path, applied)
        assert n_stops >= 15
        assert applied == order
        assert comparable(tmp_path / "stopped") == comparable(tmp_path / "whole")
        remove(tmp_path / "stopped")
        campaign.tell(STOPS, configurations=1, stops=n_stops, resumes=3 * n_stops, divergent=0)


def test_a_stop_shows_a_position_that_is_read_and_not_applied(
    tmp_path: Path, campaign: Campaign, applied: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: where a checkpoint takes the position of what was read, not of what was learned, rows are missed."""
    configuration = CONFIGURATIONS["parquet"]
    paths = configuration.write(tmp_path, N_ROWS)
    config = configuration.config(tmp_path / "whole", keep_checkpoints=10_000)
    Job(opened(paths, config), config).run()
    applied.clear()
    position = reader._in_order
    ahead = lambda block, epoch: lambda n: position(block, epoch)(min(n + 8, len(block)))  # noqa: E731
    monkeypatch.setattr(reader, "_in_order", ahead)
    with pytest.raises(AssertionError, match="the state differs"):
        stop_everywhere(configuration, paths, tmp_path, applied)
    campaign.tell(STOPS, wrong_positions_caught=1)
