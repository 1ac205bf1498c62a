"""The image: what it is made of, what may be remarked on it, and, built for real, whether a job runs in it."""

import json
import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import stream_bp
from tests.deploy.files import DEPLOY, ROOT, instructions, judged, script
from tests.deploy.machines import Image, ask
from tests.deploy.watched import write_rows

USER = 10001


def given(name: str) -> list[str]:
    """Return what every instruction of a name is given."""
    return [rest for found, rest in instructions() if found == name]


def pins(path: Path) -> dict[str, str]:
    """Return the requirements of a lock, each with what follows it."""
    blocks = re.split(r"\n(?=\S)", path.read_text())
    return {block.split(" ", 1)[0]: block for block in blocks if "==" in block}


def test_hadolint_has_no_remark() -> None:
    """It passes over nothing."""
    judged(script("hadolint"), "--failure-threshold=style", DEPLOY / "Dockerfile")
    assert "hadolint ignore" not in (DEPLOY / "Dockerfile").read_text()


def test_the_image_is_described_as_it_is() -> None:
    """Its version is the package's, its user is a number, its program is called without a shell, its port is served."""
    assert f"VERSION={stream_bp.__version__}" in given("ARG")
    assert given("USER") == [f"{USER}:{USER}"]
    assert json.loads(given("ENTRYPOINT")[0]) == ["stream-bp"]
    assert json.loads(given("CMD")[0])[-2:] != []
    assert given("EXPOSE")[0] in json.loads(given("CMD")[0])
    assert given("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_every_requirement_has_a_hash_and_no_address(name: str) -> None:
    """Nothing that the image installs can be another file than the one that was locked."""
    found = pins(DEPLOY / name)
    assert found
    for requirement, block in found.items():
        assert "--hash=sha256:" in block, requirement
    assert "://" not in (DEPLOY / name).read_text()


def test_the_image_has_what_was_tested() -> None:
    """Its versions are those of the locks that the suite runs with, and every extra is in it."""
    image = {**pins(DEPLOY / "requirements.lock"), **pins(DEPLOY / "requirements-build.lock")}
    tested = pins(ROOT / "requirements-dev.lock")
    assert image.keys() <= tested.keys()
    assert pins(ROOT / "requirements.lock").keys() <= image.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {requirement.partition("==")[0] for requirement in image}
    for extra in project["project"]["optional-dependencies"].values():
        assert {re.split(r"[<>=\[]", requirement)[0] for requirement in extra} <= names


def test_what_is_copied_is_let_in() -> None:
    """Every file that a COPY names is in the tree, and .dockerignore lets it pass."""
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for copied in given("COPY"):
        if not copied.startswith("--from"):
            for place in copied.split()[:-1]:
                assert (ROOT / place).exists(), place
                assert any(Path(place).match(pattern) for pattern in let_in), place


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Return what is mounted: a run directory of the user's, rows, settings."""
    found = {name: tmp_path / name for name in ("run", "incoming", "settings")}
    for path in found.values():
        path.mkdir()
    os.chown(found["run"], USER, USER)
    write_rows(found["incoming"] / "0.csv")
    text = (DEPLOY / "job.toml").read_text().replace("*.parquet", "*.csv")
    (found["settings"] / "job.toml").write_text(text + 'batch-size = 1\nignore = "value"\nnumeric = "x"\n')
    for path in tmp_path.parents:
        if path.owner() == "root" and path != Path("/") and "pytest" in path.name:
            path.chmod(0o755)
    return found


@contextmanager
def running(image: Image, places: dict[str, Path]) -> Iterator[subprocess.Popen[str]]:
    """Run the image's own command, and give its process once it tells that it learns."""
    process = subprocess.Popen(image.command(**places), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if json.loads(line)["event"] == "begin":
                break
        assert lines, "it told nothing"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _job_in(process: subprocess.Popen[str]) -> int:
    """Return the number, out here, of the process that is number 1 in there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    status = Path(f"/proc/{children[0]}/status").read_text()
    assert re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE), status
    assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    return int(children[0])


@pytest.mark.image
def test_a_job_runs_in_the_image_and_stops_when_it_is_told(image: Image, places: dict[str, Path]) -> None:
    """It learns as process 1, as its user, on a read-only root; its health check is content; SIGTERM saves it."""
    with running(image, places) as process:
        job = _job_in(process)
        deadline = time.monotonic() + 60
        while "stream_bp_source_idle 1.0\n" not in ask(job, "/metrics"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        check = image.config["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        inside = ["nsenter", f"--target={job}", "--mount", "--net", "--pid", f"--setuid={USER}", f"--setgid={USER}"]
        done = subprocess.run([*inside, "env", *image.config["Env"], *check[1:]], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        os.kill(job, signal.SIGTERM)
        assert process.wait(30) == 143
    (newest,) = sorted((places["run"] / "run/checkpoints").iterdir())[-1:]
    assert newest.name == "step-000000006000.safetensors"
    assert newest.stat().st_uid == USER


@pytest.mark.image
def test_a_job_of_the_image_goes_on(image: Image, places: dict[str, Path]) -> None:
    """What an image left, the next one goes on from, and every other command works in it, too."""
    with running(image, places) as process:
        os.kill(_job_in(process), signal.SIGTERM)
        assert process.wait(60) == 143
    with running(image, places) as process:
        os.kill(_job_in(process), signal.SIGTERM)
        assert process.wait(60) == 143
    command = image.command("inspect", "--json", "/var/lib/stream-bp/run", **places)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    content = json.loads(done.stdout)
    assert content["config"]["backend"] == "compiled"
    assert content["rejected"] == []


@pytest.mark.image
def test_the_image_holds_what_it_needs_alone(image: Image) -> None:
    """Neither what builds it nor the tree it was built from is in it; its user owns nothing but one folder."""
    packages = {path.name.partition("-")[0] for path in (image.root / "opt/stream-bp").rglob("*.dist-info")}
    assert "stream_bp" in packages
    assert not packages & {"hatchling", "pip", "setuptools", "pytest"}
    assert not (image.root / "src").exists()
    assert not (image.root / "opt/build").exists()
    owned = [path for path in image.root.rglob("*") if path.lstat().st_uid == USER]
    assert owned == [image.root / "var/lib/stream-bp"]


@pytest.mark.image
def test_nothing_else_can_be_written(image: Image, places: dict[str, Path]) -> None:
    """Run as it is meant to be, a program in it writes to the run directory and to /tmp, and nowhere else."""
    code = (
        "import pathlib\n"
        "for place in ('/', '/opt/stream-bp', '/etc', '/incoming', '/var/lib/stream-bp', '/tmp'):\n"
        "    try:\n"
        "        pathlib.Path(place, 'x').write_text('')\n"
        "        print(place)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    outer = replace(image, config={**image.config, "Entrypoint": ["python", "-c", code]})
    done = subprocess.run(outer.command("-", **places), check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["/var/lib/stream-bp", "/tmp"]  # noqa: S108
