"""Models side by side: the table, the curves and the object hold what jobs of these models come to."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from river import tree

from connectors import open_source
from stream_bp.cli.commands import compare as compare_command
from stream_bp.cli.terminal_plot import draw
from stream_bp.comparison import river_models
from stream_bp.comparison.compare import Comparison, compare
from stream_bp.config.job import JobConfig
from stream_bp.errors import ConfigError, DataError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer, Status

N_ROWS = 700


def table() -> pa.Table:
    """Rows of numbers, words, booleans and gaps, with targets of every kind."""
    random = np.random.default_rng(2)
    x, y = random.normal(size=(2, N_ROWS))
    word = random.choice(["red", "green", "blue"], N_ROWS)
    flag = random.random(N_ROWS) < 0.5
    value = 300 + 20 * x + 5 * (word == "red") + 8 * flag
    label = np.where(value > 320, "high", np.where(value > 290, "middle", "low"))
    gap = random.random((3, N_ROWS)) < 0.1
    features = {"x": pa.array(x, mask=gap[0]), "word": pa.array(word, mask=gap[1]), "flag": pa.array(flag, mask=gap[2])}
    return pa.table({**features, "y": y, "label": label, "value": value, "is_high": value > 305, "digit": value > 305})


class Silent(Observer):
    """Hears, and says nothing."""

    def on_start(self, training: Any, resumed: Any) -> None:
        """Hear."""

    def on_progress(self, status: Status) -> None:
        """Hear."""


def run(*models: str, **settings: Any) -> Comparison:
    """Compare models on the rows."""
    usual = {"target": "label", "features": ["x", "word", "flag", "y"], "hidden_layers": [4], "batch_size": 1}
    config = JobConfig.of({**usual, **settings})
    return compare(open_source(table()), config, models, lambda name: nullcontext[Observer](Silent()))


@pytest.mark.parametrize("target", ["label", "is_high", "value"])
def test_every_model_of_the_zoo_learns_every_kind_of_column(target: str) -> None:
    """Words, booleans, gaps; two classes, three, or values: each model ends, and does better than no learning."""
    comparison = run(target=target)
    assert not comparison.failures
    assert [score.name for score in comparison.scores] == river_models.names(comparison.task)
    for score in comparison.scores:
        assert score.rows == N_ROWS
        assert score.memory_bytes > 1_000
        found = score.metrics[comparison.curve_metric]
        naive = [baseline[comparison.curve_metric] for baseline in comparison.baselines.values()]
        assert found is not None
        if target == "value":
            assert found < min(filter(None, naive)), score.name
        else:
            assert found > max(filter(None, naive)), score.name


def test_a_score_is_that_of_a_job_of_the_model() -> None:
    """Alone or beside others, before or after them, a model comes to the same."""
    comparison = run("hoeffding-tree", "mlp")
    settings: dict[str, Any] = {"target": "label", "features": ["x", "word", "flag", "y"], "batch_size": 1}
    alone = Job(open_source(table()), hidden_layers=(4,), **settings).run()
    of_river = Job(open_source(table()), model=tree.HoeffdingTreeClassifier(), **settings).run()
    assert [score.metrics for score in comparison.scores] == [of_river.metrics, alone.metrics]
    assert [score.rolling for score in comparison.scores] == [of_river.rolling, alone.rolling]
    assert comparison.baselines == alone.baselines
    assert [score.model for score in comparison.scores] == ["HoeffdingTreeClassifier", "layers 9-4-3"]


@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_curve_is_a_function_of_the_rows(batch_size: int) -> None:
    """The same points for each model and each run, some fifty rows apart, up to the last row."""
    first, again = (run("mlp", "logistic", batch_size=batch_size).scores for _ in "12")
    assert [score.curve for score in first] == [score.curve for score in again]
    xs = [[rows for rows, _ in score.curve] for score in first]
    assert xs[0] == xs[1]
    assert xs[0][-1] == N_ROWS
    assert np.diff(xs[0]).max() <= 50 + batch_size
    assert len(xs[0]) >= N_ROWS / (50 + batch_size)
    assert first[0].curve[-1][1] == first[0].rolling["accuracy"]


WRONG = {
    "unknown": (["logistik"], {}, "unknown model 'logistik'; did you mean 'logistic'?; for classification: mlp, "),
    "of the other task": (["linear"], {}, "model 'linear' is not for classification; expected one of mlp, logistic"),
    "twice": (["mlp", "mlp"], {}, "model 'mlp' is given twice"),
    "several targets": (["mlp"], {"target": ["label", "value"]}, "compared on one target; found 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_name_is_refused_before_anything_is_learned(name: str) -> None:
    """One line that lists what there is."""
    models, settings, message = WRONG[name]
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(*models, **settings)


class _Stops(tree.HoeffdingTreeClassifier):
    """Fails, or sends a signal, at its 100th row."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__()
        self.number, self.learned = number, 0

    def learn_one(self, x: Any, y: Any, *, w: float = 1.0) -> None:
        """Learn up to that row."""
        self.learned += 1
        if self.learned == 100 and self.number is None:
            raise RuntimeError("enough")
        if self.learned == 100:
            os.kill(os.getpid(), self.number or 0)
        super().learn_one(x, y, w=w)  # type: ignore[no-untyped-call]


