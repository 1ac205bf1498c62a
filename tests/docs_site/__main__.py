"""Build the site, or show it while its pages are written: ``make docs`` and ``make docs-serve``."""

import os
import subprocess
import sys
import threading

from watchfiles import watch

from tests.docs_site.prepare import ROOT, SOURCES, prepare

_FOLDER = ROOT / "build" / "docs"
_GENERATOR = [sys.executable, "-m", "mkdocs"]


def main() -> int:
    """Build, or with ``serve`` show; return the exit code of the generator."""
    prepare(_FOLDER)
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a notice about the generator, no fault of a page
    if sys.argv[1:] == ["serve"]:
        threading.Thread(target=_follow, daemon=True).start()
        return subprocess.run([*_GENERATOR, "serve"], cwd=ROOT, env=environment, check=False).returncode
    return subprocess.run([*_GENERATOR, "build", "--strict"], cwd=ROOT, env=environment, check=False).returncode


def _follow() -> None:
    """Prepare the pages again when one changes. Tables that are made from the code are new after a restart."""
    for _ in watch(*SOURCES):
        prepare(_FOLDER)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
