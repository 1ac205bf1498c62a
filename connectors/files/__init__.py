"""Files on a disk or in a store, read to their end or followed."""

__all__: list[str] = []
