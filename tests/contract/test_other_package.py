"""A connector in another package, made by the steps of CONTRIBUTING: found by its scheme, tested by the contract."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

import stream_bp
from connectors import Follow, RowError, Source, SourceError, contract, open_source, registry, testing
from connectors.memory import MemorySource
from connectors.testing import table
from tests.contract import sqlite_rows
from tests.contract.sqlite_rows import write_sqlite
from tests.crash.jobs import newest_step, rows

ROOT = Path(stream_bp.__file__).parents[1]
STEPS = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a connector")[2].partition("\n## ")[0]


def step(language: str) -> str:
    """Return the example in a language that the steps show."""
    (found,) = re.findall(rf"   ```{language}\n(.*?)   ```", STEPS, flags=re.DOTALL)
    return re.sub(r"^   ", "", found, flags=re.MULTILINE)


def install(place: Path, name: str, points: dict[str, str]) -> Path:
    """Make a folder look as if a package with these entry points were installed there."""
    info = place / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{scheme} = {where}" for scheme, where in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines, ""]))
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make the package of the steps."""
    points = tomllib.loads(step("toml"))["project"]["entry-points"]["stream_bp.connectors"]
    shutil.copy(str(sqlite_rows.__file__), tmp_path / "sqlite_rows.py")
    return install(tmp_path, "sqlite-rows", points)


def environment(place: Path) -> dict[str, str]:
    """Return the environment of a process that sees a package, without the options of this pytest run."""
    others = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return {**others, "PYTHONPATH": os.pathsep.join([str(ROOT), str(place)])}


