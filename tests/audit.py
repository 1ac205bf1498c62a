"""Ask PyPI whether what the locks name has known vulnerabilities: ``make audit``.

Ends with 1 where one is known. Where PyPI cannot be asked, or does not tell, one line says so, and that is no failure:
a machine without a network must be able to run everything else.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["audit", "verdict"]


def verdict(name: str, dependencies: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """Return an exit code, and what to say.

    Parameters
    ----------
    name
        Of the lock.
    dependencies
        What the auditor found of each: its ``name``, and either ``version`` and ``vulns``, or ``skip_reason``.

    Examples
    --------
    >>> flaw = {"id": "PYSEC-1", "fix_versions": ["1.1"]}
    >>> verdict("a.lock", [{"name": "x", "version": "1.0", "vulns": [flaw]}, {"name": "y", "skip_reason": "away"}])
    (1, ['a.lock: x 1.0 has PYSEC-1, mended in 1.1', 'a.lock: 1 of 2 packages could not be audited: y (away)'])
    >>> verdict("a.lock", [{"name": "y", "skip_reason": "away"}])
    (0, ['a.lock: not audited: the data of none of its 1 packages can be reached here (away)'])
    """
    known = [one for one in dependencies if "skip_reason" not in one]
    skipped = [one for one in dependencies if "skip_reason" in one]
    if not known:
        reason = str(skipped[0]["skip_reason"]).partition(":")[0] if skipped else "it has none"
        return 0, [
            f"{name}: not audited: the data of none of its {len(skipped)} packages can be reached here ({reason})"
        ]
    found = [
        f"{name}: {one['name']} {one['version']} has {flaw['id']}, mended in {' or '.join(flaw['fix_versions']) or '-'}"
        for one in known
        for flaw in one["vulns"]
    ]
    lines = found or [f"{name}: no known vulnerability in {len(known)} packages"]
    if skipped:
        named = ", ".join(f"{one['name']} ({one['skip_reason']})" for one in skipped)
        lines.append(f"{name}: {len(skipped)} of {len(dependencies)} packages could not be audited: {named}")
    return int(bool(found)), lines


def audit(lock: str) -> tuple[int, list[str]]:
    """Let pip-audit look at a lock, without installing anything, and return an exit code and what to say."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes", "--disable-pip"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "15"],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        dependencies = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return 0, [f"{lock}: not audited: PyPI did not answer within five minutes"]
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines() or ["pip-audit said nothing"]
        if _is_unreachable(done.stderr):
            return 0, [f"{lock}: not audited: PyPI cannot be reached here ({said[-1]})"]
        return 1, [f"{lock}: pip-audit failed", *said[-5:]]
    return verdict(lock, dependencies)


def _is_unreachable(text: str) -> bool:
    """Tell whether the auditor failed for want of a network."""
    return any(word in text for word in ("ConnectionError", "ConnectionFailed", "ConnectTimeout", "Max retries", "SSL"))


def main() -> None:
    """Audit every lock that is named."""
    results = [audit(lock) for lock in sys.argv[1:]]
    for _, lines in results:
        print("\n".join(lines))  # noqa: T201
    sys.exit(max(code for code, _ in results))


if __name__ == "__main__":
    main()
