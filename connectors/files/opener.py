"""Open files of a followed place: new files, resumed files, damaged files, and files that are being written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from connectors.errors import ConnectorError, CursorError, RowError, SourceError, foreign_errors
from connectors.files import intervals
from connectors.files.listing import Listing
from connectors.formats.base import DamagedFileReader, FileReader, identify, is_unavailable
from connectors.formats.file_cursor import FileIdentity

__all__ = ["FileOpener"]


class FileOpener:
    """Opens files at the offset where they were left.

    Parameters
    ----------
    files
        The place.
    schema
        The columns to read, and their types.
    keeps_bad_rows
        Whether a file that cannot be read is a bad row, instead of an error.
    """

    def __init__(self, files: Listing, schema: pa.Schema, *, keeps_bad_rows: bool) -> None:
        self._files, self._schema, self._keeps_bad_rows = files, schema, keeps_bad_rows
        self._written_last = ((-1, 0, 0), 0.0)

    def open(self, name: str, row: int, seen: FileIdentity | None, left: FileIdentity | None) -> FileReader | None:
        """Open a file; for a damaged file, return a reader that yields one bad row.

        Parameters
        ----------
        name
            The file.
        row
            Number of rows before it in the stream.
        seen
            Identity of the part that was read before; ``None`` for a new file.
        left
            Its identity when it was left, which limits the read; ``None`` to read all of it.

        Returns
        -------
        FileReader or None
            None for a file that is still being written, and cannot be read before it is complete.
        """
        try:
            reader = self._open(name, row, seen, left)
            if reader is None and not self._is_being_written(name):
                reader = self._open(name, row, None, left, is_growing=False)
        except (RowError, SourceError) as error:
            if not self._keeps_bad_rows or is_unavailable(error):
                raise
            return DamagedFileReader(name, str(error).removeprefix(f"{name}: "), self._schema)
        return reader

    def resume(self, row: int, seen: FileIdentity, left: FileIdentity | None) -> tuple[FileReader, str]:
        """Open the file that holds the last row, and return it with its present name.

        Raises
        ------
        CursorError
            It is gone, or changed.
        """
        found = self._files.listed(seen.mtime_ns, {seen.inode})
        # Most likely first: the same inode number, then the same name, also if the place was moved.
        found.sort(key=lambda one: (one.status.st_ino != seen.inode, not f"/{seen.name}".endswith(f"/{one.key[1]}")))
        failure: ConnectorError | None = None
        for file in found:
            reader = None
            try:
                reader = self._open(file.name, row, seen, left)
            except (ConnectorError, OSError) as error:
                failure = failure or (error if isinstance(error, ConnectorError) else None)
            if reader is not None:
                return reader, file.name
        raise failure or CursorError(f"{seen.name}: the file that holds the checkpoint's position is gone; put it back")

    def head(self, name: str, reader: FileReader) -> FileIdentity:
        """Return the identity of a file's first rows, to recognise it later; only its inode number if that fails."""
        if reader.whole is not None:
            return reader.whole
        status = reader.status_now()
        # It may have been renamed since. Try its old name first: to list a place with many files is slow.
        for called in chain([name], self._named(status.st_ino)):
            with contextlib.suppress(ConnectorError, OSError, pa.ArrowException):
                head = self._files.format(called).head(called)
                if head is not None and head.inode == status.st_ino:
                    return replace(head, name=name)
        return identify(name, status, 0, "")

    def _open(
        self, name: str, row: int, seen: FileIdentity | None, left: FileIdentity | None, *, is_growing: bool = True
    ) -> FileReader | None:
        until = left.offset if left is not None else None
        with foreign_errors(name):
            return self._files.format(name).open(name, self._schema, row, seen, is_growing=is_growing, until=until)

    def _named(self, inode: int) -> Iterator[str]:
        """Yield the present names of a file with this inode number."""
        yield from (file.name for file in self._files.listed(0, {inode}) if file.status.st_ino == inode)

    def _is_being_written(self, name: str) -> bool:
        """Return whether a file was written a moment ago, so that more may come."""
        status = Path(name).stat()
        age_s = time.time() - status.st_mtime
        written = (status.st_ino, status.st_size, status.st_mtime_ns)
        if written != self._written_last[0]:
            self._written_last = written, time.monotonic()
        # The clock of another machine may be wrong. A file with a time in the future counts as complete once it has
        # not changed for a while by our own clock.
        return age_s <= intervals.WHOLE_S and time.monotonic() - self._written_last[1] <= intervals.WHOLE_S