def run(*arguments: str, place: Path) -> str:
    """Run a Python module in a process that sees a package, and return its output."""
    command = [sys.executable, "-P", "-m", *arguments]
    done = subprocess.run(command, cwd=place, env=environment(place), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_package_that_follows_the_steps_keeps_the_contract(place: Path) -> None:
    """The test module of the last step passes, point by point, and none is left out."""
    (place / "test_sqlite_rows.py").write_text(step("python"))
    said = run("pytest", "-q", "-p", "no:cacheprovider", "test_sqlite_rows.py", place=place)
    assert re.search(r"^2\d passed in", said, flags=re.MULTILINE), said


def test_the_suite_is_still_found_by_its_former_name() -> None:
    """`connectors.contract` exports all names of `connectors.testing`, since packages import it."""
    assert contract.__all__ == testing.__all__
    assert all(getattr(contract, name) is getattr(testing, name) for name in testing.__all__)


WRONGLY = {
    "does not look at the place": (
        "if start.state not in (None, state)",
        "if False",
        ["a_changed_place_is_refused"] * 3,
    ),
    "hands on foreign errors": (
        "except OSError as error",
        "except EOFError as error",
        ["a_place_that_is_gone_is_named"] * 2,
    ),
    "keeps files open": (
        "yield connection",
        "vars(self).setdefault('held', []).append(self._path.open()); yield connection",
        ["readers_leave_nothing_open"],
    ),
}


@pytest.mark.parametrize("wrongly", WRONGLY)
def test_the_contract_catches_a_source_that_works_wrongly(place: Path, wrongly: str) -> None:
    """The control: with each change, the package fails only the points about it."""
    right, wrong, points = WRONGLY[wrongly]
    module = place / "sqlite_rows.py"
    assert right in module.read_text()
    module.write_text(module.read_text().replace(right, wrong))
    (place / "test_sqlite_rows.py").write_text(step("python"))
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sqlite_rows.py"]
    done = subprocess.run(command, cwd=place, env=environment(place), check=False, capture_output=True, text=True)
    failed = re.findall(r"^FAILED .*::(\w+)", done.stdout, flags=re.MULTILINE)
    assert failed == [f"test_{point}" for point in points], done.stdout


def test_a_job_over_its_scheme_is_killed_and_goes_on_to_the_same_bits(place: Path) -> None:
    """Train on the command line, SIGKILL, resume: the result is that of a run without a kill."""
    where = write_sqlite(rows(20_000).select(["x", "y", "kind", "label"]), place / "rows.db")
    settings = ["--target", "label", "--batch-size", "1", "--backend", "numpy", "--checkpoint-every", "50"]
    train = ["stream_bp", "train", where, *settings]
    whole = json.loads(run(*train, "--run-dir", "whole", "--json", place=place))
    command = [sys.executable, "-P", "-m", *train, "--run-dir", "killed"]
    with subprocess.Popen(command, cwd=place, env=environment(place), stderr=subprocess.DEVNULL) as job:
        while newest_step(place / "killed") < 300:
            assert job.poll() is None
            time.sleep(0.01)
        job.send_signal(signal.SIGKILL)
    assert newest_step(place / "killed") < 20_000
    resumed = json.loads(run("stream_bp", "resume", "killed", "--json", place=place))
    assert resumed["resumed_from"] is not None
    assert resumed["rows"] == whole["rows"] == 20_000
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert (place / "killed" / "history.csv").read_bytes() == (place / "whole" / "history.csv").read_bytes()
    run("stream_bp", "predict", "whole", where, "--output", "p.csv", place=place)
    assert len((place / "p.csv").read_text().splitlines()) == 20_001


@pytest.mark.parametrize(("column", "value"), [("i", 1.5), ("i", b"1"), ("x", "oops"), ("word", b"w"), ("flag", 7)])
def test_a_value_that_its_column_cannot_hold_is_no_value_of_it(tmp_path: Path, column: str, value: object) -> None:
    """SQLite stores any value in any column; the source converts none of them, and names the row."""
    values = table(5).to_pylist()
    values[3][column] = value
    source = sqlite_rows.open_sqlite(write_sqlite(table(5), tmp_path / "rows.db", values=values))
    expected = re.escape(f"row 3: column {column!r}: expected {source.schema.field(column).type}, found {value!r}")
    with pytest.raises(RowError, match=expected), source.open(source.schema) as reader:
        list(reader)


def test_a_table_without_rowids_is_refused_by_name(tmp_path: Path) -> None:
    """Such a table has no fixed order of rows."""
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        connection.execute("CREATE TABLE keyed (i INTEGER PRIMARY KEY, x REAL) WITHOUT ROWID")
    with pytest.raises(SourceError, match=r"rows\.db: table 'keyed' has no rowids"):
        sqlite_rows.open_sqlite(f"sqlite://{tmp_path / 'rows.db'}?table=keyed")


def opened(place: str, delimiter: str | None = None) -> Source:
    """Open a place as another package does; it is registered below."""
    assert place == "Demo://somewhere"
    assert delimiter in {None, ";"}
    return MemorySource(table(5))


def opens_nothing(place: str, **settings: object) -> object:
    """Return an object that is not a source."""
    return settings


not_callable = 3

POINTS = {
    "demo": f"{__name__}:opened",
    "broken": "no_such_module_of_theirs:open",
    "absent": f"{__name__}:no_such_name",
    "number": f"{__name__}:not_callable",
    "empty": f"{__name__}:opens_nothing",
    "twice": f"{__name__}:opened",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install two packages."""
    monkeypatch.syspath_prepend(install(tmp_path / "a", "theirs", POINTS))
    monkeypatch.syspath_prepend(install(tmp_path / "b", "others", {"twice": POINTS["twice"]}))


@pytest.mark.usefixtures("installed")
def test_a_place_is_opened_by_whoever_has_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """In lower or upper case; with the given settings that it declares; our own schemes stay ours."""
    assert open_source("Demo://somewhere").n_rows == 5
    assert open_source("Demo://somewhere", delimiter=";", encoding="utf-8", null_values=["?"], decimal=",").n_rows == 5
    monkeypatch.setattr(registry, "BUILT_IN", frozenset({"demo"}))
    with pytest.raises(SourceError, match="scheme 'demo' is not supported"):
        open_source("Demo://somewhere")


WRONG = {
    "broken://x": r"package theirs 1\.2, which registers the scheme 'broken', cannot be loaded: ModuleNotFoundError",
    "absent://x": r"package theirs 1\.2, .* cannot be loaded: AttributeError",
    "number://x": r"package theirs 1\.2 registers .*:not_callable, which is not callable",
    "twice://x": r"'twice' is registered by package others 1\.2 and package theirs 1\.2; uninstall all but one",
    "dema://x": r"'dema' is not supported; did you mean 'demo'\?; known schemes: abfs, abfss, absent, broken, demo, .*",
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("where", WRONG)
def test_what_is_wrong_with_a_package_is_one_line(where: str) -> None:
    """The error names the place, the package and the remedy."""
    with pytest.raises(SourceError, match=WRONG[where]) as caught:
        open_source(where)
    assert str(caught.value).startswith(f"{where}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("installed")
def test_such_a_place_is_alone_and_a_source(tmp_path: Path) -> None:
    """Another place beside it is refused, and so is an opener that does not return a source."""
    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(SourceError, match="a place of another package cannot be combined"):
        open_source(tmp_path / "a.csv", "Demo://somewhere")
    words = r"scheme 'demo' \(package theirs 1\.2\) cannot skip bad rows \(keeps_bad_rows\); remove this setting"
    with pytest.raises(SourceError, match=words):
        open_source("Demo://somewhere", keeps_bad_rows=True)
    with pytest.raises(SourceError, match="cannot be followed"):
        open_source("Demo://somewhere", follow=Follow())
    with pytest.raises(SourceError, match=r"package theirs 1\.2 returned a dict, expected a connectors\.Source"):
        open_source("empty://x", encoding="utf-8", block_size=3)


def test_nobody_is_imported_before_a_place_is_asked_for(tmp_path: Path) -> None:
    """A broken package does not affect a job that reads files."""
    install(tmp_path, "theirs", {"demo": "harm:open"})
    (tmp_path / "harm.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "a.csv").write_text("x\n1\n")
    code = "import sys; from connectors import open_source; open_source('a.csv'); print('harm' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True
    )
    assert done.stdout == b"False\n"
