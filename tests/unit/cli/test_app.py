"""The command line with wrong input: one line that names the thing, the exit code, and nothing on disk touched."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "stream_bp", *arguments]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with good rows, and bad ones of several kinds."""
    x = np.arange(300.0)
    good = {"x": x, "y": x % 7, "label": ["a" if i % 3 else "b" for i in range(300)]}
    pq.write_table(pa.table(good), tmp_path / "rows.parquet")
    pq.write_table(pa.table({**good, "label": ["a"] * 300}), tmp_path / "one.parquet")
    pq.write_table(pa.table({**good, "odd": [b"\0"] * 300}), tmp_path / "odd.parquet")
    pq.write_table(pa.table(good).slice(0, 0), tmp_path / "none.parquet")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("x,label\n")
    (tmp_path / "word.csv").write_text("x,label\n1,a\n2,b\n" + "3,a\n" * 300_000 + "oops,b\n")
    (tmp_path / "job.toml").write_text('target = "label"\nbatch-sise = 4\n')
    (tmp_path / "number.toml").write_text('target = "label"\nsource = 3\n')
    (tmp_path / "foreign.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0" + b'{"W":{}}        ')
    (tmp_path / "text.xyz").write_text("hello")
    return tmp_path


CASES = {
    "target absent": (
        ["rows.parquet", "--target", "lable"],
        2,
        "target column 'lable' is not in the source; did you mean 'label'?",
    ),
    "no target": (["rows.parquet"], 2, "no target"),
    "no source": (["--target", "label"], 2, "no source"),
    "missing file": (["row.parquet", "--target", "label"], 1, "rows.parquet"),
    "unknown kind": (["text.xyz", "--target", "label"], 1, "give --format csv"),
    "empty file": (["empty.csv", "--target", "label"], 1, "empty"),
    "header only": (["header.csv", "--target", "label"], 1, "no rows"),
    "zero rows": (["none.parquet", "--target", "label"], 1, "no rows"),
    "one class": (["one.parquet", "--target", "label"], 1, "only the class 'a'"),
    "odd feature": (["odd.parquet", "--target", "label"], 1, "feature column 'odd' is of type binary"),
    "feature absent": (["rows.parquet", "--target", "label", "--features", "z"], 2, "feature column 'z' is not"),
    "words as values": (["rows.parquet", "--target", "label", "--task", "regression"], 1, "not a number"),
    "feature twice": (["rows.parquet", "--target", "label", "--features", "x", "--features", "x"], 2, "given twice"),
    "huge layer": (["rows.parquet", "--target", "label", "--hidden-layers", "9" * 20], 2, "--hidden-layers: "),
    "source of a number": (["--config", "number.toml"], 2, "number.toml, line 2: source: "),
    "a scheme": (["ftp://host/rows.parquet", "--target", "label"], 1, "scheme 'ftp' is not supported"),
    "hidden of 0": (["rows.parquet", "--target", "label", "--hidden-layers", "8,0"], 2, "--hidden-layers: "),
    "unknown key": (
        ["rows.parquet", "--config", "job.toml"],
        2,
        "job.toml, line 2: batch-sise: unknown setting; did you mean 'batch-size'?",
    ),
    "unknown choice": (["rows.parquet", "--target", "label", "--optimizer", "addam"], 2, "did you mean 'adam'?"),
    "bad interval": (["rows.parquet", "--target", "label", "--checkpoint-every", "often"], 2, "--checkpoint-every: "),
    "no encoding": (
        ["rows.parquet", "--target", "label", "--encoding", "nope"],
        2,
        "encoding: 'nope' is not a text",
    ),
    "no decimal mark": (["rows.parquet", "--target", "label", "--decimal", "x"], 2, "decimal: expected . or ,"),
    "a decimal mark twice": (
        ["rows.parquet", "--target", "label", "--decimal", ",", "--delimiter", ","],
        2,
        "decimal: ',' is the delimiter already",
    ),
    "no delimiter": (["rows.parquet", "--target", "label", "--delimiter", "é"], 2, "delimiter: expected 1 to 8 ASCII"),
    "batch of 0": (["rows.parquet", "--target", "label", "--batch-size", "0"], 2, "--batch-size: "),
    "contradiction": (
        ["rows.parquet", "--target", "label", "--task", "regression", "--output", "softmax"],
        2,
        "does not fit",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "words"), CASES.values(), ids=CASES)
