from .addresses import told
from .base import LASTING, BadRow, Block, Cursor, Decisions, FileIdentity, FileStart, Note, Reader, Source
from .errors import (
    ConnectorError,
    CursorError,
    NewColumnsError,
    RowError,
    SchemaError,
    SourceError,
    UnavailableError,
)
from .followed import Follow
from .memory import MemorySource
from .places import EXTENSIONS, open_source
from .prefetching import Prefetcher, prefetch
from .rebatching import rebatch, rebatch_as_it_comes
from .schemes import Opener
from .writer import open_writer

__all__ = [
    "EXTENSIONS",
    "LASTING",
    "BadRow",
    "Block",
    "ConnectorError",
    "Cursor",
    "CursorError",
    "Decisions",
    "FileIdentity",
    "FileStart",
    "Follow",
    "MemorySource",
    "NewColumnsError",
    "Note",
    "Opener",
    "Prefetcher",
    "Reader",
    "RowError",
    "SchemaError",
    "Source",
    "SourceError",
    "UnavailableError",
    "open_source",
    "open_writer",
    "prefetch",
    "rebatch",
    "rebatch_as_it_comes",
    "told",
]
