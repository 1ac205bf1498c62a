"""Waiting times of sources that are followed, in seconds."""

from __future__ import annotations

__all__ = ["LIST_S", "LOOK_S", "PATIENCE_S", "QUIET_S", "WHOLE_S"]

LOOK_S = 1.0
"""Time between two checks for new data, if the system reports no change."""

LIST_S = 5.0
"""Time between two listings of the whole place, if the system reports no change."""

QUIET_S = 1.0
"""A text file without a write for this time is left, if another file is waiting."""

WHOLE_S = 10.0
"""After this time without a write, the last record of a file is complete, and an unreadable file is damaged."""

PATIENCE_S = 1.0
"""After this time without rows, a message says that the source is waiting."""
