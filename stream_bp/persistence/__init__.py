"""The files that survive a power cut: checkpoints, log files, the run directory, prediction parts."""

__all__: list[str] = []
