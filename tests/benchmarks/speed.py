"""How fast everything is, beside what people would use instead: one run, one table, and JSON if asked.

Usage: python -m tests.benchmarks.speed [--quick] [--only WORD] [--json FILE]

Every contender runs in a process of its own; runs take turns, so that a machine that slows down slows all of them down.
Medians are told with the spread, ratios are taken within a turn. A goal is told, never asserted: it depends on the
machine. What is not installed is named: `make bench-peers` installs it.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_bp.cli.environment import prepare_libraries
from stream_bp.nn import reproducibility
from tests.benchmarks.contenders import Figures, missing
from tests.benchmarks.rows import write_csv, write_parquet, write_text

NETS = ((10, 32, 2), (54, 64, 64, 7), (64, 256, 256, 10))
BATCH_SIZES = (1, 32, 256, 2048)
STEP_GOALS = {"10-32-2": (7, 7, 5, 3), "54-64-64-7": (5, 5, 2.5, 1.8), "64-256-256-10": (1.6, 2, 1.5, 1.5)}


@dataclass(frozen=True)
class Goal:
    """A figure of one contender, by itself or against one of another.

    Attributes
    ----------
    what
        In words.
    ours, against
        The contenders, by their names in the experiment, and the figure.
    least, most
        What is aimed at, one of the two.
    by
        What is made of both.
    """

    what: str
    ours: tuple[str, str]
    against: tuple[str, str] | None
    least: float | None = None
    most: float | None = None
    by: Callable[[float, float], float] = lambda ours, other: ours / other


@dataclass(frozen=True)
class Experiment:
    """Contenders that take turns.

    Attributes
    ----------
    title
        In words.
    runs
        By name: the contender, and its arguments.
    goals
        What is compared.
    """

    title: str
    runs: dict[str, tuple[str, dict[str, Any]]]
    goals: list[Goal] = field(default_factory=list)


def slower(ours: float, other: float) -> float:
    """Return how many times longer the other takes."""
    return other / ours


def beyond(ours: float, other: float) -> float:
    """Return how much ours takes more."""
    return ours - other


def steps(seconds: float) -> list[Experiment]:
    """Compare the step of the NumPy backend on minibatches in memory."""
    settings = {"nets": NETS, "batch_sizes": BATCH_SIZES, "seconds": seconds}
    many = [256, 2048]
    goals = [
        Goal(f"step {cell}, times faster than PyTorch", ("ours", cell), ("PyTorch", cell), least, by=slower)
        for net, row in STEP_GOALS.items()
        for cell, least in zip((f"{net} b={b}" for b in BATCH_SIZES), row, strict=True)
    ]
    shares = [
        Goal(
            f"step 64-256-256-10 b={b}, share of one product's GFLOP/s",
            ("ours", f"64-256-256-10 b={b}, GFLOP/s"),
            ("one product", f"b={b}"),
            0.8,
        )
        for b in many
    ]
    adam = {"nets": [NETS[1]], "batch_sizes": [32], "seconds": seconds}
    return [
        Experiment(
            "step, µs a minibatch",
            {
                "ours": ("our_steps", settings),
                "PyTorch": ("pytorch_steps", settings),
                "scikit-learn": ("sklearn_steps", settings),
            },
            goals,
        ),
        Experiment(
            "step, share of what the BLAS can do",
            {
                "ours": ("our_steps", {"nets": [NETS[-1]], "batch_sizes": many, "seconds": seconds}),
                "one product": ("matrix_products", {"batch_sizes": many, "seconds": seconds}),
            },
            shares,
        ),
        Experiment(
            "step of Adam, µs",
            {"Adam": ("our_steps", {**adam, "optimizer": "adam"}), "SGD": ("our_steps", adam)},
            [Goal("Adam over SGD, 54-64-64-7 b=32", ("Adam", "54-64-64-7 b=32"), ("SGD", "54-64-64-7 b=32"), most=1.5)],
        ),
    ]


def write(folder: Path, n: int) -> None:
    """Write the files that the contenders read."""
    write_parquet(folder / "rows.parquet", n)
    write_parquet(folder / "long.parquet", 5 * n)
    write_parquet(folder / "few.parquet", n // 100)
    write_parquet(folder / "some.parquet", n // 10)
    write_parquet(folder / "grouped.parquet", max(n, 1_000_000), 1_000_000)
    write_csv(folder / "rows.csv", n)
    write_text(folder / "rows.txt", n // 10)


def jobs(folder: Path, n: int) -> list[Experiment]:
    """Compare whole jobs, from the file to the score."""
    rows, few, some, text = (str(folder / name) for name in ("rows.parquet", "few.parquet", "some.parquet", "rows.txt"))
    csv = str(folder / "rows.csv")
    rate = "rows/s"

    def goal(what: str, ours: str, other: str, least: float) -> Goal:
        return Goal(what, (ours, rate), (other, rate), least)

    minibatches = Experiment(
        "job from Parquet, 10-32-2, b=256, rows/s",
        {
            "ours": ("job", {"path": rows, "batch_size": 256}),
            "ready in memory": ("learner", {"path": rows, "batch_size": 256, "backend": "numpy"}),
            "PyTorch": ("pytorch", {"path": rows, "batch_size": 256}),
            "scikit-learn": ("sklearn", {"path": some, "batch_size": 256}),
            "Vowpal Wabbit": ("vowpal_wabbit", {"path": text, "n": n // 10}),
        },
        [
            goal("job b=256, times the rows/s of PyTorch", "ours", "PyTorch", 4),
            goal("job b=256, times the rows/s of Vowpal Wabbit --nn 32", "ours", "Vowpal Wabbit", 25),
            goal("job b=256, share of learning what is ready in memory", "ours", "ready in memory", 0.8),
        ],
    )
    single = Experiment(
        "job from Parquet, 10-32-2, b=1, rows/s",
        {
            "ours, compiled": ("job", {"path": rows, "batch_size": 1, "backend": "compiled"}),
            "ours, NumPy": ("job", {"path": few, "batch_size": 1, "backend": "numpy"}),
            "PyTorch": ("pytorch", {"path": few, "batch_size": 1}),
            "scikit-learn": ("sklearn", {"path": few, "batch_size": 1}),
            "Vowpal Wabbit": ("vowpal_wabbit", {"path": text, "n": n // 10}),
        },
        [
            goal("job b=1, compiled, times Vowpal Wabbit --nn 32", "ours, compiled", "Vowpal Wabbit", 8),
            goal("job b=1, compiled, times PyTorch", "ours, compiled", "PyTorch", 100),
            goal("job b=1, NumPy, times PyTorch", "ours, NumPy", "PyTorch", 3),
        ],
    )
    from_csv = Experiment(
        "job from CSV, b=256, rows/s",
        {"ours": ("job", {"path": csv, "batch_size": 256}), "draining open_csv": ("drain_csv", {"path": csv, "n": n})},
        [goal("job from CSV, times draining open_csv", "ours", "draining open_csv", 1.2)],
    )
    river = Experiment(
        "River's Phishing row by row, predict and learn, rows/s",
        {
            "ours, compiled": ("estimator", {"n": n // 50, "backend": "compiled"}),
            "ours, NumPy": ("estimator", {"n": n // 50, "backend": "numpy"}),
            "River, linear": ("river", {"n": n // 50}),
        },
        [goal("MLPClassifier (32), compiled, times River's linear model", "ours, compiled", "River, linear", 1)],
    )
    return [minibatches, single, from_csv, river]


def rest(folder: Path, n: int) -> list[Experiment]:
    """Measure memory, checkpoints, and what there is to wait for."""
    rows, grouped = str(folder / "rows.parquet"), str(folder / "grouped.parquet")
    peak, second = "peak MiB", "seconds"
    memory = Experiment(
        "peak memory, MiB",
        {
            "ours": ("job", {"path": rows, "batch_size": 256}),
            "ours, row groups of a million": ("job", {"path": grouped, "batch_size": 256}),
            "imports alone": ("bare_imports", {}),
        },
        [
            Goal("MiB over the bare imports", ("ours", peak), ("imports alone", peak), most=60, by=beyond),
            Goal(
                "the same, row groups of a million rows",
                ("ours, row groups of a million", peak),
                ("imports alone", peak),
                most=150,
                by=beyond,
            ),
        ],
    )
    saved = n // 16
    saving = Experiment(
        "a million parameters with Adam, b=256",
        {
            "saved every second": ("saving", {"path": rows, "rows": saved, "every": "1s"}),
            "never": ("saving", {"path": rows, "rows": saved, "every": "1h"}),
        },
        [
            Goal("rows/s, saved every second", ("saved every second", "rows/s"), ("never", "rows/s"), least=0.98),
            Goal(
                "ms for which a save holds the learner up, at most",
                ("saved every second", "held ms, most"),
                None,
                most=20,
            ),
        ],
    )
    start = Experiment(
        "until a first job is done, s",
        {"compiled": ("ready", {"backend": "compiled"}), "NumPy": ("ready", {"backend": "numpy"})},
        [Goal("s that the compiled backend takes more", ("compiled", second), ("NumPy", second), most=0.5, by=beyond)],
    )
    helping = Experiment(
        "a help text, s",
        {
            "stream-bp --help": ("process", {"command": ["-m", "stream_bp", "--help"]}),
            "import typer": ("process", {"command": ["-c", "import typer"]}),
        },
        [Goal("--help over import typer", ("stream-bp --help", second), ("import typer", second), most=2)],
    )
    long = str(folder / "long.parquet")
    watching = Experiment(
        "a job with panel, metrics and drift, b=256, rows/s",
        {
            "watched": ("watched", {"path": long, "batch_size": 256}),
            "unwatched": ("job", {"path": long, "batch_size": 256, "drift_detector": "none"}),
        },
        [Goal("rows/s, watched, over unwatched", ("watched", "rows/s"), ("unwatched", "rows/s"), least=0.97)],
    )
    telling = Experiment(
        f"a report of {n / 1e6:g} M rows",
        {"a page": ("report", {"path": rows, "batch_size": 256})},
        [
            Goal("s until it is written", ("a page", second), None, most=5),
            Goal("its size, MB", ("a page", "MB"), None, most=6),
        ],
    )
    return [memory, saving, start, helping, watching, telling]


def measure(experiment: Experiment, repeats: int, console: Console) -> dict[str, list[Figures]]:
    """Let the contenders take turns; return their figures, turn by turn."""
    found: dict[str, list[Figures]] = {name: [] for name in experiment.runs}
    for name, (contender, _) in experiment.runs.items():
        if (package := missing(contender)) is not None:
            console.print(f"{experiment.title}: {name} is left out, {package} is not installed (make bench-peers)")
            del found[name]
    for turn in range(repeats):
        for name, results in found.items():
            contender, arguments = experiment.runs[name]
            with console.status(f"{experiment.title}: {name}, turn {turn + 1} of {repeats}"):
                command = [sys.executable, "-m", "tests.benchmarks.contenders", contender, json.dumps(arguments)]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{experiment.title}: {name} failed:\n{done.stderr}")
            results.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def tell(experiment: Experiment, found: dict[str, list[Figures]], console: Console) -> None:
    """Print a table of medians with their spread."""
    table = Table("", "", "median", "from", "to", title=experiment.title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, results in found.items():
        for key in results[0]:
            values = sorted(result[key] for result in results)
            table.add_row(name, key, *map(_number, (statistics.median(values), values[0], values[-1])))
    console.print(table)


def judged(goal: Goal, found: dict[str, list[Figures]]) -> dict[str, Any] | None:
    """Return what came of a goal; None where a contender is not there."""
    if goal.ours[0] not in found or (goal.against is not None and goal.against[0] not in found):
        return None
    values = [figures[goal.ours[1]] for figures in found[goal.ours[0]]]
    if goal.against is not None:
        others = [figures[goal.against[1]] for figures in found[goal.against[0]]]
        values = [goal.by(ours, other) for ours, other in zip(values, others, strict=True)]
    values.sort()
    middle = statistics.median(values)
    is_reached = middle >= goal.least if goal.least is not None else middle <= (goal.most or 0)
    aim = f"≥ {goal.least:g}" if goal.least is not None else f"≤ {goal.most:g}"
    return {"what": goal.what, "median": middle, "from": values[0], "to": values[-1], "aim": aim, "reached": is_reached}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="within a minute: fewer rows, one turn")
    parser.add_argument("--only", default="", help="experiments whose title has this word")
    parser.add_argument("--json", type=Path, help="file to write every figure to")
    options = parser.parse_args()
    prepare_libraries()  # for the processes that this one starts: all have the environment of the command line
    console, progress = Console(), Console(stderr=True)
    repeats, seconds, n = (1, 0.02, 300_000) if options.quick else (5, 0.3, 2_000_000)
    with reproducibility.single_thread():
        machine = {
            "processor": _processor(),
            "python": platform.python_version(),
            **reproducibility.fingerprint("float32"),
        }
    console.print(json.dumps(machine), soft_wrap=True, highlight=False)
    aims = Table("", "median", "from", "to", "aim", "", title="against each other, turn by turn", title_justify="left")
    written: dict[str, Any] = {"machine": machine, "experiments": {}, "aims": []}
    with tempfile.TemporaryDirectory() as folder:
        every = [*steps(seconds), *jobs(Path(folder), n), *rest(Path(folder), n)]
        chosen = [experiment for experiment in every if options.only in experiment.title]
        if any("path" in arguments for experiment in chosen for _, arguments in experiment.runs.values()):
            write(Path(folder), n)
        for experiment in chosen:
            found = measure(experiment, repeats, progress)
            tell(experiment, found, console)
            written["experiments"][experiment.title] = found
            for goal in experiment.goals:
                if (row := judged(goal, found)) is not None:
                    written["aims"].append(row)
                    numbers = (_number(row[key]) for key in ("median", "from", "to"))
                    aims.add_row(row["what"], *numbers, row["aim"], "" if row["reached"] else "not reached")
    console.print(aims)
    if options.json is not None:
        options.json.write_text(json.dumps(written, indent=1))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
