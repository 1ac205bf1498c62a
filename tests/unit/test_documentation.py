"""The README does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import stream_bp
from stream_bp.config import JobConfig

ROOT = Path(stream_bp.__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the README runs as it stands, in an empty directory."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "example.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "example.py"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    accuracy, baseline = map(float, done.stdout.splitlines()[0].split())
    assert accuracy > 0.9 > baseline
    assert "'W1': (16, 3), 'W2': (2, 17)" in done.stdout


def test_the_first_screen_has_the_two_commands() -> None:
    """Make run and make test are seen without scrolling."""
    first = "\n".join(README.splitlines()[:15])
    assert "make run" in first
    assert "make test" in first


def test_every_flag_has_help_with_its_default() -> None:
    """Every field of the configuration is a flag of train, and its help tells a default or that there is none."""
    command = [sys.executable, "-m", "stream_bp", "train", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    helps = {flag.split()[0]: " ".join(flag.split()[2:]) for flag in re.split(r"\n  --", text)[1:]}
    for name in JobConfig.model_fields:
        if name != "source":
            words = helps[name.replace("_", "-")]
            assert len(words) > 10, name
            assert "default" in words or name in {"target", "ignore", "stop_loss", "stop_delta"}, name


def test_every_command_of_the_readme_exists() -> None:
    """The commands in the table are those of the command line."""
    named = set(re.findall(r"stream-bp (\w+)", README)) - {"needed"}
    for command in named:
        subprocess.run([sys.executable, "-m", "stream_bp", command, "--help"], check=True, capture_output=True)
    assert {"train", "resume", "predict", "evaluate", "inspect", "compare"} <= named
