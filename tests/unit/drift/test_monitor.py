"""Drift of the error and of features: found where it is, not where it is not, and in the checkpoint."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from stream_bp import Job, Learner
from stream_bp._state import StateDict
from stream_bp.drift.detectors import DETECTORS
from stream_bp.drift.error import MOST_VALUES, ErrorDrift
from stream_bp.drift.features import DRIFTED, FeatureDrift
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.nn.scaler import Scaler
from stream_bp.persistence.checkpoints import load

HALF = 20_000


def errors(n: int, share: float, seed: int = 0) -> np.ndarray:
    """Return errors of classes."""
    return (np.random.default_rng(seed).random(n) < share).astype(float)


def stream(n: int = 2 * HALF, seed: int = 0) -> pa.Table:
    """Return rows whose classes are exchanged in the middle, where one feature moves, and a category grows rarer."""
    random = np.random.default_rng(seed)
    late = np.arange(n) >= n // 2
    x, z = random.normal(size=(2, n))
    kind = np.where(random.random(n) < np.where(late, 0.1, 0.5), "a", "b")
    labels = np.where((x > 0) ^ late, "yes", "no")
    return pa.table({"x": x, "z": z + 2 * late, "kind": kind, "label": labels, "value": np.where(late, 3, 1) * x})


def learn(table: pa.Table, run_dir: Path | None = None, **settings: Any) -> Any:
    """Learn rows, and return the summary."""
    usual = {"target": "label", "ignore": ["value"], "batch_size": 16, "run_dir": run_dir and str(run_dir)}
    return Job(open_source(table), **{**usual, **settings}).run()


def lines(path: Path) -> list[dict[str, str]]:
    """Return a journal."""
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("detector", ["adwin", "page-hinkley"])
def test_an_error_that_grows_is_found_soon(detector: str) -> None:
    """From 10 % to 30 %, within 2,048 rows, once; and nothing is found where nothing changes."""
    drift = ErrorDrift(detector, is_bounded=True)
    assert drift.update(errors(HALF, 0.1), 0) == []
    (row, before, now), *more = drift.update(errors(HALF, 0.3, seed=1), HALF)
    assert not more or detector == "page-hinkley"  # which sees a change in every long enough walk
    assert HALF < row <= HALF + 2048
    assert before == pytest.approx(0.1, abs=0.02)
    assert now > before
    assert drift.count == 1 + len(more)
    assert drift.last_row == (more[-1][0] if more else row)


def test_an_error_that_falls_is_no_drift() -> None:
    """What becomes better is not told; what is worse than that later is."""
    drift = ErrorDrift("adwin", is_bounded=True)
    assert drift.update(np.concatenate([errors(HALF, 0.4), errors(HALF, 0.1)]), 0) == []
    assert len(drift.update(errors(HALF, 0.4), 2 * HALF)) == 1


def test_adwin_is_that_of_river() -> None:
    """Told value by value, ours says what River's does."""
    from river.drift import ADWIN

    theirs, ours = ADWIN(), DETECTORS["adwin"](32)
    values = np.concatenate([errors(3000, share, seed) for seed, share in enumerate((0.1, 0.3, 0.05, 0.5))]).tolist()
    found = []
    for value in values:
        theirs.update(value)
        found.append(ours.feed([value]))
        assert found[-1] == theirs.drift_detected
    assert sum(found) == 3


