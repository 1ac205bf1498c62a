"""CSV: dialects, records, text, parsing."""

__all__: list[str] = []
