"""Who may import whom."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import stream_bp

ROOT = Path(stream_bp.__file__).parents[1]

# The one table of who may import whom: a package imports only from rows below its own. Packages of one row do not know
# each other.
LAYERS = {
    "stream_bp": [
        {"cli", "demo"},
        {"report"},
        {"comparison", "inference", "monitoring", "preview"},
        {"job", "river"},
        {"models"},
        {"drift", "persistence", "planning"},
        {"config", "preprocessing"},
        {"metrics", "nn"},
        {"_state", "choices"},
        {"_arrays", "errors"},
    ],
    "connectors": [
        {"contract"},
        {"resolve", "testing"},
        {"files"},
        {"memory", "pipes", "registry", "writer"},
        {"formats"},
        {"prefetching", "rebatching", "schemas", "stores"},
        {"casting"},
        {"plain_values"},
        {"fields", "leaves", "null_words", "source"},
        {"notations"},
        {"cursor", "decisions", "events", "suggestions"},
        {"arrays", "errors"},
    ],
}
# Libraries that are slow, optional or of one purpose, and the only modules that import them.
DOORS = {
    "aiohttp": {"connectors.stores.http_store"},
    "fsspec": {"connectors.stores.http_store"},
    "jinja2": {"stream_bp.report.page"},
    "llvmlite": {"stream_bp.nn.numba_backend"},
    "markupsafe": {"stream_bp.report.page"},
    "numba": {"stream_bp.nn.numba_backend"},
    "plotille": {"stream_bp.cli.terminal_plot"},
    "plotly": {f"stream_bp.report.{name}" for name in ("comparison_plots", "data_plots", "plotting", "run_plots")},
    "prometheus_client": {"stream_bp.monitoring.prometheus"},
    "pytest": {"connectors.testing"},
    "typer": {"stream_bp.cli.app", "stream_bp.cli.flags", "stream_bp.cli.help", "stream_bp.cli.options"},
    "watchfiles": {"connectors.files.watcher"},
}
LAZY = {"aiohttp", "fsspec", "watchfiles"}  # imported where they are used, not where their modules begin
PYARROW = {
    "demo",
    "job.prediction_writer",
    *(f"planning.{name}" for name in ("doubts", "plan")),
    *(f"preprocessing.{name}" for name in ("arrow_buffers", "column_plan", "copied_columns", "decoder")),
    *(f"preprocessing.{name}" for name in ("encoder", "schema")),
}
# The job names the type of its model alone; what brings River along at its top is itself imported when it is needed.
RIVER = {"comparison.compare", "comparison.river_models", "demo", "drift.detectors", "job.job", "job.resume"}
BRING_RIVER = {"models.river_adapter", "river.base", "river.estimators"}
STANDARD = {"abc", "collections", "dataclasses", "functools", "hashlib", "itertools", "math", "operator", "typing"}


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it."""
    return _imports(ast.walk(ast.parse(path.read_text())), path)


def top_imports(path: Path) -> set[str]:
    """Return the modules that the body of a file imports whenever it is imported itself."""
    return _imports(ast.parse(path.read_text()).body, path)


def _imports(nodes: Iterable[ast.AST], path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(package: str) -> dict[str, Path]:
    """Return the files of a package, by the names of their modules; those of packages themselves are not among them."""
    paths = sorted((ROOT / package).rglob("*.py"))
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name: path for name, path in named.items() if not name.endswith(("__init__", "__main__"))}


