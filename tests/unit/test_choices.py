"""One registry of choices: what is registered from outside is taken wherever a built-in one is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from typer.testing import CliRunner

from connectors import open_source
from stream_bp import choices
from stream_bp._arrays import Floats
from stream_bp.choices import Choices
from stream_bp.cli.app import app
from stream_bp.config.fields import choices_of
from stream_bp.config.job import JobConfig
from stream_bp.drift.detectors import DETECTORS
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.job.job import Job
from stream_bp.nn import numba_backend
from stream_bp.nn.activations import ACTIVATIONS, Activation, Scratch
from stream_bp.nn.learner import Learner
from stream_bp.nn.losses import LOSSES, BinaryCrossEntropy
from stream_bp.nn.optimizers import OPTIMIZERS, Optimizer
from stream_bp.nn.schedules import SCHEDULES, Schedule
from stream_bp.river import MLPClassifier

TABLES: list[Choices[Any]] = [ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES, DETECTORS, choices.BACKENDS]
OURS = {"optimizer": "lion", "activation": "softsign", "lr_schedule": "warmup-linear", "drift_detector": "never"}


class Lion(Optimizer):
    """The sign of a mix of the gradient and its running mean."""

    n_slots = 1
    default_learning_rate = 0.002
    default_learning_rate_of_values = 0.002

    def update(self, theta: Floats, grad: Floats, slots: Floats, learning_rate: float, step: int) -> None:
        """Apply θ ← θ - η sign(0.9 m + 0.1 g); m ← 0.99 m + 0.01 g."""
        mean = slots[0]
        theta -= (learning_rate * np.sign(0.9 * mean + 0.1 * grad)).astype(theta.dtype)
        mean[:] = 0.99 * mean + 0.01 * grad


class Softsign(Activation):
    """a / (1 + |a|), with ψ′ = (1 - |z|)²."""

    def forward(self, a: Floats, scratch: Scratch) -> None:
        """Replace a by a / (1 + |a|)."""
        a /= 1 + np.abs(a)

    def backward(self, delta: Floats, z: Floats, scratch: Scratch) -> None:
        """Multiply δ by (1 - |z|)²."""
        delta *= np.square(1 - np.abs(z))


class Never:
    """A detector that counts."""

    fed = 0

    def feed(self, values: Sequence[float]) -> bool:
        """Find no drift."""
        Never.fed += len(values)
        return False


@pytest.fixture
def registered() -> Iterator[None]:
    """Register one choice of each kind, for one test."""
    made: list[tuple[Choices[Any], str, Any]] = [
        (OPTIMIZERS, "lion", Lion()),
        (ACTIVATIONS, "softsign", Softsign()),
        (SCHEDULES, "linear", lambda u: max(1 - u, 0.1)),
        (DETECTORS, "never", lambda span: Never()),
        (LOSSES, "labels", BinaryCrossEntropy()),
    ]
    for table, name, thing in made:
        table.register(name, thing)
    yield
    for table, name, _ in made:
        table.unregister(name)


def rows(n: int = 3_000) -> pa.Table:
    """Return rows of which a line tells the two classes apart."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, n))
    return pa.table({"x": x, "y": y, "label": np.where(x + y > 0, "up", "down")})


def test_every_built_in_choice_is_there() -> None:
    """What a line of the table names can be imported, once, and is one thing."""
    for table in TABLES:
        assert list(table) == list(dict(table))
        assert len(table) == len(set(table))
        for name in table:
            assert table[name] is table.pick(name) is table[name]
    assert "warmup-warmup-cosine" not in list(SCHEDULES)


def test_the_table_knows_the_compiled_forms() -> None:
    """It says so of those that the kernel has, and of no other."""
    forms: list[tuple[Choices[Any], dict[str, int]]] = [
        (ACTIVATIONS, numba_backend._PSI),
        (LOSSES, numba_backend._OUTPUT),
        (OPTIMIZERS, numba_backend._OPTIMIZER),
        (SCHEDULES, numba_backend._DECAY),
    ]
    for table, codes in forms:
        assert [name for name in table.built_in if table.is_compiled(name)] == list(codes)
        assert len(set(codes.values())) == len(codes)


@pytest.mark.parametrize("name", ["adam", "auto", "none", "two words", "a,b", "", "-", "naïve"])
def test_a_name_is_a_word_that_is_free(name: str) -> None:
    """Names are typed, listed with commas and kept in checkpoints; two of them have a meaning."""
    with pytest.raises(ConfigError, match=r"^optimizer: .* '.*'( is taken; choose another)?$"):
        OPTIMIZERS.register(name, Lion())
    with pytest.raises(ConfigError, match="'adam' was not registered"):
        OPTIMIZERS.unregister("adam")
    with pytest.raises(ConfigError, match="register 'linear', which also adds 'warmup-linear'"):
        SCHEDULES.register("warmup-linear", lambda u: 1.0)


