"""When the history gets its lines."""

__all__ = ["next_mark"]


def next_mark(rows: int) -> int:
    """Return after how many rows the history gets its next line: 1000 apart at first, then 1 %, at most 100,000."""
    return rows + min(max(1_000, rows // 100), 100_000)
