"""File formats: Parquet and CSV."""

__all__: list[str] = []
