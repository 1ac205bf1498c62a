"""Former names of settings: accepted wherever they were accepted, and shown nowhere."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from typer.testing import CliRunner

from connectors import open_source
from stream_bp.cli.app import app
from stream_bp.config.job import JobConfig
from stream_bp.config.monitoring import Watching
from stream_bp.config.renamed import RENAMED, current_name, with_current_names
from stream_bp.errors import ConfigError
from stream_bp.job.job import Job
from stream_bp.persistence.checkpoints import load

FLAGS = ["train", "resume", "predict", "compare"]
VALUES = {"hidden": "3", "schedule": "cosine", "drift": "none", "engine": "numpy", "keep": "2", "missing": "impute"}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return the path of some rows."""
    path = tmp_path / "rows.csv"
    pacsv.write_csv(pa.table({"x": list(range(60)), "label": ["a", "b", "c"] * 20}), path)
    return path


def settings_of(run_dir: Path) -> dict[str, object]:
    """Return the settings in the newest checkpoint of a run."""
    config: dict[str, object] = load(run_dir).snapshot.state["config"]
    return config


def test_every_former_name_has_a_present_one() -> None:
    """Each leads to a setting, or to a flag of the commands; none is a setting itself."""
    fields = JobConfig.model_fields.keys() | Watching.model_fields.keys()
    assert set(RENAMED.values()) - fields == {"restart", "allow_inexact_resume"}
    assert not RENAMED.keys() & fields


def test_former_flags_work(rows: Path, tmp_path: Path) -> None:
    """They set what the present ones set, with = and without, and so do former values."""
    run_dir = tmp_path / "run"
    flags = [word for name, value in VALUES.items() for word in (f"--{name}", value)]
    flags += ["--flush-after=2s", "--follow", "--idle-timeout", "0.1s"]
    done = CliRunner().invoke(app, ["train", str(rows), "--target", "label", "--run-dir", str(run_dir), *flags])
    assert done.exit_code == 0, done.output
    found = settings_of(run_dir)
    assert {name: found[name] for name in ("hidden_layers", "lr_schedule", "drift_detector", "keep_checkpoints")} == {
        "hidden_layers": [3],
        "lr_schedule": "cosine",
        "drift_detector": "none",
        "keep_checkpoints": 2,
    }
    assert (found["backend"], found["missing"], found["linger"]) == ("numpy", "mean-indicator", "2s")
    again = ["train", str(rows), "--target", "label", "--run-dir", str(run_dir), "--fresh"]
    assert CliRunner().invoke(app, again).exit_code == 0
    assert settings_of(run_dir)["hidden_layers"] == [64]


def test_former_keys_of_a_toml_file_work(rows: Path, tmp_path: Path) -> None:
    """With - and with _; a flag wins over them."""
    (tmp_path / "job.toml").write_text(
        'hidden = [3]\nkeep-columns = []\nready-within = "1m"\nkeep = 5\nflush_after = "1s"\n'
    )
    run_dir = tmp_path / "run"
    flags = ["--keep-checkpoints", "4", "--follow", "--idle-timeout", "0.1s", "--run-dir", str(run_dir)]
    command = ["train", str(rows), "--target", "label", "--config", str(tmp_path / "job.toml"), *flags]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = settings_of(run_dir)
    assert (found["hidden_layers"], found["keep_checkpoints"], found["linger"]) == ([3], 4, "1s")


@pytest.mark.parametrize("command", FLAGS)
def test_no_help_text_lists_them(command: str) -> None:
    """Only the present names are shown."""
    text = CliRunner().invoke(app, [command, "--help"]).output
    shown = set(re.findall(r"(?<![\w-])--([a-z-]+)", text))
    assert not shown & {name.replace("_", "-") for name in RENAMED}


def test_both_names_of_a_setting_are_refused() -> None:
    """Which one is meant is not known."""
    with pytest.raises(ConfigError, match="hidden is the former name of hidden_layers, and both"):
        JobConfig.of({"target": "label", "hidden": [3], "hidden_layers": [4]})


def test_a_former_argument_of_a_job_is_named() -> None:
    """Those that are no settings cannot be taken over: a line says what they are called now."""
    with pytest.raises(ConfigError, match=r"^fresh is now called restart$"):
        Job(open_source(pa.table({"x": [1.0], "label": ["a"]})), target="label", fresh=True)


def test_present_names_stay() -> None:
    """Of settings, of values, of flags."""
    settings = {"missing": "mean", "hidden_layers": [3], "missing_values": 1}
    assert with_current_names(settings) == settings
    assert current_name("hidden-layers") == "hidden-layers"
    assert current_name("keep_columns") == "passthrough_columns"
