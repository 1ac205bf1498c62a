"""What a job learns of a source: its columns, their types and the task, and what may surprise about them."""

__all__: list[str] = []
