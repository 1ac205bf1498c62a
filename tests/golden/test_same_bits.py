"""Eight jobs end in the weights, files, predictions and checkpoints that they always had.

``same_bits.json`` holds digests of everything a job leaves, for each numeric fingerprint under which it was written.
Under another one (other versions of NumPy, pyarrow or the C library) last bits differ, and the scores are compared
instead. Where a change is meant, ``python -m tests.golden.test_same_bits`` writes the file again; the commit says why.
"""

import csv
import gzip
import hashlib
import io
import itertools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from stream_bp.config.renamed import RENAMED
from stream_bp.persistence.run_files import former_column

GOLDEN = Path(__file__).with_name("same_bits.json")
N_ROWS, FIRST_ROWS = 4_000, 1_600  # a job stops after the first rows, and is resumed

# One BLAS kernel and one set of vector instructions, which x86-64 processors have had for ten years.
PINNED = {
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
USUAL = (
    "--batch-size 8 --hidden-layers 6 --backend numpy --checkpoint-every 50 --keep-checkpoints 1 --run-dir run --json "
    "--quiet"
)
JOBS = {
    "parquet": "rows.parquet --target label --ignore value --optimizer adam",
    "csv with bad rows": "bad.csv --target label --ignore value --on-bad-row quarantine --numeric x --numeric y",
    "follow": "parts --target label --ignore value --follow --idle-timeout 0.5s",
    # Text is copied as written now; a declared type gives the numbers of the earlier releases.
    "predictions": "rows.csv --target label --ignore value --predictions-dir said --passthrough-columns n "
    "--types n=number --missing drop-row",
    "drift reaction": "drifting.csv --target label --ignore value --on-drift boost-learning-rate --batch-size 4",
    "regression": "rows.csv.gz --target value --target y --ignore label --lr-schedule warmup-cosine --dtype float64",
    "shuffle with epochs": "rows.parquet --target label --ignore value --shuffle-window 300 --epochs 2 --clip-norm 0.5",
}
RIVER = "river estimator"
VOLATILE = {"sources", "fingerprint", "version", "position"}  # where it ran, and on what; cursors have their own tests
MARKS = {"history", "events", "psi", "quarantine"}


def table() -> pa.Table:
    """Return rows that no random generator decides: numbers, gaps, dates, a category that grows, a late class."""
    n = np.arange(N_ROWS, dtype=np.uint64)
    u, v, w = ((n * np.uint64(k) % np.uint64(2**32)) / 2**32 for k in (2654435761, 2246822519, 3266489917))
    x = np.where(n % np.uint64(23) == 0, np.nan, 4 * u - 2)
    y = 3 * v - 1
    label = np.where(4 * u - 2 + y > 0.3, "up", "down").astype(object)
    label[(n > N_ROWS // 3) & (w > 0.8)] = "far"
    label[n % np.uint64(41) == 0] = None
    return pa.table(
        {
            "n": n.astype(np.int64),
            "x": pa.array(x, from_pandas=True),
            "y": y,
            "kind": [f"k{int(k)}" for k in w * (3 + n // np.uint64(400))],
            "day": pa.array(n.astype(np.int64) * 3_600, pa.timestamp("s")),
            "label": label.tolist(),
            "value": 50 + 3 * y + 2 * u,
        }
    )


def as_csv(rows: pa.Table) -> bytes:
    """Return rows as CSV."""
    text = io.BytesIO()
    pacsv.write_csv(rows, text)
    return text.getvalue()


def write_sources(folder: Path) -> None:
    """Write what the jobs read."""
    rows = table()
    pq.write_table(rows, folder / "rows.parquet", row_group_size=700)
    text = as_csv(rows)
    (folder / "rows.csv").write_bytes(text)
    (folder / "rows.csv.gz").write_bytes(gzip.compress(text, mtime=0))
    header, *lines = text.splitlines()
    bad = [b"1,2", b'7,0.5,"stray"quote,"k",2020-01-01,"a",2', b"word,nul,\0", b"\xff,\xfe"]
    mixed = [
        line for i, good in enumerate(lines) for line in ([good, *bad[: 1 + i // 9 % 4]] if i % 29 == 4 else [good])
    ]
    (folder / "bad.csv").write_bytes(b"\n".join([header, *mixed, b""]))
    moved = rows["x"].to_numpy() + np.where(np.arange(N_ROWS) < N_ROWS // 2, 0, 4)
    swapped = {"up": "down", "down": "up", "far": "far", None: None}
    labels = [one if i < N_ROWS // 2 else swapped[one] for i, one in enumerate(rows["label"].to_pylist())]
    drifting = rows.set_column(1, "x", pa.array(moved, from_pandas=True)).set_column(5, "label", pa.array(labels))
    (folder / "drifting.csv").write_bytes(as_csv(drifting))
    (folder / "parts").mkdir()
    for i in range(4):
        part = rows.slice(i * N_ROWS // 4, N_ROWS // 4)
        if i % 2:
            pq.write_table(part, folder / "parts" / f"{i}.parquet")
        else:
            (folder / "parts" / f"{i}.csv").write_bytes(as_csv(part))


def sha256(data: bytes | str) -> str:
    """Return the first half of a digest."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:32]


def without_places(path: Path, folder: Path) -> bytes:
    """Return what a file of the run directory holds, without the folder; of decisions not the files' inode numbers."""
    if path.name == "decisions.csv":
        with path.open() as file:
            return repr([line[:2] for line in csv.reader(file)][1:]).encode()
    if path.name == "quarantine.csv":  # without the reason, a sentence for people
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return repr([[*line[:4], *line[5:]] for line in csv.reader(file)]).replace(str(folder), "").encode()
    data = path.read_bytes().replace(str(folder).encode(), b"")
    header, _, rows = data.partition(b"\n")
    names = header.decode().split(",")
    if path.name == "history.csv":
        header = ",".join(former_column(name, of_values="mae" in names) for name in names).encode()
    return with_details(data) if path.name == "events.csv" else header + b"\n" + rows


def with_details(data: bytes) -> bytes:
    """Return events as release 0.2.0 wrote them: a line for each, what it says of its subjects in one cell."""
    text, lines = io.StringIO(), csv.DictReader(io.StringIO(data.decode()))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "event", "source", "detail"])
    for what, events in itertools.groupby(lines, key=lambda line: (line["row"], line["event"], line["source"])):
        details = []
        for event in events:
            subject, before, after = event["subject"], event["before"], event["after"]
            figures = f"{before} to {after}" if before else f"{subject} ({float(after):.2g})" if after else subject
            details.append(figures)
        writer.writerow([*what, ", ".join(details)])
    return text.getvalue().encode()


_LATER_SETTINGS = {"types", "format", "names", "skip_rows", "comment", "escape", "short_rows"}


def by_former_names(config: dict[str, Any]) -> dict[str, Any]:
    """Return settings under the names of release 0.2.0, without the places."""
    former = {name: before for before, name in RENAMED.items()}
    words = {"mean-indicator": "impute", "drop-row": "skip"}
    named = {former.get(name, name): value for name, value in config.items() if name not in _LATER_SETTINGS}
    named["missing"] = words.get(named["missing"], named["missing"])
    return {name: value for name, value in named.items() if name not in {"source", "predictions"}}


def described(path: Path) -> dict[str, Any]:
    """Return digests of the arrays in a checkpoint, and of each part of its state."""
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        state = json.loads(file.metadata()["stream_bp"])["state"]
    for name in MARKS & state.keys():
        state[name] = state[name] and state[name]["rows"]  # the files have digests of their own, without the folder
    if state.get("predictions") is not None:
        state["predictions"].pop("as_written")  # release 0.3.0 did not have it
    state.get("quality", {}).pop("unused_null_values", None)  # nor this
    state.pop("events", None)  # an event has a line for each of its subjects now
    parts = {name: sha256(json.dumps(part, sort_keys=True)) for name, part in state.items() if name not in VOLATILE}
    config = by_former_names(state["config"])
    bits = b"".join(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes() for name, array in arrays.items())
    row = {"row": state["position"]["cursor"]["row"]} if "position" in state else {}
    return {**parts, "config": sha256(json.dumps(config, sort_keys=True)), "arrays": sha256(bits), **row}


def run_job(folder: Path, options: str) -> dict[str, Any]:
    """Run a job to its first rows, resume it, and return what it left."""
    # The last of an option that is given twice counts.
    command = [sys.executable, "-m", "stream_bp", "train", *USUAL.split(), *options.split()]
    environment = {**os.environ, **PINNED}
    for limits in (["--max-rows", str(FIRST_ROWS)], []):
        done = subprocess.run(
            [*command, *limits], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    run = folder / "run"
    journals = [path for path in sorted(run.glob("*.csv")) if path.name != "timeline.csv"]  # it tells the time
    parts = [pq.read_table(path) for path in sorted((folder / "said").glob("part-*"))]
    return {
        "theta": summary["weights_sha256"],
        "scores": {name: value for name, value in summary["metrics"].items() if value is not None},
        "files": {path.name.removeprefix("feature_"): sha256(without_places(path, folder)) for path in journals},
        "predictions": [sha256(json.dumps(part.to_pylist())) for part in parts],
        "checkpoint": described(max((run / "checkpoints").glob("step-*"))),
    }


def run_river(folder: Path) -> dict[str, Any]:
    """Learn single rows, then a frame of them, by the estimator; return what it saves and says."""
    code = "from tests.golden.test_same_bits import learn_by_river; learn_by_river()"
    environment = {**os.environ, **PINNED, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    score = sum(one == other for one, other in said["labels"]) / len(said["labels"])
    return {
        "theta": said["theta"],
        "scores": {"accuracy": score},
        "predictions": [sha256(json.dumps(said["labels"])), sha256(json.dumps(said["probabilities"]))],
        "checkpoint": described(folder / "model.safetensors"),
    }


def learn_by_river() -> None:
    """Learn in this process, save the model here, and print what it predicted."""
    import pandas as pd

    from stream_bp.river import MLPClassifier

    rows = [{name: value for name, value in row.items() if value is not None} for row in table().to_pylist()]
    model, labels = MLPClassifier(hidden_layers=(6,), backend="numpy"), []
    for row in rows[:1_500]:
        x = {name: row[name] for name in ("x", "y", "kind") if name in row}
        labels.append([model.predict_one(x), row.get("label")])
        if "label" in row:
            model.learn_one(x, row["label"])
    whole = [row for row in rows[1_500:2_500] if {"x", "label"} <= row.keys()]
    frame = pd.DataFrame([{name: row[name] for name in ("x", "y")} for row in whole])
    model.learn_many(frame, pd.Series([row["label"] for row in whole]))
    said = model.predict_proba_many(frame.head(50))
    model.save("model.safetensors")
    with safe_open("model.safetensors", "numpy") as file:
        weights = b"".join(file.get_tensor(name).tobytes() for name in ("W1", "W2"))
    result = {"labels": labels, "probabilities": said.to_numpy().tolist(), "theta": sha256(weights)}
    print(json.dumps(result))  # noqa: T201


def run(name: str) -> dict[str, Any]:
    """Return what one of the jobs leaves."""
    with TemporaryDirectory() as place:
        folder = Path(place).resolve()
        write_sources(folder)
        return run_river(folder) if name == RIVER else run_job(folder, JOBS[name])


def fingerprint() -> str:
    """Name what decides the bits of these jobs."""
    code = "import numpy as np; c = np.show_config(mode='dicts')['SIMD Extensions']; print(*c['baseline'], *c['found'])"
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **PINNED}, capture_output=True, text=True, check=True
    )
    versions = f"numpy {np.__version__}, pyarrow {pa.__version__}, {' '.join(platform.libc_ver())}"
    return f"{platform.machine()}, {versions}, {found.stdout.strip()}"


@pytest.mark.parametrize("name", [*JOBS, RIVER])
def test_a_job_ends_in_the_same_bits(name: str) -> None:
    """Weights, history, events, predictions and checkpoint are byte for byte what they were; elsewhere, the scores."""
    golden = json.loads(GOLDEN.read_text())
    found, known = run(name), golden.get(fingerprint())
    if known is not None:
        known[name]["checkpoint"].pop("events", None)
        assert found == known[name]
    for figures in golden.values():
        assert found["scores"] == pytest.approx(figures[name]["scores"], rel=0.05)


def test_another_figure_is_seen() -> None:
    """The control: a job with another seed ends in other bits, everywhere."""
    with TemporaryDirectory() as place:
        folder = Path(place).resolve()
        write_sources(folder)
        found = run_job(folder, JOBS["parquet"] + " --seed 5")
    for figures in json.loads(GOLDEN.read_text()).values():
        known = figures["parquet"]
        assert found["theta"] != known["theta"]
        assert found["files"]["history.csv"] != known["files"]["history.csv"]
        assert found["checkpoint"]["arrays"] != known["checkpoint"]["arrays"]


if __name__ == "__main__":
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    kept[fingerprint()] = {name: run(name) for name in [*JOBS, RIVER]}
    GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
