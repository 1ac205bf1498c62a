"""Standard input and named pipes: the data is written to files in a folder, and read from there.

A pipe cannot be read twice. So a thread writes its data to files in a folder, whole records only. The rows are then
read from these files, as from any followed folder. If the folder is permanent, a job resumes from it after a kill. Only
the records that the pipe had delivered, and that were not yet written, are lost. If the folder is temporary, the job
reads the data that comes after the kill.

Text becomes UTF-8 text files, CSV each with the header. Arrow streams (the IPC format) become Parquet files.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
import threading
import weakref
from collections.abc import Iterator

from connectors.errors import ConnectorError, NewColumnsError, SourceError, foreign_errors
from connectors.formats.csv.dialect import Dialect
from connectors.formats.looks import HEAD, look
from connectors.pipes import pipe
from connectors.pipes.batch_writer import ARROW, BatchWriter
from connectors.pipes.pipe import STANDARD_INPUT, Pipe
from connectors.pipes.spool_folder import FILE_NAME, SpoolFolder
from connectors.pipes.text_writer import TEXT_KINDS, TextWriter, first_line_of

__all__ = ["Spool", "telling"]

_PATIENCE_S = 5.0
_WAY_OUT = {
    "parquet": "write it to a file",
    "arrow": "send a stream (pyarrow.ipc.new_stream), or write it to a file",
    "jsonl": "leave out --format, or give --format jsonl",
}


class Spool:
    """The data of a pipe, in files of a folder; a thread writes them.

    Parameters
    ----------
    place
        ``-``, or the path of a named pipe.
    folder
        Folder that keeps the data; by default, a temporary one.
    dialect
        The dialect of text, as far as it was given.
    reopens
        Whether to open a named pipe again after all its writers have closed it.
    kind
        The format of text, ``csv`` or ``jsonl``; by default, the first bytes decide.
    """

    def __init__(
        self, place: str, folder: str | None, dialect: Dialect, *, reopens: bool, kind: str | None = None
    ) -> None:
        self._place, self._reopens, self._kind = place, reopens, kind
        self._files = SpoolFolder(folder, dialect)
        self._text = TextWriter(self._files, dialect, self.description)
        self._batches = BatchWriter(self._files, self.description)
        self._failure: BaseException | None = None
        self._pipe: Pipe | None = None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()
        # Python must not end while the thread still reads. A weak reference, so that atexit keeps no unused spool.
        atexit.register(_end, weakref.ref(self))

    @property
    def description(self) -> str:
        """Name of the pipe, for messages."""
        return "standard input" if self._place == STANDARD_INPUT else self._place

    @property
    def folder(self) -> str:
        """Path of the folder."""
        return self._files.path

    @property
    def is_kept(self) -> bool:
        """Whether the files are permanent."""
        return self._files.is_kept

    @property
    def n_held(self) -> int:
        """Bytes of an incomplete record."""
        return self._text.n_held

    @property
    def has_ended(self) -> bool:
        """Whether no more data will be written; `refuse_failure` raises the error, if there was one."""
        return self._files.has_ended

    def is_whole(self, name: str) -> bool:
        """Return whether a file is complete."""
        return self._files.is_whole(name)

    def leave(self, name: str) -> None:
        """Record that a file was read to its end."""
        self._files.leave(name)

    def commit(self, name: str) -> None:
        """Remove the files before one; no checkpoint needs them any more."""
        self._files.commit(name)

    def refuse_failure(self) -> None:
        """Raise the error that ended the spool, if any; call it after all data before the error was read.

        Raises
        ------
        SourceError
            The pipe could not be read, or a file could not be written.
        """
        if self._failure is not None:
            with foreign_errors(self.description):
                raise self._failure

    def told(self, words: str) -> str:
        """Return a message in which temporary files and their folder are replaced by the name of the pipe."""
        if self._files.is_kept:
            return words

        def called(match: re.Match[str]) -> str:
            # A message may give a line, or compare the columns of two files, so each file needs its own name.
            is_first = match[1] is None or int(match[1]) == 1
            return self.description if is_first else f"{self.description}, part {int(match[1])}"

        return re.sub(rf"{re.escape(self._files.path)}(?:/{FILE_NAME.pattern})?", called, words)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors name the pipe, not its temporary files."""
        try:
            yield
        except ConnectorError as error:
            error.args = tuple(self.told(words) for words in error.args)
            if isinstance(error, NewColumnsError):
                error.place = self.told(error.place)
            raise

    def _run(self) -> None:
        try:
            stream = self._opened()
            while True:
                with stream:
                    self._take(stream)
                    if self._text.is_over or not self._reopens or self._place == STANDARD_INPUT:
                        break
                    # Open the pipe again before this end is closed, or a writer in between gets a broken pipe.
                    stream = self._opened()
        except BaseException as error:
            self._failure = error
        self._files.end()

    def _opened(self) -> io.BufferedReader:
        is_input = self._place == STANDARD_INPUT
        # O_NONBLOCK: the open must not wait for a writer, since nothing could end that wait. `Pipe` waits instead.
        self._pipe = Pipe(os.dup(0) if is_input else os.open(self._place, os.O_RDONLY | os.O_NONBLOCK))
        return io.BufferedReader(self._pipe, pipe.READ_BYTES)

    def end(self) -> None:
        """Stop reading, and wait until all data that was read is written."""
        self._text.is_over = True
        if self._pipe is not None:
            self._pipe.end()
            self._thread.join(_PATIENCE_S)

    def _take(self, stream: io.BufferedReader) -> None:
        """Write all data of a stream."""
        head = stream.peek(6)[:6]
        if head.startswith(ARROW):
            try:
                self._batches.write(stream)
            except BaseException:
                if self._pipe is not None:
                    self._pipe.end()  # a thread that still waits for data would keep the pipe from being closed
                raise
            return
        first = first_line_of(stream)
        found = look(first[:HEAD])
        kind = self._kind or (found.kind if found is not None else None) or "csv"
        if found is not None and (found.kind != kind or kind not in TEXT_KINDS):
            way_out = _WAY_OUT.get(str(found.kind), found.remedy)
            raise SourceError(f"{self.description}: {found.what} cannot be read from a pipe; {way_out}")
        if kind not in TEXT_KINDS:
            raise SourceError(f"{self.description}: --format {kind}: expected an Arrow stream, found text")
        self._text.write(stream, first, kind)


def telling(spool: Spool | None) -> contextlib.AbstractContextManager[None]:
    """Let errors name the pipe if there is a spool; otherwise leave them as they are."""
    return contextlib.nullcontext() if spool is None else spool.telling()


def _end(spool: weakref.ref[Spool]) -> None:
    if (found := spool()) is not None:
        found.end()
