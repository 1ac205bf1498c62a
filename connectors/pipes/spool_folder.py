"""The folder of a spool: numbered files, with the last one written and the last one read."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import weakref
from dataclasses import replace
from pathlib import Path

from connectors.errors import SourceError, foreign_errors
from connectors.formats.csv.beginning import length_before
from connectors.formats.csv.dialect import Dialect
from connectors.formats.csv.plain_text import record_ends
from connectors.formats.csv.text import MAX_RECORD
from connectors.stores.storage import sync

__all__ = ["FILE_NAME", "SpoolFolder"]

FILE_NAME = re.compile(r"spool-([0-9]{12})\.(csv|jsonl|parquet)")


class SpoolFolder:
    """Numbered files; one thread writes them and another reads them.

    Parameters
    ----------
    folder
        Folder of the files; by default, a temporary one.
    dialect
        The dialect of text, as far as it was given.

    Attributes
    ----------
    path : str
        Path of the folder.
    is_kept : bool
        Whether the files are permanent.
    newest : int
        Number of the last file; 0 if there is none.
    """

    def __init__(self, folder: str | None, dialect: Dialect) -> None:
        self.is_kept = folder is not None
        self.path = folder or tempfile.mkdtemp(prefix="stream-bp-")
        with foreign_errors(self.path):
            _make_folder(Path(self.path))
            self._refuse_others()
            self._remove_begun(dialect)
        self._finalizer = None if self.is_kept else weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._changed = threading.Condition()
        self._has_ended = False
        self.newest = max(self._numbers(), default=0)
        self._left = 0

    def _refuse_others(self) -> None:
        # The folder is read like any followed folder, so another data file in it would be learned too.
        others = [name for name in os.listdir(self.path) if not FILE_NAME.fullmatch(name) and not name.startswith(".")]  # noqa: PTH208
        if others:
            raise SourceError(f"{self.path}: {others[0]} is not a spool file; give --spool a folder of its own")

    def _remove_begun(self, dialect: Dialect) -> None:
        """Remove the last text file if its header is incomplete; it holds no row."""
        path = self.file(max(self._numbers(), default=0), "csv")
        if not path.exists():
            return
        with path.open("rb") as file:
            head = file.read(MAX_RECORD + 1)
        dialect = replace(dialect, encoding="utf-8", names=(), skip_rows=0).told_by(head)
        if not len(record_ends(head[length_before(head, 0) :], is_last=False, dialect=dialect)):
            path.unlink()

    def _numbers(self) -> list[int]:
        return [int(match[1]) for name in os.listdir(self.path) if (match := FILE_NAME.fullmatch(name))]  # noqa: PTH208

    def file(self, number: int, extension: str) -> Path:
        """Return the path of a file."""
        return Path(self.path, f"spool-{number:012d}.{extension}")

    def next_number(self, ahead: int) -> int:
        """Wait until fewer than `ahead` files are unread, and return the number of the next file."""
        with self._changed:
            self._changed.wait_for(lambda: self.newest - self._left < ahead)
            return self.newest + 1

    def add(self, number: int) -> None:
        """Record that a file exists now."""
        with self._changed:
            self.newest = number

    def end(self) -> None:
        """Record that no more data will be written."""
        with self._changed:
            self._has_ended = True

    @property
    def has_ended(self) -> bool:
        """Whether no more data will be written."""
        with self._changed:
            return self._has_ended

    def is_whole(self, name: str) -> bool:
        """Return whether a file is complete: it is not the last one, or no more data will be written."""
        match = FILE_NAME.fullmatch(Path(name).name)
        with self._changed:
            return self._has_ended or (match is not None and int(match[1]) < self.newest)

    def leave(self, name: str) -> None:
        """Record that a file was read to its end; a temporary file is removed."""
        match = FILE_NAME.fullmatch(Path(name).name)
        with self._changed:
            self._left = max(self._left, int(match[1]) if match else 0)
            self._changed.notify_all()
        if not self.is_kept:
            Path(name).unlink(missing_ok=True)

    def commit(self, name: str) -> None:
        """Remove the files before one; no checkpoint needs them any more."""
        match = FILE_NAME.fullmatch(Path(name).name)
        for path in Path(self.path).iterdir():
            found = FILE_NAME.fullmatch(path.name)
            if found and match and int(found[1]) < int(match[1]):
                path.unlink(missing_ok=True)


def _make_folder(path: Path) -> None:
    """Create a folder and its missing parents, and sync each of them to survive a power cut."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)
