"""CSV: text, dialects, records, and parsing."""

__all__: list[str] = []