def roots(names: set[str]) -> set[str]:
    """Return the top-level packages of some modules."""
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", LAYERS)
def test_every_package_imports_only_from_rows_below_its_own(package: str) -> None:
    """The table is whole, and nobody imports upwards or from beside."""
    floor = {name: row for row, names in enumerate(LAYERS[package]) for name in names}
    places = {
        path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(floor) == places - {"__init__", "__main__"}
    wrong = [
        f"{name} imports {module}"
        for name, path in modules(package).items()
        for module in imports(path)
        if module.startswith(f"{package}.")
        for own, other in [(name.split(".")[1], module.split(".")[1])]
        if own != other and other in floor and floor[other] <= floor[own]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", LAYERS)
def test_the_page_has_the_table(package: str) -> None:
    """The architecture page shows the same rows, and names every package."""
    page = (ROOT / "stream_bp" / "docs" / "explanation" / "architecture.md").read_text()
    table = page.partition(f"| row | `{package}` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| \d+ \| (.*) \|$", table, flags=re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == LAYERS[package]


def test_the_page_names_modules_that_exist() -> None:
    """Whatever it sends a reader to is there."""
    page = (ROOT / "stream_bp" / "docs" / "explanation" / "architecture.md").read_text()
    known = {name.removeprefix("stream_bp.") for name in modules("stream_bp")} | {*modules("connectors")}
    packages = {name.rpartition(".")[0] for name in known}
    for named in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", page):
        assert named.removeprefix("stream_bp.") in known | packages, named


def test_the_table_finds_what_it_forbids() -> None:
    """The control: the row of what imports most of all could not stand at the bottom."""
    path = modules("stream_bp")["stream_bp.job.job"]
    assert {name.split(".")[1] for name in imports(path) if name.startswith("stream_bp.")} >= {"config", "persistence"}


@pytest.mark.parametrize("package", LAYERS)
def test_there_are_no_cycles(package: str) -> None:
    """A package's modules can be put in an order in which each imports only earlier ones."""
    left = {name: imports(path) for name, path in modules(package).items()}
    left = {name: needs & set(left) for name, needs in left.items()}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def test_connectors_know_nothing_of_learning() -> None:
    """No connector imports stream_bp, or a library for learning or for the command line."""
    for name, path in modules("connectors").items():
        assert not roots(imports(path)) & {"stream_bp", "river", "typer", "rich", "pydantic", "safetensors"}, name


@pytest.mark.parametrize("package", ["nn", "metrics"])
def test_the_numeric_core_knows_numpy_alone(package: str) -> None:
    """Network and metrics import NumPy, the standard library, themselves, the names of arrays, and the errors."""
    apart = {
        "numba_backend": {"importlib", "llvmlite", "numba"},
        "reproducibility": {"contextlib", "pathlib", "platform", "threadpoolctl"},
    }
    for name, path in modules("stream_bp").items():
        _, found, *module = name.split(".")
        if found == package:
            assert roots(imports(path)) <= STANDARD | apart.get(module[0], set()) | {"numpy", "stream_bp"}, name


@pytest.mark.parametrize("library", DOORS)
def test_a_library_of_one_purpose_has_one_door(library: str) -> None:
    """What is slow, or an extra, is imported by few modules; and by these only when they are needed themselves."""
    everything = {**modules("stream_bp"), **modules("connectors")}
    found = {name for name, path in everything.items() if library in roots(imports(path))}
    assert found == DOORS[library]
    at_the_top = {name for name, path in everything.items() if library in roots(top_imports(path))}
    assert at_the_top == (set() if library in LAZY else found)
    if library != "typer":  # of these the command line is made
        importing = {name for name, path in everything.items() if top_imports(path) & found}
        same_package = {name.split(".")[1] for name in found}
        assert {name.split(".")[1] for name in importing} <= same_package | {"contract"}  # another name of testing


def test_arrow_has_few_doors() -> None:
    """Pyarrow enters with columns and encoding, and where predictions are written."""
    found = {name for name, path in modules("stream_bp").items() if "pyarrow" in roots(imports(path))}
    assert found == {f"stream_bp.{name}" for name in PYARROW}


def test_river_has_few_doors() -> None:
    """River's models are known to the estimators, the adapter and the comparison; a job of the network needs none."""
    found = {name: path for name, path in modules("stream_bp").items() if "river" in roots(imports(path))}
    assert set(found) == {f"stream_bp.{name}" for name in RIVER | BRING_RIVER}
    at_the_top = {name for name, path in found.items() if "river" in roots(top_imports(path))}
    assert at_the_top == {f"stream_bp.{name}" for name in BRING_RIVER}
    importing = {name for name, path in modules("stream_bp").items() if top_imports(path) & at_the_top}
    assert importing <= at_the_top


def test_nothing_is_unpickled_or_executed() -> None:
    """No module of the product imports a pickle, or calls eval or exec."""
    for name, path in {**modules("stream_bp"), **modules("connectors")}.items():
        assert not roots(imports(path)) & {"pickle", "marshal", "shelve", "joblib", "dill"}, name
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"eval", "exec"}, name


def loaded_by(code: str) -> set[str]:
    """Return the packages that a process of its own has loaded after some code."""
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(said.splitlines()[-1].split())


def test_a_help_text_needs_no_arrays() -> None:
    """``stream-bp --help`` does not wait for what learns; nor does the help of a command that names every setting."""
    code = "from stream_bp.cli.app import app; app({}, standalone_mode=False)"
    heavy = {"numpy", "pyarrow", "river", "safetensors", "scipy"}
    assert not loaded_by(code.format(["--help"])) & {*heavy, "pydantic"}
    assert not loaded_by(code.format(["train", "--help"])) & heavy


def test_a_job_of_the_network_brings_little_of_river() -> None:
    """Learning, scoring and watching rows imports no SciPy, nor all of River, which take a second and 130 MiB."""
    code = (
        "import pyarrow as pa; from connectors import open_source; from stream_bp import Job; "
        "rows = pa.table({'x': [0.0, 1.0] * 1000, 'y': ['no', 'yes'] * 1000}); "
        "assert Job(open_source(rows), target='y').run().metrics['accuracy'] > 0"
    )
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert "river" in loaded  # one detector of it
    assert not loaded & {"scipy", "typer"}
    assert "scipy" in loaded_by("import river.drift")
