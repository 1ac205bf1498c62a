"""What `checkpoint.md` says of names is what jobs write: no more, and no less."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stream_bp
from connectors import Follow, open_source
from stream_bp import inference
from stream_bp.config.job import JobConfig
from stream_bp.job.history import COLUMNS
from stream_bp.job.job import Job
from stream_bp.metrics import PrequentialEvaluator
from stream_bp.persistence import checkpoints
from stream_bp.persistence.checkpoints import Snapshot, load
from stream_bp.river import MLPClassifier
from tests.pages import blocks

PAGE = Path(stream_bp.__file__).parent / "docs" / "reference" / "checkpoint.md"
BAD_ROWS = "x,kind,label\n1,a,no\n,b,yes\ntoo few\n2,c,no\n"


def rows() -> pa.Table:
    """Return rows with a number that has gaps, a category, and targets of every kind."""
    n = range(90)
    return pa.table(
        {
            "x": [i % 7 / 3 if i % 11 else None for i in n],
            "kind": [f"k{i % 3}" for i in n],
            "label": ["yes" if i % 3 else "no" for i in n],
            "other": [i % 4 > 1 for i in n],
            "value": [i * 0.5 for i in n],
            "price": [f"{i},5" for i in n],
            "paid": [f"{i // 2},5" for i in n],
        }
    )


def learned(folder: Path, source: Any, **settings: Any) -> Snapshot:
    """Return what a job leaves."""
    summary = Job(
        source, JobConfig.of({"batch_size": 4, "hidden_layers": (3,), "run_dir": str(folder), **settings})
    ).run()
    return load(str(summary.checkpoint)).snapshot


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """Return checkpoints of every kind: tasks, outputs, a shuffle, bad rows, other numerics, no learning, no job."""
    place = tmp_path_factory.mktemp("kinds")
    memory = open_source(rows())
    (place / "bad.csv").write_text(BAD_ROWS)
    parts = {"predictions_dir": str(place / "parts")}
    shuffled = {"target": "label", "ignore": ["value", "other", "price", "paid"], "shuffle_window": 16, "max_rows": 44}
    written = {"types": {"price": "number:1234,5", "paid": "number:1234,5"}}
    found = [
        learned(
            place / "softmax",
            memory,
            target="label",
            ignore=["value", "other", "price", "paid"],
            optimizer="adam",
            **parts,
        ),
        learned(place / "values", memory, target="value", ignore=["label", "other", "price", "paid"]),
        learned(
            place / "sigmoids", memory, target=["label", "other"], ignore=["value", "price", "paid"], output="sigmoid"
        ),
        learned(place / "shuffled", memory, **shuffled),
        learned(place / "notations", memory, target="price", features=["paid"], **written),
        learned(
            place / "bad", open_source(str(place / "bad.csv"), keeps_bad_rows=True), target="label", on_bad_row="skip"
        ),
    ]
    return [*found, under_other_numerics(place / "shuffled", shuffled), frozen(place), estimator(place)]


def under_other_numerics(folder: Path, settings: dict[str, Any]) -> Snapshot:
    """Return what a job leaves that went on where another NumPy computes."""
    loaded = load(folder)
    state = {**loaded.snapshot.state, "fingerprint": {**loaded.snapshot.state["fingerprint"], "numpy": "0"}}
    checkpoints.save(replace(loaded.snapshot, state=state), loaded.path)
    config = JobConfig.of({"batch_size": 4, "hidden_layers": (3,), "run_dir": str(folder), **settings, "max_rows": 60})
    Job(open_source(rows()), config, allow_inexact_resume=True).run()
    return load(folder).snapshot


def frozen(place: Path) -> Snapshot:
    """Return what is left by what predicts as rows come."""
    (place / "come").mkdir()
    (place / "come" / "1.csv").write_text("x,kind,value,label\n1,a,1,no\n2,b,1,yes\n")
    places = {
        "source": (str(place / "come"),),
        "run_dir": str(place / "frozen"),
        "predictions_dir": str(place / "said"),
    }
    loaded = load(place / "softmax")
    config = inference.following(loaded, {**places, "idle_timeout": "0.1s"})
    source = open_source(str(place / "come"), follow=Follow("name", 0.1))
    Job(source, config, frozen=loaded).run()
    return load(place / "frozen").snapshot


def estimator(place: Path) -> Snapshot:
    """Return what an estimator saves."""
    model = MLPClassifier()
    model.learn_one({"x": 1.0, "kind": "a"}, "yes")
    model.save(place / "model.safetensors")
    return load(place / "model.safetensors").snapshot


def tables() -> Iterator[tuple[str, str, list[str]]]:
    """Yield what each row of each table says: the table's first word, the key of its section, the names in the row."""
    prefix = kind = before = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("##"):
            section = re.search(r", `(\w+)`$", line)
            prefix = f"{section[1]}." if section is not None else ""
        elif line.startswith("|---"):
            kind = before
        elif line.startswith("| ") and kind:
            yield kind, prefix, re.findall(r"`([^`]+)`", line.split(" | ")[0])
        elif not line.startswith("|"):
            kind = ""
        before = line.removeprefix("| ").split(" | ")[0]


