"""The image: what it is made of, what may be remarked on it, and, built for real, whether a job runs in it."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import stream_bp
from tests.deploy.files import DEPLOY, ROOT, instructions, judged, program, script
from tests.deploy.watched import write_rows

PYTHON = next(rest.partition("=")[2] for name, rest in instructions() if name == "ARG")
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


# Built, with buildah, on a base of the system's own packages: the real one is not to be had without its registry.


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Parameters
    ----------
    root
        Its file system.
    config
        What it says of itself.
    """

    root: Path
    config: dict[str, Any]

    def command(self, *arguments: str, **mounts: Path) -> list[str]:
        """Return what runs it: read-only, as its user, without capabilities, the program as process 1.

        Parameters
        ----------
        *arguments
            In place of its own.
        **mounts
            ``run`` is written, ``incoming`` and ``settings`` are read.
        """
        places = {"run": "/var/lib/stream-bp", "incoming": "/incoming", "settings": "/etc/stream-bp"}
        box = [program("bwrap"), "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
        box += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        box += ["--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"]
        box += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
        for name, place in mounts.items():
            box += ["--bind" if name == "run" else "--ro-bind", str(place), places[name]]
        box += ["--clearenv"]
        for variable in self.config["Env"]:
            box += ["--setenv", *variable.split("=", 1)]
        box += ["--chdir", self.config["WorkingDir"]]
        user, _, group = self.config["User"].partition(":")
        box += ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--bounding-set=-all"]
        box += ["--inh-caps=-all", "--no-new-privs", *self.config["Entrypoint"]]
        return [*box, *(arguments or self.config["Cmd"])]


def _buildah(folder: Path) -> Callable[..., str]:
    """Return a function that calls buildah, with a store of its own, and without an engine."""
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    options = ["--root", folder / "store", "--runroot", folder / "running"]

    def call(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program("buildah"), *map(str, (*options, *arguments))],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        said: str = done.stdout.strip()
        return said

    return call


def _make_base(folder: Path, buildah: Callable[..., str]) -> None:
    """Make what goes by the name of the base: Debian of the same release, with its own Python of the same version."""
    wanted = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-(\w+)", PYTHON)
    assert wanted, PYTHON
    tree = folder / "debian"
    included = "--include=ca-certificates,python3,python3-venv,util-linux"
    judged(program("debootstrap"), "--variant=minbase", included, wanted[2], tree)
    assert (tree / "usr/bin" / f"python{wanted[1]}").exists()
    (tree / "usr/bin/python").symlink_to("python3")
    # How this machine reaches its index is not for the image, but for whoever builds it here.
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and "LINKS" not in name}
    certificates = variables.get("PIP_CERT")
    if certificates is not None:
        shutil.copyfile(certificates, tree / "etc/ssl/certs/ca-certificates.crt")
        variables["PIP_CERT"] = "/etc/ssl/certs/ca-certificates.crt"
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, tree, "/")
    shutil.rmtree(tree)
    for name, value in {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **variables}.items():
        buildah("config", "--env", f"{name}={value}", container)
    buildah("commit", "--quiet", "--rm", container, f"docker.io/library/{PYTHON}")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Build the image from this tree, with its Dockerfile as it stands."""
    for name in ("buildah", "debootstrap", "bwrap"):
        program(name)
    folder = tmp_path_factory.mktemp("image")
    buildah = _buildah(folder)
    _make_base(folder, buildah)
    buildah(
        "bud", "--pull-never", "--format", "docker", "--file", DEPLOY / "Dockerfile", "--tag", "stream-bp:tested", ROOT
    )
    config = json.loads(buildah("inspect", "--type", "image", "stream-bp:tested"))["Docker"]["config"]
    container = buildah("from", "--pull-never", "stream-bp:tested")
    root = Path(buildah("mount", container))
    for place in ("incoming", "etc/stream-bp"):  # engines make what is mounted over, in a layer above the image
        (root / place).mkdir(parents=True)
    yield Image(root, config)
    buildah("umount", "--all")
    shutil.rmtree(folder / "store", ignore_errors=True)


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


def _is_idle() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 9464, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return b"stream_bp_source_idle 1.0\n" in connection.getresponse().read()
    finally:
        connection.close()


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
        while not _is_idle():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        check = image.config["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        inside = ["nsenter", f"--target={job}", "--mount", "--pid", f"--setuid={USER}", f"--setgid={USER}"]
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
    assert content["config"]["engine"] == "compiled"
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
    outer = Image(image.root, {**image.config, "Entrypoint": ["python", "-c", code]})
    done = subprocess.run(outer.command("-", **places), check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["/var/lib/stream-bp", "/tmp"]  # noqa: S108