def test_the_error_of_values_is_watched_in_their_own_unit() -> None:
    """Ten times as far off is found whatever the unit is, and is told in it."""
    distances = np.abs(np.random.default_rng(0).normal(size=2 * HALF))
    distances[HALF:] *= 10
    found = []
    for unit in (1.0, 1e-6):
        drift = ErrorDrift("adwin", is_bounded=False)
        ((row, before, now),) = drift.update(unit * distances, 0)
        assert 0.5 * unit < before < unit  # as a rule they are 0.8 off
        assert now > before
        found.append(row)
    assert found[0] == found[1] < HALF + 2048


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("is_bounded", [True, False])
def test_cuts_and_resumes_of_errors_show_nowhere(detector: str, is_bounded: bool) -> None:
    """Told in pieces of any size, saved and restored between them, with gaps: the same is found."""
    n = 4_000 if detector == "kswin" else 30_000
    random = np.random.default_rng(3)
    told = np.concatenate([errors(n, 0.1), errors(n, 0.3, 1)]) * (1 if is_bounded else random.random(2 * n))
    told[random.random(2 * n) < 0.05] = np.nan
    whole = ErrorDrift(detector, is_bounded=is_bounded)
    expected = whole.update(told, 0)
    drift, found, start = ErrorDrift(detector, is_bounded=is_bounded), [], 0
    while start < len(told):
        n_rows = int(random.integers(1, 3_000))
        found += drift.update(told[start : start + n_rows], start)
        start += n_rows
        state = drift.state_dict()
        drift = ErrorDrift(detector, is_bounded=is_bounded)
        drift.load_state_dict(StateDict(state.arrays, json.loads(json.dumps(state.values))))
    assert found == expected
    assert len(expected) > 0
    for one, other in zip(drift.state_dict().arrays.values(), whole.state_dict().arrays.values(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_memory_of_errors_is_bounded() -> None:
    """However many rows there are, the state stays small, and a change is found with it."""
    drift = ErrorDrift("adwin", is_bounded=True)
    random = np.random.default_rng(0)
    sizes = []
    for start in range(0, 12_000_000, 500_000):
        assert drift.update((random.random(500_000) < 0.1).astype(float), start) == []
        sizes.append(sum(array.nbytes for array in drift.state_dict().arrays.values()))
    assert max(sizes) < 8 * (MOST_VALUES + 1024)
    assert drift.state_dict().values["span"] == 1024
    assert drift.update((random.random(500_000) < 0.12).astype(float), 12_000_000)


def test_a_watch_that_kept_the_errors_of_a_whole_group_goes_on() -> None:
    """Some checkpoints hold errors, too, whose values are complete."""
    told = np.concatenate([errors(HALF, 0.1), errors(HALF, 0.3, seed=1)])
    drift = ErrorDrift("adwin", is_bounded=True)
    drift.update(told[:HALF], 0)
    state = drift.state_dict()
    arrays = state.arrays
    n_whole = len(arrays["values"]) // 32 * 32
    n_rows = (len(arrays["values"]) - n_whole) * 32 + len(arrays["pending"])
    assert n_rows > 32
    older = ErrorDrift("adwin", is_bounded=True)
    kept = {"values": arrays["values"][:n_whole], "pending": told[HALF - n_rows : HALF]}
    older.load_state_dict(StateDict(kept, state.values))
    assert older.rows_left == drift.rows_left
    assert older.update(told[HALF:], HALF) == drift.update(told[HALF:], HALF) != []


@pytest.mark.parametrize(
    "lie",
    [
        {"span": 33},
        {"span": 2048},
        {"scale": -1.0},
        {"scale": None},
        {"values": np.full(MOST_VALUES, 1.0)},
        {"values": np.full(32, np.nan)},
        {"pending": np.zeros(1024)},
        {"pending": np.zeros((2, 2))},
    ],
)
def test_a_watch_that_no_job_saves_is_refused(lie: dict[str, Any]) -> None:
    """One error, before anything is watched by it."""
    drift = ErrorDrift("adwin", is_bounded=True)
    drift.update(errors(5_000, 0.1), 0)
    state = drift.state_dict()
    with pytest.raises(CheckpointError, match="the state of the error drift"):
        drift.load_state_dict(
            StateDict(
                {name: lie.get(name, array) for name, array in state.arrays.items()},
                {name: lie.get(name, value) for name, value in state.values.items()},
            )
        )


def test_a_feature_that_moves_is_found_and_settles() -> None:
    """By half a deviation and more; what stays as it is, and what is constant, is not found."""
    random = np.random.default_rng(0)
    scaler, drift = Scaler(3), FeatureDrift(["still", "moving", "constant"], [])
    found = []
    for window in range(40):
        x = random.normal(size=(3, 1000))
        x[1] += 2 * (window >= 20)
        x[2] = 7
        _, moments = scaler.observe(x[:, None])
        found.append(drift.look(1000 * (window + 1), moments, 1))
        assert drift.psi.get("still", 0) < 0.05
        assert drift.psi.get("constant", 0) < 0.01
    assert found[20] == (["moving"], [])
    assert [window for window, (_, settled) in enumerate(found) if settled] == [
        next(window for window in range(21, 40) if found[window][1])
    ]
    assert drift.drifted == {}


def test_a_constant_that_changes_has_drifted() -> None:
    """Though there is no deviation to measure by."""
    scaler, drift = Scaler(1), FeatureDrift(["x"], [])
    for window in range(3):
        _, moments = scaler.observe(np.full((1, 1, 1000), float(window == 2)))
        drifted, _ = drift.look(1000 * (window + 1), moments, 1)
    assert drifted == ["x"]
    assert DRIFTED < drift.psi["x"] <= 10


def test_gaps_are_part_of_a_distribution() -> None:
    """A feature that begins to be missing has drifted, though what is there is as before."""
    random = np.random.default_rng(0)
    scaler, drift = Scaler(1), FeatureDrift(["x"], [])
    for window in range(3):
        x = random.normal(size=(1, 1, 1000))
        x[random.random(x.shape) < 0.4 * (window == 2)] = np.nan
        _, moments = scaler.observe(x)
        drifted, _ = drift.look(1000 * (window + 1), moments, 1)
    assert drifted == ["x"]


def test_many_categories_are_no_drift() -> None:
    """Of 800 categories a window of 1000 rows shows no two alike: chance alone is taken off."""
    random = np.random.default_rng(0)
    drift = FeatureDrift([], ["kind", "other"])
    for window in range(20):
        moved = random.integers(0, 800 if window < 19 else 100, 1000)
        drift.count([random.integers(0, 800, 1000), moved])
        drifted, _ = drift.look(1000 * (window + 1), None, 0)
    assert drifted == ["other"]


def test_a_job_tells_of_drift(tmp_path: Path) -> None:
    """In the events, and how far features moved in a journal; the rows are those of the change."""
    learn(stream(), tmp_path / "run")
    events = lines(tmp_path / "run" / "events.csv")
    errors_grown = [event for event in events if event["event"] == "error_drift"]
    assert [HALF < int(event["row"]) <= HALF + 1024 for event in errors_grown] == [True]
    assert [(event["subject"], float(event["before"]) < float(event["after"])) for event in errors_grown] == [
        ("error", True)
    ]
    moved = [event for event in events if event["event"] == "feature_drift"]
    assert {event["subject"] for event in moved} == {"z", "kind"}
    assert all(HALF < int(event["row"]) <= HALF + 2000 and float(event["after"]) >= 0.25 for event in moved)
    journal = lines(tmp_path / "run" / "feature_drift.csv")
    assert {line["feature"] for line in journal} == {"z", "kind"}
    assert all(int(line["row"]) > HALF and float(line["psi"]) >= 0.1 for line in journal)


def test_nothing_is_watched_where_that_is_asked_for(tmp_path: Path) -> None:
    """No event, no journal; what is learned is the same."""
    watched, unwatched = learn(stream(), tmp_path / "a"), learn(stream(), tmp_path / "b", drift_detector="none")
    assert not (tmp_path / "b" / "events.csv").exists()
    assert not (tmp_path / "b" / "feature_drift.csv").exists()
    assert watched.weights_sha256 == unwatched.weights_sha256


@pytest.mark.parametrize("how", ["boost-learning-rate", "reset-optimizer", "reset-head"])
def test_a_reaction_changes_what_is_learned_from_then_on(how: str, tmp_path: Path) -> None:
    """The history is the same up to the drift, and another one behind it."""
    settings = {"optimizer": "momentum"}
    learn(stream(), tmp_path / "none", **settings)
    learn(stream(), tmp_path / how, on_drift=how, **settings)
    plain, changed = (lines(tmp_path / name / "history.csv") for name in ("none", how))
    (row,) = [int(e["row"]) for e in lines(tmp_path / how / "events.csv") if e["event"] == "error_drift"]
    for one, other in zip(plain, changed, strict=True):
        assert (one == other) == (int(one["rows"]) <= row)


def test_a_reaction_that_nothing_calls_for_is_refused() -> None:
    """It needs a detector, and a network."""
    with pytest.raises(ConfigError, match="on_drift needs a detector"):
        learn(stream(100), drift_detector="none", on_drift="reset-head")
    from river.linear_model import LogisticRegression

    with pytest.raises(ConfigError, match="on_drift is a setting of the network"):
        Job(open_source(stream(100)), target="label", on_drift="reset-head", model=LogisticRegression()).run()


def test_a_boost_fades() -> None:
    """Four times the rate at first, half of that more in the middle, and none in the end."""
    learner = Learner(2, 1, output="identity", learning_rate=0.01)
    X, Y = np.ones((2, 1)), np.ones((1, 1))
    learner.learn(X, Y)
    learner.boost_learning_rate()
    rates = []
    for _ in range(1001):
        rates.append(learner.learning_rate)
        learner.learn(X, Y)
    assert (rates[0], rates[500], rates[1000]) == pytest.approx((0.04, 0.025, 0.01))


def test_an_optimiser_that_was_reset_begins_as_a_new_one() -> None:
    """Its next step is the first of one that has the same weights, the correction for its start included."""
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(2, 3, 8)), random.normal(size=(2, 1, 8))
    old = Learner(3, 1, output="identity", optimizer="adam", hidden_layers=(4,))
    for _ in range(50):
        old.learn(X[0], Y[0])
    old.reset_optimizer()
    new = Learner(3, 1, output="identity", optimizer="adam", hidden_layers=(4,))
    new.theta[:] = old.theta
    old.learn(X[1], Y[1])
    new.learn(X[1], Y[1])
    assert old.theta.tobytes() == new.theta.tobytes()


def test_a_head_that_was_reset_says_nothing_yet() -> None:
    """Every class is as likely; the layers below are as they were."""
    table = stream(4000)
    learner = Learner(2, 2, hidden_layers=(4,))
    X = np.stack([table["x"].to_numpy(), table["z"].to_numpy()])
    Y = np.stack([X[0] > 0, X[0] <= 0]).astype(float)
    learner.learn(X, Y)
    below = learner.W[0].copy()
    learner.reset_head()
    assert (learner.predict(X) == 0.5).all()
    assert (learner.W[0] == below).all()


def test_older_checkpoints_go_on_watched(tmp_path: Path) -> None:
    """One without a watch begins to watch where it goes on."""
    learn(stream(), tmp_path / "run", drift_detector="none", max_rows=HALF)
    loaded = load(tmp_path / "run")
    assert loaded.snapshot.state["drift"] is None
    assert not [name for name in loaded.snapshot.tensors if name.startswith("drift.")]


def test_events_of_files_and_of_drift_stand_in_the_order_of_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the stretches are in which a job learns: a column that vanishes is a drift in the same one."""
    table = stream(8_000)
    folder = tmp_path / "rows"
    folder.mkdir()
    pq.write_table(table.slice(0, 3_100), folder / "1.parquet")
    pq.write_table(table.slice(3_100).drop_columns(["z"]), folder / "2.parquet")
    found = []
    for seconds in (0.0, 10.0):
        monkeypatch.setattr("stream_bp.job.triggers._GLANCE_S", seconds)
        run_dir = tmp_path / f"run {seconds}"
        Job(open_source(folder), target="label", ignore=["value"], batch_size=8, run_dir=str(run_dir)).run()
        found.append((run_dir / "events.csv").read_bytes())
    assert found[0] == found[1]
    events = [(event["event"], int(event["row"])) for event in lines(tmp_path / "run 0.0" / "events.csv")]
    assert ("columns_missing", 3_100) in events
    assert [event for event, row in events if row > 3_100][:1] == ["feature_drift"]
    assert [row for _, row in events] == sorted(row for _, row in events)


def test_a_wild_value_is_not_remembered_for_ever() -> None:
    """Ten windows later the feature is compared with what it is, and a shift of it is found again."""
    random = np.random.default_rng(0)
    scaler, drift = Scaler(1), FeatureDrift(["x"], [])
    found = []
    for window in range(30):
        x = random.normal(size=(1, 1, 1000)) + 3 * (window >= 25)
        x[0, 0, 50] = 1e6 if window == 0 else x[0, 0, 50]
        _, moments = scaler.observe(x)
        found.append(drift.look(1000 * (window + 1), moments, 1))
    assert [window for window, (drifted, _) in enumerate(found) if drifted] == [1, 25]
    assert [window for window, (_, settled) in enumerate(found) if settled] == [11]


def test_a_column_that_comes_later_has_not_drifted() -> None:
    """There is nothing that it was before."""
    random = np.random.default_rng(0)
    scaler, drift = Scaler(1), FeatureDrift(["x"], [])
    for window in range(6):
        if window == 3:
            scaler.grow(1)
            drift.grow(["x", "late"], ["word"])
        _, moments = scaler.observe(random.normal(size=(1 + (window >= 3), 1, 1000)))
        drift.count([random.integers(0, 3, 1000)] if window >= 3 else [])
        assert drift.look(1000 * (window + 1), moments, 1) == ([], [])
    assert drift.psi.keys() == {"x", "late", "word"}


@pytest.mark.parametrize(
    "lie",
    [
        {"begun": -1},
        {"begun": 10**30},
        {"psi": [["nothing", 0.1]]},
        {"psi": [["x", float("nan")]]},
        {"drifted": [["x", -5, 1]]},
        {"drifted": [["y", 5, 1]]},
        {"sums": np.full((3, 1), -1.0)},
        {"reference": np.full((3, 1), 1e308)},
        {"rows": np.full(1, np.nan)},
        {"references.0": np.full(2, -1.0)},
        {"counts.0": np.zeros((2, 2))},
    ],
)
def test_a_watch_over_features_that_no_job_saves_is_refused(lie: dict[str, Any]) -> None:
    """One error, before anything is watched by it."""
    drift = FeatureDrift(["x"], ["kind"])
    state = drift.state_dict()
    drift.load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"the state of the .*drift"):
        drift.load_state_dict(
            StateDict(
                {name: lie.get(name, array) for name, array in state.arrays.items()},
                {name: lie.get(name, value) for name, value in state.values.items()},
            )
        )
