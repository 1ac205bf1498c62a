"""The audit of the locks fails where something is known, and not for want of a network."""

import subprocess
import sys

from tests.audit import audit, verdict
from tests.deploy.files import ROOT


def test_a_known_vulnerability_fails() -> None:
    """One among many is enough, and is named with what mends it."""
    well = {"name": "numpy", "version": "2.4.6", "vulns": []}
    flaw = {"id": "PYSEC-1", "fix_versions": ["3.9.1", "4.0"]}
    code, lines = verdict("a.lock", [well, {"name": "aiohttp", "version": "3.9.0", "vulns": [flaw]}])
    assert code == 1
    assert lines == ["a.lock: aiohttp 3.9.0 has PYSEC-1, mended in 3.9.1 or 4.0"]
    assert verdict("a.lock", [well]) == (0, ["a.lock: no known vulnerability in 1 packages"])


def test_without_a_network_it_says_so_in_one_line() -> None:
    """It does not fail, and does not pretend to have looked."""
    environment = {"PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "tests.audit", "deploy/requirements-build.lock"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    assert "not audited" in line
    assert "no known vulnerability" not in line


def test_a_lock_that_cannot_be_read_fails(tmp_path: object) -> None:
    """What is wrong with the auditor itself, or with the lock, is no want of a network."""
    code, lines = audit(f"{tmp_path}/absent.lock")
    assert code == 1
    assert "pip-audit failed" in lines[0]
