"""JSON lines: one object on each line."""

__all__: list[str] = []
