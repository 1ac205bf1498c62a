"""The fault campaign: how far it goes, the seed it draws from, and the table of what it showed."""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

pytest.register_assert_rewrite("connectors.testing")

FAULTS = (
    "SIGKILL at every operation",
    "SIGKILL at random moments, in chains",
    "stop after every minibatch",
    "power cut",
    "failing disk",
    "damaged checkpoint",
    "hostile checkpoint",
    "two jobs on one run directory",
    "signals",
    "changed source",
    "CSV text against Python's csv",
    "messy files",
    "other numerics",
    "saves under load",
    "checkpoints of released versions",
)
SEED = "STREAM_BP_TEST_SEED"
TABLE = pytest.StashKey[dict[str, Counter[str]]]()


@dataclass
class Campaign:
    """How far a test of faults goes, and where it tells what it counted.

    Parameters
    ----------
    is_full
        Whether this is the full campaign (``make test-faults``).
    seed
        What ``random`` was made from.
    item
        The test.
    """

    is_full: bool
    seed: str
    item: pytest.Item

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def size(self, short: int, full: int) -> int:
        """Return how many of something to try."""
        return full if self.is_full else short

    def tell(self, fault: str, **counts: int) -> None:
        """Add to the fault's line of the table; a name with underscores is shown with spaces."""
        assert fault in FAULTS
        self.item.user_properties.append(("fault", [fault, counts]))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says how far the campaign goes and what it is drawn from."""
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=("short", "full"), default="short", help="how far the tests of faults go")
    group.addoption("--seed", type=int, help="repeat the random faults of an earlier run, which told its seed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose a seed; processes that share the work inherit it by the environment."""
    given = config.getoption("--seed")
    drawn = os.environ.get(SEED) or int.from_bytes(os.urandom(4), "little")
    os.environ[SEED] = str(drawn if given is None else given)
    # Whoever runs the suite in the background or under nohup lets it inherit signals that are ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """Tell the seed."""
    return f"faults: {config.getoption('--faults')}, seed {os.environ[SEED]} (repeat with --seed {os.environ[SEED]})"


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Tell a test how far to go, with random numbers that are its own and can be drawn again."""
    seed = f"{os.environ[SEED]} {request.node.name}"
    print(f"seed {os.environ[SEED]}")  # noqa: T201
    return Campaign(request.config.getoption("--faults") == "full", seed, request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Add up what the tests told, wherever they ran."""
    table: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    config.stash[TABLE] = table
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, value in report.user_properties:
                    if name == "fault":
                        table[value[0]].update(value[1])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the table as the last lines: one for each fault that was tried."""
    for fault, counter in config.stash.get(TABLE, {}).items():
        if counter:
            counts = ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in counter.items())
            print(f"{fault:36} {counts}")  # noqa: T201
