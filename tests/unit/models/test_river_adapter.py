"""A River model as the learner of a job: its score is River's, its history is kept, and nothing claims to resume it."""

import csv
import json
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from river import base, compose, evaluate, linear_model, metrics, preprocessing, tree

from connectors import open_source
from stream_bp.errors import CheckpointError, ConfigError, DataError, DivergenceError
from stream_bp.job.job import Job
from stream_bp.job.summary import Summary
from stream_bp.monitoring.log import Log
from stream_bp.persistence.checkpoints import load
from stream_bp.river import MLPClassifier, MLPRegressor
from tests.crash.jobs import forked

N_ROWS = 2_500


def table(n: int = N_ROWS) -> pa.Table:
    """Rows with numbers, a category, a boolean and gaps; a class that comes late; values; an absent target."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, n)).round(3)
    word = random.choice(["red", "green", "blue"], n)
    flag = random.random(n) < 0.5
    label = np.where(x + flag > 0.5, "yes", "no").astype(object)
    label[(np.arange(n) >= 1_100) & (y > 1)] = "far"
    value = 3 * x + 2 * flag + 40
    gap = random.random((6, n)) < 0.05
    columns = {"x": x, "word": word, "y": y, "flag": flag, "label": label, "value": value}
    return pa.table(
        {name: pa.array(column, mask=hole) for (name, column), hole in zip(columns.items(), gap, strict=True)}
    )


def rows(target: str, *features: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the rows of the table as a River user has them, those without a target left out."""
    for row in table().to_pylist():
        if row[target] is not None:
            yield {name: row[name] for name in features if row[name] is not None}, row[target]


def run(model: Any, target: str = "label", *features: str, data: pa.Table | None = None, **settings: Any) -> Summary:
    """Run a job of a model."""
    settings = {"target": target, "features": features or ("x", "y", "flag"), **settings}
    return Job(open_source(table() if data is None else data), model=model, **settings).run()


def river_scores(pairs: Iterable[tuple[Any, Any]], model: Any, *names: str) -> list[float]:
    """Return what River's own evaluation says of a model."""
    scores = [getattr(metrics, name)() for name in names]
    evaluate.progressive_val_score(pairs, model, sum(scores[1:], scores[0]))
    return [score.get() for score in scores]


def softmax() -> Any:
    """Return a pipeline for numbers and words."""
    words = compose.SelectType(str) | preprocessing.OneHotEncoder()
    numbers: Any = compose.SelectType(float, bool) | preprocessing.StandardScaler()
    return (numbers + words) | linear_model.SoftmaxRegression()


CLASSIFIERS: dict[str, Any] = {
    "pipeline": softmax,
    "tree": tree.HoeffdingTreeClassifier,
    "labels alone": lambda: preprocessing.StandardScaler() | _Repeat(),
}


class _Repeat(base.Classifier):
    """Says the label that it learned last, and knows no probabilities."""

    def __init__(self) -> None:
        self.label: Any = None
        self.met: dict[Any, None] = {}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Remember."""
        self.label = y
        self.met[y] = None

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """Repeat."""
        return self.label


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_classifier_scores_what_river_scores(name: str, batch_size: int) -> None:
    """Words, booleans, gaps and a third class in the middle: accuracy and kappa are River's, at any batch size."""
    features = ("x", "y", "flag") if name == "labels alone" else ("x", "word", "y", "flag")
    scores = river_scores(rows("label", *features), CLASSIFIERS[name](), "Accuracy", "CohenKappa")
    summary = run(CLASSIFIERS[name](), "label", *features, batch_size=batch_size)
    found = [summary.metrics["accuracy"], summary.metrics["kappa"]]
    assert found == pytest.approx(scores, abs=1e-12, rel=0)
    assert 0.5 < scores[0] < 1 or name == "labels alone"
    assert summary.rows == N_ROWS


