"""How long whoever follows files waits for what, in seconds."""

from __future__ import annotations

__all__ = ["LIST_S", "LOOK_S", "PATIENCE_S", "QUIET_S", "WHOLE_S"]

LOOK_S = 1.0
"""Between two looks, where the system reports no change."""

LIST_S = 5.0
"""Between two looks at the whole place, where the system reports no change."""

QUIET_S = 1.0
"""A file of text that was quiet for so long is left, if another one waits."""

WHOLE_S = 10.0
"""What ends a file that was quiet for so long is a whole record; a file that cannot be read by then is damaged."""

PATIENCE_S = 1.0
"""A person waits for so long without asking why."""
