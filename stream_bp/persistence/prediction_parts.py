"""The folder of a job's predictions: the rows of each part, and the parts that a checkpoint covers.

::

    predictions/
      part-000000000000-000000045312.parquet    rows 0 … 45311 of the job, covered by a checkpoint
      .part-000000045312.tmp                    rows from 45312 on, perhaps not covered yet

A part is finished and synced under its temporary name first. Then the checkpoint is saved, whose mark names the part.
Then the part is renamed. So a part with a final name is permanent. A resumed job renames the parts that its checkpoint
names, and removes later ones: it predicts those rows again.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NotRequired, TypedDict

from stream_bp.errors import CheckpointError, ConfigError, DiskError
from stream_bp.persistence.filesystem import FileSystem, make_folder

__all__ = ["PART_NAME", "PartsMark", "PredictionParts", "refuse_place"]

PART_NAME = r"part-([0-9]{12}|[1-9][0-9]{12,18})-([0-9]{12}|[1-9][0-9]{12,18})\.parquet"
_PART = re.compile(PART_NAME)
_TEMPORARY = re.compile(r"\.part-[0-9]{12,19}\.tmp")


class PartsMark(TypedDict):
    """The extent of the predictions.

    Attributes
    ----------
    rows
        Their number.
    pending
        Names of parts that may not be renamed yet.
    as_written
        Whether columns of text are copied as written; not in release 0.3.0, which copied inferred types.
    """

    rows: int
    pending: list[str]
    as_written: NotRequired[bool]


class PredictionParts:
    """The parts in a folder, by their names.

    Parameters
    ----------
    folder
        The folder. It need not exist.
    disk
        Reads and writes the files.
    """

    def __init__(self, folder: Path, disk: FileSystem) -> None:
        self.folder = folder
        self._disk = disk

    @staticmethod
    def name(first: int, stop: int) -> str:
        """Return the name of the part with the rows first … stop - 1."""
        return f"part-{first:012d}-{stop:012d}.parquet"

    def temporary(self, first: int) -> Path:
        """Return the temporary path of the part that begins with a row."""
        return self.folder / f".part-{first:012d}.tmp"

    def refuse_others(self, *, is_fresh: bool) -> None:
        """Refuse a folder for a new job that holds files which the job may not replace.

        Raises
        ------
        ConfigError
            If there are other Parquet files, or parts without ``is_fresh``.
        """
        for name in sorted(self._names()):
            if _PART.fullmatch(name) is None:
                if name.lower().endswith(".parquet"):
                    raise ConfigError(
                        f"predictions_dir: {self.folder / name} was not written by stream-bp; choose another folder"
                    )
            elif not is_fresh:
                raise ConfigError(
                    f"predictions_dir: {self.folder / name} belongs to another job; choose another folder, or replace "
                    "its parts with --restart"
                )

    def refuse_gaps(self, mark: PartsMark) -> None:
        """Refuse to resume from a checkpoint if some of its parts are missing.

        Raises
        ------
        CheckpointError
            If the parts do not cover each row once, from row 0 to the checkpoint.
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
                self._refuse(self.name(first, stop), "has rows that another part has")
            end = stop
        if end < mark["rows"]:
            self._refuse(self.name(end, mark["rows"]), "is missing")

    def _refuse(self, name: str, what: str) -> None:
        raise CheckpointError(
            f"predictions: {self.folder / name} {what}; restore the parts, resume without --predictions-dir, or start "
            "over with --restart"
        )

    def clear(self, *, is_fresh: bool) -> None:
        """Create the folder and remove unfinished parts; with ``is_fresh``, all parts. Other files stay."""
        with self.failing("clear"):
            make_folder(self._disk, self.folder)
        with self.failing("remove"):
            kinds = (_TEMPORARY, _PART) if is_fresh else (_TEMPORARY,)
            self._remove([name for name in self._names() if any(kind.fullmatch(name) for kind in kinds)])

    def mend(self, mark: PartsMark) -> None:
        """Rename the parts that a checkpoint names, and remove later ones."""
        with self.failing("restore"):
            make_folder(self._disk, self.folder)
            names = set(self._names())
            hidden = [name for name in mark["pending"] if name not in names]
            self.rename(hidden)
            names -= {self.temporary(_rows(name)[0]).name for name in hidden}
            # They belong to a later checkpoint that is gone. Their rows are predicted again.
            later = [name for name in names if _PART.fullmatch(name) and _rows(name)[0] >= mark["rows"]]
            self._remove([*later, *(name for name in names if _TEMPORARY.fullmatch(name))])

    def rename(self, names: Sequence[str]) -> None:
        """Rename finished parts, durably."""
        for name in names:
            self._disk.rename(self.temporary(_rows(name)[0]), self.folder / name)
        if names:
            self._disk.fsync_folder(self.folder)

    def _remove(self, names: Sequence[str]) -> None:
        # The last part first, so that a kill leaves one range of rows without gaps.
        for name in sorted(names, reverse=True):
            self._disk.unlink(self.folder / name)
        if names:
            # A removed part must not return after a power cut, beside a new part with other boundaries.
            self._disk.fsync_folder(self.folder)

    def _names(self) -> list[str]:
        with self.failing("list"):
            try:
                return self._disk.listdir(self.folder)
            except FileNotFoundError:
                return []

    @contextmanager
    def failing(self, verb: str) -> Iterator[None]:
        """Turn an error of the disk into one line."""
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"cannot {verb} predictions in {self.folder}: {error.strerror}; fix the cause, then run the same "
                "command to resume"
            ) from error


def _rows(name: str) -> tuple[int, int]:
    """Return the first row of a part, and the row after its last."""
    match = _PART.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a part")
    return int(match[1]), int(match[2])


def refuse_place(folder: Path, sources: Sequence[str]) -> None:
    """Refuse a folder whose parts would be read as rows.

    Raises
    ------
    ConfigError
        If the folder is a source, is inside of one, or has a file of one.
    """
    # Links can give one folder two names.
    place = folder.resolve()
    part = place / PredictionParts.name(0, 1)
    for source in map(Path, sources):
        found = source.resolve()
        is_inside = place.is_relative_to(found) if found.is_dir() else found.parent == place
        # The * of fnmatch also matches a slash, so the depth is compared too.
        is_as_deep = len(found.parts) == len(part.parts) or "**" in found.parts
        if is_inside or (is_as_deep and fnmatch(str(part), str(found))):
            raise ConfigError(f"predictions_dir: {folder} is in {source}, which is read from; choose another folder")