class _Torn(_Repeat):
    """Gives every label that it learned the same chance, the last one named first."""

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Predict no label more than another."""
        return dict.fromkeys([self.label, *self.met], 1 / len(self.met)) if self.met else {}


def test_among_equals_the_first_that_the_model_names_is_predicted() -> None:
    """As River takes it: not the class that was met first."""
    (score,) = river_scores(rows("label", "x"), _Torn(), "Accuracy")
    summary = run(_Torn(), "label", "x")
    assert summary.metrics["accuracy"] == score
    assert summary.baselines["no_change"]["accuracy"] == score


def test_the_log_loss_is_that_of_the_model() -> None:
    """From the row on that follows the first of each label, probabilities are passed on as they are."""
    data = pa.table({"x": [float(i % 7) for i in range(3, 900)], "label": [i % 7 > i % 4 for i in range(3, 900)]})
    pairs = [({"x": row["x"]}, row["label"]) for row in data.to_pylist()]
    assert [label for _, label in pairs[:2]] == [False, True]
    begun = linear_model.LogisticRegression()
    for x, y in pairs[:2]:
        begun.learn_one(x, y)
    (loss,) = river_scores(pairs[2:], begun, "LogLoss")
    summary = run(linear_model.LogisticRegression(), "label", "x", data=data)
    assert summary.metrics["log_loss"] == pytest.approx(loss, rel=1e-9)


def test_a_regressor_scores_what_river_scores() -> None:
    """From the first target on, before which nobody knows the unit, the errors are River's."""

    def model() -> Any:
        return preprocessing.StandardScaler() | linear_model.LinearRegression()

    first, *others = rows("value", "x", "y", "flag")
    begun = model()
    begun.learn_one(*first)
    scores = river_scores(others, begun, "MAE", "RMSE")
    summary = run(model(), "value")
    assert [summary.metrics["mae"], summary.metrics["rmse"]] == pytest.approx(scores, rel=1e-12)
    assert summary.task == "regression"


class _Notes(base.Classifier):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, Any], Any]] = []
        self.asked = 0

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Name a label that the source does not have."""
        self.asked += 1
        return {"nobody": 1.0}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Keep."""
        self.seen.append((x, y))


def test_a_model_is_given_python_values_and_no_gaps() -> None:
    """Floats, booleans and words in the order of the columns; a row without a label is predicted and not learned."""
    model = _Notes()
    summary = run(model, "label", "x", "word", "y", "flag")
    assert model.seen == list(rows("label", "x", "word", "y", "flag"))
    assert {type(x["flag"]) for x, _ in model.seen if "flag" in x} == {bool}
    assert {type(x["x"]) for x, _ in model.seen if "x" in x} == {float}
    assert model.asked == N_ROWS > len(model.seen)
    # Whoever names only labels that were never met predicts nothing.
    assert summary.metrics["accuracy"] is None
    assert summary.baselines["no_change"]["accuracy"] is not None


def test_whole_labels_stay_whole() -> None:
    """A column of 3 and 7 is learned as 3 and 7."""
    model = _Notes()
    run(model, "k", "x", data=pa.table({"x": [1.0, 2.0] * 40, "k": [3, 7] * 40}))
    assert {(type(y), y) for _, y in model.seen} == {(int, 3), (int, 7)}


def test_two_runs_have_the_same_history(tmp_path: Path) -> None:
    """Byte for byte, with the columns of a history but those of the network."""
    for name in ("first", "second"):
        run(softmax(), batch_size=8, run_dir=str(tmp_path / name))
    first, second = ((tmp_path / name / "history.csv").read_bytes() for name in ("first", "second"))
    assert first == second
    lines = list(csv.DictReader(first.decode().splitlines()))
    assert [line["rows"] for line in lines] == ["1000", "2000", "2500"]
    assert not {"step", "learning_rate", "delta_rms_1"} & set(lines[0])
    assert not list((tmp_path / "first" / "checkpoints").iterdir())


def test_it_is_said_at_the_start_that_it_cannot_be_resumed() -> None:
    """One line before the first row; the summary names the model and has no digest, no layers and no checkpoint."""
    lines: list[str] = []
    model = tree.HoeffdingTreeClassifier()
    summary = Job(open_source(table()), target="label", features=["x"], model=model, observer=Log(lines.append)).run()
    said = "\n".join([*lines, ""])
    assert "HoeffdingTreeClassifier\nthis model cannot be resumed: no checkpoints are saved\n" in said
    assert "no --run-dir: the history is not saved\n" in said
    assert summary.model == "HoeffdingTreeClassifier"
    assert (summary.weights_sha256, summary.layers, summary.checkpoint, summary.loss) == (None, [], None, None)
    assert json.loads(json.dumps(summary.to_json()))["model"] == summary.model