def test_a_model_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others stand; where none is left, its error is that of the comparison."""
    monkeypatch.setitem(river_models._ZOO["classification"], "stops", lambda encoder, seed: _Stops())
    comparison = run("stops", "logistic")
    assert [score.name for score in comparison.scores] == ["logistic"]
    assert comparison.failures == {
        "stops": "_Stops at row 100 of the run failed: RuntimeError: enough; fix the model, or its input"
    }
    with pytest.raises(DataError, match="enough"):
        run("stops")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_comparison_with_what_is_done(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done stands; the model at work is left out, those after it are not begun."""
    monkeypatch.setitem(river_models._ZOO["classification"], "stops", lambda encoder, seed: _Stops(number))
    comparison = run("logistic", "stops", "mlp")
    assert [score.name for score in comparison.scores] == ["logistic"]
    assert comparison.stop_reason == number.name


# The command


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with the rows."""
    pq.write_table(table(), tmp_path / "rows.parquet")
    return tmp_path


def words(*arguments: str) -> list[str]:
    """Return the command."""
    return [sys.executable, "-m", "stream_bp", "compare", "rows.parquet", *arguments]


def environment() -> dict[str, str]:
    """Return an environment that says nothing of terminals, but that there are colours."""
    names = {"COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"}
    return {**{name: value for name, value in os.environ.items() if name not in names}, "TERM": "xterm-256color"}


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command, not on a terminal."""
    return subprocess.run(words(*arguments), cwd=cwd, env=environment(), check=False, capture_output=True, text=True)