def test_wrong_input_is_one_line_and_touches_nothing(place: Path, arguments: list[str], code: int, words: str) -> None:
    """The line names the thing and the way out; no run directory appears."""
    before = sorted(place.iterdir())
    done = run("train", *arguments, "--run-dir", "run", cwd=place)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout == ""
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("command", ["inspect", "evaluate", "predict"])
@pytest.mark.parametrize("name", ["foreign.safetensors", "text.xyz", "nowhere", "."])
def test_what_is_no_checkpoint_is_refused(place: Path, command: str, name: str) -> None:
    """A foreign file, a text, a path that is not there, a folder without one: exit 3, one line."""
    rest = {"inspect": [], "evaluate": ["rows.parquet"], "predict": ["rows.parquet", "--output", "p.csv"]}[command]
    done = run(command, name, *rest, cwd=place)
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "p.csv").exists()


def test_another_job_is_refused_and_fresh_starts_over(place: Path) -> None:
    """A run directory of another job names the difference; --restart learns the new one."""
    train = ["train", "rows.parquet", "--target", "label", "--run-dir", "run", "--json"]
    first = json.loads(run(*train, cwd=place).stdout)
    other = run(*train, "--hidden-layers", "8", cwd=place)
    assert other.returncode == 3
    assert "hidden_layers is 8 here and 64 there" in other.stderr
    again = json.loads(run(*train, cwd=place).stdout)
    assert (again["weights_sha256"], again["rows"]) == (first["weights_sha256"], 300)
    fresh = json.loads(run(*train, "--hidden-layers", "8", "--restart", cwd=place).stdout)
    assert fresh["weights_sha256"] != first["weights_sha256"]
    assert fresh["resumed_from"] is None


@pytest.mark.parametrize("change", ["vanish", "replace"])
def test_a_source_that_changed_between_runs_is_refused(place: Path, change: str) -> None:
    """A file that is gone is exit 1 or 2 by name; another one in its place too; the checkpoints stay."""
    train = ["train", "rows.parquet", "--target", "label", "--run-dir", "run", "--json"]
    run(*train, "--max-minibatches", "3", cwd=place)
    before = sorted(path.read_bytes() for path in (place / "run" / "checkpoints").iterdir())
    (place / "rows.parquet").unlink()
    if change == "replace":
        pq.write_table(
            pa.table({"x": [1.0] * 300, "y": [1.0] * 300, "label": ["a", "b"] * 150}), place / "rows.parquet"
        )
    done = run(*train, cwd=place)
    assert done.returncode == 1
    assert "rows.parquet" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.read_bytes() for path in (place / "run" / "checkpoints").iterdir()) == before


def test_a_damaged_newest_checkpoint_is_passed_over_aloud(place: Path) -> None:
    """One flipped bit: the job goes on from the one before, says so, and ends the same; if all are damaged, exit 3."""
    train = ["train", "rows.parquet", "--target", "label", "--checkpoint-every", "2", "--run-dir", "run", "--json"]
    whole = json.loads(run(*train, cwd=place).stdout)
    files = sorted((place / "run" / "checkpoints").iterdir())
    flip(files[-1])
    done = run(*train, cwd=place)
    assert done.returncode == 0
    assert "skipped damaged checkpoint" in done.stderr
    assert json.loads(done.stdout)["weights_sha256"] == whole["weights_sha256"]
    for path in (place / "run" / "checkpoints").iterdir():
        flip(path)
    assert run(*train, cwd=place).returncode == 3


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_bad_row_loses_nothing_that_was_learned(place: Path) -> None:
    """A word in a number column names file, row, column and value; what was learned before it is in a checkpoint."""
    done = run("train", "word.csv", "--target", "label", "--run-dir", "run", "--batch-size", "256", cwd=place)
    assert done.returncode == 1
    assert "word.csv, row 300002" in done.stderr
    assert "'x'" in done.stderr
    assert "'oops'" in done.stderr
    rows = json.loads(run("inspect", "run", "--json", cwd=place).stdout)["rows"]
    assert rows == 300_002 // 256 * 256
    # What was mended goes on as if it had never been otherwise.
    (place / "word.csv").write_text((place / "word.csv").read_text().replace("oops", "4.00"))
    again = run(
        "train", "word.csv", "--target", "label", "--run-dir", "run", "--batch-size", "256", "--json", cwd=place
    )
    whole = run("train", "word.csv", "--target", "label", "--batch-size", "256", "--json", cwd=place)
    theta = [json.loads(done.stdout)["weights_sha256"] for done in (again, whole)]
    assert theta[0] == theta[1]