@pytest.mark.parametrize("second", ["network", "model"])
def test_a_run_of_a_model_is_not_overwritten_in_silence(tmp_path: Path, second: str) -> None:
    """Whoever comes next without fresh is refused, and changes nothing; with it, starts over."""
    place = str(tmp_path / "run")
    run(softmax(), run_dir=place)
    before = (tmp_path / "run" / "history.csv").read_bytes()
    model = softmax if second == "model" else lambda: None
    with pytest.raises(CheckpointError, match="history of a model that cannot be resumed; choose another"):
        run(model(), run_dir=place)
    assert (tmp_path / "run" / "history.csv").read_bytes() == before
    fresh = Job(open_source(table()), target="label", features=["x"], model=model(), run_dir=place, restart=True).run()
    assert (fresh.checkpoint is None) == (second == "model")
    assert (tmp_path / "run" / "history.csv").read_bytes() != before


@pytest.mark.parametrize("damaged", [False, True])
def test_checkpoints_of_a_network_are_not_overwritten_in_silence(tmp_path: Path, damaged: bool) -> None:
    """A model is refused where a network was learned, whether its checkpoints are valid or not; fresh removes them."""
    place = tmp_path / "run"
    run(None, run_dir=str(place), hidden_layers=[4])
    if damaged:
        for path in (place / "checkpoints").iterdir():
            path.write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(CheckpointError, match="holds checkpoints of a network; choose another"):
        run(softmax(), run_dir=str(place))
    assert {path: path.read_bytes() for path in before} == before
    Job(open_source(table()), target="label", features=["x"], model=softmax(), run_dir=str(place), restart=True).run()
    assert not list((place / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        load(place)


class _Dies(tree.HoeffdingTreeClassifier):
    """Takes its process along after some rows, by whatever signal."""

    def __init__(self, after: int = 0, number: int = signal.SIGKILL) -> None:
        super().__init__()
        self.after, self.number = after, number
        self.learned = 0

    def learn_one(self, x: Any, y: Any, *, w: float = 1.0) -> None:
        """Learn, or die."""
        self.learned += 1
        if self.learned == self.after:
            os.kill(os.getpid(), self.number)
        super().learn_one(x, y, w=w)  # type: ignore[no-untyped-call]


def run_to_death(after: int, place: str) -> None:
    """Run a job that is killed, in a process of its own."""
    run(_Dies(after), run_dir=place, batch_size=1, checkpoint_every="1")


def test_a_killed_run_is_refused_once_there_is_something_to_lose(tmp_path: Path) -> None:
    """Killed before the first line of its history, a run can be started anew; killed later, what was told is kept."""
    for name, after in (("early", 10), ("late", 1_500)):
        process = forked(run_to_death, after, str(tmp_path / name))
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert len((tmp_path / "early" / "history.csv").read_text().splitlines()) == 1
    assert len((tmp_path / "late" / "history.csv").read_text().splitlines()) == 2
    assert run(softmax(), run_dir=str(tmp_path / "early")).rows == N_ROWS
    for model in (softmax(), None):
        with pytest.raises(CheckpointError, match="cannot be resumed"):
            run(model, run_dir=str(tmp_path / "late"))


def test_a_network_killed_before_its_first_checkpoint_may_be_followed_by_a_model(tmp_path: Path) -> None:
    """Lines that a network wrote before it had a checkpoint are lost to it, and stand in nobody's way."""
    run(None, run_dir=str(tmp_path / "run"), hidden_layers=[4])
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    assert run(softmax(), run_dir=str(tmp_path / "run")).rows == N_ROWS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_its_history_told(tmp_path: Path, number: signal.Signals) -> None:
    """The summary names the signal, and the last line of the history is of the last row that was learned."""
    # After each row something is due, so the job looks up where the signal came.
    summary = run(_Dies(700, number), run_dir=str(tmp_path / "run"), batch_size=1, checkpoint_every="1")
    assert summary.stop_reason == number.name
    assert 700 <= summary.rows < 800
    *_, last = csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines())
    assert int(last["rows"]) == summary.rows
    assert float(last["accuracy"]) == summary.metrics["accuracy"]


class _Fails(tree.HoeffdingTreeClassifier):
    """Fails at a row."""

    def __init__(self, row: int = 0) -> None:
        super().__init__()
        self.row, self.learned = row, 0

    def predict_proba_one(self, x: Any, **kwargs: Any) -> Any:
        """Predict, or fail."""
        self.learned += 1
        if self.learned == self.row:
            raise KeyError("a\nkey")
        return super().predict_proba_one(x)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("row", [1, 1_234])
@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_error_of_a_model_is_one_line(tmp_path: Path, row: int, batch_size: int) -> None:
    """It names the model and the row, keeps the original, and what was learned before it is told."""
    with pytest.raises(DataError, match=f"^_Fails at row {row:,} of the run failed: KeyError: ") as caught:
        run(_Fails(row), run_dir=str(tmp_path / "run"), batch_size=batch_size)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    lines = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert [line["rows"] for line in lines] == (["1000", "1233"] if row > 1 else [])
    if lines:
        assert lines[-1]["minibatches"] == str(1_233 // batch_size)


def test_a_model_that_cannot_take_the_labels_says_so() -> None:
    """River's logistic regression knows False and True alone."""
    with pytest.raises(
        DataError, match=r"^LogisticRegression at row \d of the run failed: ValueError: invalid literal"
    ):
        run(linear_model.LogisticRegression())


def test_a_prediction_that_is_not_finite_is_divergence() -> None:
    """A linear model of unscaled inputs blows up: the line names the row and the way out."""
    random = np.random.default_rng(0)
    data = pa.table({"x": random.normal(size=3_000) * 1e6, "v": random.normal(size=3_000)})
    model = linear_model.LinearRegression(clip_gradient=1e300)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            DivergenceError, match=r"^LinearRegression at row [\d,]+ of the run: it predicts (nan|-?inf); scale"
        ),
    ):
        run(model, "v", "x", data=data)


