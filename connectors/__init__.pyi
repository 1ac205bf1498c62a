from .cursor import Cursor
from .decisions import LASTING, Decisions
from .errors import (
    ConnectorError,
    CursorError,
    NewColumnsError,
    RowError,
    SchemaError,
    SourceError,
    UnavailableError,
)
from .events import BadRow, FileStart, NullWord, SourceEvent
from .files.followed_source import Follow
from .formats.file_cursor import FileCursor, FileIdentity
from .memory import MemorySource
from .prefetching import Prefetcher, prefetch
from .rebatching import rebatch, rebatch_as_it_comes
from .registry import Opener
from .resolve import EXTENSIONS, open_source
from .source import Reader, RecordBatchSlice, Source
from .stores.address import redact
from .writer import open_writer

__all__ = [
    "EXTENSIONS",
    "LASTING",
    "BadRow",
    "ConnectorError",
    "Cursor",
    "CursorError",
    "Decisions",
    "FileCursor",
    "FileIdentity",
    "FileStart",
    "Follow",
    "MemorySource",
    "NewColumnsError",
    "NullWord",
    "Opener",
    "Prefetcher",
    "Reader",
    "RecordBatchSlice",
    "RowError",
    "SchemaError",
    "Source",
    "SourceError",
    "SourceEvent",
    "UnavailableError",
    "open_source",
    "open_writer",
    "prefetch",
    "rebatch",
    "rebatch_as_it_comes",
    "redact",
]
