"""The metrics history: its bytes, its marks, and going on after a kill or a power cut."""

import errno
import hashlib
import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from stream_bp.errors import CheckpointError
from stream_bp.persistence import journal as history_module
from stream_bp.persistence.journal import AppendLog, Mark
from tests.simulated_disk import PowerCut, SimulatedDisk, WithoutFolderFsync, WithoutFsync

COLUMNS = ("step", "loss")
PATH = Path("/runs/job/history.csv")


def row(step: int) -> dict[str, object]:
    """Return a row whose float has no short decimal form."""
    return {"step": step, "loss": step / 3}


def simulated_disk() -> SimulatedDisk:
    """Return a disk on which the run directory exists durably."""
    disk = SimulatedDisk()
    for folder in (Path("/runs"), Path("/runs/job")):
        disk.mkdir(folder)
        disk.fsync_folder(folder.parent)
    disk.calls.clear()
    return disk


def test_the_bytes_of_a_history(tmp_path: Path) -> None:
    """Floats are the shortest that read back the same, None is empty, text is quoted where it must be."""
    columns = ["step", "loss", "label", "is_last", "f32", "f64", "i64"]
    with AppendLog(tmp_path / "history.csv", columns) as history:
        history.append(
            {"label": 'a,"b"', "step": 1, "loss": 0.1, "is_last": True}
            | {"f32": np.float32(0.5), "f64": np.float64(1e-300), "i64": np.int64(-3)}
        )
        history.append(dict.fromkeys(columns))
        history.sync()
    assert (tmp_path / "history.csv").read_bytes() == (
        b'step,loss,label,is_last,f32,f64,i64\n1,0.1,"a,""b""",true,0.5,1e-300,-3\n,,,,,,\n'
    )


def test_the_mark_describes_the_file(tmp_path: Path) -> None:
    """A mark tells size, digest and rows, with and without rows, and passes through JSON."""
    path = tmp_path / "history.csv"
    with AppendLog(path, COLUMNS) as history:
        for rows in (0, 1, 2):
            mark = history.sync()
            data = path.read_bytes()
            assert json.loads(json.dumps(mark)) == {
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "rows": rows,
            }
            history.append(row(rows))


