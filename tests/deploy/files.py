"""The files of the folder deploy, and the programs that judge them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream_bp

__all__ = [
    "ALERTS",
    "DEPLOY",
    "ROOT",
    "alerts",
    "dashboard",
    "instructions",
    "judged",
    "program",
    "read",
    "rendered",
    "script",
]

ROOT = Path(stream_bp.__file__).parents[1]
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"


def read(path: Path) -> Any:
    """Return what a file of YAML says."""
    return yaml.safe_load(path.read_text())


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for group in read(ALERTS)["groups"] for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    content: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "stream-bp.json").read_text())
    return content


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, in order, each with what it is given."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(name, re.sub(r"\s+", " ", rest)) for name, rest in re.findall(r"^([A-Z]+)\s+(.*)$", text, re.MULTILINE)]


def program(name: str) -> str:
    """Return the path of a program of the system; the test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def script(name: str) -> str:
    """Return the path of a program of the development environment."""
    return str(Path(sys.executable).with_name(name))


def judged(*command: str | Path) -> str:
    """Run a program that must be content, and return what it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def rendered(name: str) -> list[dict[str, Any]]:
    """Return the objects that a kustomization makes, as kustomize itself renders them."""
    done = subprocess.run(
        [program("kubectl"), "kustomize", DEPLOY / "kubernetes" / name], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
