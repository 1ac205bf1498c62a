"""A checkpoint of every released version still loads, predicts as it did, and goes on learning.

``checkpoints/VERSION-NAME.safetensors`` was written by that version and is never written again; beside it ``.json``
tells what it held. A new release adds its own: ``python tests/golden/test_released_checkpoints.py``.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stream_bp
from connectors import Cursor, open_source
from stream_bp import inference
from stream_bp.job.job import Job
from stream_bp.job.resume import restore_state
from stream_bp.persistence.checkpoints import load
from stream_bp.persistence.state_schema import saved_config
from tests.conftest import Campaign

FOLDER = Path(__file__).parent / "checkpoints"
FILES = sorted(FOLDER.glob("*.safetensors"))
JOBS: dict[str, dict[str, Any]] = {
    "classes": {"target": "label", "ignore": ["value"], "optimizer": "adam", "epochs": 2},
    "values": {"target": "value", "ignore": ["label"], "lr_schedule": "warmup-cosine", "dtype": "float64"},
    "shuffled": {"target": "label", "shuffle_window": 64, "hidden_layers": [5, 4], "clip_norm": 1.0},
    "sigmoids": {"target": ["label", "other"], "batch_size": 1, "optimizer": "momentum", "output": "sigmoid"},
    "notations": {"target": "price", "features": ["x"], "types": {"price": "number:$1,234.5"}, "null_values": ["?"]},
}


def table() -> pa.Table:
    """Return rows that no random generator decides."""
    n = np.arange(120)
    return pa.table(
        {
            "x": np.sin(n),
            "kind": [f"k{i % 5}" for i in n.tolist()],
            "label": ["yes" if i % 3 else "no" for i in n.tolist()],
            "other": (n % 4 > 1).tolist(),
            "value": np.cos(n) * 10,
        }
    )


def table_of(name: str) -> pa.Table:
    """Return the rows of a file, by its name without the ending; a release before 0.4.0 had no prices."""
    prices = pa.array([f"${i * 97 % 8_000:,}.50" for i in range(120)])
    return table().append_column("price", prices) if name.endswith("notations") else table()


def describe(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, and what it predicts."""
    loaded = load(path)
    content = inference.inspect(loaded)
    figures = {key: content[key] for key in ("weights_sha256", "rows", "step", "labels", "written_by")}
    return {
        **figures,
        "metrics": content["metrics"],
        "score": inference.evaluate(loaded, open_source(table_of(path.stem)))["metrics"],
    }


def test_every_kind_of_job_is_kept() -> None:
    """The checkpoints of the present version are among those that are kept."""
    assert {path.stem for path in FILES} >= {f"{stream_bp.__version__}-{name}" for name in JOBS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_released_checkpoint_loads_and_goes_on(path: Path, campaign: Campaign) -> None:
    """It holds what it held, scores what it scored, and learns on."""
    found, kept = describe(path), json.loads(path.with_suffix(".json").read_text())
    for key in ("metrics", "score"):
        assert found.pop(key) == pytest.approx(kept.pop(key), nan_ok=True)
    assert found == kept
    snapshot = load(path).snapshot
    training = restore_state(snapshot, saved_config(snapshot))
    with open_source(table_of(path.stem)).open(training.model.encoder.columns.schema) as reader:
        (block,) = reader
    rows = training.model.preparation(training.config.batch_size)(block.records)
    before = training.model.digest
    assert list(training.learn(rows, 0, len(rows)))
    assert training.rows == found["rows"] + len(rows)
    assert training.model.digest != before
    campaign.tell("checkpoints of released versions", loaded=1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_released_position_is_resumed(path: Path) -> None:
    """The rows behind its cursor are read, and the end of a shuffle window is known again."""
    position = load(path).snapshot.state["position"]
    cursor, source = Cursor.from_json(position["cursor"]), open_source(table_of(path.stem))
    with source.open(source.schema, cursor) as reader:
        (block,) = reader
    assert block.records.to_pylist() == table_of(path.stem).to_pylist()[cursor.row :]
    if position["end"] is not None:
        end = Cursor.from_json(position["end"])
        assert source.same_rows_before(block.cursor(end.row - cursor.row), end)
        assert not source.same_rows_before(block.cursor(1), end)


def test_a_checkpoint_that_does_not_load_is_seen(tmp_path: Path) -> None:
    """The control: a file of an unknown format fails."""
    path = tmp_path / "future.safetensors"
    path.write_bytes(FILES[0].read_bytes().replace(rb"{\"format\":1", rb"{\"format\":9", 1))
    with pytest.raises(ValueError, match="format 9"):
        describe(path)


def write() -> None:
    """Write this version's files, if they are not there."""
    for name, settings in JOBS.items():
        path = FOLDER / f"{stream_bp.__version__}-{name}.safetensors"
        if not path.exists():
            usual = {"hidden_layers": [4], "batch_size": 8, "max_minibatches": 11}
            with tempfile.TemporaryDirectory() as run_dir:
                summary = Job(open_source(table_of(path.stem)), run_dir=run_dir, **{**usual, **settings}).run()
                path.write_bytes(Path(str(summary.checkpoint)).read_bytes())
            path.with_suffix(".json").write_text(json.dumps(describe(path), indent=1) + "\n")


if __name__ == "__main__":
    write()