REFUSED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a regressor for classes": ({}, linear_model.LinearRegression(), "is LinearRegression, but a classification needs"),
    "a classifier for values": (
        {"target": "value"},
        preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "the model is StandardScaler | LogisticRegression, but a regression needs a River regressor",
    ),
    "a transformer": ({}, preprocessing.StandardScaler(), "the model is StandardScaler, but a classification needs"),
    "anything": ({}, 3, "the model is int, but a classification needs a River classifier"),
    "several targets": ({"target": ["label", "word"]}, softmax(), "predicts one target, found 2; name one"),
    "a network's setting": (
        {"hidden_layers": [3]},
        softmax(),
        "hidden_layers is a setting of the network; leave it out",
    ),
    "a rule of the loss": ({"stop_loss": 0.1}, softmax(), "stop_loss is a setting of the network; leave it out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_before_the_disk_is_touched(tmp_path: Path, name: str) -> None:
    """One line that says what was found and what would do."""
    settings, model, words = REFUSED[name]
    given = {"target": "label", "features": ["x"], "run_dir": str(tmp_path / "run"), **settings}
    with pytest.raises(ConfigError, match=words.replace("|", r"\|")) as caught:
        Job(open_source(table()), model=model, **given).run()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("target", "kind"), [("label", MLPClassifier), ("value", MLPRegressor)])
def test_both_doors_lead_to_the_same(target: str, kind: Any) -> None:
    """Our own network, come in as an estimator of River, scores as the job's own, but for its first weights' scale."""
    data = table().drop_null()
    estimator = kind(hidden_layers=(8,), seed=3)
    own = run(None, target, "x", "word", "y", "flag", data=data, batch_size=1, **estimator._get_params())
    as_river = run(estimator, target, "x", "word", "y", "flag", data=data, batch_size=1)
    headline = "accuracy" if target == "label" else "mae"
    assert as_river.metrics[headline] == pytest.approx(own.metrics[headline], rel=0.01)
    assert as_river.rows == own.rows
