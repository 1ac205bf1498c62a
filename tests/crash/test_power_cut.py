"""Power that fails between any two operations, on a disk that forgets, reorders and tears what was not synced."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

import numpy as np
import pytest

from connectors import open_source
from stream_bp.errors import CheckpointError
from stream_bp.job.job import Job
from stream_bp.persistence.checkpoints import Checkpointer, Snapshot
from stream_bp.persistence.journal import AppendLog
from stream_bp.persistence.run_directory import RunDirectory
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, look_often, predicted, predictions_of
from tests.simulated_disk import Inode, SimulatedDisk, WithoutFolderFsync, WithoutFsync

CUTS = "power cut"
RUN_DIR = Path("/runs/job")
SECTOR = 64  # smaller than a medium's, as the files here are


@dataclass
class ForgetfulDisk(SimulatedDisk):
    """A disk without any order between what was not synced: each name, each sector is lost or kept by itself.

    But a rename loses no file: one whose old name was synced has that, or the new one.
    Before every operation, and in the middle of every write, ``at_cut`` is called: there the power may fail.
    """

    at_cut: Callable[[Self], None] = lambda disk: None
    # For each name what it has led to since its folder was synced: a file, a folder (None), or nothing (absent).
    since_sync: dict[Path, list[tuple[bool, Inode | None]]] = field(default_factory=dict)
    renamed: dict[Path, Path] = field(default_factory=dict)  # since then, from names that were synced

    def _call(self, name: str) -> None:
        for path in self.names.keys() | self.since_sync.keys():
            now = (path in self.names, self.names.get(path))
            seen = self.since_sync.setdefault(path, [(path in self.durable_names, self.durable_names.get(path))])
            if now not in seen:
                seen.append(now)
        super()._call(name)
        self.at_cut(self)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file, and remember the name that it cannot lose alone."""
        super().rename(source, target)
        if source in self.durable_names:
            self.renamed[source] = target

    def fsync_folder(self, path: Path) -> None:
        """Sync the names: from now on they are what they are."""
        super().fsync_folder(path)
        self.renamed = {source: target for source, target in self.renamed.items() if source.parent != path}
        for name in [name for name in self.since_sync if name.parent == path and name != path]:
            del self.since_sync[name]

    def survivor(self, random: Random) -> "ForgetfulDisk":
        """Return what a medium may hold after power fails now."""
        chosen: dict[Path, Inode | None] = {}
        for path in sorted(self.names.keys() | self.since_sync.keys()):
            last = (path in self.names, self.names.get(path))
            is_there, inode = random.choice(self.since_sync.get(path, [last]))
            if is_there and (path.parent in chosen or path.parent == path):
                content = torn(inode, random) if inode is not None else b""
                chosen[path] = None if inode is None else Inode(content, content)
        for source, target in self.renamed.items():
            inode = self.durable_names[source]
            if source not in chosen and target not in chosen and inode is not None:
                chosen[source] = Inode(inode.durable, inode.durable)
        return ForgetfulDisk(names=chosen, durable_names=dict(chosen))


def torn(inode: Inode, random: Random) -> bytes:
    """Return what may be left of a file: what was synced, and of the rest any sectors, and any length."""
    if inode.content == inode.durable:
        return inode.content
    ends = sorted([len(inode.durable), len(inode.content)])
    size = random.choice([*ends, random.randint(*ends)])
    left = bytearray(inode.durable[:size].ljust(size, b"\0"))
    for start in range(0, size, SECTOR):
        if random.random() < 0.5:
            written = inode.content[start : min(start + SECTOR, size)]
            left[start : start + len(written)] = written
    return bytes(left)


class FileOnly(WithoutFolderFsync, ForgetfulDisk):
    """Wrong: names are never synced."""


class FolderOnly(WithoutFsync, ForgetfulDisk):
    """Wrong: content is never synced."""


class NoFsync(FileOnly, FolderOnly):
    """Wrong: nothing is ever synced."""


@dataclass
class Trial:
    """Cuts the power of a life at every operation, many times each, and judges what is left.

    Parameters
    ----------
    random
        Draws what survives.
    n_draws
        Media drawn at each cut.
    """

    random: Random
    n_draws: int
    acknowledged: int = 0
    n_cuts: int = 0
    n_states: int = 0
    n_damaged: int = 0
    lost: list[str] = field(default_factory=list)

    def judge(self, disk: ForgetfulDisk) -> None:
        """Draw what may be left, and look for the last acknowledged checkpoint in it."""
        self.n_cuts += 1
        for _ in range(self.n_draws):
            self.n_states += 1
            self.judge_one(disk.survivor(self.random), disk.calls[-1])

    def judge_one(self, left: ForgetfulDisk, operation: str) -> None:
        """Note what was lost, and what was accepted that is not as it was saved."""
        try:
            loaded = Checkpointer(RUN_DIR / "checkpoints", disk=left).newest()
            if loaded is not None:
                step, history = loaded.snapshot.step, loaded.snapshot.state["history"]
                is_whole = loaded.snapshot.tensors["theta"].tolist() == [step] * 40
                AppendLog.resume(RUN_DIR / "history.csv", ["step"], history, left)
                self.n_damaged += not is_whole or bool(loaded.rejected)
        except CheckpointError as error:
            self.lost.append(f"{operation}: {error}")
            return
        if (loaded.snapshot.step if loaded else 0) < self.acknowledged:
            self.lost.append(f"step {self.acknowledged} before {operation}")


