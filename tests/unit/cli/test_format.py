"""``--format``: part of a job, kept in its checkpoint, and overridden where another file is read."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_bp.cli.app import app


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_checkpoint_knows_the_format(tmp_path: Path, command: str) -> None:
    """Other rows are read as those of the job, unless the flag is given again."""
    rows = [{"x": i % 9, "y": i % 9 > 4} for i in range(200)]
    (tmp_path / "a.data").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.data").write_text("x,y\n" + "".join(f"{row['x']},{str(row['y']).lower()}\n" for row in rows))
    data, run = str(tmp_path / "a.data"), str(tmp_path / "run")
    invoke = CliRunner().invoke
    trained = invoke(app, ["train", data, "--target", "y", "--format", "jsonl", "--run-dir", run, "--quiet"])
    assert trained.exit_code == 0, trained.output
    output = ["--output", str(tmp_path / "p.csv")] if command == "predict" else []
    for arguments in ([data], [str(tmp_path / "b.data"), "--format", "csv"]):
        done = invoke(app, [command, run, *arguments, *output])
        assert done.exit_code == 0, done.output
