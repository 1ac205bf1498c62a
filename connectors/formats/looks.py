r"""What a file looks like, from its first bytes, when that is not what its name says.

Only unambiguous signatures are here. A false alarm would refuse a good file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from connectors.errors import SourceError

__all__ = ["HEAD", "Look", "compression_in", "is_text", "look", "refuse_look"]

HEAD = 512
"""How many first bytes are looked at; a tar archive is known by bytes 257 to 262."""

_COMPRESSED = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}
_PROGRAMS = {"bz2": "bzip2"}
_BZ2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_NAMES = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet", "arrow": "Arrow"}
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Look:
    """What a file looks like.

    Parameters
    ----------
    what
        A noun with its article.
    remedy
        What to do, verb first.
    kind
        The format that reads it, as `open_source` takes it; None if there is none.
    """

    what: str
    remedy: str
    kind: str | None = None


def _readable(what: str, kind: str) -> Look:
    return Look(what, f"give --format {kind}, or rename it", kind)


_EXPORT = "export the table to CSV or Parquet"
_CONVERT = "convert it to CSV or Parquet"
_UNPACK = "unpack it, and give the files in it"
_FETCH = "fetch the file itself; a server may have sent this page in its place"
_SPREADSHEET = "save the sheet as CSV"

_SIGNATURES: tuple[tuple[bytes, Look], ...] = (
    (b"PAR1", _readable("a Parquet file", "parquet")),
    (b"PARE", Look("an encrypted Parquet file", "write it without encryption")),
    (b"ARROW1\0\0", _readable("an Arrow file", "arrow")),
    (b"\xff\xff\xff\xff", _readable("an Arrow stream", "arrow")),
    (b"FEA1", Look("a Feather file of version 1", "write it as version 2, or as Parquet")),
    (b"version https://git-lfs.github.com/", Look("a Git LFS pointer", "fetch the file itself with git lfs pull")),
    (b"version https://hawser.github.com/", Look("a Git LFS pointer", "fetch the file itself with git lfs pull")),
    (b"SQLite format 3\0", Look("an SQLite database", _EXPORT + ": sqlite3 -header -csv")),
    (b"%PDF-", Look("a PDF document", "export its table to CSV")),
    (b"{\\rtf", Look("a Rich Text document", "save it as plain text")),
    (b"\x93NUMPY", Look("a NumPy array", _CONVERT)),
    (b"\x89HDF\r\n\x1a\n", Look("an HDF5 file", _CONVERT)),
    (b"CDF\x01", Look("a NetCDF file", _CONVERT)),
    (b"CDF\x02", Look("a NetCDF file", _CONVERT)),
    (b"Obj\x01", Look("an Avro file", _CONVERT)),
    (b"MATLAB 5.0 MAT-file", Look("a MATLAB file", _CONVERT)),
    (b"RDX2\n", Look("an R data file", _CONVERT)),
    (b"RDX3\n", Look("an R data file", _CONVERT)),
    (b"<stata_dta>", Look("a Stata file", _CONVERT)),
    (b"$FL2", Look("an SPSS file", _CONVERT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Look("an old Excel workbook (.xls)", _SPREADSHEET)),
    (b"Rar!\x1a\x07", Look("a RAR archive", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Look("a 7z archive", _UNPACK)),
    (b"\x04\x22\x4d\x18", Look("lz4 data", "decompress it first: lz4 -d")),
    (b"\xff\x06\0\0sNaPpY", Look("snappy data", "decompress it first")),
    (b"\x1f\x9d", Look("data of compress (.Z)", "decompress it first: uncompress")),
    (b"\x89PNG\r\n", Look("a picture (PNG)", "give a table")),
    (b"\xff\xd8\xff", Look("a picture (JPEG)", "give a table")),
    (b"GIF8", Look("a picture (GIF)", "give a table")),
    (b"\x7fELF", Look("a program", "give a table")),
)
_ZIPPED = {  # names of parts, in the order in which they are tried
    b"[Content_Types].xml": Look("an Excel workbook (.xlsx)", _SPREADSHEET),
    b"_rels/": Look("an Excel workbook (.xlsx)", _SPREADSHEET),
    b"xl/": Look("an Excel workbook (.xlsx)", _SPREADSHEET),
    b"opendocument.spreadsheet": Look("an OpenDocument spreadsheet", _SPREADSHEET),
    b".npy": Look("NumPy arrays (.npz)", _CONVERT),
}
_TEXT = bytes(byte for byte in range(256) if byte >= 32 or 9 <= byte <= 13)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\]cX(\x8c]")
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_KEY = re.compile(rb'\{\s*(?:\}|"(?:[^"\\]|\\.)*"\s*:)', re.DOTALL)
_ARRAY = re.compile(rb'\[\s*(?:[{\["]|\])')


def compression_in(head: bytes) -> str | None:
    """Return the compression that the first bytes of a file show; None for other data."""
    found = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    return "bz2" if found is None and _BZ2.match(head) else found


def is_text(head: bytes) -> bool:
    """Return whether data is text in an encoding such as UTF-8: it has no control characters."""
    return head.strip() != b"" and not head.translate(None, _TEXT) and b"\x7f" not in head


def look(head: bytes, *, is_decoded: bool = False) -> Look | None:
    """Return what the first bytes of a file look like; None for text that may be CSV, and for unknown data.

    Parameters
    ----------
    head
        The first `HEAD` bytes, or all of a shorter file.
    is_decoded
        Whether they are text whose encoding is known already.
    """
    found = next((one for magic, one in _SIGNATURES if head.startswith(magic)), None)
    return found or _packed(head) or _markup(head) or _json(head) or (None if is_decoded else _wide(head))


def refuse_look(name: str, head: bytes, kind: str, *, is_decoded: bool = False) -> None:
    """Refuse a file whose first bytes are of another kind than expected.

    Parameters
    ----------
    name
        The file.
    head, is_decoded
        See `look`.
    kind
        The format that is expected.

    Raises
    ------
    SourceError
        It looks like something else.
    """
    found = look(head, is_decoded=is_decoded)
    if found is None and kind in {"parquet", "arrow"}:
        found = _text(head)
    if found is not None and found.kind != kind:
        raise SourceError(f"{name}: expected {_NAMES[kind]}, and this looks like {found.what}; {found.remedy}")


def _packed(head: bytes) -> Look | None:
    """Return what an archive or other binary data looks like."""
    if (compression := compression_in(head)) is not None:
        return Look(f"{compression} data", f"decompress it first: {_PROGRAMS.get(compression, compression)} -d")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next((found for part, found in _ZIPPED.items() if part in head), Look("a zip archive", _UNPACK))
    if head[257:262] == b"ustar":
        return Look("a tar archive", _UNPACK)
    if _PICKLE.match(head):
        return Look("a Python pickle", _CONVERT)
    is_orc = head.startswith(b"ORC") and b"\0" in head
    return Look("an ORC file", _CONVERT) if is_orc else None


def _markup(head: bytes) -> Look | None:
    text = _without_mark(head)
    if _PAGE.match(text):
        return Look("an HTML page", _FETCH)
    if text.startswith(b"<?xml"):
        what = "an HTML page" if b"<html" in text.lower() else "an XML document"
        return Look(what, _FETCH if what == "an HTML page" else f"{_CONVERT}, or fetch the file itself")
    return None


def _json(head: bytes) -> Look | None:
    text = _without_mark(head)
    if _ARRAY.match(text):
        return Look("a JSON array", "make it JSON lines: jq -c '.[]'")
    if not text.startswith(b"{"):
        return None
    first = re.split(rb"[\r\n]", text, maxsplit=1)[0]
    is_cut_off = len(head) >= HEAD and len(first) == len(text)
    if _KEY.match(first) and (is_cut_off or _is_object(first)):
        return _readable("JSON lines", "jsonl")
    if _KEY.match(text) and not _is_object(first):
        return Look("one JSON document over several lines", "make it JSON lines: jq -c .")
    return None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _wide(head: bytes) -> Look | None:
    """Return that text is in UTF-16 or UTF-32 without a byte order mark: most of its other bytes are NUL."""
    if head.startswith(_MARKS) or b"\0" not in head:
        return None
    for encoding, width, place in (
        ("utf-32-le", 4, 0),
        ("utf-32-be", 4, 3),
        ("utf-16-le", 2, 0),
        ("utf-16-be", 2, 1),
    ):
        whole = head[: len(head) // width * width]
        letters = whole[place::width]
        n_nul = whole.count(b"\0")
        if len(letters) >= 4 and b"\0" not in letters and n_nul >= 0.9 * (len(whole) - len(letters)):
            what = f"text in {encoding[:6].upper()} without a byte order mark"
            return Look(what, f"set --encoding {encoding}")
    return None


def _text(head: bytes) -> Look | None:
    """Return that data is text, if it is."""
    return _readable("text", "csv") if is_text(head) else None


def _without_mark(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()
