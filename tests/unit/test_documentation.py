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


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what each example of the README in Python writes, run as it stands, in an empty directory."""
    place, outputs = tmp_path_factory.mktemp("readme"), []
    for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        (place / "example.py").write_text(code)
        done = subprocess.run([sys.executable, "example.py"], check=False, capture_output=True, text=True, cwd=place)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    return outputs


def test_the_example_of_a_job_runs(said: list[str]) -> None:
    """It beats the baseline, and its weights have the shapes that are told."""
    accuracy, baseline = map(float, said[0].splitlines()[0].split())
    assert accuracy > 0.9 > baseline
    assert "'W1': (16, 3), 'W2': (2, 17)" in said[0]


def test_the_example_of_river_runs(said: list[str]) -> None:
    """Its scores are River's own words."""
    accuracy, mae = said[1].splitlines()
    assert float(accuracy.removeprefix("Accuracy: ").removesuffix("%")) > 89
    assert float(mae.removeprefix("MAE: ")) < 0.4


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
            assert "default" in words or name in {
                "target",
                "ignore",
                "categorical",
                "numeric",
                "stop_loss",
                "stop_delta",
            }, name


def test_every_command_of_the_readme_exists() -> None:
    """The commands in the table are those of the command line."""
    named = set(re.findall(r"stream-bp (\w+)", README)) - {"needed"}
    for command in named:
        subprocess.run([sys.executable, "-m", "stream_bp", command, "--help"], check=True, capture_output=True)
    assert {"train", "resume", "predict", "evaluate", "inspect", "compare"} <= named
