"""Stopped anywhere, killed anywhere: the job goes on to the same θ, the same metrics, the same history."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp.config.job import JobConfig
from stream_bp.errors import LockedError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.job.summary import Summary
from stream_bp.nn.optimizers import OPTIMIZERS
from tests.conftest import Campaign
from tests.crash.jobs import WRITERS, comparable, newest_step, rows, single_rows, undisturbed


def in_pieces(source: Path, run_dir: Path, every: int, **settings: Any) -> Summary:
    """Run a job that is stopped and resumed after every so many minibatches."""
    config = JobConfig.of({**settings, "run_dir": str(run_dir)})
    limit = every
    while True:
        summary = Job(open_source(source), config.model_copy(update={"max_minibatches": limit})).run()
        if summary.stop_reason != "max_minibatches":
            return Job(open_source(source), config).run()
        limit += every


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"target": "label"},
    "one row at a time": {"target": "label", "batch_size": 1, "max_rows": 700},
    "epochs": {"target": "label", "epochs": 3, "batch_size": 70},
    "shuffled": {"target": "label", "epochs": 2, "shuffle_window": 500, "batch_size": 16},
    "regression": {"target": "value", "ignore": ["label"], "lr_schedule": "warmup-cosine"},
    "clipped": {"target": "label", "clip_norm": 0.5, "weight_decay": 0.01, "dtype": "float64", "hidden_layers": [8, 8]},
    **{f"optimizer {name}": {"target": "label", "optimizer": name} for name in OPTIMIZERS},
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_job_in_pieces_is_the_whole_job(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    """θ and metrics of a run that was stopped and resumed many times are those of one that was not."""
    source = tmp_path / name
    WRITERS[name](rows(), source)
    whole = undisturbed(source, tmp_path / "whole", **settings)
    pieces = in_pieces(source, tmp_path / "pieces", 31, **settings)
    assert pieces.rows == whole.rows > 0
    assert pieces.weights_sha256 == whole.weights_sha256
    assert pieces.metrics == whole.metrics
    assert pieces.rolling == whole.rolling
    assert pieces.loss == whole.loss
    assert pieces.layers == whole.layers


class Killed(BaseException):
    """What a kill is to a job that runs in this process: nothing may catch it."""


class KilledAfter(Observer):
    """An observer that kills its job at a given look."""

    def __init__(self, n_looks: int) -> None:
        self.n_looks = n_looks

    def on_start(self, training: Any, resumed: Any) -> None:
        """Let it begin."""

    def on_progress(self, status: Any) -> None:
        """Kill at the n-th look."""
        self.n_looks -= 1
        if self.n_looks <= 0:
            raise Killed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [SETTINGS["plain"], SETTINGS["shuffled"]], ids=["plain", "shuffled"])
def test_a_chain_of_kills_leaves_the_same_bytes(tmp_path: Path, settings: dict[str, Any], seed: int) -> None:
    """Checkpoint file and history end byte for byte as in the undisturbed run, wherever the kills fall."""
    source, moments, fired = tmp_path / "rows.parquet", random.Random(seed), 0
    pq.write_table(rows(), source)
    settings = {**settings, "checkpoint_every": "7"}
    undisturbed(source, tmp_path / "whole", **settings)
    while True:
        job = Job(
            open_source(source),
            run_dir=str(tmp_path / "killed"),
            observer=KilledAfter(moments.randint(2, 6)),
            **settings,
        )
        try:
            job.run()
            break
        except Killed:
            fired += 1
    assert fired >= 3
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "whole")


def test_the_comparison_sees_one_row_learned_twice(tmp_path: Path) -> None:
    """The control: a job whose position is one minibatch behind its weights does not end in the same bytes."""
    source = tmp_path / "rows.parquet"
    pq.write_table(rows(), source)
    settings = {"target": "label", "max_minibatches": 40}
    undisturbed(source, tmp_path / "whole", target="label")
    undisturbed(source, tmp_path / "wrong", **settings)
    from stream_bp.persistence.checkpoints import Checkpointer
    from stream_bp.persistence.snapshot import Snapshot

    checkpointer = Checkpointer(tmp_path / "wrong" / "checkpoints")
    loaded = checkpointer.newest()
    assert loaded is not None
    state = json.loads(json.dumps(loaded.snapshot.state))
    state["position"]["cursor"]["row"] -= 32
    state["position"]["cursor"]["state"]["seen"][0]["offset"] -= 32
    checkpointer.save(Snapshot(loaded.snapshot.step, loaded.snapshot.tensors, state))
    Job(open_source(source), target="label", run_dir=str(tmp_path / "wrong")).run()
    assert comparable(tmp_path / "wrong")[0] != comparable(tmp_path / "whole")[0]


def as_of_an_early_build(cursor: dict[str, Any] | None, rows_of: Any) -> dict[str, Any] | None:
    """Return a cursor in the form in which the first builds wrote it: one of files alone, also of rows in memory."""
    if cursor is None:
        return None
    row, state = cursor["row"], cursor["state"]
    if state is not None and "sha256" in state:
        identity = {"name": "memory", "size": rows_of.num_rows, "mtime_ns": 0, "ctime_ns": 0, "inode": 0, "version": ""}
        known = {**identity, "offset": row, "digest": state["sha256"]}
        state = {"file": 0, "seen": [known] if row else [], "before": [{**known, "offset": rows_of.num_rows}]}
    return {"row": row, "horizon": [0, "", 0], **(state or {"file": 0, "seen": [], "before": []})}


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv.gz", "memory"])
@pytest.mark.parametrize("stop", [10, 40, 95])
def test_a_checkpoint_with_cursors_of_an_early_build_is_resumed(tmp_path: Path, name: str, stop: int) -> None:
    """Stopped within a shuffle window of the first or the second epoch, it ends in the weights that it always had."""
    from stream_bp.persistence.checkpoints import Checkpointer
    from stream_bp.persistence.snapshot import Snapshot

    table = rows(1_000)
    settings: dict[str, Any] = {"target": "label", "epochs": 2, "shuffle_window": 300, "batch_size": 16}
    if name != "memory":
        WRITERS[name](table, tmp_path / name)
    source = table if name == "memory" else tmp_path / name
    whole = Job(open_source(source), **settings).run()
    run_dir = str(tmp_path / "run")
    Job(open_source(source), run_dir=run_dir, max_minibatches=stop, **settings).run()
    checkpointer = Checkpointer(tmp_path / "run" / "checkpoints")
    loaded = checkpointer.newest()
    assert loaded is not None
    state = json.loads(json.dumps(loaded.snapshot.state))
    position = state["position"]
    for key in ("cursor", "end"):
        position[key] = as_of_an_early_build(position[key], table)
        assert position[key] is None or "state" not in position[key]
    checkpointer.save(Snapshot(loaded.snapshot.step, loaded.snapshot.tensors, state))
    resumed = Job(open_source(source), run_dir=run_dir, **settings).run()
    assert resumed.resumed_from is not None
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_many_sigkills_at_random_moments(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """A process killed again and again by the system ends as the one that was left alone."""
    n_kills = campaign.size(5, 10)
    source = tmp_path / name
    WRITERS[name](rows(20_000), source)
    settings = ["--checkpoint-every", "200", "--json"]
    whole, command = (
        [sys.executable, "-m", "stream_bp", *single_rows(source, tmp_path / run_dir, *settings)]
        for run_dir in ("whole", "killed")
    )
    undisturbed_end = subprocess.run(whole, check=True, capture_output=True, text=True)
    killed = 0
    while killed < n_kills:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        newest = newest_step(tmp_path / "killed")
        deadline = time.monotonic() + 60
        while newest_step(tmp_path / "killed") == newest and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(campaign.random.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        killed += 1
    assert killed >= 5, "the job was over before it was killed often enough"
    final = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs, ours = json.loads(undisturbed_end.stdout), json.loads(final.stdout)
    for key in ("rows", "minibatches", "loss", "metrics", "rolling", "baselines", "layers", "weights_sha256"):
        assert ours[key] == theirs[key]
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "whole")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_signal_checkpoints_and_says_so(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """SIGINT and SIGTERM end with a checkpoint at the last row learned, and their exit code."""
    source = tmp_path / "rows.parquet"
    pq.write_table(rows(50_000), source)
    command = [sys.executable, "-m", "stream_bp", *single_rows(source, tmp_path / "run", "--json")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while newest_step(tmp_path / "run") < 0:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    summary = json.loads(out)
    assert process.returncode == code
    assert summary["stop_reason"] == number.name
    assert 0 < summary["rows"] < 50_000
    assert int(Path(summary["checkpoint"]).stem.removeprefix("step-")) == summary["minibatches"]


def test_a_job_that_slips_in_before_the_lock_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a run directory and its lock another job may have used it: then nothing is touched."""
    source = tmp_path / "rows.parquet"
    pq.write_table(rows(), source)
    late = Job(open_source(source), target="label", batch_size=500, run_dir=str(tmp_path / "run"))
    look = late._find_checkpoint

    def slip_in() -> Any:
        found = look()
        undisturbed(source, tmp_path / "run", target="label")
        return found

    monkeypatch.setattr(late, "_find_checkpoint", slip_in)
    with pytest.raises(LockedError, match="run again"):
        late.run()
    undisturbed(source, tmp_path / "alone", target="label")
    assert comparable(tmp_path / "run") == comparable(tmp_path / "alone")