def test_divergence_is_exit_4_and_keeps_the_last_good_checkpoint(place: Path) -> None:
    """The line names step and row; the newest checkpoint has finite weights."""
    arguments = ["rows.parquet", "--target", "x", "--task", "regression", "--ignore", "label", "--run-dir", "run"]
    rate = ["--activation", "identity", "--learning-rate", "3", "--checkpoint-every", "1", "--batch-size", "4"]
    done = run("train", *arguments, *rate, cwd=place)
    assert done.returncode == 4, done.stderr
    assert "not finite at step" in done.stderr or "not finite after step" in done.stderr
    layers = json.loads(run("inspect", "run", "--json", cwd=place).stdout)["layers"]
    assert all(np.isfinite(layer["norm"]) for layer in layers)


def test_a_second_writer_is_locked_out(place: Path) -> None:
    """While one process holds the run directory, another exits with 5."""
    from stream_bp.persistence.run_directory import RunDirectory

    with RunDirectory(place / "run"):
        done = run("train", "rows.parquet", "--target", "label", "--run-dir", "run", cwd=place)
    assert done.returncode == 5
    assert "is in use by stream-bp, process" in done.stderr


def test_several_targets(place: Path) -> None:
    """Several labels take a sigmoid each; several values are reported each in their own units."""
    n = 600
    x = np.random.default_rng(0).normal(size=n)
    table = pa.table({"x": x, "a": x > 0, "b": x > 1, "u": 5 * x, "v": 100 - x})
    pq.write_table(table, place / "many.parquet")
    train = ["train", "many.parquet", "--batch-size", "1", "--json"]
    labels = json.loads(run(*train, "--target", "a", "--target", "b", "--features", "x", cwd=place).stdout)
    assert list(labels["targets"]) == ["a", "b"]
    assert min(target["accuracy"] for target in labels["targets"].values()) > 0.85
    values = json.loads(run(*train, "--target", "u", "--target", "v", "--features", "x", cwd=place).stdout)
    assert values["task"] == "regression"
    assert all(target["mae"] < 2 for target in values["targets"].values())


def test_predictions_are_written_whole_or_not_at_all(place: Path) -> None:
    """Parquet and CSV hold label and probabilities for every row; an unknown extension leaves nothing."""
    run("train", "rows.parquet", "--target", "label", "--run-dir", "run", cwd=place)
    assert run("predict", "run", "rows.parquet", "--output", "p.parquet", cwd=place).returncode == 0
    table = pq.read_table(place / "p.parquet")
    assert table.column_names == ["label", "label=b", "label=a"]
    assert table.num_rows == 300
    np.testing.assert_allclose(np.array(table["label=a"]) + np.array(table["label=b"]), 1, rtol=1e-5)
    assert run("predict", "run", "rows.parquet", "--output", "p.xlsx", cwd=place).returncode == 1
    assert run("predict", "run", "rows.parquet", "--output", "rows.parquet", cwd=place).returncode == 2
    assert not list(place.glob("*.tmp"))


def test_the_configuration_file_and_a_flag_that_wins(place: Path) -> None:
    """Keys are flags, with - or _; the source can be one of them."""
    (place / "good.toml").write_text('source = "rows.parquet"\ntarget = "label"\nbatch-size = 4\nhidden = [8, 4]\n')
    summary = json.loads(run("train", "--config", "good.toml", "--batch-size", "10", "--json", cwd=place).stdout)
    assert summary["minibatches"] == 30
    assert len(summary["layers"]) == 3


def test_a_regression_learns_with_its_defaults_and_in_its_units(place: Path) -> None:
    """Far from zero, with no setting given: better than the mean at batch size 1 and at the default."""
    random = np.random.default_rng(3)
    X = random.normal(size=(4, 4000))
    table = pa.table({**{f"x{i}": x for i, x in enumerate(X)}, "y": 1000 + 30 * X[0] + 10 * X[1] * X[2]})
    pq.write_table(table, place / "values.parquet")
    for options in ([], ["--batch-size", "1"]):
        summary = json.loads(run("train", "values.parquet", "--target", "y", *options, "--json", cwd=place).stdout)
        assert summary["task"] == "regression"
        assert summary["metrics"]["mae"] < 0.6 * summary["baselines"]["mean"]["mae"]
        assert summary["metrics"]["r2"] > 0.5


