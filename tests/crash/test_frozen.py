"""A job that predicts and does not learn, killed: every row is predicted once, in the same bytes."""

from pathlib import Path

from tests.conftest import Campaign
from tests.crash.jobs import run_frozen
from tests.crash.test_kill import Bed, kill_at_operations, kill_in_chains

NAME = "followed, predictions"


def test_a_kill_at_any_operation_on_the_disk(tmp_path: Path, campaign: Campaign) -> None:
    """Killed before each operation, and half through each write, it ends in the same bytes."""
    assert kill_at_operations(Bed(tmp_path, NAME, run_frozen), campaign, few=12) == []


def test_chains_of_kills_at_random_moments(tmp_path: Path, campaign: Campaign) -> None:
    """Killed again and again, at any moment from its start on, it ends in the same bytes."""
    assert kill_in_chains(Bed(tmp_path, NAME, run_frozen), campaign, few=6) == 0
