"""HTML reports of one or more runs, made from their run directories."""

__all__: list[str] = []
