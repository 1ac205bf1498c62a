"""Where the commands write: results to standard output, remarks to standard error."""

import json
from functools import partial
from typing import Any

from rich.console import Console

__all__ = ["remark", "write", "write_json"]

write = partial(print, flush=True)
"""Write a line, at once: a closed pipe is met here, and not at exit."""


def write_json(content: dict[str, Any]) -> None:
    """Write a result as one line of JSON."""
    write(json.dumps(content))


def remark(*lines: str) -> None:
    """Write lines about a result, beside it."""
    for line in lines:
        Console(stderr=True).print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
