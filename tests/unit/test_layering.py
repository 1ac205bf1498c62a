"""Who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stream_bp

ROOT = Path(stream_bp.__file__).parents[1]
NUMERIC = {"arrays", "network", "activations", "losses", "backprop", "optimizers", "schedules", "scaling"}
NUMERIC |= {"compiled", "diagnostics", "engine", "learner"}
STANDARD = {"abc", "collections", "dataclasses", "functools", "hashlib", "itertools", "math", "operator", "typing"}
# The job names the type of its model alone; what brings River along at its top is itself imported when it is needed.
RIVER = {"compare", "demo", "error_drift", "estimator", "foreign", "job", "origin", "river", "zoo"}
BRING_RIVER = {"estimator", "foreign", "river"}


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            found.add(str(node.module))
            if node.module in {"stream_bp", "connectors"}:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top_imports(path: Path) -> set[str]:
    """Return the modules that the body of a file imports whenever it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(package: str) -> dict[str, set[str]]:
    """Return the imports of every module of a package, by its name."""
    return {path.stem: imports(path) for path in sorted((ROOT / package).glob("*.py"))}


def roots(names: set[str]) -> set[str]:
    """Return the top-level packages of some modules."""
    return {name.split(".")[0] for name in names}


def test_connectors_know_nothing_of_learning() -> None:
    """No connector imports stream_bp, or a library for learning or for the command line."""
    for name, found in modules("connectors").items():
        assert not roots(found) & {"stream_bp", "river", "typer", "rich", "pydantic", "safetensors"}, name


def test_the_contract_is_for_the_authors_of_connectors() -> None:
    """It alone brings pytest along, and nothing of either package imports it."""
    for package in ("stream_bp", "connectors"):
        found = modules(package)
        testing = {name for name, names in found.items() if roots(names) & {"pytest", "_pytest", "hypothesis", "tests"}}
        assert testing == ({"contract"} if package == "connectors" else set())
        assert not any("connectors.contract" in names for names in found.values())


@pytest.mark.parametrize("name", sorted(NUMERIC))
def test_the_numeric_core_knows_numpy_alone(name: str) -> None:
    """The core imports NumPy, the standard library, itself, and the errors."""
    found = modules("stream_bp")[name]
    compiler = {"importlib", "llvmlite", "numba"} if name == "compiled" else set()
    assert roots(found) <= STANDARD | compiler | {"numpy", "stream_bp"}
    ours = {module.split(".")[1] for module in found if module.startswith("stream_bp.")}
    assert ours <= NUMERIC | {"errors"}


def test_arrow_and_typer_have_one_door_each() -> None:
    """Pyarrow enters with columns, encoder and predictions, Typer in the command line, plotille in the drawing."""
    found = modules("stream_bp")
    assert {name for name, names in found.items() if "pyarrow" in roots(names)} == {
        "columns",
        "encoder",
        "predictions",
        "demo",
    }
    assert {name for name, names in found.items() if "typer" in roots(names)} == {"cli", "flags"}
    assert {name for name, names in found.items() if "plotille" in roots(names)} == {"drawing"}
    assert {name for name, names in found.items() if "stream_bp.cli" in names} == {"__main__"}


def test_what_a_report_takes_is_an_extra() -> None:
    """Plotly enters with its figures, Jinja with the page, and no module that a job needs knows one of them."""
    found = modules("stream_bp")
    figures = {"figures", "plots", "charts", "overlay"}
    assert {name for name, names in found.items() if "plotly" in roots(names)} == figures
    assert {name for name, names in found.items() if {"jinja2", "markupsafe"} & roots(names)} == {"page"}
    behind = {f"stream_bp.{name}" for name in (*figures, "page", "live")}
    at_the_top = {path.stem: top_imports(path) for path in (ROOT / "stream_bp").glob("*.py")}
    assert {name for name, names in at_the_top.items() if names & behind} <= {*figures, "page", "live"}


def test_river_has_few_doors() -> None:
    """River's models are known to the estimators, the foreign model and the zoo; a job of the network needs none."""
    found = modules("stream_bp")
    assert {name for name, names in found.items() if "river" in roots(names)} == RIVER
    at_the_top = {path.stem for path in (ROOT / "stream_bp").glob("*.py") if "river" in roots(top_imports(path))}
    assert at_the_top == BRING_RIVER
    bringing = {f"stream_bp.{name}" for name in BRING_RIVER}
    importing = {path.stem for path in (ROOT / "stream_bp").glob("*.py") if top_imports(path) & bringing}
    assert importing <= BRING_RIVER


def test_nothing_is_unpickled_or_executed() -> None:
    """No module of the product imports a pickle, or calls eval or exec."""
    for package in ("stream_bp", "connectors"):
        for path in (ROOT / package).glob("*.py"):
            assert not roots(imports(path)) & {"pickle", "marshal", "shelve", "joblib", "dill"}, path.name
            calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"eval", "exec"}, path.name


def test_what_asks_web_servers_has_one_door() -> None:
    """Fsspec and aiohttp are an extra: one module knows them, and not at its top."""
    found = modules("connectors")
    assert {name for name, names in found.items() if {"fsspec", "aiohttp"} & roots(names)} == {"objects"}
    assert not roots(top_imports(ROOT / "connectors" / "objects.py")) & {"fsspec", "aiohttp"}
    assert {name for name, names in found.items() if {"connectors.objects"} & names} == {"csv_text", "files", "storage"}


def test_there_are_no_cycles() -> None:
    """Every package's modules can be put in an order in which each imports only earlier ones."""
    for package in ("stream_bp", "connectors"):
        left = {
            name: {module.split(".")[1] for module in found if module.startswith(f"{package}.")}
            for name, found in modules(package).items()
            if name not in {"__init__", "__main__"}
        }
        left = {name: needs & set(left) for name, needs in left.items()}
        while left:
            free = {name for name, needs in left.items() if not needs & set(left)}
            assert free, f"a cycle among {sorted(left)}"
            left = {name: needs for name, needs in left.items() if name not in free}


def loaded_by(code: str) -> set[str]:
    """Return the packages that a process of its own has loaded after some code."""
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(said.splitlines()[-1].split())


def test_a_help_text_needs_no_arrays() -> None:
    """``stream-bp --help`` does not wait for what learns; nor does the help of a command that names every setting."""
    code = "from stream_bp.cli import app; app({}, standalone_mode=False)"
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
