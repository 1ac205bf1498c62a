"""Saved in the background while the learner goes on: each file holds the state of the moment of its copy."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import open_source
from stream_bp._state import StateDict
from stream_bp.job.checkpoint_writer import AsyncCheckpointWriter
from stream_bp.job.job import Job
from stream_bp.nn.learner import Learner
from stream_bp.persistence.checkpoints import Checkpointer
from stream_bp.persistence.journal import Mark
from stream_bp.persistence.snapshot import Snapshot, encode
from tests.conftest import Campaign
from tests.crash.jobs import rows


def n_torn(folder: Path, monkeypatch: pytest.MonkeyPatch, n_saves: int) -> tuple[int, int]:
    """Save after every row; return how many files were saved, and how many are not of the moment of their copy."""
    at_copy: list[str] = []
    on_disk: list[str] = []
    hand_over, save = AsyncCheckpointWriter.save, Checkpointer.save

    def hand_over_noted(saver: AsyncCheckpointWriter, snapshot: Snapshot, marks: Mapping[str, Mark]) -> None:
        at_copy.append(hashlib.sha256(encode(snapshot)).hexdigest())
        hand_over(saver, snapshot, marks)

    def save_noted(checkpointer: Checkpointer, snapshot: Snapshot) -> Path:
        path = save(checkpointer, snapshot)
        on_disk.append(hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    monkeypatch.setattr(AsyncCheckpointWriter, "save", hand_over_noted)
    monkeypatch.setattr(Checkpointer, "save", save_noted)
    settings: dict[str, Any] = {"batch_size": 1, "hidden_layers": (32,), "optimizer": "adam", "checkpoint_every": "1"}
    Job(open_source(rows(n_saves)), target="label", ignore=["value"], run_dir=str(folder), **settings).run()
    assert len(at_copy) == len(on_disk) > n_saves
    return len(on_disk), sum(copy != file for copy, file in zip(at_copy, on_disk, strict=True))


def test_a_file_is_the_state_of_the_moment_of_the_copy(
    tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the learner goes on, its digest is that of the state when it was handed over."""
    n_files, n_wrong = n_torn(tmp_path / "run", monkeypatch, campaign.size(400, 10_000))
    assert n_wrong == 0
    campaign.tell("saves under load", saves=n_files, torn=0)


def test_weights_that_are_not_copied_are_seen(
    tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: where the learner hands out its own weights, some files are of a later moment."""
    copies = Learner.state_dict

    def views(learner: Learner) -> StateDict:
        state = copies(learner)
        state.arrays |= {f"W{layer}": W for layer, W in enumerate(learner.W, start=1)}
        return state

    monkeypatch.setattr(Learner, "state_dict", views)
    _, n_wrong = n_torn(tmp_path / "run", monkeypatch, 400)
    assert n_wrong > 0
    campaign.tell("saves under load", missing_copies_caught=1)
