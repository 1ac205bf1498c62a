"""The sections of the help."""

__all__ = ["SECTIONS"]

SECTIONS = (
    "Data",
    "Columns",
    "Model",
    "Learning",
    "Evaluation",
    "Drift",
    "Checkpoints",
    "Output",
    "Monitoring",
)
"""The sections of the help, in order; each setting belongs to one."""
