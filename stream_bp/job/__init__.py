"""The job at run time: read, predict, score, learn, checkpoint."""

__all__: list[str] = []
