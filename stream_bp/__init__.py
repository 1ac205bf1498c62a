"""Learn a neural network from a stream of rows, one minibatch at a time, and resume it to the same bits.

The packages: :mod:`connectors` reads rows, this one learns from them. The usual way in is the command ``stream-bp``;
from Python it is :class:`Job`, or :class:`Learner` alone.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Checkpointer",
    "Evaluation",
    "Job",
    "JobConfig",
    "Learner",
    "Snapshot",
    "StreamBPError",
    "__version__",
    "load",
]

_HOMES = {
    "Checkpointer": "checkpoint",
    "Evaluation": "evaluation",
    "Job": "job",
    "JobConfig": "config",
    "Learner": "learner",
    "Snapshot": "snapshot",
    "StreamBPError": "errors",
    "load": "checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the numeric core starts without Arrow, pydantic or River."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stream_bp' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"stream_bp.{_HOMES[name]}"), name)
