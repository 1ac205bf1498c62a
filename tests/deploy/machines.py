"""The image, built for real, and a machine that systemd runs: both in namespaces of this one, without an engine."""

import json
import os
import re
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.files import DEPLOY, ROOT, instructions, judged, program

__all__ = ["PYTHON", "Image", "Machine", "ask", "booted", "built"]

PYTHON = next(rest.partition("=")[2] for name, rest in instructions() if name == "ARG")
"""The base of the image."""


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Parameters
    ----------
    root
        Its file system.
    config
        What it says of itself.
    tree
        What stood for its base.
    """

    root: Path
    config: dict[str, Any]
    tree: Path

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
        box = [program("bwrap"), "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
        box += ["--die-with-parent", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
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


def ask(process: int, path: str) -> str:
    """Return a page of what serves figures on loopback, in the network that a process has."""
    code = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9464, timeout=10); "
        "c.request('GET', sys.argv[1]); print(c.getresponse().read().decode())"
    )
    command = ["nsenter", f"--target={process}", "--net", sys.executable, "-c", code, path]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def _make_tree(folder: Path) -> Path:
    """Make what stands for the base: Debian of the same release, with its own Python of the same version."""
    wanted = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-(\w+)", PYTHON)
    assert wanted, PYTHON
    tree = folder / "debian"
    included = "--include=ca-certificates,python3,python3-venv,systemd,util-linux"
    judged(program("debootstrap"), "--variant=minbase", included, wanted[2], tree)
    assert (tree / "usr/bin" / f"python{wanted[1]}").exists()
    (tree / "usr/bin/python").symlink_to("python3")
    return tree


def _buildah(folder: Path) -> Callable[..., str]:
    """Return a function that calls buildah, with a store of its own."""
    options = ["--root", folder / "store", "--runroot", folder / "running"]

    def call(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program("buildah"), *map(str, (*options, *arguments))],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        said: str = done.stdout.strip()
        return said

    return call


@contextmanager
def built(folder: Path) -> Iterator[Image]:
    """Build the image from this tree, with its Dockerfile as it stands.

    The base goes by its name, and is Debian's own: the real one is not to be had without its registry.
    """
    for name in ("buildah", "bwrap", "debootstrap"):
        program(name)
    # In memory, some 3 GB for a while: tens of thousands of files are written, copied and removed.
    judged("mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", folder)
    try:
        yield from _built(folder)
    finally:
        judged("umount", "--lazy", folder)


def _built(folder: Path) -> Iterator[Image]:
    tree, buildah = _make_tree(folder), _buildah(folder)
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, tree, "/")
    # How this machine reaches its index is not for the image, but for whoever builds it here.
    variables = _pip_settings()
    if "PIP_CERT" in variables:
        buildah("copy", "--quiet", container, variables["PIP_CERT"], "/etc/ssl/certs/ca-certificates.crt")
        variables["PIP_CERT"] = "/etc/ssl/certs/ca-certificates.crt"
    for name, value in {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **variables}.items():
        buildah("config", "--env", f"{name}={value}", container)
    buildah("commit", "--quiet", "--rm", container, PYTHON)
    file = DEPLOY / "Dockerfile"
    buildah("bud", "--pull-never", "--format", "docker", "--file", file, "--tag", "stream-bp:tested", ROOT)
    config = json.loads(buildah("inspect", "--type", "image", "stream-bp:tested"))["Docker"]["config"]
    root = Path(buildah("mount", buildah("from", "--pull-never", "stream-bp:tested")))
    try:
        for place in ("incoming", "etc/stream-bp"):  # engines make what is mounted over, in a layer above the image
            (root / place).mkdir(parents=True)
        yield Image(root, config, tree)
    finally:
        buildah("umount", "--all")


def _pip_settings() -> dict[str, str]:
    """Return how pip reaches its index here, by its environment or its files, as variables of the environment."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = dict(line.split("=", 1) for line in listed.stdout.splitlines())
    by_rank = sorted(settings, key=lambda name: name.startswith(":env:"))  # the environment wins
    named = {name.rpartition(".")[2]: literal_eval(settings[name]) for name in by_rank}
    reach = ("cert", "index-url", "proxy", "timeout")
    return {f"PIP_{name.upper().replace('-', '_')}": str(named[name]) for name in reach if name in named}


@dataclass(frozen=True)
class Machine:
    """A machine that systemd runs.

    Parameters
    ----------
    process
        Its process 1, as it is called out here.
    """

    process: int

    def run(self, *command: str) -> str:
        """Run a program in it, and return what it says."""
        inside = ["nsenter", f"--target={self.process}", "--mount", "--pid", "--uts", "--ipc", "--root", "--wd"]
        done = subprocess.run([*inside, *command], check=False, capture_output=True, text=True)
        return (done.stdout + done.stderr).strip()

    def shown(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", unit, "--property", name, "--value")

    def until(self, unit: str, name: str, value: str) -> None:
        """Wait until a property of a unit has a value."""
        deadline = time.monotonic() + 120
        while self.shown(unit, name) != value:
            assert time.monotonic() < deadline, self.run("journalctl", "--no-pager", "--unit", unit)
            time.sleep(0.2)


_BOOT = """
mount --make-rprivate /
mount --bind . .
cd "$PWD"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
mount --rbind /sys/fs/cgroup sys/fs/cgroup
pivot_root . .
umount --lazy .
exec env container=docker /lib/systemd/systemd --system --log-target=console
"""


@contextmanager
def booted(tree: Path) -> Iterator[Machine]:
    """Let systemd run a tree as a machine of its own, with no network but loopback."""
    space = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup", "--net"]
    with (tree.parent / "systemd.log").open("w") as log:
        outer = subprocess.Popen([*space, "sh", "-ec", _BOOT], cwd=tree, stdout=log, stderr=log)
    try:
        deadline, machine = time.monotonic() + 60, Machine(0)
        while machine.process == 0 or machine.run("systemctl", "is-system-running") not in {"running", "degraded"}:
            assert outer.poll() is None, (tree.parent / "systemd.log").read_text()
            assert time.monotonic() < deadline, (tree.parent / "systemd.log").read_text()
            time.sleep(0.2)
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            machine = Machine(int(children[0])) if children else machine
        yield machine
    finally:
        outer.kill()
        outer.wait()
