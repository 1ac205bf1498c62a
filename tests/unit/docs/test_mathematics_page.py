"""The equations on the page of mathematics are those that the numeric core cites, and stand where it says."""

import ast
import re
from pathlib import Path

import stream_bp
from stream_bp.nn.activations import ACTIVATIONS
from stream_bp.nn.losses import LOSSES
from stream_bp.nn.optimizers import OPTIMIZERS
from stream_bp.nn.schedules import SCHEDULES

PACKAGE = Path(stream_bp.__file__).parent
PAGE = (PACKAGE / "docs" / "explanation" / "mathematics.md").read_text()
CITED = re.compile(r"eq\. (\d+(?:-\d+)?(?:(?:, | and )\d+(?:-\d+)?)*)")
CORE = {f"nn.{path.stem}" for path in (PACKAGE / "nn").glob("*.py") if path.stem != "__init__"}
TABLE = PAGE.partition("## Where it is in the code")[2]


def equations(text: str) -> set[str]:
    """Return the numbers, and ranges of numbers, that a text cites, as ``52`` and ``29-54``."""
    return {number for cited in CITED.findall(" ".join(text.split())) for number in re.split(", | and ", cited)}


def path_of(module: str) -> Path:
    """Return the file of a module, by its name within the package."""
    return PACKAGE / f"{module.replace('.', '/')}.py"


def docstrings(module: str) -> str:
    """Return all docstrings of a module of the package."""
    tree = ast.parse(path_of(module).read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return "\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented))


def test_the_page_has_the_equations_of_the_docstrings_and_no_other() -> None:
    """Each that the core cites is explained, and each that is explained is cited."""
    assert equations(PAGE) == set().union(*(equations(docstrings(module)) for module in CORE))


def test_every_module_of_the_core_has_the_equations_that_the_page_says() -> None:
    """In its docstrings and comments; what holds arrays has no mathematics."""
    rows = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \| ([\d, -]*)\|", TABLE, flags=re.MULTILINE)
    told = {
        module: set(re.findall(r"[\d-]+", cited))
        for modules, cited in rows
        for module in re.findall(r"[\w.]+", modules)
    }
    assert told.keys() >= CORE
    for module, cited in told.items():
        assert cited == equations(path_of(module).read_text()), module


def test_every_function_and_rule_is_explained_with_its_rates() -> None:
    """Activation functions, outputs, schedules, and optimisers with what they learn with if no rate is given."""
    for name in [*ACTIVATIONS, *LOSSES, *OPTIMIZERS, *SCHEDULES.built_in]:
        assert re.search(rf"^\| `{name}` \|", PAGE, flags=re.MULTILINE), name
    for name, rule in OPTIMIZERS.items():
        rates = f"{rule.default_learning_rate}, {rule.default_learning_rate_of_values}"
        assert re.search(rf"^\| `{name}` \|.*\| {re.escape(rates)} \|$", PAGE, flags=re.MULTILINE), name
