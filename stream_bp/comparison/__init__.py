"""Several models on one stream."""

__all__: list[str] = []