def live(disk: ForgetfulDisk, trial: Trial, keep: int, first: int = 1, n_saves: int = 8) -> None:
    """Lead the life of a run directory: made, locked, saved to, one file after the other removed."""
    disk.at_cut = lambda disk: None
    with RunDirectory(RUN_DIR, disk) as run:
        checkpointer = Checkpointer(run.checkpoints, keep=keep, disk=disk)
        loaded = checkpointer.newest()
        history = AppendLog(run.file("history"), ["step"], disk)
        if loaded is not None:
            history = AppendLog.resume(run.file("history"), ["step"], loaded.snapshot.state["history"], disk)
        elif run.file("history") in disk.names:
            history = AppendLog.fresh(run.file("history"), ["step"], disk)
        disk.at_cut = trial.judge
        for step in range(first, first + n_saves):
            history.append({"step": step})
            mark = dict(history.sync())
            checkpointer.save(Snapshot(step, {"theta": np.full(40, step, np.float32)}, {"history": mark}))
            trial.acknowledged = step
        history.close()
    disk.at_cut = lambda disk: None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_no_acknowledged_checkpoint_is_lost(keep: int, campaign: Campaign) -> None:
    """Whatever survives of what was not synced, the last acknowledged checkpoint or a later one is there and whole."""
    trial = Trial(campaign.random, n_draws=campaign.size(40, 4_000))
    live(ForgetfulDisk(), trial, keep)
    assert trial.lost == []
    assert trial.n_damaged == 0
    assert trial.n_cuts >= 8 * 9
    campaign.tell(CUTS, states=trial.n_states, cuts=trial.n_cuts, lost=0, damaged_accepted=0)


def test_a_second_cut_loses_no_more(campaign: Campaign) -> None:
    """What is left by one cut is gone on from, and the power fails again."""
    media: list[tuple[int, ForgetfulDisk]] = []
    trial = Trial(campaign.random, n_draws=0)
    trial.judge = lambda disk: media.append((trial.acknowledged, disk.survivor(campaign.random)))  # type: ignore[method-assign]
    live(ForgetfulDisk(), trial, keep=2)
    n_states = n_cuts = 0
    for acknowledged, left in media * campaign.size(1, 8):
        second = Trial(campaign.random, n_draws=campaign.size(2, 10), acknowledged=acknowledged)
        medium = left.survivor(campaign.random)
        live(medium, second, keep=2, first=acknowledged + 2, n_saves=2)
        assert second.lost == []
        assert second.n_damaged == 0
        n_states, n_cuts = n_states + second.n_states, n_cuts + second.n_cuts
    campaign.tell(CUTS, states=n_states, cuts=n_cuts)


@pytest.mark.parametrize("wrong", [NoFsync, FileOnly, FolderOnly])
def test_wrong_protocols_are_caught(wrong: type[ForgetfulDisk], campaign: Campaign) -> None:
    """The controls: without either fsync, or both, acknowledged checkpoints are seen to be lost."""
    trial = Trial(campaign.random, n_draws=40)
    live(wrong(), trial, keep=2)
    assert trial.lost
    campaign.tell(CUTS, wrong_protocols_caught=1)


@pytest.mark.parametrize("name", ["csv", "predictions"])
def test_a_job_goes_on_from_what_is_left(
    tmp_path: Path, name: str, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole job, cut off at any operation, resumes from the medium and ends in the same bytes."""
    look_often(16, monkeypatch.setattr)
    configuration = CONFIGURATIONS[name]
    paths = configuration.write(tmp_path, 80)
    config = configuration.config(RUN_DIR)
    media: list[ForgetfulDisk] = []
    disk = ForgetfulDisk(at_cut=lambda disk: media.append(disk.survivor(campaign.random)))
    Job(open_source(*paths), config, disk=disk).run()
    assert len(media) > 80
    whole = ends(disk)
    n_resumed = campaign.size(40, len(media))
    for left in campaign.random.sample(media, n_resumed):
        Job(open_source(*paths), config, disk=left).run()
        assert ends(left) == whole
    campaign.tell(CUTS, jobs_resumed=n_resumed)


def ends(disk: SimulatedDisk) -> list[bytes]:
    """Return the history, the newest checkpoint, and what was predicted."""
    newest = max(path for path in disk.names if path.name.startswith("step-"))
    files = {path: inode.content for path, inode in disk.names.items() if inode is not None}
    parts = {path.name: data for path, data in files.items() if path.parent == predictions_of(RUN_DIR)}
    return [files[RUN_DIR / "history.csv"], files[newest], predicted(parts)]
