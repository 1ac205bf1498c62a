"""What a job can learn, behind one protocol."""

__all__: list[str] = []
