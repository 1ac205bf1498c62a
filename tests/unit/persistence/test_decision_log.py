"""What a job without end decided: kept as long as a checkpoint may need it, and no longer."""

from pathlib import Path

import pytest

from connectors import LASTING, Decisions
from stream_bp.persistence import decision_log
from stream_bp.persistence.decision_log import DecisionLog
from stream_bp.persistence.filesystem import FileSystem


def test_what_no_checkpoint_needs_is_dropped_and_what_was_told_once_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that came too late is told once, however long ago that was; the rest is of checkpoints that are kept."""
    monkeypatch.setattr(decision_log, "_LARGE_BYTES", 1_000)
    path = tmp_path / "decisions.csv"
    kept = DecisionLog(path, 1, FileSystem())
    kept.note(0, LASTING + "a.csv", "0")
    for row in range(100):
        kept.note(row, f"file {row}", "x" * 20)
        kept.saved(row)
    kept.close()
    assert path.stat().st_size < 1_500
    again = DecisionLog(path, 1, FileSystem())
    assert again.recall(LASTING + "a.csv") == "0"
    assert again.recall("file 0") is None
    assert again.recall("file 99") == "x" * 20


def test_a_line_that_was_torn_is_no_decision(tmp_path: Path) -> None:
    """Nothing followed from it; what is decided next stands behind the last whole one."""
    path = tmp_path / "decisions.csv"
    path.write_text("0,file 0,a\n7,file 1,b")
    kept = DecisionLog(path, 1, FileSystem())
    assert (kept.recall("file 0"), kept.recall("file 1")) == ("a", None)
    kept.note(8, "file 1", "c")
    kept.close()
    assert path.read_text() == "0,file 0,a\n8,file 1,c\n"


def test_what_was_told_once_is_not_pushed_out_by_what_was_decided_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a process that keeps nothing, nor in a job, which forgets what no checkpoint needs, and no more."""
    monkeypatch.setattr(Decisions, "_most", 10)
    for kept in (Decisions(), DecisionLog(tmp_path / "decisions.csv", 1, FileSystem())):
        kept.note(0, LASTING + "a.csv", "0")
        for row in range(30):
            kept.note(row, f"border {row}", "")
        assert kept.recall(LASTING + "a.csv") == "0"
        assert kept.recall("border 29") == ""
        assert (kept.recall("border 0") is None) == (type(kept) is Decisions)


def test_decisions_about_any_name_and_any_number_of_columns_are_read_back(tmp_path: Path) -> None:
    """Names are bytes that need not be text; the columns of a wide file are longer than a field of CSV usually is."""
    path = tmp_path / "decisions.csv"
    kept = DecisionLog(path, 1, FileSystem())
    kept.note(0, f"{LASTING}rows-\udcff.csv", "0")
    kept.note(0, "empty 0", "x" * 200_000)
    kept.close()
    again = DecisionLog(path, 1, FileSystem())
    assert again.recall(f"{LASTING}rows-\udcff.csv") == "0"
    assert again.recall("empty 0") == "x" * 200_000


def test_much_that_lasts_is_not_written_anew_at_each_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only once the file has doubled."""
    monkeypatch.setattr(decision_log, "_LARGE_BYTES", 1_000)
    kept, rewritten = DecisionLog(tmp_path / "decisions.csv", 1, FileSystem()), []
    drop = kept._drop_old

    def counted() -> None:
        rewritten.append(1)
        drop()

    monkeypatch.setattr(kept, "_drop_old", counted)
    for row in range(200):
        kept.note(row, f"{LASTING}{row}.csv", str(row))
        kept.saved(row)
    kept.close()
    assert 1 <= len(rewritten) <= 4
    assert all(DecisionLog(tmp_path / "decisions.csv", 1, FileSystem()).recall(f"{LASTING}{n}.csv") for n in range(200))