def documented(kind: str) -> set[str]:
    """Return the names in the first column of the tables whose first column is called so."""
    return {prefix + name for table, prefix, names in tables() for name in names if table == kind}


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every key of a state."""
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here
            yield from keys(inner, here)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                yield from keys(inner, f"{path}[]")


def as_told(key: str) -> str | None:
    """Return a key as the page writes it; None where it says that it is like another one, or a setting."""
    key = re.sub(r"^position\.end\b(?=\.)", "position.cursor", key).replace(".before[]", ".seen[]")
    key = re.sub(r"^quality\.bad\..*", "quality.bad.KIND", key)
    return None if key.startswith("config.") else key


def test_every_key_of_a_state_is_documented_and_no_other(snapshots: list[Snapshot]) -> None:
    """Whoever adds one adds it to the page."""
    found = {told for snapshot in snapshots for key in keys(snapshot.state) if (told := as_told(key)) is not None}
    assert documented("key") == found


def test_every_tensor_is_documented_and_no_other(snapshots: list[Snapshot]) -> None:
    """Whoever adds one adds it to the page."""
    found = {name for snapshot in snapshots for name in snapshot.tensors}
    found = {re.sub(r"(counts|references)\.\d+$", r"\1.S", name) for name in found}
    found = {re.sub(r"\.\d+$", ".T", re.sub(r"^W\d+$", "W1", name)) for name in found}
    assert documented("tensor") - {"WK"} == found


def test_the_settings_are_those_of_the_command(snapshots: list[Snapshot]) -> None:
    """All of them, but for the place of the run directory."""
    for snapshot in snapshots:
        assert set(snapshot.state["config"]) == set(JobConfig.model_fields) - {"run_dir"}


@pytest.mark.parametrize("name", ["softmax", "values"])
def test_the_columns_of_a_history_are_documented(tmp_path: Path, name: str) -> None:
    """All of them have a meaning in the code, from which the page is made, and stand in its order."""
    target, other = ("label", "value") if name == "softmax" else ("value", "label")
    learned(tmp_path, open_source(rows()), target=target, ignore=[other, "other"])
    header = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    evaluation = PrequentialEvaluator("classification" if name == "softmax" else "regression", 1)
    metrics, baselines = "|".join(evaluation.metrics()), "|".join(evaluation.baselines())
    kinds = {"METRIC": f"({metrics})", "BASELINE": f"({baselines})", "LAYER": r"\d+"}
    patterns = [re.sub("METRIC|BASELINE|LAYER", lambda kind: kinds[kind[0]], column) for column in COLUMNS]
    places = [next(i for i, pattern in enumerate(patterns) if re.fullmatch(pattern, column)) for column in header]
    n_layers = 2
    assert places[: -2 * n_layers] == sorted(places[: -2 * n_layers])


def test_the_reader_of_the_page_needs_numpy_alone() -> None:
    """It imports the standard library and NumPy, nothing of stream-bp; that it reads and predicts, the page shows."""
    (code,) = (block.code for block in blocks(PAGE) if block.options.get("file") == "reader.py")
    imported = [
        alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names
    ]
    assert imported == ["hashlib", "json", "numpy"]
    assert "from " not in code
