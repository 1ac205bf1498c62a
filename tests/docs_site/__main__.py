"""Build the site, or show it while its pages are written: ``make docs`` and ``make docs-serve``.

usage: ``python -m tests.docs_site [serve] [FOLDER]``; the folder is ``build`` if none is given.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

from watchfiles import watch

from tests.docs_site.equations import EquationError
from tests.docs_site.prepare import ROOT, SOURCES, prepare

_GENERATOR = [sys.executable, "-m", "mkdocs"]


def main() -> int:
    """Build, or with ``serve`` show; return the exit code of the generator."""
    serves = sys.argv[1:2] == ["serve"]
    given = sys.argv[2:] if serves else sys.argv[1:]
    folder = Path(given[0]).resolve() if given else ROOT / "build"
    pages = folder / "docs"
    prepare(pages)
    environment = {**os.environ, "STREAM_BP_DOCS": str(pages), "STREAM_BP_SITE": str(folder / "site")}
    environment["NO_MKDOCS_2_WARNING"] = "1"  # a notice about the generator, no fault of a page
    if serves:
        threading.Thread(target=_follow, args=(pages,), daemon=True).start()
        return subprocess.run([*_GENERATOR, "serve"], cwd=ROOT, env=environment, check=False).returncode
    return subprocess.run([*_GENERATOR, "build", "--strict"], cwd=ROOT, env=environment, check=False).returncode


def _follow(pages: Path) -> None:
    """Prepare the pages again when one changes. Tables that are made from the code are new after a restart."""
    for _ in watch(*SOURCES):
        try:
            prepare(pages)
        except (EquationError, OSError) as error:  # a page that is half written
            sys.stderr.write(f"{error}\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
