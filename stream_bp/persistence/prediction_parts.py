"""The folder of a job's predictions: which rows which part holds, and which parts a checkpoint vouches for.

::

    predictions/
      part-000000000000-000000045312.parquet    rows 0 … 45311 of the job: a checkpoint covers them
      .part-000000045312.tmp                    rows from 45312 on, which none may cover yet

A part is finished and synced, under its temporary name, before the checkpoint that names it in its mark, and renamed
once that is acknowledged. So whatever has a final name stays, and a job that goes on renames what its checkpoint names,
and removes what comes behind: it writes that again.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TypedDict

from stream_bp.errors import CheckpointError, ConfigError, DiskError
from stream_bp.persistence.filesystem import FileSystem, make_folder

__all__ = ["PART_NAME", "PartsMark", "PredictionParts", "refuse_place"]

PART_NAME = r"part-([0-9]{12}|[1-9][0-9]{12,18})-([0-9]{12}|[1-9][0-9]{12,18})\.parquet"
_PART = re.compile(PART_NAME)
_TEMPORARY = re.compile(r"\.part-[0-9]{12,19}\.tmp")


class PartsMark(TypedDict):
    """How far the predictions reach: the number of rows, and the names of the last parts, renamed by then or not."""

    rows: int
    pending: list[str]


class PredictionParts:
    """The parts in a folder, by their names.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    disk
        How to reach it.
    """

    def __init__(self, folder: Path, disk: FileSystem) -> None:
        self.folder = folder
        self._disk = disk

    @staticmethod
    def name(first: int, stop: int) -> str:
        """Return the name of the part that holds the rows first … stop - 1."""
        return f"part-{first:012d}-{stop:012d}.parquet"

    def temporary(self, first: int) -> Path:
        """Return where the part that begins with a row is written."""
        return self.folder / f".part-{first:012d}.tmp"

    def refuse_others(self, *, is_fresh: bool) -> None:
        """Refuse a folder to begin in that holds what this job did not write, or may not remove.

        Raises
        ------
        ConfigError
            If there are other files of Parquet, or, unless it starts over, parts.
        """
        for name in sorted(self._names()):
            if _PART.fullmatch(name) is None:
                if name.lower().endswith(".parquet"):
                    raise ConfigError(
                        f"predictions: {self.folder / name} is no part that stream-bp wrote; choose another folder"
                    )
            elif not is_fresh:
                raise ConfigError(
                    f"predictions: {self.folder / name} is of another job; choose another folder, or replace its parts "
                    "with --restart"
                )

    def refuse_gaps(self, mark: PartsMark) -> None:
        """Refuse to go on from a checkpoint some of whose parts are not there.

        Raises
        ------
        CheckpointError
            If the parts are not one after the other, from row 0 to the checkpoint's.
        """
        names = set(self._names())
        there = {name for name in names if _PART.fullmatch(name)}
        # A kill between the checkpoint and the renaming leaves parts under their temporary names.
        there |= {name for name in mark["pending"] if self.temporary(_rows(name)[0]).name in names}
        end = 0
        for first, stop in sorted(_rows(name) for name in there):
            if first >= mark["rows"]:
                break
            if first > end:
                self._refuse(self.name(end, first), "is missing")
            if first < end or stop > mark["rows"]:
                self._refuse(self.name(first, stop), "has rows that another one has")
            end = stop
        if end < mark["rows"]:
            self._refuse(self.name(end, mark["rows"]), "is missing")

    def _refuse(self, name: str, what: str) -> None:
        raise CheckpointError(
            f"predictions: {self.folder / name} (its first row and that behind its last) {what}; restore the parts, go "
            "on without --predictions-dir, or start over with --restart"
        )

    def clear(self, *, is_fresh: bool) -> None:
        """Make the folder, and remove unfinished parts from it, or, to start over, all parts, and nothing else."""
        with self.failing("clear"):
            make_folder(self._disk, self.folder)
        with self.failing("remove"):
            kinds = (_TEMPORARY, _PART) if is_fresh else (_TEMPORARY,)
            self._remove([name for name in self._names() if any(kind.fullmatch(name) for kind in kinds)])

    def mend(self, mark: PartsMark) -> None:
        """Rename the parts that a checkpoint names, and remove those behind it."""
        with self.failing("mend"):
            make_folder(self._disk, self.folder)
            names = set(self._names())
            hidden = [name for name in mark["pending"] if name not in names]
            self.rename(hidden)
            names -= {self.temporary(_rows(name)[0]).name for name in hidden}
            # They were published with a checkpoint that is gone, and are predicted again.
            behind = [name for name in names if _PART.fullmatch(name) and _rows(name)[0] >= mark["rows"]]
            self._remove([*behind, *(name for name in names if _TEMPORARY.fullmatch(name))])

    def rename(self, names: Sequence[str]) -> None:
        """Give finished parts their names, durably."""
        for name in names:
            self._disk.rename(self.temporary(_rows(name)[0]), self.folder / name)
        if names:
            self._disk.fsync_folder(self.folder)

    def _remove(self, names: Sequence[str]) -> None:
        # The last first: what a kill leaves is one range of rows.
        for name in sorted(names, reverse=True):
            self._disk.unlink(self.folder / name)
        if names:
            # None may come back beside a part with other borders.
            self._disk.fsync_folder(self.folder)

    def _names(self) -> list[str]:
        with self.failing("list"):
            try:
                return self._disk.listdir(self.folder)
            except FileNotFoundError:
                return []

    @contextmanager
    def failing(self, verb: str) -> Iterator[None]:
        """Turn a failure of the disk into one line."""
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"cannot {verb} predictions in {self.folder}: {error.strerror}; once that is mended, the same command "
                "goes on"
            ) from error


def _rows(name: str) -> tuple[int, int]:
    """Return the first row of a part, and that behind its last."""
    match = _PART.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no part")
    return int(match[1]), int(match[2])


def refuse_place(folder: Path, sources: Sequence[str]) -> None:
    """Refuse a folder whose parts would be read as rows: a source, or one that lies in it, or has a file of it.

    Raises
    ------
    ConfigError
        If it is one.
    """
    # Two names may lead to one folder.
    place = folder.resolve()
    part = place / PredictionParts.name(0, 1)
    for source in map(Path, sources):
        found = source.resolve()
        is_inside = place.is_relative_to(found) if found.is_dir() else found.parent == place
        is_as_deep = len(found.parts) == len(part.parts) or "**" in found.parts
        if is_inside or (is_as_deep and fnmatch(str(part), str(found))):
            raise ConfigError(f"predictions: {folder} lies in {source}, which is read from; choose another folder")
