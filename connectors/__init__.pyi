from .base import BadRow, Block, Cursor, FileIdentity, Reader, Source
from .errors import ConnectorError, CursorError, RowError, SchemaError, SourceError
from .memory import MemorySource
from .places import EXTENSIONS, open_source
from .prefetching import Prefetcher, prefetch
from .rebatching import rebatch
from .writer import open_writer

__all__ = [
    "EXTENSIONS",
    "BadRow",
    "Block",
    "ConnectorError",
    "Cursor",
    "CursorError",
    "FileIdentity",
    "MemorySource",
    "Prefetcher",
    "Reader",
    "RowError",
    "SchemaError",
    "Source",
    "SourceError",
    "open_source",
    "open_writer",
    "prefetch",
    "rebatch",
]
