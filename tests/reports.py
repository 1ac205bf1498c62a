"""Run directories for reports to be made of, with names that would like to be more than text."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from connectors import open_source
from stream_bp import Job

__all__ = ["HOSTILE", "learn", "many_classes", "two_classes", "values"]

HOSTILE = (
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "\"quoted\" 'twice'",
    "<b>bold</b> &amp; &lt;",
    '<a href="javascript:window.hit = 1">here</a>',
    "%{y} ${x} {{ 7 * 7 }}",
    "ünïcode ☃ \u2028 你好",
    "-->]]>",
)


def learn(rows: pa.Table, run_dir: Path, *stops: int, **settings: Any) -> Path:
    """Learn rows, in as many processes as there are numbers of rows to stop at, and return the run directory."""
    settings = {"batch_size": 8, "hidden_layers": (8,), "backend": "numpy", **settings}
    for stop in stops or (None,):
        Job(open_source(rows), run_dir=str(run_dir), max_rows=stop, **settings).run()
    return run_dir


def two_classes(n: int = 6000, seed: int = 0) -> pa.Table:
    """Return rows of two classes, one feature missing now and then, another one moved half-way."""
    random = np.random.default_rng(seed)
    x, y, z = random.normal(size=(3, n))
    z[n // 2 :] += 3
    label = np.where(x + y + random.normal(size=n) / 4 > 0, "up", "down").tolist()
    x[random.random(n) < 0.05] = np.nan
    return pa.table({"x": x, "y": y, "moved": z, "label": label})


def values(n: int = 6000) -> pa.Table:
    """Return rows with a value to predict."""
    x, y = np.random.default_rng(1).normal(size=(2, n))
    return pa.table({"x": x, "y": y, "value": 3 * x - y + 50})


def many_classes(folder: Path, n: int = 4000) -> Path:
    """Learn text with 30 classes, bad rows and hostile names; return the run directory."""
    random = np.random.default_rng(2)
    classes = [*HOSTILE, *(f"class {i}" for i in range(22))]
    codes = random.integers(0, len(classes), n) // random.integers(1, 4, n)
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([HOSTILE[0], HOSTILE[2], HOSTILE[4]])
        for i, code in enumerate(codes):
            if i % 500 == 77:
                file.write("broken\n")
            moved = 5.0 * (i > n / 2)
            writer.writerow([code + random.normal() / 4 if i % 50 else "", random.normal() + moved, classes[code]])
    run_dir = folder / 'run <b>"evil"'
    source = open_source(path, keeps_bad_rows=True)
    settings: dict[str, Any] = {"on_bad_row": "quarantine", "batch_size": 8, "hidden_layers": (16,), "backend": "numpy"}
    Job(source, run_dir=str(run_dir), target=HOSTILE[4], **settings).run()
    return run_dir
