"""The real disk: whole writes, and nothing opened that is not a regular file."""

import os
from pathlib import Path

import pytest

from stream_bp.persistence.filesystem import FileSystem, make_folder


def test_a_write_that_the_kernel_takes_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short writes are continued until all data is written, once and in order."""
    disk, path, real_write = FileSystem(), tmp_path / "file", os.write
    pieces: list[int] = []

    def short_write(fd: int, data: memoryview) -> int:
        pieces.append(real_write(fd, data[:3]))
        return pieces[-1]

    fd = disk.open_new(path)
    monkeypatch.setattr(os, "write", short_write)
    disk.write(fd, b"0123456789")
    monkeypatch.undo()
    disk.close(fd)
    assert path.read_bytes() == b"0123456789"
    assert pieces == [3, 3, 3, 1]


def test_pieces_and_whole_are_the_same(tmp_path: Path) -> None:
    """Reading in pieces gives what reading at once gives, no piece larger than asked for."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 5)
    chunks = list(FileSystem().chunks(path, 100))
    assert b"".join(chunks) == FileSystem().read(path) == path.read_bytes()
    assert max(map(len, chunks)) == 100


def test_links_are_not_opened_for_writing(tmp_path: Path) -> None:
    """No way of opening a file for writing follows a link, dangling or not."""
    disk, link = FileSystem(), tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    for _ in range(2):
        for opening in (disk.open_new, disk.open_existing, disk.open_lock):
            with pytest.raises(OSError, match=r"File exists|symbolic links"):
                opening(link)
        (tmp_path / "target").touch()


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    """A child program gets none of our files, still less the lock."""
    disk = FileSystem()
    for fd in (disk.open_new(tmp_path / "a"), disk.open_existing(tmp_path / "a"), disk.open_lock(tmp_path / "b")):
        assert not os.get_inheritable(fd)
        disk.close(fd)


def test_every_missing_parent_is_made_durable(tmp_path: Path) -> None:
    """Each folder that is made is followed by a sync of the folder that it is in; one that exists is left alone."""
    synced: list[Path] = []

    class Recorder(FileSystem):
        """A disk that notes the order of its syncs."""

        def fsync_folder(self, path: Path) -> None:
            """Note the folder, and sync it."""
            synced.append(path)
            super().fsync_folder(path)

    for _ in range(2):
        make_folder(Recorder(), tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
