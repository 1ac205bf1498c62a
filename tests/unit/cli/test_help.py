"""The command line as a person meets it: help in sections, one line for what is wrong, what a job would do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_bp.cli.app import app
from stream_bp.cli.help import UsageError
from stream_bp.config.fields import section_of
from stream_bp.config.job import JobConfig
from stream_bp.config.monitoring import Watching
from stream_bp.config.sections import SECTIONS
from stream_bp.config.toml import read_toml, write_toml

COMMANDS = ["train", "compare", "resume", "predict", "evaluate", "inspect", "report"]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "stream_bp", *arguments]
    return subprocess.run(
        command, cwd=cwd, check=False, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with rows."""
    folder = tmp_path_factory.mktemp("rows")
    lines = [f"{i},2024-01-{1 + i % 28:02d},{i * 37 % 100},k{i % 3},{'yes' if i % 5 > 1 else 'no'}" for i in range(400)]
    (folder / "rows.csv").write_text("\n".join(["id,day,x[0],kind,label", *lines]) + "\n")
    return folder


def test_each_setting_is_in_a_section() -> None:
    """In one of those that the help has, so that none is lost in it."""
    fields = {**JobConfig.model_fields, **Watching.model_fields}
    assert {section_of(field) for field in fields.values()} == set(SECTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_sections(command: str, tmp_path: Path) -> None:
    """-h and --help print the same; each line of a flag begins with a capital, as a verb does."""
    short, long = (run(command, flag, cwd=tmp_path) for flag in ("-h", "--help"))
    assert (short.returncode, short.stdout) == (0, long.stdout)
    titles = [line[:-1] for line in short.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    known = ["Arguments", *SECTIONS, "With --follow", "Other"]
    assert titles == sorted(titles, key=known.index)
    assert "Options" not in titles


def test_every_setting_has_one_line_that_begins_with_a_verb() -> None:
    """A sentence without an end, of twenty words at most."""
    for fields in (JobConfig.model_fields, Watching.model_fields):
        for name, field in fields.items():
            text = str(field.description).partition(" [default")[0]
            assert text[0].isupper(), name
            assert not text.endswith("."), name
            assert len(text.split()) <= 20, name


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["train", "x", "--hiden", "3"],
            "no such option: --hiden; did you mean '--hidden-layers'? (see stream-bp train",
        ),
        (["trian"], "no such command 'trian'; did you mean 'train'? (see stream-bp --help)"),
        (["inspect"], "missing argument 'CHECKPOINT' (see stream-bp inspect --help)"),
        (["train", "x", "--target", "y", "--epochs", "two"], "invalid value for '--epochs'"),
        (["train", "x", "--target", "y", "--epochs", "0"], "--epochs: must be greater than or equal to 1; found 0"),
        (["train", "x", "--target", "y", "--linger", "2s"], "--linger needs --follow"),
        (["train", "x", "--target", "y", "--decimal", "x"], "--decimal: expected . or ,"),
        (["predict", "run", "x", "-o", "p.csv", "--run-dir", "r"], "--run-dir needs --follow"),
        (["predict", "run", "x", "-o", "p", "--follow"], "--follow needs --run-dir"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], line: str, place: Path) -> None:
    """It says what is wrong with which flag, and what was probably meant; exit code 2."""
    done = run(*arguments, cwd=place)
    if "--follow" in arguments:
        (place / "run").mkdir(exist_ok=True)
    assert done.returncode in ({2, 3} if "run" in arguments else {2})
    if done.returncode == 2:
        assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_the_parsers_errors_are_known() -> None:
    """The control: the class that main() catches is the one that Typer raises."""
    with pytest.raises(UsageError):
        app(["train", "--no-such-flag"], standalone_mode=False)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('target = "label"\nbatch-size = 0\n', "job.toml, line 2: batch-size: must be greater than or equal to 1"),
        (
            'target = "label"\n\n# …\nbatch-sise = 4\n',
            "job.toml, line 4: batch-sise: unknown setting; did you mean 'batch-size'?",
        ),
        ('target = "label"\n"linger" = "2s"\n', "job.toml, line 2: linger needs --follow"),
        ('target = "label"\nhidden = "many"\n', "job.toml, line 2: hidden: must be"),
        ('target = "label"\nmetrics_port = 123456\n', "job.toml, line 2: metrics_port: must be"),
        ('target = "label"\nepochs = 1\nepochs = 2\n', "job.toml is not TOML"),
        ('target = "label"\nbatch_size = 1\nbatch-size = 2\n', "job.toml: a key is given twice"),
    ],
)
def test_a_wrong_file_of_settings_is_one_line(text: str, line: str, place: Path, tmp_path: Path) -> None:
    """It names the file, the line and the key as it stands there."""
    (tmp_path / "job.toml").write_text(text)
    done = run("train", str(place / "rows.csv"), "--config", "job.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_flag_that_wins_over_a_file_is_named_as_a_flag(place: Path, tmp_path: Path) -> None:
    """What is wrong is the flag, not the line in the file."""
    (tmp_path / "job.toml").write_text('target = "label"\nbatch-size = 4\n')
    done = run("train", str(place / "rows.csv"), "--config", "job.toml", "--batch-size", "0", cwd=tmp_path)
    assert done.stderr == "stream-bp: --batch-size: must be greater than or equal to 1; found 0\n"


def test_the_printed_settings_are_those_of_the_job(place: Path, tmp_path: Path) -> None:
    """They are read back as they were, and give the same weights; printing them learns nothing."""
    flags = [
        "--target",
        "label",
        "--ignore",
        "id",
        "--hidden-layers",
        "5",
        "--no-scale-target",
        "--null-values",
        "?,\"x'",
    ]
    done = run("train", str(place / "rows.csv"), *flags, "--print-config", cwd=tmp_path)
    assert done.returncode == 0
    (tmp_path / "job.toml").write_text(done.stdout)
    assert not (tmp_path / "run").exists()
    settings, _ = read_toml(tmp_path / "job.toml")
    config = JobConfig.of({name: value for name, value in settings.items() if name in JobConfig.model_fields})
    assert (config.hidden_layers, config.scale_target, config.null_values) == ((5,), False, ("?", "\"x'"))
    assert write_toml(config, Watching()) == done.stdout
    outcomes = [
        json.loads(run("train", *arguments, "--json", cwd=tmp_path).stdout)["weights_sha256"]
        for arguments in ([str(place / "rows.csv"), *flags], ["--config", "job.toml"])
    ]
    assert outcomes[0] == outcomes[1]


def test_a_dry_run_shows_columns_and_layers_and_writes_nothing(place: Path, tmp_path: Path) -> None:
    """Each column with its role and type, the layers, what is doubtful; of a job that is there, where it resumes."""
    train = ["train", str(place / "rows.csv"), "--target", "label", "--run-dir", "run"]
    shown = run(*train, "--dry-run", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "x[0]    feature  int64        number" in shown.stdout
    assert "one per category" in shown.stdout
    assert "layers 7-64-?" in shown.stdout
    assert not list(tmp_path.iterdir())
    found = json.loads(run(*train, "--ignore", "id", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert {column["name"]: (column["role"], column["inputs"]) for column in found["columns"]} == {
        "id": ("ignored", 0),
        "day": ("feature", 5),
        "x[0]": ("feature", 1),
        "kind": ("feature", 0),
        "label": ("target", 0),
    }
    assert (found["resumes_from"], found["rows"]) == (None, 0)
    assert run(*train, "--max-rows", "320", cwd=tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = json.loads(run(*train, "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (again["rows"], again["model"]) == (320, "layers 10-64-2")
    assert again["resumes_from"].endswith(".safetensors")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    other = run(*train, "--hidden-layers", "3", "--dry-run", cwd=tmp_path)
    assert other.returncode == 3
    assert "another job" in other.stderr


def test_a_summary_ends_with_what_to_do_next(place: Path, tmp_path: Path) -> None:
    """Report and predict at the end of the stream, resume before it; internals only where they are asked for."""
    train = ["train", str(place / "rows.csv"), "--target", "label", "-q"]
    loose = run(*train, cwd=tmp_path).stdout.splitlines()
    assert loose[-1] == "not saved; add --run-dir DIR to save checkpoints and history"
    stopped = run(*train, "--run-dir", "my run", "--max-rows", "64", cwd=tmp_path).stdout
    assert "the same command with a larger --max-rows, to learn more rows" in stopped
    assert "stream-bp resume" not in stopped
    ended = run(*train, "--run-dir", "my run", cwd=tmp_path).stdout
    assert "next: stream-bp report 'my run'\n      stream-bp predict 'my run' SOURCE --output " in ended
    assert "sha256" not in ended
    verbose = run("resume", "my run", "-q", "-v", cwd=tmp_path).stdout
    assert all(word in verbose for word in ("layer 1: delta rms", "computed by", "weights sha256", "checkpoint my run"))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("stream-bp tr", {"train"}),
        ("stream-bp train --hidden", {"--hidden-layers"}),
        ("stream-bp train --optimizer ada", {"adagrad", "adam"}),
        ("stream-bp evaluate --on-bad-row s", {"skip"}),
    ],
)
def test_a_shell_completes(words: str, found: set[str], tmp_path: Path) -> None:
    """Commands, flags, and the choices of a flag."""
    environment: dict[str, Any] = {
        "_STREAM_BP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "from stream_bp.cli.app import app; app(prog_name='stream-bp')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert set(done.stdout.split()) == found, done.stderr
