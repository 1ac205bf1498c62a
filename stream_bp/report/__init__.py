"""A page about one run or several, made from their run directories."""

__all__: list[str] = []
