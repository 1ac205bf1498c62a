"""Standard input and named pipes: what comes is kept in a folder, and read from there.

Nothing can be read twice from a pipe. So a thread writes what comes to files of a folder, whole records only, and the
rows are read from these files like from any that land in a folder. If the folder is to stay, a job goes on from there
after a kill; what the pipe had handed over and was not yet written, some records, is lost. Else it is a temporary one,
and what comes after a kill is gone on with.

Text becomes files of text, in UTF-8, each with the header; a stream of Arrow (its IPC format) files of Parquet.
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
from connectors.pipes import pipe
from connectors.pipes.batch_writer import ARROW, BatchWriter
from connectors.pipes.pipe import STANDARD_INPUT, Pipe
from connectors.pipes.spool_folder import FILE_NAME, SpoolFolder
from connectors.pipes.text_writer import TextWriter

__all__ = ["Spool", "telling"]

_PATIENCE_S = 5.0
_JSON = "JSON", "convert it to text with a header, or to a stream of Arrow"
_NOT_READ = {  # what begins so: what it is, and the way out
    b"\x1f\x8b": ("gzip", "decompress it before: gzip -dc … |"),
    b"\x28\xb5\x2f\xfd": ("zstd", "decompress it before: zstd -dc … |"),
    b"PAR1": ("Parquet", "write it to a file"),
    b"ARROW1": ("a file of Arrow (Feather)", "send a stream (pyarrow.ipc.new_stream), or write Parquet to a file"),
    b'{"': _JSON,
    b'[{"': _JSON,
}


class Spool:
    """What comes through a pipe, in files of a folder; a thread writes them.

    Parameters
    ----------
    place
        ``-``, or the path of a named pipe.
    folder
        Where to keep what comes; a temporary folder, if it is not given.
    dialect
        How text is written, as far as that was said.
    reopens
        Whether a named pipe is opened again when all who write to it have closed it.
    """

    def __init__(self, place: str, folder: str | None, dialect: Dialect, *, reopens: bool) -> None:
        self._place, self._reopens = place, reopens
        self._files = SpoolFolder(folder, dialect)
        self._text = TextWriter(self._files, dialect, self.description)
        self._batches = BatchWriter(self._files, self.description)
        self._failure: BaseException | None = None
        self._pipe: Pipe | None = None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()
        # Python must not end while a thread is about to read by way of it.
        atexit.register(_end, weakref.ref(self))

    @property
    def description(self) -> str:
        """Where what comes is from."""
        return "standard input" if self._place == STANDARD_INPUT else self._place

    @property
    def folder(self) -> str:
        """Where the files are."""
        return self._files.path

    @property
    def is_kept(self) -> bool:
        """Whether the files stay."""
        return self._files.is_kept

    @property
    def n_held(self) -> int:
        """Bytes of text that end no record yet."""
        return self._text.n_held

    @property
    def has_ended(self) -> bool:
        """Whether all that will come is written; what could not be read or written, `refuse_failure` tells."""
        return self._files.has_ended

    def is_whole(self, name: str) -> bool:
        """Tell whether a file will not grow."""
        return self._files.is_whole(name)

    def leave(self, name: str) -> None:
        """Hear that a file was read to its end."""
        self._files.leave(name)

    def commit(self, name: str) -> None:
        """Remove the files before one: no checkpoint needs them any more."""
        self._files.commit(name)

    def refuse_failure(self) -> None:
        """Raise what ended it, once all that came before that was read.

        Raises
        ------
        SourceError
            What came could not be read, or written.
        """
        if self._failure is not None:
            with foreign_errors(self.description):
                raise self._failure

    def told(self, words: str) -> str:
        """Return words in which files that do not stay, and their folder, are called by where they came from."""
        if self._files.is_kept:
            return words

        def called(match: re.Match[str]) -> str:
            # Lines, and columns that disagree, are those of a file of its own.
            is_first = match[1] is None or int(match[1]) == 1
            return self.description if is_first else f"{self.description}, part {int(match[1])}"

        return re.sub(rf"{re.escape(self._files.path)}(?:/{FILE_NAME.pattern})?", called, words)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors tell of the place, and not of files that do not stay."""
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
                    # Before this end is closed: what comes between two openings would have nobody to go to.
                    stream = self._opened()
        except BaseException as error:
            self._failure = error
        self._files.end()

    def _opened(self) -> io.BufferedReader:
        is_input = self._place == STANDARD_INPUT
        # Without waiting for somebody who writes: that is done where it can be told that it is over.
        self._pipe = Pipe(os.dup(0) if is_input else os.open(self._place, os.O_RDONLY | os.O_NONBLOCK))
        return io.BufferedReader(self._pipe, pipe.READ_BYTES)

    def end(self) -> None:
        """Read no further, and wait until what was read is written."""
        self._text.is_over = True
        if self._pipe is not None:
            self._pipe.end()
            self._thread.join(_PATIENCE_S)

    def _take(self, stream: io.BufferedReader) -> None:
        """Write all that comes through a stream."""
        head = stream.peek(6)[:6]
        if head.startswith(ARROW):
            try:
                self._batches.write(stream)
            except BaseException:
                if self._pipe is not None:
                    self._pipe.end()  # whoever waits for what comes through it would keep it from being closed
                raise
            return
        for magic, (name, way_out) in _NOT_READ.items():
            if head.startswith(magic):
                raise SourceError(f"{self.description}: what comes is {name}, which is not read from a pipe; {way_out}")
        self._text.write(stream)


def telling(spool: Spool | None) -> contextlib.AbstractContextManager[None]:
    """Let errors tell of the pipe where a spool has what comes through one; else of the files as they are."""
    return contextlib.nullcontext() if spool is None else spool.telling()


def _end(spool: weakref.ref[Spool]) -> None:
    if (found := spool()) is not None:
        found.end()
