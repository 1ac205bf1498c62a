"""The models that a job can learn, under one protocol."""

__all__: list[str] = []
