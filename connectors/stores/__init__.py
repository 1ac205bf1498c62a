"""Where bytes are: disks, object stores, web servers."""

__all__: list[str] = []