@pytest.mark.usefixtures("registered")
def test_a_learner_takes_what_was_registered() -> None:
    """It learns, and goes on from its state to the same bits; the compiled engine says what it lacks."""
    settings: dict[str, Any] = {
        "hidden_layers": (8,),
        "optimizer": "lion",
        "activation": "softsign",
        "output": "labels",
    }
    settings |= {"lr_schedule": "linear", "decay_steps": 400, "seed": 1}
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3, 8))
    Y = (X[:, :1] > X[:, 1:2]).astype(float)
    learner = Learner(3, 1, **settings)
    learned = learner.learn(X, Y)
    assert learned.loss[-50:].mean() < 0.9 * learned.loss[:50].mean()
    first, second = Learner(3, 1, **settings), Learner(3, 1, **settings)
    first.learn(X[:150], Y[:150])
    second.load_state_dict(first.state_dict())
    second.learn(X[150:], Y[150:])
    assert second.weights_sha256 == learner.weights_sha256
    assert learner.learning_rate == pytest.approx(0.002 * 0.1)
    with pytest.raises(ConfigError, match=r"^backend: compiled has no activation 'softsign'; use numpy$"):
        Learner(3, 1, backend="compiled", **settings)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("setting", "name"), OURS.items())
def test_the_settings_take_it_and_name_it(setting: str, name: str) -> None:
    """As a value, in the list of a message, and as what was probably meant."""
    config = JobConfig.of({"target": "label", "batch_size": 1, setting: name})
    assert JobConfig.of(config.model_dump()) == config
    assert config.backend_for(2) == ("compiled" if setting == "drift_detector" else "numpy")
    listed = choices_of(JobConfig.model_fields[setting])
    assert name in listed
    with pytest.raises(ConfigError) as refused:
        JobConfig.of({"target": "label", setting: name + "s"})
    assert str(refused.value) == (
        f"{setting}: expected one of {', '.join(listed)}; found '{name}s'; did you mean '{name}'?"
    )
    if setting != "drift_detector":
        with pytest.raises(ConfigError, match=f"^backend: compiled has no {setting} '{name}'; use numpy$"):
            JobConfig.of({"target": "label", "backend": "compiled", setting: name})


@pytest.mark.usefixtures("registered")
def test_an_output_of_ones_own_is_for_a_learner_alone() -> None:
    """A job would have to know what it means for the target."""
    with pytest.raises(ConfigError, match=r"^output: expected one of auto, softmax, .*; found 'labels'$"):
        JobConfig.of({"target": "label", "output": "labels"})


def test_a_job_learns_saves_and_resumes(tmp_path: Path, registered: None) -> None:
    """Stopped and resumed, it ends in the bits of the job that was not; where nobody registered it, it says so."""
    settings: dict[str, Any] = {"target": "label", "hidden_layers": (6,), "batch_size": 1, "warmup_steps": 100, **OURS}
    settings |= {"decay_steps": 3_000}
    Never.fed = 0
    whole = Job(open_source(rows()), **settings).run()
    assert (whole.metrics["accuracy"] or 0) > 0.85
    assert whole.numerics["backend"] == "numpy"
    assert Never.fed > 0
    kept = {**settings, "run_dir": str(tmp_path / "run")}
    assert Job(open_source(rows()), max_rows=1_000, **kept).run().rows == 1_000
    assert Job(open_source(rows()), **kept).run().weights_sha256 == whole.weights_sha256
    OPTIMIZERS.unregister("lion")
    try:
        with pytest.raises(CheckpointError, match=r"settings: optimizer: expected one of sgd, .*, adam; found 'lion'"):
            Job(open_source(rows()), **{**kept, "optimizer": "adam"}).run()
    finally:
        OPTIMIZERS.register("lion", Lion())


@pytest.mark.usefixtures("registered")
def test_the_command_line_takes_it(tmp_path: Path) -> None:
    """In a process that registered it: help, a job, the same job resumed, an error."""
    path, run = tmp_path / "rows.csv", tmp_path / "run"
    pacsv.write_csv(rows(600), path)
    flags = [word for setting, name in OURS.items() for word in (f"--{setting.replace('_', '-')}", name)]
    train = ["train", str(path), "--target", "label", "--quiet", "--batch-size", "4", *flags]

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        return " ".join(result.stdout.split())

    assert "rmsprop, adam, lion [default: sgd]" in said("train", "--help")
    assert "max rows" in said(*train, "--run-dir", str(run), "--max-rows", "200")
    assert "600 rows" in said(*train, "--run-dir", str(run))
    assert "600 rows" in said("resume", str(run))
    with pytest.raises(ConfigError, match="adam, lion; found 'lino'; did you mean 'lion'"):
        said(*train, "--optimizer", "lino")


@pytest.mark.usefixtures("registered")
def test_an_estimator_takes_it() -> None:
    """River's way in has the same choices; ``auto`` is NumPy's engine there, too."""
    model = MLPClassifier(optimizer="lion", activation="softsign", lr_schedule="linear")
    for row in rows(200).to_pylist():
        label = row.pop("label")
        model.learn_one(row, label)
    assert model.predict_one({"x": 2.0, "y": 2.0}) == "up"
    assert model.predict_one({"x": -2.0, "y": -2.0}) == "down"


@pytest.mark.usefixtures("registered")
def test_a_schedule_comes_with_its_climb() -> None:
    """Both names follow the decay that was registered."""
    plain, climbing = (Schedule(name, 1.0, 100, 10) for name in ("linear", "warmup-linear"))
    assert [plain(t) for t in (0, 50, 1_000)] == [1.0, 0.5, 0.1]
    assert [climbing(t) for t in (0, 9, 60)] == [0.1, 1.0, 0.5]