@pytest.mark.parametrize(
    ("options", "reason", "rows"),
    [
        (["--max-rows", "100"], "max_rows", 104),
        (["--max-minibatches", "7"], "max_minibatches", 56),
        (["--stop-loss", "100"], "stop_loss", 1000),
        (["--stop-delta", "100"], "stop_delta", 2000),
        (["--epochs", "2"], "end_of_stream", 6000),
    ],
)
def test_stop_rules(place: Path, options: list[str], reason: str, rows: int) -> None:
    """Each rule stops where it says, at a minibatch border, and the run stays stopped when it is asked again."""
    x = np.arange(3000.0)
    pq.write_table(pa.table({"x": x % 13, "label": (x % 13 > 5).tolist()}), place / "long.parquet")
    train = ["train", "long.parquet", "--target", "label", "--batch-size", "8", "--run-dir", "run", "--json", *options]
    first, again = (json.loads(run(*train, cwd=place).stdout) for _ in "12")
    assert (first["stop_reason"], first["rows"]) == (reason, rows)
    assert (again["stop_reason"], again["rows"]) == (reason, rows)
    assert again["weights_sha256"] == first["weights_sha256"]
    assert {"minibatches", "completed_epochs", "loss", "metrics", "baselines", "rows_per_second", "seconds"} <= set(
        first
    )
    assert {"peak_rss_bytes", "weights_sha256", "checkpoint"} <= set(first)


def test_the_history_is_one_table_without_gap_or_duplicate(place: Path) -> None:
    """A table tool opens it; its rows go up, also across a stop and a resume, and end at the last row."""
    x = np.arange(5000.0)
    pq.write_table(pa.table({"x": x % 13, "label": (x % 13 > 5).tolist()}), place / "long.parquet")
    train = ["train", "long.parquet", "--target", "label", "--batch-size", "8", "--run-dir", "run"]
    run(*train, "--max-rows", "2400", cwd=place)
    run(*train, cwd=place)
    history = pacsv.read_csv(place / "run" / "history.csv")
    rows = history["rows"].to_pylist()
    whole = [*train[:-1], "whole"]
    run(*whole, cwd=place)
    run(*whole, cwd=place)
    assert (place / "run" / "history.csv").read_bytes() == (place / "whole" / "history.csv").read_bytes()
    assert rows == sorted(set(rows))
    assert rows[-1] == 5000
    assert {"accuracy", "rolling_accuracy", "no_change_accuracy", "loss", "delta_rms_1"} <= set(history.column_names)


def test_a_third_class_under_a_sigmoid_keeps_what_was_learned_before_it(place: Path) -> None:
    """The line names the class; the checkpoint stands at the border before its minibatch."""
    y = ["a", "b"] * 1000 + ["c"] * 10
    pq.write_table(
        pa.table({"x": [float(i % 5) for i in range(2010)], "y": y, "z": y[:2000] + ["a"] * 10}), place / "t.parquet"
    )
    train = ["train", "t.parquet", "--target", "y", "--target", "z", "--batch-size", "8", "--run-dir", "run"]
    done = run(*train, cwd=place)
    assert done.returncode == 1
    assert "third class 'c'" in done.stderr
    content = json.loads(run("inspect", "run", "--json", cwd=place).stdout)
    assert (content["rows"], content["position"]["cursor"]["row"]) == (2000, 2000)
    assert run(*train, "--max-rows", "1600", "--restart", cwd=place).returncode == 0


def test_whole_labels_beyond_exact_floats_are_labels(place: Path) -> None:
    """A label of 1e20 is no reason for a traceback."""
    (place / "huge.csv").write_text("x,y\n" + "1,99999999999999999999999\n2,5\n" * 50)
    done = run("train", "huge.csv", "--target", "y", "--task", "classification", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 100


def test_an_interval_counts_however_it_is_written(place: Path) -> None:
    """+10 minibatches are 10 minibatches."""
    train = [
        "train",
        "rows.parquet",
        "--target",
        "label",
        "--batch-size",
        "4",
        "--keep-checkpoints",
        "100",
        "--run-dir",
        "run",
    ]
    run(*train, "--checkpoint-every", "+10", cwd=place)
    assert len(list((place / "run" / "checkpoints").glob("step-*"))) == 1 + 7 + 1
