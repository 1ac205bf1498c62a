"""A job that predicts and does not learn, killed: every row is predicted once, in the same bytes."""

import signal
from pathlib import Path

from tests.conftest import Campaign
from tests.crash.jobs import is_ahead, run_frozen
from tests.crash.test_kill import KILLS, Bed, KillingDisk

NAME = "followed, predictions"


def test_a_kill_at_any_operation_on_the_disk(tmp_path: Path, campaign: Campaign) -> None:
    """Killed before each operation, and half through each write, it ends in the same bytes."""
    bed = Bed(tmp_path, NAME, run_frozen)
    points = [(at, False) for at in range(1, len(bed.operations) + 1)]
    points += [(at, True) for at, operation in enumerate(bed.operations, start=1) if operation == "write"]
    assert len(points) > 150
    points = campaign.random.sample(points, campaign.size(12, len(points)))
    divergent = []
    for at, is_halfway in points:
        assert bed.run(bed.run_dir, KillingDisk(at, is_halfway)) == -signal.SIGKILL, "the kill did not fire"
        if is_ahead(bed.run_dir) or bed.is_divergent():
            divergent.append((at, bed.operations[at - 1], is_halfway))
    assert divergent == []
    campaign.tell(KILLS, configurations=1, points_on_disk=len(points), divergent=0)


def test_chains_of_kills_at_random_moments(tmp_path: Path, campaign: Campaign) -> None:
    """Killed again and again, at any moment from its start on, it ends in the same bytes."""
    bed = Bed(tmp_path, NAME, run_frozen)
    n_kills = n_chains = 0
    while n_kills < campaign.size(6, 110):
        while True:
            process = bed.start(bed.run_dir)
            process.join(campaign.random.uniform(0, bed.seconds))
            process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            n_kills += 1
        n_chains += 1
        assert not bed.is_divergent()
    campaign.tell("SIGKILL at random moments, in chains", kills=n_kills, chains=n_chains, divergent=0)
