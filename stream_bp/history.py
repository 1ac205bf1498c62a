"""The history of a run: a CSV file that any table tool opens, without a gap or a duplicate after a resume.

Rows are kept in memory until :meth:`History.sync`, which comes before each checkpoint; the checkpoint records how
long the file was and what it held. What a killed run wrote after its last checkpoint is cut off by the resume, which
writes it again. Every column is a function of the stream: no time of day, so that the bytes are the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_bp.disk import Disk
from stream_bp.errors import CheckpointError

__all__ = ["History"]


class History:
    """An append-only table.

    Parameters
    ----------
    path
        The CSV file.
    disk
        The way to the disk.
    mark
        Where to go on: what :meth:`sync` returned, as the checkpoint has it. ``None`` begins the file anew.

    Raises
    ------
    CheckpointError
        If the file does not begin with what the mark says.
    """

    def __init__(self, path: Path, *, disk: Disk | None = None, mark: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()
        self._digest = hashlib.sha256()
        self._size = 0
        self._columns: tuple[str, ...] | None = None
        self._waiting: list[str] = []
        if mark is not None:
            self._go_on(mark)

    def append(self, row: Mapping[str, float | int | str | None]) -> None:
        """Add a row; the first one of a file gives the columns, and every other has the same."""
        if self._columns is None:
            self._columns = tuple(row)
            self._waiting.append(_line(self._columns))
        if tuple(row) != self._columns:
            raise ValueError(f"the history's columns are {self._columns}, found {tuple(row)}")
        self._waiting.append(_line([_cell(value) for value in row.values()]))

    def sync(self) -> dict[str, Any]:
        """Write what waits, durably, and return the mark for the checkpoint.

        Raises
        ------
        CheckpointError
            If the disk refuses.
        """
        data = "".join(self._waiting).encode()
        if data or not self._size:
            try:
                self._disk.make_folder(self.path.parent)
                self._disk.write_at(self.path, self._size, data)
                if not self._size:
                    self._disk.sync_folder(self.path.parent)
            except OSError as error:
                raise CheckpointError(
                    f"cannot write {self.path}: {error.strerror or error}; the checkpoints are intact"
                ) from error
        self._waiting.clear()
        self._size += len(data)
        self._digest.update(data)
        return {"size": self._size, "sha256": self._digest.hexdigest(), "columns": list(self._columns or ())}

    def _go_on(self, mark: Mapping[str, Any]) -> None:
        try:
            kept = self._disk.read(self.path)[: mark["size"]]
        except OSError as error:
            raise CheckpointError(
                f"cannot read {self.path}, which the checkpoint goes on from: {error.strerror or error}; put it back, "
                "or start over with --fresh"
            ) from None
        self._digest.update(kept)
        if len(kept) != mark["size"] or self._digest.hexdigest() != mark["sha256"]:
            raise CheckpointError(
                f"{self.path} was changed: its first {mark['size']} bytes are not those that the checkpoint goes on "
                "from; put it back, or start over with --fresh"
            )
        self._size = len(kept)
        self._columns = tuple(mark["columns"]) or None


def _line(cells: Sequence[str]) -> str:
    return ",".join(_quoted(cell) for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') else cell


def _cell(value: float | str | None) -> str:
    """Write a value so that it reads back the same: floats by their shortest exact form, None as nothing."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
