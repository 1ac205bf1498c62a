"""What survives a power cut: checkpoints, journals, the run directory, parts of predictions."""

__all__: list[str] = []
