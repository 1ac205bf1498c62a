"""Bits that flip and files that end early: never accepted, never silently passed over, never a crash."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from connectors import open_source
from stream_bp.errors import CheckpointError
from stream_bp.job.job import Job
from stream_bp.persistence.checkpoints import Checkpointer, decode
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, comparable

DAMAGE = "damaged checkpoint"
NAMES = ("parquet", "several csv files, epochs", "optimizer adam")


def saved(folder: Path, name: str) -> tuple[Path, tuple[str, ...]]:
    """Run a job that is stopped half-way; return its run directory and its files."""
    configuration = CONFIGURATIONS[name]
    paths = configuration.write(folder, 200)
    Job(open_source(*paths), configuration.config(folder / "run", max_minibatches=12)).run()
    return folder / "run", paths


def n_accepted(read: Callable[[bytes, str], Any], data: bytes, bits: list[int]) -> int:
    """Flip one bit after the other; return how often the reader takes the file for valid."""
    damaged, n = bytearray(data), 0
    for bit in bits:
        damaged[bit >> 3] ^= 1 << (bit & 7)
        try:
            read(bytes(damaged), "memory")
            n += 1
        except CheckpointError as error:
            n += "\n" in str(error)
        damaged[bit >> 3] ^= 1 << (bit & 7)
    assert bytes(damaged) == data
    return n


@pytest.mark.parametrize("name", NAMES)
def test_no_flipped_bit_and_no_truncation_is_accepted(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """Every file that differs by one bit, and every file that ends early or late, is refused in one line."""
    run_dir, _ = saved(tmp_path, name)
    data = comparable(run_dir)[0]
    decode(data, "memory")
    n_bits = min(len(data) * 8, campaign.size(700, 60_000))
    bits = campaign.random.sample(range(len(data) * 8), n_bits)
    assert n_accepted(decode, data, bits) == 0
    lengths = range(len(data)) if campaign.is_full else campaign.random.sample(range(len(data)), 200)
    for length in lengths:
        with pytest.raises(CheckpointError):
            decode(data[:length], "memory")
    for more in (b"\0", b"{}", data):
        with pytest.raises(CheckpointError):
            decode(data + more, "memory")
    for start in range(0, len(data), 512):
        lost = data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]
        if lost != data:
            with pytest.raises(CheckpointError):
                decode(lost, "memory")
    campaign.tell(DAMAGE, flips=n_bits, truncations=len(lengths), accepted=0)


def test_a_reader_without_the_digest_accepts_flips(tmp_path: Path, campaign: Campaign) -> None:
    """The control: the format alone lets nearly every flip in the numbers through."""
    run_dir, _ = saved(tmp_path, NAMES[0])
    data = comparable(run_dir)[0]
    n = n_accepted(
        lambda data, name: safetensors.numpy.load(data), data, list(range((len(data) - 64) * 8, len(data) * 8))
    )
    assert n == 512
    campaign.tell(DAMAGE, flips_accepted_by_a_wrong_reader=n)


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_valid_file_is_gone_on_from_and_the_damaged_ones_are_told(
    tmp_path: Path, name: str, campaign: Campaign
) -> None:
    """One or two damaged files are passed over by name, and the job ends in the same bytes."""
    run_dir, paths = saved(tmp_path, name)
    config = CONFIGURATIONS[name].config(run_dir)
    Job(open_source(*paths), CONFIGURATIONS[name].config(tmp_path / "whole")).run()
    files = sorted((run_dir / "checkpoints").iterdir())
    assert len(files) == 3
    for n_damaged in (1, 2):
        copy = tmp_path / f"copy{n_damaged}"
        shutil.copytree(run_dir, copy)
        for path in files[-n_damaged:]:
            flip(copy / "checkpoints" / path.name, campaign)
        loaded = Checkpointer(copy / "checkpoints").newest()
        assert loaded is not None
        assert loaded.path.name == files[-n_damaged - 1].name
        assert [path.name for path, _ in loaded.rejected] == [path.name for path in reversed(files[-n_damaged:])]
        summary = Job(open_source(*paths), config.model_copy(update={"run_dir": str(copy)})).run()
        assert summary.resumed_from == str(loaded.path)
        assert comparable(copy) == comparable(tmp_path / "whole")
        campaign.tell(DAMAGE, fallbacks=1)


def flip(path: Path, campaign: Campaign) -> None:
    """Flip one bit of a file on the disk."""
    data = bytearray(path.read_bytes())
    data[campaign.random.randrange(len(data))] ^= 1 << campaign.random.randrange(8)
    path.write_bytes(data)


def test_rotation_counts_valid_files_only(tmp_path: Path, campaign: Campaign) -> None:
    """A job that goes on beside damaged files keeps as many valid ones as were asked for."""
    run_dir, paths = saved(tmp_path, NAMES[0])
    for path in sorted((run_dir / "checkpoints").iterdir())[:2]:
        flip(path, campaign)
    Job(open_source(*paths), CONFIGURATIONS[NAMES[0]].config(run_dir, max_minibatches=13)).run()
    files = sorted((run_dir / "checkpoints").iterdir())
    valid = []
    for path in files:
        try:
            valid.append(decode(path.read_bytes(), path).step)
        except CheckpointError:
            assert path in files[:2]
    assert valid == [12, 13]
    Job(open_source(*paths), CONFIGURATIONS[NAMES[0]].config(run_dir, max_minibatches=15)).run()
    assert [decode(path.read_bytes(), path).step for path in sorted((run_dir / "checkpoints").iterdir())] == [
        13,
        14,
        15,
    ]


def test_the_command_line_says_so_and_never_starts_afresh(tmp_path: Path, campaign: Campaign) -> None:
    """A damaged file is named on standard error; with none valid it is exit 3, and nothing is changed."""
    run_dir, _ = saved(tmp_path, NAMES[0])
    command = [sys.executable, "-m", "stream_bp", "resume", str(run_dir)]
    files = sorted((run_dir / "checkpoints").iterdir())
    for path in files[:2]:
        flip(path, campaign)
    flip(files[2], campaign)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run_dir.rglob("*") if path.is_file()}
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 3
    assert found.stderr.count("\n") == 1
    assert "no valid checkpoint" in found.stderr
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    shutil.rmtree(run_dir)
    for file in tmp_path.iterdir():
        file.unlink()
    run_dir, _ = saved(tmp_path, NAMES[0])
    flip(files[2], campaign)
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0
    assert "skipped damaged checkpoint" in found.stderr
    assert files[2].name in found.stderr
