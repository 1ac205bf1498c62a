"""The compiled engine against NumPy's: the same figures within rounding, its own bits always the same."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import open_source
from stream_bp.config import backend
from stream_bp.config.backend import choose_backend
from stream_bp.errors import ConfigError, NumericsError
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.nn import numba_backend
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.learner import Learner
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.nn.scaler import Scaler
from stream_bp.nn.schedules import SCHEDULES

HIDDEN: list[tuple[int, ...]] = [(), (5,), (6, 4, 3)]


def stream(output: str, n_minibatches: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw inputs, targets that suit the output, and which of them are there; one minibatch has none."""
    random = np.random.default_rng(b)
    X, Y = random.normal(size=(n_minibatches, 4, b)), random.normal(size=(n_minibatches, 3, b))
    if output == "softmax":
        Y = np.eye(3)[random.integers(0, 3, (n_minibatches, b))].transpose(0, 2, 1)
    elif output == "sigmoid":
        Y = (Y > 0).astype(float)
    is_there = random.random((n_minibatches, 1 if output == "softmax" else 3, b)) < 0.7
    is_there[n_minibatches // 2] = False
    return X, Y, is_there


def learners(**settings: Any) -> tuple[Learner, Learner]:
    """Return the same learner with NumPy's engine and with the compiled one."""
    return Learner(4, 3, backend="numpy", **settings), Learner(4, 3, backend="compiled", **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("output", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_combination_agrees(activation: str, output: str, optimizer: str, dtype: Any) -> None:
    """Predictions, losses, θ, slots and diagnostics are the same for any depth, width, clipping, decay, schedule."""
    within = {"float32": 2e-4, "float64": 1e-9}[dtype]
    schedules = itertools.cycle(SCHEDULES)
    for hidden, clip_norm, weight_decay, b in itertools.product(HIDDEN, (None, 0.05), (0.0, 0.01), (1, 7)):
        reference, ours = learners(
            hidden_layers=hidden,
            activation=activation,
            output=output,
            optimizer=optimizer,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            lr_schedule=next(schedules),
            decay_steps=8,
            warmup_steps=3,
            dtype=dtype,
            seed=3,
        )
        X, Y, is_there = stream(output, 20, b)
        for part in (slice(0, 7), slice(7, 20)):
            expected = reference.learn(X[part], Y[part], is_there[part])
            found = ours.learn(X[part], Y[part], is_there[part])
            for name in ("output", "loss", "count"):
                np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=within, rtol=within)
        np.testing.assert_allclose(ours.theta, reference.theta, atol=within, rtol=within)
        np.testing.assert_allclose(
            ours.state_dict().arrays["optimizer"], reference.state_dict().arrays["optimizer"], atol=within, rtol=within
        )
        np.testing.assert_allclose(ours.predict(X[0]), reference.predict(X[0]), atol=within, rtol=within)
        assert ours.step == reference.step < 20
        for layer, like in zip(ours.diagnostics.report(), reference.diagnostics.report(), strict=True):
            assert layer == pytest.approx(like, rel=10 * within, abs=within)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_clipping_survives_squares_out_of_range(size: float) -> None:
    """A gradient whose squares overflow, or vanish, is scaled to the norm all the same."""
    for learner in learners(
        hidden_layers=(), output="identity", clip_norm=size / 1e3, learning_rate=1.0, dtype="float64"
    ):
        before = learner.theta.copy()
        learner.learn(np.full((4, 1), 1e150 if size > 1 else 1e-150), np.full((3, 1), size))
        assert np.linalg.norm((learner.theta - before) / size) == pytest.approx(1e-3, rel=1e-9)


def test_one_call_or_several_end_in_the_same_bits() -> None:
    """Learning in one call, in several, and row by row after a prediction: the same θ to the last bit."""
    X, Y, _ = stream("softmax", 60, 1)
    settings: dict[str, Any] = {"hidden_layers": (33, 9), "activation": "tanh", "optimizer": "adam", "clip_norm": 0.1}
    whole, parts, single = (Learner(4, 3, backend="compiled", **settings) for _ in range(3))
    whole.learn(X, Y)
    for start, stop in itertools.pairwise([0, 1, 2, 17, 18, 60]):
        parts.learn(X[start:stop], Y[start:stop])
    for x, y in zip(X, Y.astype(np.float32), strict=True):
        assert np.array_equal(single.predict(x), single.propagate(x))
        single.learn_propagated(y)
    assert whole.theta.tobytes() == parts.theta.tobytes() == single.theta.tobytes()
    states = [learner.diagnostics.state_dict().values for learner in (whole, parts, single)]
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_is_scaled_to_the_bits_of_the_scaler(dtype: Any) -> None:
    """The kernel that scales and predicts a row says what the scaler and a prediction say, whatever is missing."""
    random = np.random.default_rng(5)
    learner = Learner(4, 3, hidden_layers=(5,), backend="compiled", dtype=dtype)
    learner.W[-1][:] = random.normal(size=learner.W[-1].shape)
    fused, apart = Scaler(4), Scaler(4)
    n_fused = 0
    for i in range(200):
        x = random.normal(size=(4, 1)) * [[1.0], [1e6], [1e-9], [0.0]] + 7.0
        x[random.random((4, 1)) < (0.3 if i % 3 else 0.0)] = np.nan
        x[0, 0] = 1e90 if i == 150 else x[0, 0]
        said = learner.propagate_row(x, fused.next_row).copy()
        n_fused += not np.isnan(x).any()
        scaled = apart.preview(x)
        assert said.tobytes() == learner.propagate(scaled).tobytes()
        fused.accept()
        apart.accept()
        for name, vector in apart.state_dict().arrays.items():
            assert vector.tobytes() == fused.state_dict().arrays[name].tobytes()
    assert n_fused > 50


def test_divergence_is_seen() -> None:
    """The compiled loops do not assume that figures are finite."""
    learner = Learner(4, 3, backend="compiled", output="identity", learning_rate=1e3)
    X, Y, _ = stream("identity", 200, 1)
    with pytest.raises(ArithmeticError, match="not finite"):
        learner.learn(X, Y)


def test_auto_takes_what_is_there_and_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are compiled, many are not; without Numba nothing is, and asking for it is refused in one line."""
    assert choose_backend("auto", 1, (64, 256, 256, 10)) == "compiled"
    assert choose_backend("auto", 4, (64, 256, 256, 10)) == "numpy"
    assert choose_backend("auto", 16, (10, 32, 2)) == "compiled"
    assert choose_backend("auto", 32, (1, 8, 2)) == "numpy"
    assert choose_backend("compiled", 256, (10, 32, 2)) == "compiled"
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert choose_backend("auto", 1, (10, 32, 2)) == "numpy"
    with pytest.raises(ConfigError, match=r"pip install 'stream-bp\[fast\]', or choose numpy$"):
        choose_backend("compiled", 1, (10, 32, 2))


def table() -> pa.Table:
    """Return some rows."""
    x = np.random.default_rng(0).normal(size=600)
    return pa.table({"x": x, "y": np.where(x > 0, "up", "down")})


def test_a_job_goes_on_with_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What auto chose is kept: another engine is refused by name, or accepted and told."""
    settings: dict[str, Any] = {"target": "y", "batch_size": 4, "run_dir": str(tmp_path)}
    first = Job(open_source(table()), max_rows=200, **settings).run()
    assert first.numerics["backend"] == numba_backend.describe()
    with pytest.raises(NumericsError, match=r"backend was 'numba .*' and is 'numpy'"):
        Job(open_source(table()), backend="numpy", **settings).run()
    monkeypatch.setattr(backend, "_SMALL", 1)  # auto would choose NumPy now
    again = Job(open_source(table()), max_rows=400, **settings).run()
    assert (again.rows, again.numerics_changes) == (400, [])
    other = Job(open_source(table()), backend="numpy", allow_inexact_resume=True, **settings).run()
    assert [change["rows"] for change in other.numerics_changes] == [400]


def test_both_engines_learn_the_same_stream() -> None:
    """A job's score is the same with either; θ differs in its last bits only, so they are told apart."""
    settings: dict[str, Any] = {"target": "y", "batch_size": 1, "dtype": "float64"}
    reference, ours = (Job(open_source(table()), backend=engine, **settings).run() for engine in ("numpy", "compiled"))
    assert ours.metrics == pytest.approx(reference.metrics, rel=1e-9)
    assert ours.loss == pytest.approx(reference.loss, rel=1e-9)
    assert ours.weights_sha256 != reference.weights_sha256


def test_somebody_who_waits_for_the_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where compiling takes longer than a person waits without asking, the observer hears of it; else it does not."""
    heard: list[str] = []

    class Listener(Observer):
        def on_message(self, line: str) -> None:
            heard.append(line)

    def run() -> None:
        Job(open_source(table()), target="y", backend="compiled", observer=Listener()).run()

    run()
    assert heard == []
    monkeypatch.setattr("stream_bp.job.job._PATIENCE_S", 0.01)
    monkeypatch.setattr(numba_backend, "prepare", lambda dtype: time.sleep(0.2))
    run()
    assert [line.split()[0] for line in heard] == ["compiling"]


def test_the_cache_holds_the_same_bits(tmp_path: Path) -> None:
    """A process that compiles and one that loads what was compiled learn the same θ, for every optimiser and output."""
    code = """
import numpy as np
from stream_bp.nn import numba_backend
from stream_bp.nn.learner import Learner
random = np.random.default_rng(0)
X, Y = random.normal(size=(300, 10, 1)), random.integers(0, 2, (300, 2, 1)).astype(float)
for optimizer in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"):
    for output, activation in (("softmax", "relu"), ("sigmoid", "tanh"), ("identity", "sigmoid")):
        settings = dict(optimizer=optimizer, output=output, activation=activation, learning_rate=1e-3, clip_norm=0.5)
        learner = Learner(10, 2, hidden_layers=(33, 16), backend="compiled", **settings)
        learner.learn(X, Y)
        print(learner.weights_sha256)
print(sum(numba_backend._run.stats.cache_hits.values()))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
        for _ in range(2)
    )
    *digests, hits = fresh.stdout.split()
    assert (hits, len(set(digests))) == ("0", 18)
    assert cached.stdout.split() == [*digests, "1"]


def test_no_cache_is_needed() -> None:
    """Where no folder can be written, as in a container that is read-only, compiling is done anew."""
    code = "import numba.core.caching as caching; caching.CompileResultCacheImpl._locator_classes = []; "
    code += "from stream_bp.nn import numba_backend as n; n.prepare('float32'); print(n._run.stats.cache_path)"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout == "None\n"


def test_numba_is_not_needed(tmp_path: Path) -> None:
    """Without Numba a job, and a checkpoint that the compiled engine wrote, work; going on with that one does not."""
    source = tmp_path / "rows.csv"
    source.write_text("x,y\n" + "".join(f"{i % 7},{'ab'[i % 7 > 3]}\n" for i in range(300)))
    run = ["train", str(source), "--target", "y", "--batch-size", "1", "--run-dir", str(tmp_path / "run")]
    hidden = "import sys; sys.modules['numba'] = None; import importlib.util as u; f = u.find_spec; "
    hidden += "u.find_spec = lambda name: None if name == 'numba' else f(name); "

    def command(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
        code += f"sys.argv = {['stream-bp', *arguments]}; from stream_bp.__main__ import main; main()"
        return subprocess.run(
            [sys.executable, "-c", f"import sys; {code}"], check=False, capture_output=True, text=True
        )

    assert command(*run, "--max-rows", "100").returncode == 0
    shown = command("inspect", str(tmp_path / "run"), "--json", code=hidden)
    assert json.loads(shown.stdout)["numerics"]["backend"] == numba_backend.describe()
    assert command("evaluate", str(tmp_path / "run"), str(source), code=hidden).returncode == 0
    refused = command(*run, code=hidden)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "needs Numba" in refused.stderr
    assert command(*run, "--restart", code=hidden).returncode == 0