def test_the_command_prints_a_table_and_a_drawing_in_plain_text(place: Path) -> None:
    """Not a terminal: no colours, 80 columns at most, marks that the legend explains; progress goes elsewhere."""
    done = command("--target", "value", "--ignore", "label", "--models", "mlp,linear", "--max-rows", "600", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("regression of value, 600 rows\n")
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["model", "mae", "rolling", "rmse", "r2", "rows/s", "memory"]
    assert [line.split("  ")[0] for line in lines[2:6]] == ["mlp", "linear", "no change", "mean"]
    assert all(line.endswith("KiB") for line in lines[2:4])
    assert "mae of the last 1000 rows" in lines
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert {"⠤1⠤ mlp", "⠤2⠤ linear"} <= set(lines)
    drawn = "".join(line.partition("|")[2] for line in lines if " | " in line)
    assert drawn.count("1") > 5 < drawn.count("2")
    assert "linear: StandardScaler | TargetStandardScaler(LinearRegression)" not in done.stdout
    assert "TargetStandardScaler(LinearRegression)" in done.stderr
    assert sorted(path.name for path in place.iterdir()) == ["rows.parquet"]


def test_the_command_writes_one_object(place: Path) -> None:
    """Everything of the table, and the curves."""
    done = command("--target", "label", "--models", "mlp, naive-bayes", "--json", "--hidden-layers", "3", cwd=place)
    content = json.loads(done.stdout)
    assert [score["name"] for score in content["scores"]] == ["mlp", "naive-bayes"]
    assert {"name", "model", "rows", "metrics", "rolling", "rows_per_second", "memory_bytes", "curve"} == set(
        content["scores"][0]
    )
    assert content["scores"][0]["curve"][-1][0] == N_ROWS
    assert set(content["baselines"]) == {"no_change", "prior"}
    assert (content["task"], content["target"], content["curve_metric"]) == ("classification", "label", "accuracy")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "label", "--models", "forest"], 2, "unknown model 'forest'"),
        (["--models", "mlp"], 2, "no target"),
        (["--target", "label", "--hidden-layers", "0"], 2, "--hidden-layers: "),
        (["--target", "nobody"], 2, "target column 'nobody' is not in the source"),
    ],
)
def test_wrong_input_of_the_command_is_one_line(place: Path, arguments: list[str], code: int, message: str) -> None:
    """The line names the thing; nothing is printed on standard output."""
    done = command(*arguments, cwd=place)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_exit_code_tells_the_signal(place: Path) -> None:
    """Stopped at its second model, the command prints the first, and exits with 143."""
    code = "from stream_bp import __main__; from stream_bp.comparison import river_models; "
    code += "from tests.unit.comparison.test_compare import _Stops; "
    code += "river_models._ZOO['classification']['knn'] = lambda encoder, seed: _Stops(15); __main__.main()"
    (place / "run.py").write_text(f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); {code}")
    run_it = [sys.executable, "run.py", "compare", "rows.parquet", "--target", "label", "--models", "logistic,knn,mlp"]
    done = subprocess.run(run_it, cwd=place, check=False, capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:5]] == ["logistic", "no", "prior"]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_drawn_on_in_colours_and_to_its_width(place: Path, width: int) -> None:
    """Lines of dots in two colours that the legend has too, none longer than the terminal is wide."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    arguments = words("--target", "label", "--models", "logistic,hoeffding-tree")
    with subprocess.Popen(arguments, cwd=place, env=environment(), stdout=slave, stderr=subprocess.PIPE) as process:
        os.close(slave)
        said = b""
        # The terminal of a process that has ended cannot be read.
        with contextlib.suppress(OSError):
            while piece := os.read(master, 1 << 16):
                said += piece
        os.close(master)
        assert process.wait() == 0
    text = said.decode().replace("\r", "")
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
    assert width - 30 < max(len(line) for line in lines if "|" in line) <= width
    assert max(map(len, lines)) <= width
    for color, name in (("36", "logistic"), ("33", "hoeffding-tree")):
        assert f"\x1b[{color}m⠤⠤ {name}" in text
        assert text.count(f"\x1b[{color}m") > 5


# The drawing


def test_curves_are_drawn_within_the_width() -> None:
    """At any width; gaps and a single point are no harm, nothing gives nothing."""
    curves: dict[str, list[tuple[int, float | None]]] = {
        "a": [(100, 0.5), (200, None), (300, 0.7)],
        "b": [(100, 0.6)],
        "none": [(100, None)],
    }
    for width in (20, 80, 120):
        plain = draw(curves, label="accuracy", width=width, is_colored=False)
        assert "\x1b[" not in plain
        assert max(map(len, plain.splitlines())) <= max(width, 50)
        assert "none" not in plain
        assert [line for line in plain.splitlines() if line.rstrip().endswith((" a", " b"))] == ["⠤1⠤ a", "⠤2⠤ b"]
    assert draw({"none": [(100, None)]}, label="mae", width=80, is_colored=False) == ""


def test_what_only_the_first_rows_are_to_blame_for_is_cut_off() -> None:
    """An error of millions at the start does not flatten what came after it."""
    curve: list[tuple[int, float | None]] = [(50, 1e9), *((rows, 1 + rows / 1000) for rows in range(100, 1_000, 50))]
    drawn = draw({"a": curve}, label="mae", width=80, is_colored=False)
    assert sum("1" in line.partition(" | ")[2] for line in drawn.splitlines()) > 10


def test_what_is_read_once_is_for_one_model(tmp_path: Path) -> None:
    """A pipe has nothing left for the second model: it is refused, and not scored on no row."""
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=lambda: pipe.write_text("x,label\n" + "1,a\n2,b\n" * 50))
    writer.start()
    with pytest.raises(ConfigError, match=r"pipe can be read only once; write it to a file to compare models"):
        compare_command.run([str(pipe)], ["mlp", "logistic"], {"target": "label"}, as_json=True)
    writer.join()


def test_what_may_surprise_about_the_source_is_said_once(tmp_path: Path) -> None:
    """Several models learn it, and one line says how a column is read."""
    lines: list[str] = []

    class Hears(Silent):
        def on_message(self, line: str) -> None:
            lines.append(line)

    (tmp_path / "a.csv").write_text("x,p,y\n" + "".join(f"{i % 7},${i % 9}.50,{'ab'[i % 2]}\n" for i in range(120)))
    source = open_source(tmp_path / "a.csv")
    compare(source, JobConfig.of({"target": "y"}), ["mlp", "logistic"], lambda _: nullcontext(Hears()))
    assert [line for line in lines if "column 'p' is read as numbers" in line] == lines
    assert len(lines) == 1
