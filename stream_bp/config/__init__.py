"""Settings: what a job, and the process that runs it, can be told; each field is a flag and a key of a TOML file."""

__all__: list[str] = []