def test_nothing_is_created_before_the_first_write(tmp_path: Path) -> None:
    """A history that takes no row and is not synced leaves no file."""
    with AppendLog(tmp_path / "history.csv", COLUMNS) as history:
        history.append(row(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("buffer_bytes", [1, 1 << 16])
def test_a_resumed_history_has_the_bytes_of_one_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    """Rows after the mark are cut off and written again, to the same bytes, digest and count."""
    monkeypatch.setattr(history_module, "BUFFER_BYTES", buffer_bytes)
    paths = tmp_path / "never_stopped.csv", tmp_path / "stopped.csv"
    for path in paths:
        with AppendLog(path, COLUMNS) as history:
            for step in range(5):
                history.append(row(step))
            mark = history.sync()
            history.append({"step": 99, "loss": 0.0} if path == paths[1] else row(5))
            history.sync()
    with AppendLog.resume(paths[1], COLUMNS, mark) as resumed:
        resumed.append(row(5))
        end = resumed.sync()
    assert paths[1].read_bytes() == paths[0].read_bytes()
    assert end == Mark(size=paths[0].stat().st_size, sha256=hashlib.sha256(paths[0].read_bytes()).hexdigest(), rows=6)


def test_rows_are_written_before_they_fill_the_memory(tmp_path: Path) -> None:
    """Between two syncs the buffer stays bounded, and verification reads beyond one piece."""
    path = tmp_path / "history.csv"
    with AppendLog(path, ["text"]) as history:
        for _ in range(30):
            history.append({"text": "x" * 50_000})
        assert path.stat().st_size > 1_400_000
        mark = history.sync()
    assert AppendLog.resume(path, ["text"], mark).rows == 30


def test_resuming_changes_nothing_before_the_first_write(tmp_path: Path) -> None:
    """A job that is refused for another reason after this has cut nothing off; a sync alone does."""
    path = tmp_path / "history.csv"
    with AppendLog(path, COLUMNS) as history:
        mark = history.sync()
        history.append(row(0))
        history.sync()
    before = path.read_bytes()
    with AppendLog.resume(path, COLUMNS, mark) as resumed:
        assert path.read_bytes() == before
        assert resumed.sync() == mark
    assert path.read_bytes() == b"step,loss\n"


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_history_that_was_changed_is_refused(tmp_path: Path, damage: str) -> None:
    """An edited, shortened or absent file is named, with the way out."""
    path = tmp_path / "history.csv"
    with AppendLog(path, COLUMNS) as history:
        history.append(row(1))
        mark = history.sync()
    data = path.read_bytes()
    path.unlink()
    if damage != "remove":
        path.write_bytes(data[:-1] if damage == "cut" else data.replace(b"0.3", b"0.4"))
    with pytest.raises(CheckpointError, match=r"history\.csv.*(restore the file|No such file)"):
        AppendLog.resume(path, COLUMNS, mark)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    """A history is not continued under other columns, not even fewer or more of the same."""
    path = tmp_path / "history.csv"
    with AppendLog(path, COLUMNS) as history:
        mark = history.sync()
    for columns in (("step",), (*COLUMNS, "accuracy"), ("loss", "step")):
        with pytest.raises(CheckpointError, match="has the columns 'step,loss'"):
            AppendLog.resume(path, columns, mark)


def test_only_fresh_replaces_a_file(tmp_path: Path) -> None:
    """A new history refuses a file that is there; `fresh` replaces it, or starts without one."""
    path = tmp_path / "history.csv"
    path.write_text("precious")
    with pytest.raises(CheckpointError, match="File exists"):
        AppendLog(path, COLUMNS).sync()
    assert path.read_text() == "precious"
    for _ in range(2):
        with AppendLog.fresh(path, COLUMNS) as history:
            history.sync()
        assert path.read_text() == "step,loss\n"
        path.unlink()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A history put behind a link is not written through it."""
    path, victim = tmp_path / "history.csv", tmp_path / "victim"
    with AppendLog(victim, COLUMNS) as history:
        mark = history.sync()
    path.symlink_to(victim)
    with AppendLog.resume(path, COLUMNS, mark) as resumed, pytest.raises(CheckpointError, match="symbolic links"):
        resumed.sync()
    with pytest.raises(CheckpointError, match="File exists"):
        AppendLog(path, COLUMNS).sync()


@pytest.mark.parametrize("bad", [{"step": 1}, {"step": 1, "loss": 0.5, "time": 1}])
def test_a_row_of_other_columns_is_refused(tmp_path: Path, bad: dict[str, object]) -> None:
    """A row with a column too few or too many is the caller's mistake."""
    with pytest.raises(ValueError, match="expected"):
        AppendLog(tmp_path / "history.csv", COLUMNS).append(bad)


def test_a_cell_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A value without one way to write it is the caller's mistake."""
    with pytest.raises(TypeError, match="list"):
        AppendLog(tmp_path / "history.csv", COLUMNS).append({"step": [], "loss": 0.5})


@pytest.mark.parametrize("call", range(1, 5))
def test_a_failing_disk_ends_a_history(call: int) -> None:
    """Whichever call fails, one line tells it, and no later row goes where its mark would be wrong."""
    disk = simulated_disk()
    with AppendLog(PATH, COLUMNS, disk) as history:
        history.append(row(0))
        disk.arm(call, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(CheckpointError, match="No space left") as caught:
            history.sync()
        assert disk.fired == ["open_new", "fsync_folder", "write", "fsync"][call - 1]
        assert "\n" not in str(caught.value)
        with pytest.raises(CheckpointError, match="an earlier write failed"):
            history.sync()
        assert disk.calls.count("fsync") <= 1, "a failed fsync was tried again"
    assert not disk.open_files


def lost_by_power_cuts(disk_class: type[SimulatedDisk]) -> tuple[int, int]:
    """Cut the power at every call of a history; tell how often a mark was lost, and how many cuts fell."""
    lost = cuts = 0
    while True:
        disk = simulated_disk()
        disk.__class__ = disk_class
        disk.arm(cuts + 1, PowerCut())
        marks: list[Mark] = []
        try:
            with AppendLog(PATH, COLUMNS, disk) as history:
                for step in range(4):
                    history.append(row(step))
                    marks.append(history.sync())
            with AppendLog.resume(PATH, COLUMNS, marks[1], disk) as history:
                marks[2:] = []
                history.append(row(2))
                marks.append(history.sync())
        except PowerCut:
            cuts += 1
        else:
            return lost, cuts
        for names_kept, content_kept in product([False, True], repeat=2):
            left = disk.after_power_cut(names_kept=names_kept, content_kept=content_kept)
            try:
                assert not marks or AppendLog.resume(PATH, COLUMNS, marks[-1], left).rows == len(marks)
            except CheckpointError:
                lost += 1


def test_a_power_cut_loses_no_mark() -> None:
    """Wherever power fails, the history can be continued from the last mark that was given out."""
    lost, cuts = lost_by_power_cuts(SimulatedDisk)
    assert lost == 0
    assert cuts >= 4 * len(["write", "fsync"]) + len(["open_new", "fsync_folder", "open_existing", "truncate"])


@pytest.mark.parametrize("broken", [WithoutFsync, WithoutFolderFsync])
def test_the_power_cut_test_catches_a_wrong_protocol(broken: type[SimulatedDisk]) -> None:
    """The test above would notice a history that leaves out either fsync."""
    assert lost_by_power_cuts(broken)[0] > 0


def test_what_a_power_cut_left_of_one_without_rows_is_replaced(tmp_path: Path) -> None:
    """Part of its header, or zeros in its place, are ours; what somebody else wrote is left alone."""
    path, mark = tmp_path / "events.csv", Mark(size=10, sha256="", rows=0)
    for left in (b"", b"ste", b"step\0\0\0\0\0\0", bytes(10), b"step,loss\n1,2\n"):
        path.write_bytes(left)
        with AppendLog.resume(path, COLUMNS, mark, is_optional=True) as journal:
            journal.append(row(1))
            journal.sync()
        assert path.read_text().splitlines()[0] == "step,loss"
    path.write_bytes(b"day,loss\n")
    with pytest.raises(CheckpointError, match="was not written by stream-bp"):
        AppendLog.resume(path, COLUMNS, mark, is_optional=True)
    assert path.read_bytes() == b"day,loss\n"
