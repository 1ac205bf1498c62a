"""Access to bytes: on disks, in object stores, on web servers."""

__all__: list[str] = []
